"""A policy's unit is the environment's range: other bounds of the actions change nothing of what is learned.

The strongest statement of it: the same task behind an affine map of its actions gives the same numbers, up to
rounding, whatever learns.
"""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from agents.algorithms import ALGORITHMS
from agents.imitation.inputs import InputBuilder
from agents.nn.action_scale import ActionScale
from agents.weights.describe import describe
from helpers.demos.hdf5 import demo_path, write_demo
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config, train_on
from tests.agents.cloning.cases import CLONING, LENGTH, OBSERVATION_DIM, expert_action, expert_run
from tests.agents.imitation.cases import IMITATING
from tests.probes.environments import Probe

UNIT = ([-1.0] * 3, [1.0] * 3)
RANGES = {
    "tiny": ([0.0] * 3, [0.02] * 3),
    "far": ([2.0] * 3, [10.0] * 3),
    "mixed": ([-3.0, 0.0, 2.0], [1.0, 0.02, 10.0]),
}


class Drift(Probe):
    """A state that actions push: what they do depends on where they lie between their bounds."""

    single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_DIM,), np.float32)
    time_limit = 10
    push = np.random.default_rng(3).normal(size=(3, OBSERVATION_DIM))

    def __init__(self, low: list[float], high: list[float]) -> None:
        self.low, self.high = np.float32(low), np.float32(high)
        super().__init__(action_space=gymnasium.spaces.Box(self.low, self.high))

    def start(self, which):
        if not hasattr(self, "state"):
            self.state = np.zeros((self.num_envs, OBSERVATION_DIM))
        self.state[which] = self.rng.normal(1.0, 2.0, (which.sum(), OBSERVATION_DIM))

    def observe(self):
        return self.state.copy()

    def pay(self, actions):
        center, half = (self.low + self.high) / 2.0, (self.high - self.low) / 2.0
        place = np.clip((actions - center) / half, -1.0, 1.0)
        self.state = 0.8 * self.state + 0.3 * place @ self.push
        rewards = -np.square(self.state).mean(-1) - 0.1 * np.square(place).sum(-1)
        return rewards, np.linalg.norm(self.state, axis=-1) > 6.0


def stretch(actions, low, high):
    """Of [-1, 1], to the bounds."""
    low, high = np.float32(low), np.float32(high)
    return (low + high) / 2 + (high - low) / 2 * actions


def write_demos(folder: Path, low, high) -> Path:
    for index in range(3):
        rng = np.random.default_rng([index, 99])
        states = rng.normal(1.0, 3.0, (LENGTH + 1, OBSERVATION_DIM))
        actions = stretch(expert_action(states[:-1], "continuous"), low, high)
        ends = np.arange(LENGTH) == LENGTH - 1
        steps = {
            "observations": states[:-1],
            "actions": actions.astype(np.float32),
            "rewards": rng.normal(size=LENGTH),
            "next_observations": states[1:],
            "terminated": ends,
            "truncated": np.zeros(LENGTH, bool),
        }
        write_demo(demo_path(folder, "made_up", index), steps, {"run": "a rule"})
    return folder


class Rule:
    """What DAgger asks, whatever was saved."""

    fingerprint = ""

    def __init__(self, low, high):
        self.bounds = low, high

    def __call__(self, observations):
        return stretch(expert_action(observations, "continuous"), *self.bounds)


def learn(algo, low, high, folder, **settings):
    """(the metrics of each iteration, the last policy's deterministic actions in [-1, 1])."""
    environment = Drift(low, high)
    if algo in (*CLONING, *IMITATING):
        settings |= {
            "expert_path": str(write_demos(folder, low, high)),
            "expert_demo_subsample": False,
        }
    if algo == "dagger":
        settings["expert_policy"] = str(expert_run("continuous"))
    config = small_config(algo, **settings)
    agent = small_agent(config, environment.single_action_space)
    if algo == "dagger":
        agent.expert = Rule(low, high)
    if agent.rollout_len:
        metrics = train_on(agent, environment, 4 if algo != "dagger" else 2)
    else:
        metrics = [dict(agent.update(None)) for _ in range(4)]
    seen = np.random.default_rng(0).normal(1.0, 2.0, (50, OBSERVATION_DIM))
    acted, _ = agent.predict(seen, explore=False)
    center, half = (
        (environment.low + environment.high) / 2,
        (environment.high - environment.low) / 2,
    )
    return metrics, (acted - center) / half


CONTINUOUS = [name for name in ALGORITHMS if name != "dqn"]
CASES = [(algo, "mixed", {}) for algo in CONTINUOUS]
CASES += [("ppo", kind, {}) for kind in RANGES if kind != "mixed"]
CASES += [
    ("ppo", "mixed", {"state_dependent_std": True, "log_std_max": 0.5, "p_ent_reg_scale": 0.01}),
    ("ppo", "mixed", {"precision": "float32", "compile": True}),  # the kernel in C
    ("airl", "mixed", {"d_log_prob": "both", "state_only": False}),
    ("airl", "mixed", {"learner": "sac", "updates_per_step": 0.25, "learning_starts": 32}),
    ("bc", "mixed", {"cloning_loss": "log_likelihood"}),
    ("bc", "tiny", {"squash_actions": False}),
    ("bc", "mixed", {"squash_actions": False, "cloning_loss": "log_likelihood"}),
]


