"""Networks of every activation, with every beginning, are torch's own modules, forward and backward."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agents.algorithms import ALGORITHMS, SCHEMA
from agents.imitation.networks import Discriminator, Perceptron
from agents.nn.perceptrons import ACTIVATIONS, hidden_stack, perceptron
from agents.on_policy.native_steps import NativeSteps
from helpers.config.settings import settings_of
from helpers.errors import ConfigurationError
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config
from tests.agents.cloning.cases import sources

TORCH = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
HOW = {"dtype": torch.float64, "layer_norm": False}


def generator():
    return torch.Generator().manual_seed(3)


def in_torch(net, activation):
    """The same weights in plain modules of torch."""
    layers, linear = [], [each for each in net.modules() if isinstance(each, nn.Linear)]
    for i, each in enumerate(linear):
        plain = nn.Linear(each.in_features, each.out_features, dtype=each.weight.dtype)
        plain.load_state_dict(each.state_dict())
        layers += [plain] if i == len(linear) - 1 else [plain, TORCH[activation]()]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("activation", TORCH)
@pytest.mark.parametrize("init", ["default", "orthogonal"])
def test_a_perceptron_is_torchs_with_its_gradients(activation, init):
    assert ACTIVATIONS == TORCH
    net = perceptron(
        5, (7, 6, 4), 3, activation=activation, init=init, generator=generator(), **HOW,
    )  # fmt: skip
    plain = in_torch(net, activation)
    x = torch.randn(11, 5, dtype=torch.float64, generator=generator())
    found, wanted = net(x), plain(x)
    assert torch.equal(found, wanted)
    for each, other in zip(
        torch.autograd.grad(found.square().sum(), list(net.parameters())),
        torch.autograd.grad(wanted.square().sum(), list(plain.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(each, other, rtol=1e-12, atol=1e-14)


def test_weights_begin_as_they_are_said_to():
    net = hidden_stack(9, (6,), activation="elu", init="orthogonal", generator=generator(), **HOW)
    weight, bias = net[0].parameters()
    torch.testing.assert_close(weight @ weight.T, 2.0 * torch.eye(6, dtype=torch.float64))
    assert not bias.any()
    net = hidden_stack(9, (500,), activation="elu", init="default", generator=generator(), **HOW)
    for part in net.parameters():
        assert 0.9 / 3 < part.detach().abs().max() <= 1 / 3
        assert part.detach().std().item() == pytest.approx(1 / math.sqrt(27), rel=0.1)


LEARNERS = [
    name for name in ALGORITHMS if "p_activation" in settings_of(ALGORITHMS[name])
]  # imitations have their learner's


@pytest.mark.parametrize("activation", TORCH)
@pytest.mark.parametrize("algo", [*LEARNERS, "gail", "dqn"])
def test_every_learner_learns_with_every_activation(algo, activation):
    """The shorthand reaches all of its networks, and what is learned depends on it."""
    space = SPACES["discrete" if algo == "dqn" else "continuous"]
    kinds = {"d_activation": activation} if algo == "gail" else sources(algo, "continuous")
    config = small_config(algo, activation=activation, compile=False, **kinds)
    agent = small_agent(config, space)
    for _ in range(2):
        metrics = agent.update(random_rollout(agent, space))
    assert all(np.isfinite(value) for value in metrics.values())
    named = [
        key for key in ("p_activation", "v_activation", "q_activation") if key in config.settings
    ]
    assert {getattr(config, key) for key in named} == {activation}
    owner = getattr(agent, "learner", agent)
    parts = getattr(owner, "algorithm", getattr(owner, "cloner", owner))
    nets = getattr(parts, "networks", None) or {
        "policy": getattr(parts, "policy", None) or parts.actor,
    }
    found = {type(m) for net in nets.values() for m in net.modules()} & set(TORCH.values())
    assert found <= {TORCH[activation]} and (found or activation == "relu")


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "elu", "silu", "gelu"])
def test_a_discriminators_gradient_penalty_differentiates_twice(activation):
    make = {"activation": activation, "generator": generator(), "dtype": torch.float64}
    net = Discriminator(Perceptron(4, (5, 6), 1, spectral=False, **make))
    rows = torch.randn(3, 4, dtype=torch.float64, generator=generator(), requires_grad=True)
    empty = torch.zeros(0, dtype=torch.float64)

    def slopes(x):
        return torch.autograd.grad(net(x, x, empty)[0].sum(), x, create_graph=True)[0]

    assert torch.autograd.gradcheck(lambda x: net(x, x, empty)[0], rows)
    if activation not in ("relu", "leaky_relu"):
        assert torch.autograd.gradcheck(slopes, rows)


def test_one_shorthand_sets_them_all_unless_they_are_given():
    config: Any = SCHEMA.parse_command_line(
        ["--algo=ppo", "--activation=elu", "--v_activation=relu"],
    ).config
    assert (config.p_activation, config.v_activation, config.activation) == ("elu", "relu", None)
    config = SCHEMA.parse_command_line(["--algo=sac", "--activation=tanh"]).config
    assert (config.p_activation, config.q_activation) == ("tanh", "tanh")
    with pytest.raises(ConfigurationError, match="activation=swish"):
        SCHEMA.parse_command_line(["--algo=sac", "--activation=swish"])


# Deviations


def test_deviations_stay_within_their_bounds():
    space = SPACES["continuous"]
    settings = {"log_std_min": -1.0, "log_std_max": 0.0, "p_ent_reg_scale": 5.0, "p_lr": 0.05}
    agent = small_agent(small_config(policy_std_init=0.9, **settings), space)
    assert not isinstance(agent.gradient_steps, NativeSteps)
    for i in range(3):
        metrics = agent.update(random_rollout(agent, space, iteration=i))
    assert agent.actor.log_std.min() > 0.0  # the parameter is beyond them, the deviation is not
    assert metrics["policy/std"] == pytest.approx(1.0)
    with pytest.raises(Exception, match="policy_std_init=1.0 is outside"):
        small_config(log_std_max=-1.0)
    with pytest.raises(Exception, match="log_std_min=0.0 is not below"):
        small_config("sac", log_std_min=0.0, log_std_max=-1.0)


def test_a_deviation_that_depends_on_the_state_learns_its_density():
    space = SPACES["continuous"]
    agent = small_agent(small_config(state_dependent_std=True, policy_std_init=0.5), space)
    seen = torch.randn(6, 5, generator=generator())
    mean, log_std = agent.actor.distribution(seen)
    torch.testing.assert_close(log_std.exp(), torch.full((6, 3), 0.5), rtol=0.05, atol=0)
    made = torch.randn(6, 3, generator=generator())
    normal = torch.distributions.Normal(mean, log_std.exp())
    found, entropy = agent.actor.log_prob_and_entropy(seen, made)
    torch.testing.assert_close(found, normal.log_prob(made).sum(-1))
    torch.testing.assert_close(entropy, normal.entropy().sum(-1).mean())
    agent.update(random_rollout(agent, space))
    assert not torch.equal(agent.actor.distribution(seen)[1], log_std)
