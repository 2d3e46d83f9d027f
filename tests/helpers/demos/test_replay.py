"""A demonstration beside a policy: the expert's side is what was recorded, or it is said where it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from environments.factory import make_vector_env
from helpers.demos import replay as module
from helpers.demos.episode import Demo, Expected
from helpers.demos.replay import Replay, find_replay
from helpers.episodes import RandomPolicy, run_episodes
from helpers.errors import ConfigurationError
from tests.helpers.demos.cases import settings, write_demos

SEED = 11
ENDS = {"Hopper-v5": "terminated", "CartPole-v1": "terminated", "Pendulum-v1": "truncated"}


def environment_of(env_id: str, count: int) -> Any:
    """Environments whose pictures tell which one is drawn, without a GL library."""
    environment: Any = make_vector_env(env_id, seeds=[0] * count)
    environment.picture = lambda index: np.full((30, 40, 3), 10 + index, np.uint8)
    return environment


def recorded(env_id: str, seed: int = SEED) -> Demo:
    """An episode of a random policy, as --save_traj keeps it."""
    environment = environment_of(env_id, 1)
    policy = RandomPolicy(environment.action_space, seed=3)
    (episode,) = run_episodes(environment, policy, seeds=[seed], keep_steps=True)
    return Demo(**episode.steps, origin={"seed": seed, "mujoco_version": "9.9.9"})


def film(replay: Replay, env_id: str, *, stride: int = 1, fps: float = 50.0) -> list[np.ndarray]:
    """Frames beside a policy that does nothing."""
    environment = environment_of(env_id, 2)
    still = environment.single_action_space.sample() * 0
    act = lambda seen: np.stack([still] * len(seen))  # noqa: E731
    return list(replay.frames(environment, act, stride=stride, fps=fps))


@pytest.mark.parametrize("env_id", ENDS)
def test_the_replay_is_the_recording_bit_for_bit(env_id: str) -> None:
    demo = recorded(env_id)
    assert getattr(demo, ENDS[env_id])[-1]
    replay = Replay(demo)
    frames = film(replay, env_id, stride=3, fps=20.0)
    assert replay.deviates_at is None and replay.compared == demo.length
    assert "replayed bit for bit" in replay.verdict("mujoco", "1.0", shown="MuJoCo")
    assert len({frame.shape for frame in frames}) == 1
    first = frames[0][:, :40].reshape(-1, 3), frames[0][:, -40:].reshape(-1, 3)
    assert (first[0][-1] == 10).all() and (first[1][-1] == 11).all()
    assert (frames[-1][-1, 0] > 100).all()  # the expert's last picture fades


def test_both_begin_in_the_recorded_state_and_the_policy_sees_its_own_side() -> None:
    demo = recorded("Hopper-v5")
    environment, seen = environment_of("Hopper-v5", 2), []

    def act(observations: np.ndarray) -> np.ndarray:
        seen.append(observations.copy())
        return np.ones((len(observations), 3), np.float32)

    list(Replay(demo).frames(environment, act, stride=1, fps=125.0))
    assert all(each.shape == (1, 11) for each in seen)
    np.testing.assert_array_equal(seen[0][0], demo.observations[0])
    assert (seen[1][0] != demo.observations[1]).any()


def captions(monkeypatch: pytest.MonkeyPatch, env_id: str, demo: Demo) -> list[tuple[str, ...]]:
    """(name, figure, note) of all captions of a film."""
    said: list[tuple[str, ...]] = []

    def caption(picture: np.ndarray, name: str, figure: str, *, note: str, colour: Any) -> Any:
        said.append((name, figure, note))
        return picture

    monkeypatch.setattr(module, "add_caption", caption)
    film(Replay(demo), env_id)
    return said


def test_captions_tell_the_return_so_far_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = recorded("CartPole-v1")
    said = captions(monkeypatch, "CartPole-v1", demo)
    assert said[0] == ("expert", "return 0.0", "0.0 s") and said[1][0] == "imitator"
    experts = [figure for name, figure, _ in said if name == "expert"]
    assert experts[: demo.length] == [f"return {step}.0" for step in range(demo.length)]
    assert said[-2] == (
        "expert",
        f"return {demo.return_:.1f}",
        f"ended at {demo.length / 50:.1f} s",
    )
    assert said[-1][2].startswith("ended at")


def test_a_long_episode_is_filmed_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = recorded("Pendulum-v1")
    monkeypatch.setattr(module, "LONGEST", 2.0)
    replay = Replay(demo)
    assert len(film(replay, "Pendulum-v1", stride=2, fps=25.0)) == 50 + 1
    assert replay.compared == 100 and "the first 100 steps of" in replay.verdict(
        "mujoco",
        "1.0",
        shown="MuJoCo",
    )


@pytest.mark.parametrize(
    ("name", "step"),
    [("observations", 0), ("next_observations", 4), ("actions", 4)],
)
def test_the_step_at_which_it_parts_is_told(name: str, step: int) -> None:
    demo = recorded("Hopper-v5")
    array = getattr(demo, name).copy()
    array[step, 0] = np.nextafter(array[step, 0], -9.0) if name != "actions" else -array[step, 0]
    replay = Replay(replace(demo, **{name: array}))
    film(replay, "Hopper-v5")
    assert replay.deviates_at == step
    words = replay.verdict("mujoco", "1.0", shown="MuJoCo")
    assert f"at step {step} of {demo.length}" in words
    assert "MuJoCo 9.9.9" in words and "with 1.0" in words


@pytest.mark.parametrize("cut", [True, False])
def test_an_episode_of_another_length_is_told(cut: bool) -> None:
    demo = recorded("Hopper-v5")
    rows = np.arange(demo.length - 1) if cut else np.r_[: demo.length, demo.length - 1]
    replay = Replay(replace(demo, **{name: array[rows] for name, array in demo.arrays()}))
    film(replay, "Hopper-v5")
    assert replay.deviates_at == (demo.length - 2 if cut else demo.length - 1)


def test_what_cannot_be_replayed_is_refused(tmp_path: Any) -> None:
    demo = recorded("CartPole-v1")
    with pytest.raises(ConfigurationError, match="does not contain its seed"):
        Replay(replace(demo, origin={}))
    with pytest.raises(ConfigurationError, match="has no actions"):
        Replay(replace(demo, actions=None))
    with pytest.raises(ConfigurationError, match="num_demos=0"):
        find_replay(settings(num_demos=0), None)
    write_demos(tmp_path, 3)
    shown = {"expert_path": str(tmp_path), "num_demos": 2, "expert_state_only": True}
    found = find_replay(settings(**shown), Expected("Hopper-v5"))
    assert found.seed == 7 and found.demo.source.endswith("demo000.h5")
