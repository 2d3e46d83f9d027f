"""A fresh vector environment that loads a state continues bit for bit, through later episodes too."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from environments.factory import make_vector_env
from environments.ids import MUJOCO_NAMES
from helpers.errors import CheckpointError

MUJOCO_V5 = [f"{name}-v5" for name in MUJOCO_NAMES]  # stepped by either backend
GYMNASIUM = [
    "Hopper-v4",
    "Ant-v4",
    "CartPole-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "FrozenLake-v1",
    "Taxi",
    "Blackjack-v1",
    "CliffWalking-v1",
]
DM_CONTROL = [
    "cheetah-run",  # settles 200 steps at its start
    "hopper-hop",
    "reacher-easy",  # the target is in the model
    "fish-swim",
    "ball_in_cup-catch",  # draws starts until one is free of contact
    "cartpole-swingup",  # RK4
    "point_mass-hard",  # the gains are in the model
    "swimmer-swimmer6",
    "manipulator-bring_ball",
    "finger-turn_easy",
    "humanoid-walk",
    "lqr-lqr_2_1",  # the model itself is random, the actions unbounded
]
BEFORE, BEFORE_RESET, AFTER = 6, 4, 8  # steps: to the state, to the end of the episode, beyond


def through_a_file(state: Any) -> Any:
    """The state as a checkpoint would give it back: JSON, and arrays in safetensors."""
    arrays: dict[str, np.ndarray] = {}

    def strip(value: Any, path: str) -> Any:
        if isinstance(value, np.ndarray):
            arrays[path] = value
            return {"array": path}
        if isinstance(value, dict):
            assert all(type(key) is str for key in value)
            return {key: strip(item, f"{path}/{key}") for key, item in value.items()}
        assert value is None or type(value) in (bool, int, float, str), (path, type(value))
        return value

    def fill(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if set(value) == {"array"} and isinstance(value["array"], str):
            return loaded[value["array"]]
        return {key: fill(item) for key, item in value.items()}

    text = json.dumps(strip(state, ""), allow_nan=False)
    loaded = safetensors.numpy.load(safetensors.numpy.save(arrays))
    return fill(json.loads(text))


def assert_identical(left: Any, right: Any) -> None:
    """Equal in type, shape and every bit."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_identical(left[key], right[key])
    elif isinstance(left, tuple | list) or (isinstance(left, np.ndarray) and left.dtype == object):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_identical(one, other)
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()
    else:
        assert left == right or (left != left and right != right)


def near_the_end(envs: Any) -> None:
    """Let the time limit come in `BEFORE_RESET` steps: most tasks would take 1000."""
    if envs.backend == "batched MuJoCo":
        envs.elapsed_steps[:] = envs.max_episode_steps - BEFORE_RESET
        return
    for env in envs.envs:
        limit = env.get_wrapper_attr("_max_episode_steps")
        env.set_wrapper_attr("_elapsed_steps", limit - BEFORE_RESET)


@pytest.mark.parametrize(
    ("env_id", "backend"),
    [
        *((env_id, "batched MuJoCo") for env_id in MUJOCO_V5),
        *((env_id, "Gymnasium") for env_id in [*MUJOCO_V5, *GYMNASIUM]),
        *((env_id, "dm_control") for env_id in DM_CONTROL),
    ],
)
def test_a_restored_copy_goes_on_bit_for_bit(env_id: str, backend: str) -> None:
    envs = make_vector_env(env_id, seeds=[11, 12], backend=backend)
    envs.action_space.seed(5)
    actions = [envs.action_space.sample() for _ in range(BEFORE + BEFORE_RESET + AFTER)]
    envs.reset()
    for action in actions[:BEFORE]:
        envs.step(action)
    near_the_end(envs)
    state = through_a_file(envs.state_dict())
    expected = [envs.step(action) for action in actions[BEFORE:]]
    assert any((terminated | truncated).any() for _, _, terminated, truncated, _ in expected)

    fresh = make_vector_env(env_id, seeds=[21, 22], backend=backend)
    fresh.load_state_dict(state)
    assert_identical(fresh.observations, state["observations"])
    for action, outcome in zip(actions[BEFORE:], expected, strict=True):
        assert_identical(fresh.step(action), outcome)
    assert_identical(fresh.state_dict(), envs.state_dict())

    # The same copy, used and loaded again: nothing of its later course is left over.
    fresh.load_state_dict(state)
    for action, outcome in zip(actions[BEFORE:], expected, strict=True):
        assert_identical(fresh.step(action), outcome)
    envs.close()
    fresh.close()


def test_the_clock_and_an_untouched_model_are_restored() -> None:
    envs: Any = make_vector_env("reacher-easy", seeds=[1])
    inner: Any = envs.envs[0].unwrapped
    target = inner.model.geom_pos.copy()
    untouched = envs.state_dict()
    envs.reset()
    envs.step(np.ones((1, 2), np.float32))
    running, time = envs.state_dict(), inner.data.time
    assert time > 0
    envs.load_state_dict(untouched)
    assert inner.data.time == 0
    np.testing.assert_array_equal(inner.model.geom_pos, target)
    envs.load_state_dict(running)
    assert inner.data.time == time
    assert inner.model.geom_pos.tolist() != target.tolist()


