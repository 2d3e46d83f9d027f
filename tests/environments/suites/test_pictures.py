"""Pictures: which they are, what is made of them, and that a saved state goes on."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, GrayscaleObservation

from environments.factory import make_vector_env
from environments.gymnasium_envs.env import make_env
from environments.ids import resolve_env_id
from environments.rendering import choose_gl
from environments.requirements import check_options
from environments.sizes import spaces_of
from environments.state.continuation import why_inexact
from environments.suites.pictures import (
    PictureObservation,
    Preprocessing,
    area_weights,
    is_picture,
    layout_of,
)
from environments.suites.suite import Wanted
from helpers.errors import ConfigurationError
from helpers.pictures import picture_of

CATCH = "benchmarks/pixels/games.py:Catch"
KEPT = {"pictures.kept": True, "pictures.frame_stack": 3, "scale": 3}


class Colours(gymnasium.Env[np.ndarray, np.int64]):
    """Random pictures of 12 x 10 in three colours."""

    observation_space = gymnasium.spaces.Box(0, 255, (12, 10, 3), np.uint8)
    action_space: Any = gymnasium.spaces.Discrete(2)

    def __init__(self, channels_first: bool = False) -> None:
        self.channels_first = channels_first
        if channels_first:
            self.observation_space = gymnasium.spaces.Box(0, 255, (3, 12, 10), np.uint8)

    def draw(self) -> np.ndarray:
        found = self.np_random.integers(256, size=(12, 10, 3)).astype(np.uint8)
        return found.transpose(2, 0, 1) if self.channels_first else found

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        return self.draw(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.draw(), 0.0, False, False, {}


def seen(env: gymnasium.Env) -> list[np.ndarray]:
    """Five observations."""
    return [env.reset(seed=3)[0], *(env.step(0)[0] for _ in range(4))]


def shape_of(env: gymnasium.Env) -> tuple[int, int, int]:
    """(C, H, W) of an environment's pictures."""
    picture = picture_of(env.observation_space)
    assert picture is not None
    return picture.shape


@pytest.mark.parametrize("channels_first", [False, True])
def test_grey_and_stack_are_gymnasiums_whatever_the_layout(channels_first: bool) -> None:
    theirs = FrameStackObservation(GrayscaleObservation(Colours()), 3)
    made = Preprocessing(kept=True, frame_stack=3, greyscale=True)
    ours = PictureObservation(Colours(channels_first), made, env_id="x")
    assert shape_of(ours) == (3, 12, 10)
    for mine, other in zip(seen(ours), seen(theirs), strict=True):
        np.testing.assert_array_equal(mine, other.reshape(-1))  # (3, H, W) -> flat, oldest first
        assert mine.dtype == np.uint8 and ours.observation_space.contains(mine)


def test_resizing_averages_over_areas() -> None:
    halves = area_weights(6, 3)
    np.testing.assert_allclose(halves @ np.arange(6.0), [0.5, 2.5, 4.5])
    odd = area_weights(5, 2)  # the middle pixel belongs to both by half
    np.testing.assert_allclose(odd[0], np.array([1, 1, 0.5, 0, 0]) / 2.5)
    np.testing.assert_allclose(area_weights(3, 6) @ np.arange(3.0), [0, 0, 1, 1, 2, 2])
    made = Preprocessing(kept=True, resize=8)
    env = PictureObservation(Colours(), made, env_id="x")
    assert shape_of(env) == (3, 8, 8)
    plain, small = Colours(), seen(env)[0].reshape(3, 8, 8)
    frame = plain.reset(seed=3)[0].astype(float)
    assert abs(small.mean() - frame.mean()) < 1.0


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((84, 84), "hw"),
        ((84, 84, 3), "hwc"),
        ((4, 84, 84), "chw"),
        ((10, 10, 4), "hwc"),
        ((3, 24, 48), "chw"),
    ],
)
def test_the_shape_tells_the_layout(shape: tuple[int, ...], layout: str) -> None:
    assert layout_of("x", shape, "auto") == layout


def test_a_shape_that_does_not_tell_is_refused_with_the_setting_that_does() -> None:
    with pytest.raises(ConfigurationError, match="channels are") as refused:
        layout_of("x", (10, 10, 10), "auto")
    assert "--picture_layout" in refused.value.remedy
    assert layout_of("x", (10, 10, 10), "chw") == "chw"


