"""An agent begins with what another one has learned: the same actions, or a refusal that says what differs."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from agents.nn.models import PolicyModel
from agents.weights.describe import describe
from agents.weights.sources import Source
from agents.weights.warm_start import warm_start
from helpers.checkpoints.policy_files import POLICIES
from helpers.errors import CheckpointError, ConfigurationError
from tests.agents.builders import OBSERVATION_DIM, SPACES, random_rollout, small_agent, small_config
from tests.agents.cloning.cases import sources

BOX, CHOICES = SPACES["continuous"], SPACES["discrete"]
WIDE = gymnasium.spaces.Box(-2.0, 2.0, (3,), np.float32)
LINEAR = {"p_activation": "tanh", "squash_actions": False}  # a clone as PPO's policy is
NORMAL = {"p_batch_norm": True, "q_batch_norm": True}


def policy_of(agent) -> PolicyModel:
    models = agent.models()
    return next(models[name] for name in POLICIES if name in models)


def fresh(algo, space=BOX, *, dim=0, **settings):
    """An agent that has learned nothing."""
    kind = "discrete" if isinstance(space, gymnasium.spaces.Discrete) else "continuous"
    config = small_config(algo, **{"seed": 2, **sources(algo, kind), **settings})
    return small_agent(config, space, dim=dim)


def fill(part, generator):
    """Put other numbers into all tensors of a state, and a count into its optimizers."""
    for name, each in part.items():
        if isinstance(each, torch.Tensor) and each.is_floating_point():
            part[name] = 0.3 * torch.rand(each.shape, generator=generator, dtype=each.dtype)
        elif isinstance(each, dict):
            fill(each, generator)
        elif name == "steps" and "moment1" in part:
            part[name] = 17


def learned(algo, space=BOX, **settings):
    """An agent whose every number is another one than a fresh agent's."""
    agent = fresh(algo, space, seed=1, **settings)
    state = agent.state_dict()
    learner = state.get("learner", state)
    generator = torch.Generator().manual_seed(3)
    for name in ("parameters", "learning", "optimizer", "optimizers"):
        if name in learner:
            fill(learner[name], generator)
    if "learning" in learner:
        learner["learning"] = learner["parameters"]
    size = OBSERVATION_DIM
    learner["observations"] = {
        "count": 50.0,
        "mean": np.arange(size) / 9,
        "m2": 99.0 * np.ones(size),
    }
    for name in ("iteration", "steps", "rollouts", "updates"):
        if name in learner:
            learner[name] = 64 if name == "steps" else 1
    agent.load_state_dict(state)
    return agent


def source_of(agent) -> Source:
    state = agent.state_dict()
    model = policy_of(agent)
    moments = state.get("learner", state)["observations"] if model.standardised else None
    made = describe(model, observations=OBSERVATION_DIM)
    origin = {"run": "theirs.seed00", "algo": agent.config.algo, "iteration": 7, "step": 448}
    path = Path("theirs.seed00/checkpoints/iter_000007/shared.safetensors")
    return Source(path, origin, made, moments, {}, agent, state, agent.config)


def begin(agent, source):
    return warm_start(agent, source, observations=OBSERVATION_DIM)


def seen() -> np.ndarray:
    return np.random.default_rng(5).normal(0.3, 2.0, (64, OBSERVATION_DIM))


def actions_of(agent) -> np.ndarray:
    with torch.no_grad():
        return policy_of(agent)(torch.as_tensor(seen())).numpy()


def flat(state, prefix="") -> dict:
    found = {}
    for name, each in state.items():
        if isinstance(each, dict):
            found |= flat(each, f"{prefix}{name}/")
        else:
            found[f"{prefix}{name}"] = each
    return found


@pytest.mark.parametrize(
    ("algo", "space"),
    [(algo, BOX) for algo in ("ppo", "sac", "td3", "ddpg", "crossq", "redq", "tqc", "bc", "gail")]
    + [("ppo", CHOICES), ("dqn", CHOICES)],
)
def test_from_the_same_learner_all_is_taken_but_counters(algo, space):
    theirs = learned(algo, space)
    mine = fresh(algo, space)
    before = flat(mine.state_dict())
    line = begin(mine, source_of(theirs)).line(source_of(theirs))
    assert "networks, moments of the optimizer and normalizers" in line
    after, wanted = flat(mine.state_dict()), flat(theirs.state_dict())
    assert (actions_of(mine) == actions_of(theirs)).all()
    counters = {"iteration", "steps", "rollouts", "updates", "step_size_scale"}
    for name, value in after.items():
        own, _, last = name.rpartition("/")
        is_own = last in counters and not own.endswith(("optimizer", "policy", "critic", "all"))
        if is_own and "optimizer" not in name:
            assert np.array_equal(value, before[name]), name
        elif last not in ("demonstrations", "expert"):
            assert np.array_equal(np.asarray(value), np.asarray(wanted[name])), name
    assert np.isfinite(list(mine.update(random_rollout(mine, space)).values())).all()


