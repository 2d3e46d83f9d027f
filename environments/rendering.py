"""Pictures of environments on machines without a display."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from environments.ids import suite_of

GL_COMMAND = "apt-get install -y --no-install-recommends libosmesa6"

LARGEST_SHADOWS = 1024  # side of MuJoCo's shadow map in a video, in pixels; its models ask for 4096

_BACKENDS = ("egl", "osmesa")  # a GPU if there is one, else the processor
_TRIAL = """
import mujoco
from mujoco.{backend} import GLContext
context = GLContext(16, 16)
context.make_current()
model = mujoco.MjModel.from_xml_string("<mujoco/>")
mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100).free()
context.free()
"""


def choose_gl() -> str | None:
    """The GL library that MuJoCo draws with, left in the environment variable MUJOCO_GL.

    It is the first of egl and osmesa that really opens a context; where MUJOCO_GL is set already,
    only that one is tried. None if none works. May be called after MuJoCo was imported.
    """
    chosen = os.environ.get("MUJOCO_GL")
    for backend in (chosen,) if chosen else _BACKENDS:
        if _draws(backend):
            os.environ["MUJOCO_GL"] = backend
            return backend
    return None


def prepare_rendering(env_id: str, render_mode: str = "rgb_array") -> str | None:
    """Make ready to draw a canonical id; None, or else what to do so that it can be drawn.

    Args:
        env_id: the environment.
        render_mode: "rgb_array" for pictures, "human" for a window.
    """
    if render_mode == "human":
        has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        return None if has_display else "There is no display for a window: record a video instead."
    if not suite_of(env_id).needs_gl(env_id) or choose_gl() is not None:
        return None
    chosen = os.environ.get("MUJOCO_GL")
    if chosen:
        return f"Unset MUJOCO_GL={chosen}, which does not work here, or: {GL_COMMAND}"
    return f"Run: {GL_COMMAND}"


def drawing_remedy(env_id: str) -> str | None:
    """What to do so that an environment can be drawn whose observations are drawn; None where that is nothing."""
    return prepare_rendering(env_id) if suite_of(env_id).draws_observations(env_id) else None


def video_timing(envs: Any, *, max_fps: float = 30.0) -> tuple[int, float]:
    """(stride, frames a second) with which a video keeps real time and has few enough frames.

    MuJoCo tasks step up to 125 times a second, and a frame drawn without a GPU takes 50 ms or more.
    """
    steps_per_second = float(envs.metadata.get("render_fps", max_fps))
    stride = max(1, round(steps_per_second / max_fps))
    return stride, steps_per_second / stride


def film_options(env_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of environments that are filmed: those of the suite, under those of the run."""
    return {**suite_of(env_id).film_options, **options}


def lighten_shadows(envs: Any) -> None:
    """Draw MuJoCo's shadows from a map of a quarter the side: without a GPU a picture takes half the time.

    It counts for what is drawn for the first time afterwards.
    """
    batch = getattr(envs, "simulations", None)
    single = [each[0] for each in getattr(envs, "_simulations", ()) if each is not None]
    for model in single if batch is None else [batch.model]:
        model.vis.quality.shadowsize = min(model.vis.quality.shadowsize, LARGEST_SHADOWS)


def episode_frames(
    envs: Any,
    act: Callable[[np.ndarray], np.ndarray],
    *,
    stride: int = 1,
    caption: Callable[[np.ndarray, int, float], np.ndarray] | None = None,
) -> Iterator[np.ndarray]:
    """Pictures (height, width, 3) uint8 of the first environment's next episode.

    Args:
        envs: a vector environment made with `render_mode="rgb_array"`; it is reset.
        act: observations (N, obs_dim) to actions (N, ...).
        stride: steps between two pictures.
        caption: (picture, steps, return so far) to what is shown; the last picture then shows the whole return.
    """
    observations, _ = envs.reset()
    ended, step, return_, picture = False, 0, 0.0, None
    while not ended:
        if step % stride == 0:
            picture = envs.picture(0)
            yield picture if caption is None else caption(picture, step, return_)
        observations, rewards, terminated, truncated, _ = envs.step(act(observations))
        return_ += float(rewards[0])
        ended = bool(terminated[0] or truncated[0])
        step += 1
    if picture is not None and caption is not None:
        yield caption(picture, step, return_)  # the next picture is of another episode


@lru_cache
def _draws(backend: str) -> bool:
    """Whether another process can open a context; a failure may leave a library half loaded."""
    trial = subprocess.run(
        [sys.executable, "-c", _TRIAL.format(backend=backend)],
        env=os.environ | {"MUJOCO_GL": backend},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    return trial.returncode == 0