@pytest.mark.parametrize(
    ("space", "is_one"),
    [
        (gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8), True),
        (gymnasium.spaces.Box(0, 255, (8, 8), np.uint8), True),
        (gymnasium.spaces.Box(0, 255, (8,), np.uint8), False),
        (gymnasium.spaces.Box(0, 1, (8, 8, 3), np.float32), False),
        (gymnasium.spaces.Box(0, 10, (8, 8, 3), np.uint8), False),
    ],
)
def test_what_a_picture_is(space: gymnasium.Space, is_one: bool) -> None:
    assert is_picture(space) == is_one


def test_stacked_pictures_go_on_exactly_and_the_same_in_processes() -> None:
    def make(seeds: Any, processes: int = 0) -> Any:
        return make_vector_env(CATCH, seeds=seeds, options=KEPT, processes=processes)

    assert why_inexact(make, steps=30) == ""
    one, other = make([1, 2]), make([1, 2], processes=2)
    try:
        assert one.single_observation_space.picture == other.single_observation_space.picture
        assert other.single_observation_space == one.single_observation_space
        np.testing.assert_array_equal(one.reset()[0], other.reset()[0])
        for _ in range(14):
            for mine, theirs in zip(
                one.step(np.array([0, 2])),
                other.step(np.array([0, 2])),
                strict=True,
            ):
                if isinstance(mine, np.ndarray):
                    np.testing.assert_array_equal(mine, theirs)
    finally:
        one.close()
        other.close()


def test_without_a_network_for_pictures_they_are_flattened_as_before() -> None:
    env = make_env(CATCH, Wanted({"scale": 1}))
    assert env.observation_space.dtype == np.float32 and env.observation_space.shape == (144,)
    assert env.observation_space.picture.found == "12 x 12 x 1"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "env_id",
    ["Hopper-v5", "CartPole-v1", "Reacher-Easy-Feat-v0", "Opensim-Arm-Reach-v0"],
)
def test_preprocessing_of_vectors_is_refused(env_id: str) -> None:
    with pytest.raises(ConfigurationError, match="no pictures, and --frame_stack is"):
        check_options(env_id, {"pictures.frame_stack": 2})
        spaces_of(env_id, {"pictures.frame_stack": 2})  # of what is known when it is made


@pytest.mark.parametrize(
    ("options", "words"),
    [({"height": 0}, "height=0"), ({"camera": 1.5}, "camera=1.5"), ({"zoom": 2}, "no option zoom")],
)
def test_options_of_pixels_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_options("Reacher-Easy-Pixels-v0", options)


def test_ids_of_pixels() -> None:
    assert resolve_env_id("dm_control/reacher-easy-Pixels-v0") == "Reacher-Easy-Pixels-v0"
    assert resolve_env_id("ball_in_cup-catch-pix-v0") == "BallInCup-Catch-Pixels-v0"
    assert resolve_env_id("dm_control/reacher-easy") == "Reacher-Easy-Feat-v0"
    found: Any = spaces_of("Reacher-Easy-Pixels-v0", {"pictures.kept": True, "height": 40})
    observations, actions = found
    assert observations.picture.shape == (3, 40, 84) and actions.shape == (2,)


@pytest.mark.skipif(choose_gl() is None, reason="nothing here draws")
def test_pixels_of_the_control_suite_go_on_exactly() -> None:
    options = {
        "pictures.kept": True,
        "pictures.frame_stack": 2,
        "height": 24,
        "width": 24,
        "camera": 0,
    }

    def make(seeds: Any) -> Any:
        return make_vector_env("Reacher-Easy-Pixels-v0", seeds=seeds, options=options)

    envs = make([0])
    try:
        first = envs.reset()[0]
        assert envs.single_observation_space == spaces_of("Reacher-Easy-Pixels-v0", options)[0]  # type: ignore[index]
        assert first.shape == (1, 6 * 24 * 24) and first.std() > 5
        moved = envs.step(np.array([[1.0, -1.0]]))[0]
        np.testing.assert_array_equal(moved[0, : 3 * 24 * 24], first[0, 3 * 24 * 24 :])
        assert (moved[0, 3 * 24 * 24 :] != first[0, 3 * 24 * 24 :]).any()
    finally:
        envs.close()
    assert why_inexact(make, steps=4) == ""
    with pytest.raises(ConfigurationError, match="no camera 7"):
        make_vector_env("Reacher-Easy-Pixels-v0", seeds=[0], options=options | {"camera": 7})