@pytest.mark.parametrize("backend", ["batched MuJoCo", "Gymnasium"])
def test_taking_a_state_changes_nothing(backend: str) -> None:
    outcomes = []
    for takes_state in (False, True):
        envs = make_vector_env("Ant-v5", seeds=[1, 2], backend=backend)
        envs.reset()
        for _ in range(5):
            outcome = envs.step(np.full((2, 8), 0.7, np.float32))
            if takes_state:
                envs.state_dict()
        outcomes.append(outcome)
    assert_identical(*outcomes)


@pytest.mark.parametrize("backend", ["batched MuJoCo", "Gymnasium"])
def test_a_state_does_not_follow_its_environment(backend: str) -> None:
    envs = make_vector_env("Hopper-v5", seeds=[1], backend=backend)
    envs.reset()
    state = envs.state_dict()
    before = through_a_file(state)
    for _ in range(50):
        envs.step(np.ones((1, 3), np.float32))
    assert_identical(through_a_file(state), before)


@pytest.mark.parametrize("backend", ["batched MuJoCo", "Gymnasium"])
def test_the_state_is_small(backend: str) -> None:
    envs = make_vector_env("Hopper-v5", seeds=range(8), backend=backend)
    envs.reset()

    def size(value: Any) -> int:
        if isinstance(value, dict):
            return sum(size(item) for item in value.values())
        return value.nbytes if isinstance(value, np.ndarray) else 8

    assert size(envs.state_dict()) < 100_000


@pytest.mark.parametrize("source", ["batched MuJoCo", "Gymnasium"])
@pytest.mark.parametrize(
    ("env_id", "count", "words"),
    [
        ("Hopper-v4", 2, "env_id=Hopper-v5, these have env_id=Hopper-v4"),
        ("Hopper-v5", 3, "num_envs=2, these have num_envs=3"),
    ],
)
def test_the_state_of_others_is_refused(env_id: str, count: int, words: str, source: str) -> None:
    state = make_vector_env("Hopper-v5", seeds=[0, 1], backend=source).state_dict()
    with pytest.raises(CheckpointError) as refusal:
        make_vector_env(env_id, seeds=range(count)).load_state_dict(state)
    assert words in refusal.value.problem


@pytest.mark.parametrize("source", ["batched MuJoCo", "Gymnasium", None])
def test_the_state_of_another_backend_is_refused(source: str | None) -> None:
    for target in {"batched MuJoCo", "Gymnasium"} - {source}:
        state = dict(make_vector_env("Hopper-v5", seeds=[0], backend=source).state_dict())
        if source is None:
            del state["backend"]  # as it was saved before there were two
        with pytest.raises(CheckpointError) as refusal:
            make_vector_env("Hopper-v5", seeds=[0], backend=target).load_state_dict(state)
        assert (
            f"the backend {source or 'an older version'}, these use {target}"
            in refusal.value.problem
        )


@pytest.mark.parametrize("backend", ["batched MuJoCo", "Gymnasium"])
def test_the_state_of_another_mujoco_is_refused(backend: str) -> None:
    envs = make_vector_env("Hopper-v5", seeds=[0], backend=backend)
    state = through_a_file(envs.state_dict())
    state["environments"]["000"]["simulation"]["mujoco"] = "2.1.0"
    with pytest.raises(CheckpointError) as refusal:
        envs.load_state_dict(state)
    assert "MuJoCo 2.1.0" in refusal.value.problem


def test_plain_attributes_keep_their_types() -> None:
    import gymnasium

    from environments.state import exact_state

    class Plain(gymnasium.Env):
        def __init__(self, **attributes: Any) -> None:
            vars(self).update(attributes)

    generator = np.random.Generator(np.random.MT19937(3))
    values = {
        "none": None,
        "truth": True,
        "count": 3,
        "real": 0.1,
        "infinite": float("-inf"),
        "single": np.float32(0.1),
        "flag": np.bool_(False),
        "scalar_array": np.array(2.5),
        "nested": (1, [2.0, (np.int8(3), None)], np.arange(3)),
        "empty": [],
    }
    kept = {"render_mode": "rgb_array", "words": "here", "table": {"a": 1}}
    source = Plain(**values, render_mode=None, words="there", table={"a": 2}, generator=generator)
    state = through_a_file({"state": exact_state.capture(source)})["state"]
    target = Plain(**dict.fromkeys(values), **kept, generator=None)
    exact_state.restore(target, state)
    assert_identical({name: vars(target)[name] for name in values}, values)
    assert {name: vars(target)[name] for name in kept} == kept
    assert vars(target)["generator"].random() == generator.random()


def test_only_what_was_tried_is_taken_to_be_exact() -> None:
    """Box2D's worlds lie elsewhere than in attributes: LunarLander was said to resume bit for bit, and did not."""
    from gymnasium.envs.registration import registry

    from environments.suites import gymnasium_suites

    homes = {
        str(spec.entry_point).split(".")[2]
        for spec in registry.values()
        if str(spec.entry_point).startswith("gymnasium.envs.")
    }
    exact = {
        home for home in homes if f"gymnasium.envs.{home}.".startswith(gymnasium_suites._EXACT)
    }
    assert exact == {"classic_control", "mujoco", "toy_text"} and "box2d" in homes