@pytest.mark.parametrize(
    ("algo", "kind", "settings"),
    CASES,
    ids=lambda each: "-".join(map(str, each)) if isinstance(each, dict) else each,
)
def test_an_affine_map_of_actions_changes_no_number(algo, kind, settings, tmp_path):
    settings = {"precision": "float64", "compile": False} | settings
    tolerance = 2e-3 if settings["precision"] == "float32" else 1e-4
    (wanted, acted), (found, its) = (
        learn(algo, *bounds, tmp_path / name, **settings)
        for name, bounds in (("unit", UNIT), (kind, RANGES[kind]))
    )
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name
    np.testing.assert_allclose(its, acted, rtol=0, atol=tolerance)
    assert (
        np.ptp(acted, axis=0).min() > 1e-3
    )  # it depends on the observation: there is something to compare


# Runs and policy files from before policies had units

OLD = (
    Path(__file__).parents[1] / "golden" / "ppo_without_units.npz"
)  # made before, on the bounds of "mixed"
SEEN = np.random.default_rng(0).normal(1.0, 2.0, (5, OBSERVATION_DIM))


def old_state():
    """(what its checkpoint held, what it did next)."""
    state, expected = {}, {}
    with np.load(OLD) as arrays:
        for path, array in arrays.items():
            *folders, name = path.split("/")
            place = expected if folders == ["expected"] else state
            for folder in folders if place is state else ():
                place = place.setdefault(folder, {})
            is_tensor = folders[:1] in (["parameters"], ["optimizer"]) and array.ndim
            place[name] = torch.from_numpy(array) if is_tensor else array[()]
    return state, expected


def test_an_old_run_goes_on_in_the_units_of_its_environment():
    environment, (state, expected) = Drift(*RANGES["mixed"]), old_state()
    config = small_config(precision="float64", compile=False)
    agent = small_agent(config, environment.single_action_space)
    agent.load_state_dict(state)
    metrics = train_on(agent, environment, 1)[0]
    assert metrics["policy/loss"] == pytest.approx(float(expected["policy_loss"]), rel=1e-9)
    assert metrics["policy/std"] == pytest.approx(float(expected["policy_std"]), rel=1e-12)
    acted, _ = agent.predict(SEEN, explore=False)
    np.testing.assert_allclose(acted, expected["actions"], rtol=1e-9)
    again = small_agent(config, environment.single_action_space)
    again.load_state_dict(agent.state_dict())  # and still after it was saved by this version
    np.testing.assert_array_equal(again.predict(SEEN, explore=False)[0], acted)


def test_a_policy_file_without_units_acts_as_it_did():
    space = Drift(*RANGES["mixed"]).single_action_space
    agent = small_agent(small_config(task="eval"), space)
    plain = small_agent(small_config(task="eval"), space).models()["policy"]
    file = {
        name: each.clone()
        for name, each in plain.state_dict().items()
        if not name.startswith("action_")
    }
    model = agent.models()["policy"].take(file, source="an old file")
    seen = torch.from_numpy(SEEN)
    with torch.no_grad():
        assert torch.equal(model(seen), plain.outputs(seen))
        assert not torch.equal(plain(seen), plain.outputs(seen))
    layers = {layer["kind"] for layer in describe(model, observations=5).all_layers()}
    assert "scale" not in layers
    acted, _ = agent.predict(SEEN, explore=False)
    np.testing.assert_allclose(acted, model(seen).detach(), rtol=0, atol=1e-7)


# Bounds that are none


def test_without_bounds_the_unit_is_the_environments_and_a_line_says_so(caplog):
    low = np.float32([-np.inf, 0.0, -3.4e38, 0.5])
    high = np.float32([np.inf, 0.02, 3.4e38, 0.5])
    space = gymnasium.spaces.Box(low, high)
    scale = ActionScale(space, np.dtype(np.float64), squashes=False)
    assert scale.bounded.tolist() == [False, True, False, True]
    np.testing.assert_allclose(scale.center, [0.0, 0.01, 0.0, 0.5])
    np.testing.assert_allclose(scale.half, [1.0, 0.01, 1.0, 1.0])
    agent = small_agent(small_config(), space)
    assert [each.message.partition(" of the")[0] for each in caplog.records] == ["actions 0, 2"]
    metrics = agent.update(random_rollout(agent, space))
    assert all(np.isfinite(value) for value in metrics.values())
    caplog.clear()
    for kind in SPACES.values():
        small_agent(small_config(), kind)
    small_agent(small_config(task="eval"), space)
    assert not caplog.records
    rows = InputBuilder(5, space, small_config("gail"))
    scaled = rows.scaled_action(torch.tensor([[0.3, 0.02, -7.0, 0.5]]))
    torch.testing.assert_close(scaled, torch.tensor([[0.3, 1.0, -7.0, 0.0]]))


def test_bounds_of_one_leave_every_bit():
    scale = ActionScale(SPACES["continuous"], np.dtype(np.float32), squashes=False)
    actions = np.array([[-0.1, 1.7, 0.3]], np.float32)
    assert scale.is_identity and scale.to_environment(actions) is actions