CROSSED = [
    ("bc", LINEAR, "ppo", {}, BOX),
    ("bc", LINEAR | {"cloning_loss": "log_likelihood"}, "ppo", {}, BOX),
    ("bc", {"p_activation": "tanh"}, "ppo", {}, CHOICES),
    ("bc", LINEAR, "gail", {}, BOX),
    ("bc", {}, "sac", NORMAL, BOX),
    ("bc", {"cloning_loss": "log_likelihood"}, "sac", NORMAL, WIDE),
    ("bc", {}, "td3", NORMAL, BOX),
    ("bc", {}, "ddpg", NORMAL, BOX),
    ("sac", {}, "redq", {}, BOX),
    ("sac", {}, "td3", {}, BOX),
    ("td3", {}, "ddpg", {}, BOX),
    ("ppo", {}, "gail", {}, BOX),
    ("gail", {}, "ppo", {}, BOX),
    ("ppo", {}, "bc", LINEAR, BOX),
]


@pytest.mark.parametrize(("theirs", "settings", "ours", "own", "space"), CROSSED)
def test_from_another_learner_the_policy_acts_the_same(theirs, settings, ours, own, space):
    old = learned(theirs, space, **settings)
    new = fresh(ours, space, **own)
    assert np.abs(actions_of(new).astype(float) - actions_of(old)).max() > 0.01
    taken = begin(new, source_of(old))
    assert np.allclose(actions_of(new), actions_of(old), atol=1e-5)
    assert taken.difference < 1e-5
    assert np.allclose(new.predict(seen()[:4], explore=False)[0], actions_of(new)[:4], atol=1e-5)
    models = new.models()
    if "target_policy" in models and "target_policy" not in old.models():
        after = models["target_policy"].state_dict(), policy_of(new).state_dict()
        assert all(torch.equal(after[0][name], after[1][name]) for name in after[0])
    if (theirs, ours) == ("sac", "redq"):
        for name in ("critic_1", "critic_2", "target_critic_1"):
            there, here = (each.models()[name].state_dict() for each in (old, new))
            assert all(torch.equal(there[key], here[key]) for key in there), name
        assert "critic" in taken.parts and "critic" in taken.left  # two of ten
    if settings.get("cloning_loss") and ours == "sac":
        noise = torch.ones(64, 3)
        with torch.no_grad():
            drawn = [policy_of(each)(torch.as_tensor(seen()), noise=noise) for each in (old, new)]
        assert torch.allclose(drawn[0], drawn[1], atol=1e-5)
    assert np.isfinite(list(new.update(random_rollout(new, space)).values())).all()


def test_a_policy_without_bounds_keeps_its_actions_in_other_units():
    old = learned("ppo", BOX)
    new = fresh("ppo", WIDE)
    begin(new, source_of(old))
    assert np.allclose(actions_of(new), actions_of(old), atol=1e-5)


REFUSED = [
    ("ppo", {"p_perception_stack": "mlp_16"}, "ppo", {}, BOX, BOX, "a layer of the policy is"),
    ("ppo", {"v_perception_stack": "mlp_16"}, "ppo", {}, BOX, BOX, "architecture"),
    ("bc", {"squash_actions": False}, "ppo", {}, BOX, BOX, "linear-relu-linear-relu"),
    ("bc", {"p_activation": "tanh"}, "ppo", {}, BOX, BOX, "squashed by tanh"),
    ("bc", {}, "sac", {}, BOX, BOX, "normalized"),
    ("sac", {}, "sac", {}, BOX, WIDE, "reach from -1 to 1"),
    ("bc", {"p_activation": "tanh"}, "dqn", {"p_perception_stack": "mlp_8"}, CHOICES, CHOICES, ""),
    ("ppo", {}, "ppo", {}, BOX, gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32), "3 numbers"),
    ("crossq", {}, "sac", {}, BOX, BOX, "linear"),
]


@pytest.mark.parametrize(("theirs", "settings", "ours", "own", "there", "here", "word"), REFUSED)
def test_what_does_not_fit_is_refused_in_two_lines(theirs, settings, ours, own, there, here, word):
    source = source_of(learned(theirs, there, **settings))
    agent = fresh(ours, here, **own)
    with pytest.raises(ConfigurationError) as caught:
        begin(agent, source)
    assert str(caught.value).count("\n") == 1
    assert word in caught.value.problem
    assert "--init_from" in caught.value.remedy


def test_a_policy_that_acts_differently_afterwards_is_not_trained():
    source = source_of(learned("ppo"))
    source.state["parameters"]["policy.head.bias"] += 0.01
    with pytest.raises(CheckpointError, match="acts differently"):
        begin(fresh("ppo"), source)


def test_other_observations_are_refused():
    source = source_of(learned("ppo"))
    agent = fresh("ppo", dim=OBSERVATION_DIM + 1)
    with pytest.raises(ConfigurationError, match="have 5 numbers, this run's 6"):
        warm_start(agent, source, observations=OBSERVATION_DIM + 1)
