"""A saved model computes what the agent computes, from a file of tensors alone."""

import gymnasium
import numpy as np
import pytest
import torch

from agents.on_policy.native_steps import NativeSteps
from agents.weights.load import make_agent_of
from helpers.checkpoints.policy_files import write_state
from helpers.errors import CheckpointError
from tests.agents.builders import OBSERVATION_DIM, random_rollout, small_agent, small_config

BOUNDED = gymnasium.spaces.Box(
    np.array([-2.0, -1.0, 0.0], np.float32),
    np.array([1.0, 1.5, 7.0], np.float32),
)
CHOICES = gymnasium.spaces.Discrete(4)
NORMS = {"batch_norm_all": True}
WIDE = {"p_perception_stack": "mlp_256_200"}  # so large that matrices go to kernels of their own
WIDE_CRITIC = WIDE | {"q_perception_stack": "mlp_300_256"}
CASES = [
    *[("ppo", space, more) for space in (BOUNDED, CHOICES) for more in ({}, NORMS, WIDE)],
    *[("ppo", space, {"compile": False}) for space in (BOUNDED, CHOICES)],
    ("ppo", BOUNDED, {"shared_value": True}),
    ("ppo", BOUNDED, {"layer_norm": True}),
    ("ppo", BOUNDED, {"precision": "float64"}),
    *[
        (algo, BOUNDED, more)
        for algo in ("sac", "td3", "ddpg", "crossq", "tqc")
        for more in (NORMS, WIDE_CRITIC, {"layer_norm": True}, NORMS | {"precision": "float64"})
    ],
    *[
        ("dqn", CHOICES, more)
        for more in (NORMS, WIDE_CRITIC, {"layer_norm": True}, {"dueling": True})
    ],
]
MODELS = {
    "ppo": ["policy", "value"],
    "sac": ["policy", "critic_1", "critic_2", "target_critic_1", "target_critic_2"],
    "td3": [
        "policy",
        "critic_1",
        "critic_2",
        "target_policy",
        "target_critic_1",
        "target_critic_2",
    ],
    "ddpg": ["policy", "critic", "target_policy", "target_critic"],
    "crossq": ["policy", "critic_1", "critic_2"],
    "tqc": ["policy"] + [f"{prefix}critic_{i}" for prefix in ("", "target_") for i in range(1, 6)],
    "dqn": ["q_network", "target_q_network"],
}


def trained(algo, space, settings):
    """An agent that has learned from two rollouts, whose moments have moved."""
    agent = small_agent(small_config(algo, **settings), space)
    for iteration in range(2):
        agent.update(random_rollout(agent, space, iteration=iteration))
    return agent


def by_hand(algo, space, settings):
    """An untrained agent of the same architecture, from its sizes and switches alone."""
    small = {"p_perception_stack": "mlp_8"}
    small |= {"v_perception_stack" if algo == "ppo" else "q_perception_stack": "mlp_8"}
    actions = {"choices": 4} if space is CHOICES else {"bounds": (space.low, space.high)}
    return make_agent_of(algo, observations=OBSERVATION_DIM, **actions, **small | settings)


@pytest.mark.parametrize(("algo", "space", "settings"), CASES, ids=str)
def test_the_actions_of_a_file_are_the_agents_to_the_last_bit(algo, space, settings, tmp_path):
    agent = trained(algo, space, settings)
    models = agent.models()
    assert list(models) == MODELS[algo]
    name = MODELS[algo][0]
    write_state(tmp_path / f"1_{name}.pt", models[name].state_dict())
    observations = np.random.default_rng(0).normal(1.0, 3.0, (257, OBSERVATION_DIM))
    theirs, _ = agent.predict(observations, explore=False)
    fresh = by_hand(algo, space, settings).models()[name].load(tmp_path / f"1_{name}.pt")
    for model in (models[name], fresh):
        with torch.no_grad():
            ours = model(torch.from_numpy(observations)).numpy()
        assert ours.dtype == theirs.dtype
        if algo == "ppo" and isinstance(
            agent.gradient_steps,
            NativeSteps,
        ):  # its tanh is right to 4e-7
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours, theirs)
    if agent.config.p_batch_norm:
        assert not np.array_equal(
            agent.observation_normalizer.mean,
            0.0 * agent.observation_normalizer.mean,
        )
        np.testing.assert_array_equal(fresh.observation_mean, agent.observation_normalizer.mean)


