"""Pictures of models: what there is, where it is, and in which colour."""

import time

import numpy as np
import pytest
from matplotlib import pyplot

from environments.factory import make_vector_env
from environments.rendering import episode_frames, prepare_rendering
from tests.environments.opensim.variants import VARIANTS


@pytest.mark.parametrize("name", ["arm", "gait", "l2m"])
def test_a_picture_shows_the_model_and_follows_it(name: str) -> None:
    env_id, options = VARIANTS[name]
    assert prepare_rendering(env_id) is None
    envs = make_vector_env(env_id, seeds=[1], render_mode="rgb_array", options=options)
    first = None
    for index, frame in enumerate(
        episode_frames(
            envs,
            lambda seen: np.full((1, *envs.single_action_space.shape), 0.4, np.float32),
            stride=3,
        ),
    ):
        assert frame.shape == (480, 480, 3) and frame.dtype == np.uint8
        first = frame if first is None else first
        if index == 3:
            break
    bones = (np.abs(frame.astype(int) - (0xC9, 0xC4, 0xB8)) < 6).all(-1)
    assert 500 < bones.sum() < 40_000
    assert (frame != first).any()
    rows, columns = np.nonzero(bones)
    assert 40 < columns.mean() < 440 and 40 < rows.mean() < 440
    envs.close()


def test_a_muscle_turns_red_as_it_is_activated() -> None:
    env_id, options = VARIANTS["arm"]
    envs = make_vector_env(env_id, seeds=[1], render_mode="rgb_array", options=options)
    envs.reset()

    def redness() -> int:
        picture = envs.picture(0).astype(int)
        return int(
            ((picture[..., 0] > 150) & (picture[..., 2] < 90) & (picture[..., 1] < 90)).sum(),
        )

    before = redness()
    for _ in range(6):
        envs.step(np.ones((1, 6), np.float32))
    assert redness() > before + 300
    envs.close()


def test_without_a_display_there_is_a_line_instead_of_a_window(monkeypatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "no display" in str(prepare_rendering(VARIANTS["arm"][0], "human"))


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_a_window_shows_the_episode_in_its_own_time(monkeypatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")  # of which the backend without windows makes no use
    pyplot.switch_backend("Agg")
    env_id, options = VARIANTS["arm"]
    envs = make_vector_env(env_id, seeds=[1], render_mode="human", options=options)
    envs.reset()
    envs.step(np.zeros((1, 6), np.float32))
    start = time.monotonic()
    for _ in range(10):  # of 0.02 s
        envs.step(np.zeros((1, 6), np.float32))
    assert 0.18 <= time.monotonic() - start
    assert len(pyplot.get_fignums()) == 1
    envs.close()
    assert not pyplot.get_fignums()
