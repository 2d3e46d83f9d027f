"""A model as plain data acts as the agent does, whatever the algorithm."""

import json

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from agents.algorithms import MODELS_TO_REGISTER, REGISTRY, model_names
from agents.nn.models import PolicyModel
from agents.weights.architecture import KINDS, NOISE, Architecture, Network
from agents.weights.describe import describe
from helpers.episodes import clip_actions
from helpers.errors import CheckpointError, ConfigurationError
from tests.agents.builders import CHOICES, OBSERVATION_DIM, SPACES, small_agent, small_config

UNEVEN = gymnasium.spaces.Box(np.float32([-2, -0.4, 0]), np.float32([1, 0.4, 3]))
FORMS = {"uneven": UNEVEN, **SPACES, **CHOICES}
OBSERVATIONS = np.random.default_rng(0).normal(1.0, 3.0, (200, OBSERVATION_DIM))


def made(algo, space, **settings):
    agent = small_agent(small_config(algo, task="eval", **settings), space)
    learner = getattr(agent, "learner", getattr(agent, "cloner", agent))
    normalizer = getattr(learner, "observation_normalizer", None)
    if normalizer is not None:
        state = normalizer.state_dict()
        state |= {"count": 50.0, "mean": state["mean"] + 0.7, "m2": state["m2"] + 200.0}
        normalizer.load_state_dict(state)
    return agent


def rebuilt(model, space, **others):
    """A network from what was written as JSON."""
    bounds = (space.low, space.high) if isinstance(space, gymnasium.spaces.Box) else None
    written = describe(model, observations=OBSERVATION_DIM, bounds=bounds, **others)
    text = json.dumps(written.to_json(), allow_nan=False)
    return Network(Architecture.from_json(json.loads(text), written.tensors, source="a file"))


def inputs_of(network):
    generator = np.random.default_rng(1)
    return [
        torch.from_numpy(OBSERVATIONS if name == "observation" else generator.uniform(-1, 1, (200, n)))
        .to(network.dtype)
        for name, n in network.architecture.sizes.items()
    ]  # fmt: skip


CASES = [(algo, "discrete" if algo == "dqn" else "uneven", {}) for algo in REGISTRY]
CASES += [
    ("ppo", "discrete", {}),
    ("ppo", "uneven", {"precision": "float64"}),
    ("sac", "uneven", {"precision": "float64"}),
    ("ppo", "uneven", {"layer_norm": True}),
    ("sac", "uneven", {"layer_norm": True}),
    ("bc", "discrete", {}),
    ("bc", "uneven", {"cloning_loss": "log_likelihood"}),
    ("bc", "uneven", {"cloning_loss": "log_likelihood", "squash_actions": True}),
    ("bc", "uneven", {"squash_actions": True, "p_activation": "relu"}),
    ("dqn", "discrete", {"dueling": True}),
    ("ppo", "uneven", {"activation": "elu", "init": "default"}),
    ("ppo", "uneven", {"activation": "relu", "state_dependent_std": True}),
    ("sac", "uneven", {"activation": "silu"}),
    ("crossq", "uneven", {"activation": "gelu"}),
    ("dqn", "discrete", {"activation": "elu", "init": "orthogonal"}),
    ("ppo", "several", {}),
    ("bc", "several", {}),
    ("ppo", "from -1", {}),
    ("dqn", "from -1", {}),
    ("bc", "from -1", {}),
]


@pytest.mark.parametrize(
    ("algo", "kind", "settings"),
    CASES,
    ids=lambda each: "-".join(map(str, each.values())) if isinstance(each, dict) else each,
)
def test_every_model_gives_the_agents_numbers(algo, kind, settings):
    space = FORMS[kind]
    agent = made(algo, space, **settings)
    for name, model in agent.models().items():
        network = rebuilt(model, space)
        inputs = inputs_of(network)
        with torch.no_grad():
            found, wanted = network(*inputs), model(*inputs)
        if isinstance(model, PolicyModel):
            wanted = torch.from_numpy(clip_actions(wanted.numpy(), space))
            assert found.dtype == (torch.float32 if kind == "uneven" else torch.int64)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6, msg=name)
    acting = agent.models().get("policy") or agent.models()["q_network"]
    acted = clip_actions(agent.predict(OBSERVATIONS, explore=False)[0], space)
    with torch.no_grad():
        found = rebuilt(acting, space)(*inputs_of(rebuilt(acting, space)))
    np.testing.assert_allclose(found.numpy(), acted, rtol=0, atol=1e-6)
    assert not isinstance(acting, PolicyModel) or acting.standardised == agent.config.p_batch_norm