@pytest.mark.parametrize("settings", [{}, NORMS, {"layer_norm": True}], ids=str)
def test_ppos_value_is_in_rewards(settings):
    agent = trained("ppo", BOUNDED, settings)
    assert agent.return_normalizer.sd != 1.0
    observations = (
        np.random.default_rng(0).normal(1.0, 3.0, (50, OBSERVATION_DIM)).astype(np.float32)
    )
    critic = agent.models()["value"]
    inputs = torch.from_numpy(agent._value_input(observations))
    theirs = agent.return_normalizer.denormalize(agent.gradient_steps.values(inputs).numpy())
    with torch.no_grad():
        np.testing.assert_allclose(
            critic(torch.from_numpy(observations)),
            theirs,
            rtol=1e-5,
            atol=1e-5,
        )


@pytest.mark.parametrize("algo", ["sac", "td3", "ddpg"])
def test_critics_value_actions_of_the_environment_and_target_networks_are_others(algo):
    agent = trained(algo, BOUNDED, NORMS)
    rng = np.random.default_rng(0)
    observations = rng.normal(1.0, 3.0, (50, OBSERVATION_DIM)).astype(np.float32)
    actions = rng.uniform(BOUNDED.low, BOUNDED.high, (50, 3)).astype(np.float32)
    models, algorithm = agent.models(), agent.algorithm
    scaled = agent.actions.to_networks(torch.from_numpy(actions))
    standard = torch.from_numpy(agent.observation_normalizer(observations))
    given = torch.from_numpy(observations), torch.from_numpy(actions)
    with torch.no_grad():
        values = algorithm.networks["critic"](standard, scaled)
        target_values = algorithm.targets["critic"](standard, scaled)
        for i, name in enumerate(name for name in models if name.startswith("critic")):
            torch.testing.assert_close(models[name](*given), values[i], rtol=1e-6, atol=1e-6)
            ours = models[f"target_{name}"](*given)
            torch.testing.assert_close(ours, target_values[i], rtol=1e-6, atol=1e-6)
    assert (values - target_values).abs().max() > 1e-4


def test_crossqs_critics_take_their_own_statistics():
    agent = trained("crossq", BOUNDED, {})
    rng = np.random.default_rng(0)
    observations = torch.from_numpy(rng.normal(1.0, 3.0, (50, OBSERVATION_DIM)).astype(np.float32))
    actions = torch.from_numpy(rng.uniform(BOUNDED.low, BOUNDED.high, (50, 3)).astype(np.float32))
    models, running = agent.models(), agent.algorithm.running
    with torch.no_grad():
        scaled = agent.actions.to_networks(actions)
        values = agent.algorithm.critics(observations, scaled, running.fixed())
        for i in range(2):
            ours = models[f"critic_{i + 1}"](observations, actions)
            torch.testing.assert_close(ours, values[i], rtol=1e-6, atol=1e-6)
    parts = [models[name].state_dict()["statistics"] for name in MODELS["crossq"]]
    assert torch.equal(torch.cat(parts), running.statistics)


def test_a_shared_policy_can_be_learnt_from():
    """It is plain torch: gradients reach its parameters and its observations."""
    agent = trained("sac", BOUNDED, {})
    model = agent.models()["policy"]
    observations = torch.randn(7, OBSERVATION_DIM, requires_grad=True)
    model(observations).square().sum().backward()
    assert observations.grad is not None and observations.grad.abs().max() > 0.0
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_does_not_fit_is_refused_in_two_lines(tmp_path):
    agent = trained("td3", BOUNDED, {})
    model = agent.models()["policy"]
    states = {"policy": {n: each.clone() for n, each in model.state_dict().items()}}
    wide, good = tmp_path / "wide.pt", tmp_path / "good.pt"
    write_state(good, states["policy"])
    write_state(wide, states["policy"] | {"layers.0.weight": torch.zeros(9, OBSERVATION_DIM)})
    write_state(tmp_path / "more.pt", states["policy"] | {"log_std": torch.zeros(3)})
    (tmp_path / "half.pt").write_bytes(good.read_bytes()[:-300])
    bent = bytearray(good.read_bytes())
    place = good.read_bytes().index(states["policy"]["layers.0.weight"].numpy().tobytes())
    bent[place] ^= 1
    (tmp_path / "bent.pt").write_bytes(bent)
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"layers": 3}, tmp_path / "number.pt")
    torch.save({"layers": np.random.default_rng(0)}, tmp_path / "object.pt")
    for path, words in (
        ("none.pt", "No such file"),
        ("wide.pt", r"layers.0.weight is \(9, 5\) there and \(8, 5\) here"),
        ("more.pt", "log_std is"),
        ("half.pt", "truncated|damaged"),
        ("bent.pt", "damaged"),
        ("list.pt", "contains a list"),
        ("number.pt", "not a state_dict"),
        ("object.pt", "more than tensors"),
    ):
        with pytest.raises(CheckpointError, match=words) as caught:
            model.load(tmp_path / path)
        assert len(str(caught.value).splitlines()) == 2
    model.load(good)
