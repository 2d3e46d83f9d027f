"""Pictures without a display."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from environments import rendering
from environments.factory import make_vector_env
from environments.ids import suite_of
from helpers.errors import ConfigurationError


@pytest.mark.parametrize("works", ["egl", "osmesa"])
def test_the_first_library_that_works_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    works: str,
) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(rendering, "_draws", lambda backend: backend == works)
    assert rendering.choose_gl() == works == os.environ["MUJOCO_GL"]
    monkeypatch.delenv("MUJOCO_GL")


def test_one_that_is_set_is_kept_or_refused_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setattr(rendering, "_draws", lambda backend: True)
    assert rendering.choose_gl() == "osmesa"
    monkeypatch.setattr(rendering, "_draws", lambda backend: backend == "egl")
    assert rendering.choose_gl() is None
    assert os.environ["MUJOCO_GL"] == "osmesa"
    assert "MUJOCO_GL=osmesa" in str(rendering.prepare_rendering("Hopper-v5"))


def test_without_a_library_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(rendering, "_draws", lambda backend: False)
    with pytest.raises(ConfigurationError) as refusal:
        make_vector_env("cheetah-run", seeds=[0], render_mode="rgb_array")
    assert rendering.GL_COMMAND in refusal.value.remedy
    assert rendering.prepare_rendering("CartPole-v1") is None  # drawn without GL


def test_a_window_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigurationError, match="record a video instead"):
        make_vector_env("Hopper-v5", seeds=[0], render_mode="human")


def test_a_library_that_is_not_there_does_not_draw() -> None:
    assert not rendering._draws("nonesuch")


@pytest.mark.parametrize("env_id", ["Hopper-v5", "Hopper-v4"])
def test_videos_keep_real_time_with_few_frames(env_id: str) -> None:
    envs = make_vector_env(env_id, seeds=[0])
    assert rendering.video_timing(envs) == (4, 31.25)  # 125 steps a second
    assert rendering.video_timing(make_vector_env("FrozenLake", seeds=[0])) == (1, 4.0)


def test_the_pictures_of_one_episode() -> None:
    envs = make_vector_env("CartPole-v1", seeds=[0], render_mode="rgb_array")
    steps = 0

    def push_left(observations: np.ndarray) -> np.ndarray:
        nonlocal steps
        steps += 1
        return np.zeros(len(observations), np.int64)

    frames = list(rendering.episode_frames(envs, push_left, stride=3))
    assert len(frames) == -(-steps // 3)
    assert frames[0].shape == (400, 600, 3)
    assert frames[0].dtype == np.uint8
    assert (frames[0] != frames[-1]).any()
    envs.close()


# In a process of its own: MuJoCo is imported first and the library chosen later, as in a training
# run that draws at its end, and nothing may be said at exit.
DRAWING = """
from environments.factory import make_vector_env
from environments.rendering import choose_gl
for env_id in ("Hopper-v5", "Hopper-v4", "cheetah-run"):
    plain = make_vector_env(env_id, seeds=[0])
    plain.reset()
    envs = make_vector_env(env_id, seeds=[0], render_mode="rgb_array")
    envs.reset()
    envs.load_state_dict(plain.state_dict())  # saved by one that does not draw
    first = envs.picture(0)
    for _ in range(3):
        envs.step(envs.action_space.sample())
    second = envs.picture(0)
    assert first.shape == second.shape == (480, 480, 3) and first.std() > 5
    assert (first != second).any()
    envs.close()
    envs.close()
"""


@pytest.mark.skipif(rendering.choose_gl() is None, reason=f"no GL: {rendering.GL_COMMAND}")
def test_mujoco_is_drawn_and_closed_without_noise() -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", DRAWING],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")


FOLLOWED = """
import numpy as np
from environments.factory import make_vector_env
for env_id in ("Hopper-v5", "Hopper-v4"):
    envs = make_vector_env(env_id, seeds=[0], render_mode="rgb_array")
    envs.reset()
    near = envs.picture(0).astype(float)
    datas = envs.simulations.datas if hasattr(envs, "simulations") else [envs.envs[0].unwrapped.data]
    datas[0].qpos[0] += 16.0  # a whole number of tiles, far out of sight
    envs.step(np.zeros((1, 3), dtype=np.float32))
    far = envs.picture(0).astype(float)
    orange = (far[..., 0] > 1.3 * far[..., 2]) & (far[..., 0] > 90)
    assert orange.sum() > 500, (env_id, orange.sum())
    envs.close()
"""


def test_the_camera_follows_what_moves():
    done = subprocess.run(
        [sys.executable, "-c", FOLLOWED],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_an_environment_of_ones_own_that_uses_mujoco_is_drawn_as_mujoco_is(tmp_path) -> None:
    """Else GLFW looked for a display, and the picture failed."""
    text = "from gymnasium.envs.{} import {} as Kind\n\n\nclass Mine(Kind):\n    pass\n"
    (tmp_path / "mine.py").write_text(text.format("mujoco.mujoco_env", "MujocoEnv"))
    (tmp_path / "plain.py").write_text(text.format("classic_control", "CartPoleEnv"))
    drawn = {
        each: suite_of(each).needs_gl(each)
        for each in (
            f"{tmp_path}/mine.py:Mine",
            "Hopper-v4",
            f"{tmp_path}/plain.py:Mine",
            "CartPole-v1",
        )
    }
    assert list(drawn.values()) == [True, True, False, False]