@pytest.mark.parametrize(
    ("algo", "kind", "settings"),
    [
        ("ppo", "uneven", {}),
        ("ppo", "discrete", {}),
        ("ppo", "uneven", {"log_std_max": -1.0, "policy_std_init": 0.1}),
        ("ppo", "uneven", {"state_dependent_std": True, "log_std_min": -1.5, "log_std_max": 0.5}),
        ("sac", "uneven", {}),
        ("sac", "uneven", {"log_std_min": -20.0, "log_std_max": 1.0}),
        ("bc", "uneven", {"cloning_loss": "log_likelihood", "squash_actions": True}),
        ("ppo", "several", {}),
        ("bc", "several", {}),
        ("ppo", "from -1", {}),
    ],
)
def test_samples_are_those_of_the_same_noise(algo, kind, settings):
    space = FORMS[kind]
    model = made(algo, space, **settings).models()["policy"]
    network = rebuilt(model, space, sampled=True)
    inputs = inputs_of(network)
    with torch.no_grad():
        found, wanted = network(*inputs).numpy(), model(*inputs).numpy()
        mode = rebuilt(model, space)(inputs[0]).numpy()
    np.testing.assert_allclose(found, clip_actions(wanted, space), rtol=0, atol=1e-6)
    assert network.architecture.noise == ("normal" if kind == "uneven" else "gumbel")
    assert list(network.architecture.sizes)[-1] == NOISE
    assert (found != mode).any()


def test_a_policy_without_a_distribution_is_not_sampled():
    for algo, space in (("td3", UNEVEN), ("dqn", SPACES["discrete"]), ("bc", UNEVEN)):
        models = made(algo, space).models()
        model = models.get("policy") or models["q_network"]
        with pytest.raises(ConfigurationError, match="no distribution"):
            describe(model, observations=OBSERVATION_DIM, sampled=True)


def test_a_layer_that_is_not_known_is_named():
    model = made("sac", UNEVEN).models()["policy"]
    model.net.net[1] = nn.Softplus()
    with pytest.raises(ConfigurationError, match="Softplus") as caught:
        describe(model, observations=OBSERVATION_DIM)
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize("activation", [nn.ELU, nn.GELU, nn.SiLU, nn.ReLU])
def test_activations_that_somebody_has_changed_are_exported(activation):
    model = made("ppo", UNEVEN).models()["policy"]
    model.net.features[1] = activation()
    network = rebuilt(model, UNEVEN)
    (observations,) = inputs_of(network)
    with torch.no_grad():
        wanted = clip_actions(model(observations).numpy(), UNEVEN)
        np.testing.assert_allclose(network(observations).numpy(), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "damage",
    [
        lambda it: it.update(format=99),
        lambda it: it["layers"][0].update(kind="attention"),
        lambda it: it["layers"][0].update(weight="nowhere"),
        lambda it: it["layers"][0].pop("bias"),
        lambda it: it["inputs"]["observation"]["layers"][0].update(limit="ten"),
        lambda it: it.pop("inputs"),
        lambda it: it.clear(),
    ],
)
def test_a_damaged_architecture_is_refused_in_two_lines(damage):
    written = describe(made("ppo", UNEVEN).models()["policy"], observations=OBSERVATION_DIM)
    content = json.loads(json.dumps(written.to_json()))
    damage(content)
    with pytest.raises(CheckpointError, match=r"package/architecture\.json") as caught:
        Architecture.from_json(content, written.tensors, source="package/architecture.json")
    assert str(caught.value).count("\n") == 1


def test_no_kind_of_layer_is_idle():
    used = set()
    for algo, kind, settings in CASES:
        space = FORMS[kind]
        for model in made(algo, space, **settings).models().values():
            used |= {layer["kind"] for layer in rebuilt(model, space).architecture.all_layers()}
    sampled = {"sample", "gaussian", "add_noise", "add_gumbel_noise"}
    pictures = {"picture", "convolution", "flatten"}  # tests/agents/test_pictures.py
    assert set(KINDS) - used == sampled | pictures


@pytest.mark.parametrize("algo", REGISTRY)
def test_the_names_of_models_are_told_without_torch(algo):
    space = SPACES["discrete" if algo == "dqn" else "continuous"]
    agent = made(algo, space)
    assert sorted(model_names(agent.config)) == sorted(agent.models())
    assert MODELS_TO_REGISTER[algo] == frozenset(model_names(REGISTRY[algo].config()))
    assert list(agent.models())[0] in ("policy", "q_network")


@pytest.mark.parametrize("algo", ["ppo", "sac", "bc", "dqn", "gail"])
@pytest.mark.parametrize("shape", [(OBSERVATION_DIM,), (1,), (3, 1), (3, OBSERVATION_DIM + 1)])
def test_observations_of_another_shape_are_no_silent_broadcast(algo, shape):
    """One observation of five numbers once gave five actions."""
    space = SPACES["discrete" if algo == "dqn" else "continuous"]
    agent = made(algo, space)
    for act in (lambda x: agent.predict(x, explore=False), agent_model(agent)):
        with pytest.raises((ValueError, RuntimeError), match="observations|shape"):
            act(np.zeros(shape))


def agent_model(agent):
    model = next(iter(agent.models().values()))
    return lambda x: model(torch.from_numpy(x))
