"""--task=migrate of CleanRL's files, with networks of its scripts' layouts (CleanRL itself is not installed)."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agents.weights.migration.conversions import let_critics_take_scaled_actions
from helpers.errors import ConfigurationError
from tests.migration.stage import (
    CLOSE,
    CleanRLActor,
    Fully,
    loaded,
    migrate,
    perceptron,
    stirred,
)


@pytest.mark.parametrize("algo", ["sac", "td3", "ddpg"])
def test_a_model_of_cleanrl_needs_one_command(algo, tmp_path, capsys):
    """CleanRL's folder names the environment, the file its algorithm; low and high are not symmetric."""
    low, high = torch.tensor([-2.0]), torch.tensor([2.0])
    heads = {"fc_mean": 1, "fc_logstd": 1} if algo == "sac" else {"fc_mu": 1}
    actor = stirred(CleanRLActor(3, (8, 6), heads, low, high))
    critics = [stirred(Fully(4, (8, 6), {"fc3": 1})) for _ in range(1 if algo == "ddpg" else 2)]
    folder = tmp_path / f"Pendulum-v1__{algo}_continuous_action__1__1700000000"
    folder.mkdir()
    file = folder / f"{algo}_continuous_action.cleanrl_model"
    torch.save((actor.state_dict(), *(critic.state_dict() for critic in critics)), file)
    agent = loaded(migrate(file, "", tmp_path, env=None))
    observations = 3.0 * torch.randn(64, 3, generator=torch.Generator().manual_seed(5))
    ours, _ = agent.predict(observations.numpy(), explore=False)
    with torch.no_grad():
        np.testing.assert_allclose(ours, actor.act(observations), **CLOSE)
        actions = torch.rand(64, 1, generator=torch.Generator().manual_seed(6)) * 4.0 - 2.0
        for i, critic in enumerate(critics, 1):
            name = "critic" if algo == "ddpg" else f"critic_{i}"
            (values,) = critic(torch.cat([observations, actions], 1))
            np.testing.assert_allclose(
                agent.models()[name](observations, actions),
                values[:, 0],
                rtol=1e-4,
                atol=1e-5,
            )
        if algo == "sac":  # the same squashing of the deviations there and here
            policy = agent.models()["policy"]
            _, log_std = policy.net.head(observations)
            np.testing.assert_allclose(
                log_std,
                -5 + 3.5 * (torch.tanh(actor(observations)[1]) + 1),
                **CLOSE,
            )
    printed = capsys.readouterr().out
    assert "target networks begin as copies: target_" in printed
    assert "sampled actions are not equal" not in printed


@pytest.mark.parametrize("script", ["ppo_continuous_action", "ppo", "dqn"])
def test_cleanrl_with_one_state_dict(script, tmp_path, capsys):
    sizes, env = ((3, 1), "Pendulum-v1") if "continuous" in script else ((4, 2), "CartPole-v1")
    net: Any = nn.Module()
    if script == "dqn":
        net.network = perceptron(sizes[0], 12, 8, sizes[1], activation=nn.ReLU)
        actor = net.network
    else:
        net.critic = perceptron(sizes[0], 8, 8, 1, activation=nn.Tanh)
        actor = perceptron(sizes[0], 8, 8, sizes[1], activation=nn.Tanh)
        net.add_module("actor_mean" if "continuous" in script else "actor", actor)
        if "continuous" in script:
            net.actor_logstd = nn.Parameter(torch.zeros(1, 1))
    file = tmp_path / f"{script}.cleanrl_model"
    torch.save(stirred(net).state_dict(), file)
    agent = loaded(migrate(file, "", tmp_path, env=env))
    observations = torch.randn(64, sizes[0], generator=torch.Generator().manual_seed(5))
    ours, _ = agent.predict(observations.numpy(), explore=False)
    with torch.no_grad():
        theirs = actor(observations)
        if "continuous" in script:
            np.testing.assert_allclose(ours, theirs, **CLOSE)
            log_std = agent.models()["policy"].net.log_std.detach()
            np.testing.assert_array_equal(log_std, net.actor_logstd.detach()[0])
        else:
            np.testing.assert_array_equal(ours, theirs.argmax(1))
        if script != "dqn":
            values = agent.models()["value"](observations)
            np.testing.assert_allclose(values, net.critic(observations)[:, 0], **CLOSE)
    assert ("standardises observations in a wrapper" in capsys.readouterr().out) == (
        "cont" in script
    )


def test_cleanrls_bounds_must_be_the_environments(tmp_path):
    actor = stirred(
        CleanRLActor(3, (8, 6), {"fc_mu": 1}, torch.tensor([-1.0]), torch.tensor([1.0])),
    )
    file = tmp_path / "x.cleanrl_model"
    torch.save((actor.state_dict(), Fully(4, (8, 6), {"fc3": 1}).state_dict()), file)
    with pytest.raises(
        ConfigurationError,
        match=r"acts in \[-1.\] to \[1.\], the environment in \[-2",
    ):
        migrate(file, "", tmp_path)


def test_critics_take_the_same_actions_whatever_their_bounds():
    low, high = np.array([0.0, -3.0], np.float32), np.array([0.02, 1.0], np.float32)
    generator = torch.Generator().manual_seed(2)
    weight, bias = torch.randn(4, 5, generator=generator), torch.randn(4, generator=generator)
    slots = {"critic_1.0.weight": weight.clone(), "critic_1.0.bias": bias.clone()}
    center, half = (low + high) / 2, (high - low) / 2
    let_critics_take_scaled_actions(slots, (center, half))
    actions = torch.from_numpy(np.stack([low, high, center + 0.3 * half]))
    x = torch.cat([torch.randn(3, 3, generator=generator), actions], 1)
    scaled = torch.cat([x[:, :3], (actions - torch.from_numpy(center)) / torch.from_numpy(half)], 1)
    ours = scaled @ slots["critic_1.0.weight"].T + slots["critic_1.0.bias"]
    np.testing.assert_allclose(ours, x @ weight.T + bias, rtol=1e-5, atol=1e-6)
