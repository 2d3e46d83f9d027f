"""DeepMind Control suite tasks as Gymnasium environments."""

from __future__ import annotations

import contextlib
import logging
import os
import weakref
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.wrappers import TimeLimit

from environments.ids import PIXELS, dm_control_task
from environments.mujoco_warnings import route_mujoco_warnings
from environments.suites.pictures import PictureObservation, split_options
from environments.suites.wrappers import PIXEL_OPTIONS, check_options
from helpers.errors import ConfigurationError

_LOG = logging.getLogger(__name__)

MAX_EPISODE_STEPS = 1000  # the time limit of every task but LQR, which has none of its own
_FRAME_SIZE = 480  # pixels, as in Gymnasium's MuJoCo


def max_episode_steps(env_id: str, options: Mapping[str, Any] | None = None) -> int:
    """After how many control steps an episode is truncated."""
    del env_id, options  # the same for all
    return MAX_EPISODE_STEPS


def make_env(
    env_id: str,
    *,
    render_mode: str | None,
    options: Mapping[str, Any],
    limit: int | None = None,
) -> gymnasium.Env:
    """One environment for a canonical `Domain-Task-Feat-v0`, or `Domain-Task-Pixels-v0`.

    Raises:
        ConfigurationError: there are options that it does not have, or no picture can be drawn.
    """
    check_options(env_id, options)
    pictures, given = split_options(options)
    domain, task = dm_control_task(env_id)
    simulated = DmControlEnv(domain, task, render_mode=render_mode)
    env: gymnasium.Env = TimeLimit(simulated, limit or MAX_EPISODE_STEPS)
    if not env_id.endswith(PIXELS):
        return env
    env = Pixels(env, simulated, **{**PIXEL_OPTIONS, **given})
    return PictureObservation(env, pictures, env_id=env_id)


class DmControlEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A task of the suite: float64 observations in the task's own order, actions in [-1, 1].

    Actions are mapped linearly to the range that the task specifies; one without a range is
    passed on as it is. A discount of 0 is a termination, the time limit a truncation. Where the
    physics diverges (dm_control raises), the episode is truncated, with reward 0, at the last
    valid observation.

    Deviation: the seed draws initial states only. LQR would also draw its masses from it, and the
    copies of a vector environment would be different tasks; here it is always the same one.
    """

    def __init__(self, domain: str, task: str, *, render_mode: str | None = None) -> None:
        suite, self._physics_error = import_suite()
        kwargs = {"random": np.random.RandomState(0), "time_limit": float("inf")}  # ours truncates
        self.environment = suite.load(domain, task, task_kwargs=kwargs)
        # The terrain of quadruped-escape would be uploaded for drawing at each reset.
        self.environment.physics._contexts = _NoContexts()
        self.name = f"{domain}-{task}"
        self.model: mujoco.MjModel = self.environment.physics.model.ptr
        self.data: mujoco.MjData = self.environment.physics.data.ptr
        self.render_mode = render_mode
        frames_per_second = round(1 / self.dt)
        self.metadata = {"render_modes": ["human", "rgb_array"], "render_fps": frames_per_second}
        self._renderer: Any = None
        self._observation = np.zeros(0)
        self.failures = 0  # how often the physics diverged

        specs = self.environment.observation_spec().values()
        obs_dim = sum(int(np.prod(spec.shape)) for spec in specs)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (obs_dim,), np.float64)
        spec = self.environment.action_spec()
        bounded = (spec.minimum > -mujoco.mjMAXVAL) & (spec.maximum < mujoco.mjMAXVAL)
        limit = np.where(bounded, 1.0, np.inf).astype(np.float32)
        self.action_space = gymnasium.spaces.Box(-limit, limit, dtype=np.float32)
        self._action_centre = np.where(bounded, (spec.maximum + spec.minimum) / 2, 0.0)
        self._action_half_range = np.where(bounded, (spec.maximum - spec.minimum) / 2, 1.0)

    @property
    def dt(self) -> float:
        """Simulated seconds between two actions."""
        return float(self.environment.control_timestep())

    @property
    def observation_names(self) -> list[str]:
        """Of each number of an observation."""
        return [
            f"{name}[{index}]"
            for name, part in self.environment.observation_spec().items()
            for index in range(int(np.prod(part.shape)))
        ]

    @property
    def stateful_parts(self) -> dict[str, Any]:
        """What holds state besides this object and the simulation."""
        return {"environment": self.environment, "task": self.environment.task}

    def reset(
        self,
        *,
        seed: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; a seed gives the states of `task_kwargs={"random": seed}`."""
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.environment.task.random.seed(seed)
        self._observation = _flatten(self.environment.reset().observation)
        if self.model.nhfield:
            self._close_renderer()  # it would still show the terrain of the last episode
        if self.render_mode == "human":
            self.render()
        return self._observation, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step."""
        action = self._action_centre + self._action_half_range * action
        try:
            time_step = self.environment.step(action)
        except self._physics_error as error:
            _LOG.warning("%s: %s; the episode is truncated.", self.name, error)
            self.failures += 1
            return self._observation, 0.0, False, True, {"simulator_failed": True}
        self._observation = _flatten(time_step.observation)
        if self.render_mode == "human":
            self.render()
        terminated = bool(time_step.last() and time_step.discount == 0.0)
        truncated = bool(time_step.last() and not terminated)
        return self._observation, float(time_step.reward), terminated, truncated, {}

    def render(self) -> np.ndarray | None:
        """A picture (480, 480, 3) uint8 from the task's first camera; None where that is a window.

        Drawn by Gymnasium's renderer: dm_control's chooses its GL library at import, long before it
        is known whether a picture will be wanted.
        """
        if self._renderer is None:
            from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

            camera = 0 if self.model.ncam else -1
            self._renderer = MujocoRenderer(
                self.model,
                self.data,
                width=_FRAME_SIZE,
                height=_FRAME_SIZE,
                camera_id=camera,
            )
        return self._renderer.render(self.render_mode)

    def close(self) -> None:
        """Free the renderer."""
        self._close_renderer()

    def _close_renderer(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


class Pixels(gymnasium.ObservationWrapper):
    """What a camera of the task sees, (height, width, 3) uint8, in place of its vector.

    Each environment draws with a context of its own, which is made when the first picture is.

    Raises:
        ConfigurationError: there is no such camera.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        simulated: DmControlEnv,
        *,
        camera: int | str,
        height: int,
        width: int,
    ) -> None:
        super().__init__(env)
        self._simulated, self._camera = simulated, _camera_of(simulated, camera)
        self.observation_space = gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)
        self._renderer: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        """Begin an episode; where a terrain is drawn anew, so is what draws it."""
        if self._simulated.model.nhfield:
            self._free()
        return super().reset(seed=seed, options=options)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The picture (height, width, 3) of where the simulation stands."""
        del observation
        if self._renderer is None:
            height, width, _ = self.observation_space.shape or ()
            self._renderer = _Renderer(self._simulated.model, self._camera, height, width)
            # at the latest before the interpreter takes the GL library apart
            self._closed = weakref.finalize(self, self._renderer.close)
        picture: np.ndarray = self._renderer.draw(self._simulated.data)
        return picture

    def close(self) -> None:
        """Free the context."""
        self._free()
        super().close()

    def _free(self) -> None:
        if self._renderer is not None:
            self._closed()
            self._renderer = None


class _Renderer:
    """Draws a model by the GL library in MUJOCO_GL; mujoco.Renderer takes the one of the time of its import."""

    def __init__(self, model: mujoco.MjModel, camera: int, height: int, width: int) -> None:
        library = import_module(f"mujoco.{os.environ['MUJOCO_GL']}")
        self._model, self._gl = model, library.GLContext(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene, self._option = mujoco.MjvScene(model, maxgeom=10_000), mujoco.MjvOption()
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._out = np.empty((height, width, 3), np.uint8)
        self._camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(model, self._camera)
        if camera >= 0:
            self._camera.fixedcamid = camera
            self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED.value

    def draw(self, data: mujoco.MjData) -> np.ndarray:
        """(height, width, 3) uint8, a new array."""
        self._gl.make_current()
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        given = self._model, data, self._option, None, self._camera, everything, self._scene
        mujoco.mjv_updateScene(*given)
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._out, None, self._rectangle, self._context)
        return self._out[::-1].copy()  # GL's first row is the lowest

    def close(self) -> None:
        """Free the context."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def _camera_of(simulated: DmControlEnv, camera: int | str) -> int:
    """The number of a camera of a model; -1, a free one, of a model without any.

    Raises:
        ConfigurationError: there is none of that number or name.
    """
    model = simulated.model
    names = [model.camera(index).name or str(index) for index in range(model.ncam)]
    if isinstance(camera, str) and camera in names:
        return names.index(camera)
    if camera == 0 and not names:
        return -1
    if isinstance(camera, int) and 0 <= camera < len(names):
        return camera
    raise ConfigurationError(
        f"env_options: {simulated.name} has no camera {camera}.",
        f"There are {', '.join(f'{i} ({name})' for i, name in enumerate(names)) or 'none'}.",
    )


class _NoContexts:
    """Stands where dm_control keeps its OpenGL and MuJoCo contexts, and takes every call."""

    ptr = None

    @property
    def gl(self) -> _NoContexts:
        return self

    @property
    def mujoco(self) -> _NoContexts:
        return self

    def make_current(self) -> contextlib.AbstractContextManager[_NoContexts]:
        return contextlib.nullcontext(self)

    def call(self, function: Any, *arguments: Any) -> None:
        pass

    def free(self) -> None:
        pass


def _flatten(observation: Any) -> np.ndarray:
    """(obs_dim,) float64, always a new array."""
    return np.concatenate([np.ravel(part) for part in observation.values()], dtype=np.float64)


def import_suite() -> tuple[Any, type[Exception]]:
    """`dm_control.suite` and its PhysicsError, imported without looking for a display."""
    chosen = os.environ.get("MUJOCO_GL")
    os.environ["MUJOCO_GL"] = "disable"
    try:
        from dm_control import suite
        from dm_control.rl.control import PhysicsError
    finally:
        del os.environ["MUJOCO_GL"]
        if chosen is not None:
            os.environ["MUJOCO_GL"] = chosen
    route_mujoco_warnings()  # after the import, which sends them elsewhere
    return suite, PhysicsError
