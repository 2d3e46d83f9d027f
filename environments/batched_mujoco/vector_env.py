"""The vector environment that steps a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from environments import same_step
from environments.batched_mujoco.infos import (
    LateInfos,
    final_obs,
    infos_of_ends,
    infos_of_terms,
)
from environments.batched_mujoco.pictures import Pictures
from environments.batched_mujoco.promises import UsersTask, check_start, check_task
from environments.batched_mujoco.simulations import Simulations
from environments.batched_mujoco.task import Task, World
from environments.ids import task_file
from environments.same_step import State
from helpers.errors import ConfigurationError

BACKEND = "batched MuJoCo"


class BatchedMujocoEnv(VectorEnv):
    """N environments of a task over one MjModel and N MjData: a `SameStepEnv`.

    Observations are float64 (N, obs_dim), rewards float64 (N,), `terminated` and `truncated` bool
    (N,). `infos` is what Gymnasium's vector environments give: arrays by name, and for each a mask
    `_name` of the environments that have it.

    Args:
        env_id: canonical.
        task: what is done.
        seeds: one for each environment. `reset` starts from them; every later episode continues with
            its environment's own generator.
        max_episode_steps: after how many steps an episode is truncated; the task's if None.
        render_mode: "rgb_array", "depth_array", "rgbd_tuple" or "human".
        picture_options: width, height, camera_id, camera_name, max_geom, visual_options as
            Gymnasium's MuJoCo environments take them.

    Attributes:
        simulations: the model and its N simulations.
        elapsed_steps: of the episode under way in each environment, (N,).
    """

    backend = BACKEND
    inexact_because = ""
    failures = 0  # MuJoCo does not fail by itself; what is not finite ends the run

    def __init__(
        self,
        env_id: str,
        task: Task,
        *,
        seeds: Sequence[int],
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        picture_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.env_id, self.task = env_id, task
        self.seeds, self.num_envs = list(seeds), len(seeds)
        self.max_episode_steps = max_episode_steps or task.max_episode_steps
        self.render_mode = render_mode
        self._pictures = Pictures(task.default_camera_config, **(picture_options or {}))
        self.simulations = Simulations(
            task.xml_file,
            count=self.num_envs,
            frame_skip=task.frame_skip,
            reads=task.reads,
            frame_size=self._pictures.size,
        )
        self.world = _world(self.simulations.model, self.simulations.datas[0], task.frame_skip)
        self._generators: list[np.random.Generator | None] = [None] * self.num_envs
        self.elapsed_steps = np.zeros(self.num_envs, dtype=np.int64)
        self._awake = np.ones(self.num_envs, dtype=np.bool_)
        self._all_awake = True
        self._has_begun = False
        self._now = self.simulations.read()
        if not self.world.model.nu:
            raise ConfigurationError(
                f"{env_id}: the model has no actuator, so that there is nothing to learn.",
                f"Add one to {task.xml_file}.",
            )
        self._users: AbstractContextManager[UsersTask | None] = (
            UsersTask(env_id, task) if task_file(env_id) else nullcontext()
        )
        with self._users:
            check_task(task, self.world, self._now, num_envs=self.num_envs)
            self._make_spaces()
        self.metadata = {
            "render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"],
            "render_fps": int(np.round(1.0 / self.world.dt)),
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }

    def _make_spaces(self) -> None:
        observations = self.task.observe(self.world, self._now)
        self.single_observation_space = gymnasium.spaces.Box(
            -np.inf,
            np.inf,
            observations.shape[1:],
            np.float64,
        )
        model = self.world.model
        limited = np.asarray(model.actuator_ctrllimited, dtype=bool)[:, None]
        ranges = np.where(limited, model.actuator_ctrlrange, (-np.inf, np.inf))
        low, high = ranges.T.astype(np.float32)
        self.single_action_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        # Bounds of the batch's shape, for comparing with those of one action takes twice as long.
        self._low, self._high = (np.tile(bound, (self.num_envs, 1)) for bound in (low, high))

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every environment, from its seed unless another is given.

        With `options={"reset_mask": mask}`, only where the mask (N,) is set.
        """
        if seed is None and options is None:
            seed = list(self.seeds)
        chosen = np.ones(self.num_envs, dtype=np.bool_)
        if options and "reset_mask" in options:
            chosen = np.array(options["reset_mask"], dtype=np.bool_)
            if chosen.shape != (self.num_envs,) or not chosen.any():
                raise ValueError(f"reset_mask={chosen} chooses none of {self.num_envs}")
        for index, own in enumerate(same_step.one_seed_each(seed, self.num_envs)):
            if own is not None and chosen[index]:
                self._generators[index], _ = seeding.np_random(own)
        self._has_begun = True
        if not self._all_awake:
            self._wake(self._awake | chosen)
        self._begin(chosen)
        if self.render_mode == "human":
            self.render()
        with self._users:
            first = self.task.describe(self.world, self._now)
            observations = self.task.observe(self.world, self._now)
            return observations, infos_of_terms(first, chosen)

    def _begin(self, chosen: np.ndarray) -> None:
        """Begin an episode where a mask (N,) is set."""
        indices = np.flatnonzero(chosen).tolist()
        for index in indices:
            generator = self._generators[index]
            if generator is None:
                generator, _ = seeding.np_random()
                self._generators[index] = generator
            with self._users:
                start = self.task.start(self.world, generator)
                check_start(self.task, start, self.simulations.datas[index])
            self.simulations.restart(index, *start)
        self.elapsed_steps[chosen] = 0
        self._now = self.simulations.read_again(self._now, indices)

    def step(
        self,
        actions: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every environment. Actions are clipped to the bounds here, in a copy."""
        if not self._has_begun:
            raise ResetNeeded("Cannot call env.step() before calling env.reset()")
        task, world, before = self.task, self.world, self._now
        if np.shape(actions) != self._low.shape:
            raise ValueError(f"actions {np.shape(actions)}, expected {self._low.shape}")
        actions = same_step.clip_to_bounds(actions, self._low, self._high)
        self.simulations.advance(actions)
        self._now = now = self.simulations.read()
        with self._users as users:
            observations = task.observe(world, now)
            rewards, terminated, terms = task.evaluate(world, before, now, actions)
            if users is not None:
                step, found = (world, before, now, actions), (observations, rewards, terminated)
                users.check(step, found, shape=self.observation_space.shape)
        self.elapsed_steps += self._awake
        truncated = self.elapsed_steps >= self.max_episode_steps
        if not self._all_awake:
            rewards = np.where(self._awake, rewards, 0.0)
            terminated, truncated = terminated & self._awake, truncated & self._awake
        ended = terminated | truncated
        if self.render_mode == "human":
            self.render()
        if np.count_nonzero(ended):
            at_once = final_obs(observations, ended)
            self._begin(ended)
            with self._users:
                observations = task.observe(world, self._now)
        else:
            at_once = {}
        infos = LateInfos(at_once, partial(self._terms, terms, now, self._now, ended))
        return observations, rewards, terminated, truncated, infos

    def rest(self, chosen: np.ndarray) -> None:
        """Step environments no more, where a mask (N,) is set, until they are reset."""
        self._wake(self._awake & ~chosen)

    def _wake(self, awake: np.ndarray) -> None:
        """Let those step from now on where a mask (N,) is set, and no others."""
        self._awake, self._all_awake = awake, bool(awake.all())
        self.simulations.step_only(np.flatnonzero(awake).tolist())

    def _terms(
        self,
        terms: dict[str, Any],
        now: Any,
        first: Any,
        ended: np.ndarray,
    ) -> dict[str, Any]:
        """The infos of a step that led to `now`, and where episodes ended on to `first`."""
        terms = self.task.describe(self.world, now) | terms
        if first is now:
            return infos_of_terms(terms, ~ended)
        return infos_of_ends(terms, self.task.describe(self.world, first), ended)

    def successors(self, observations: np.ndarray, infos: Mapping[str, Any]) -> np.ndarray:
        """The true next observations (N, obs_dim): the last one of an episode where one ended."""
        return same_step.successors(observations, infos)

    @property
    def time_step(self) -> float:
        """Simulated seconds between two actions."""
        return float(self.world.dt)

    @property
    def names(self) -> same_step.Names:
        """Of the components of an observation, which tasks do not name, and of an action."""
        return None, same_step.actuator_names(self.world.model)

    @property
    def observations(self) -> np.ndarray:
        """What the last `reset`, `step` or `load_state_dict` arrived at, (N, obs_dim)."""
        return self.task.observe(self.world, self._now)

    def picture(self, index: int) -> Any:
        """What one environment shows in its render mode."""
        simulations = self.simulations
        return self._pictures.draw(index, simulations.model, simulations.datas, self.render_mode)

    def render(self) -> tuple[Any, ...]:
        """A picture of each environment."""
        return tuple(self.picture(index) for index in range(self.num_envs))

    def close_extras(self) -> None:
        """Free what draws."""
        self._pictures.close()

    def state_dict(self) -> State:
        """All of it: with the same actions, a fresh copy that loads this continues bit for bit."""
        environments = {}
        for index, generator in enumerate(self._generators):
            environments[f"{index:03d}"] = {
                "generator": generator and generator.bit_generator.state,
                "simulation": self.simulations.state_dict(index),
            }
        return {
            "env_id": self.env_id,
            "backend": self.backend,
            "num_envs": self.num_envs,
            "has_begun": self._has_begun,
            "observations": self.observations,
            "elapsed_steps": self.elapsed_steps.copy(),
            "environments": environments,
        }

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            CheckpointError: it was taken of others than these.
        """
        same_step.check_origin(state, self)
        for index in range(self.num_envs):
            saved = state["environments"][f"{index:03d}"]
            generator = None
            if saved["generator"] is not None:
                generator, _ = seeding.np_random(0)
                generator.bit_generator.state = saved["generator"]
            self._generators[index] = generator
            self.simulations.load_state_dict(index, saved["simulation"])
        self._has_begun = state["has_begun"]
        self.elapsed_steps[...] = state["elapsed_steps"]
        self._now = self.simulations.read()


def _world(model: mujoco.MjModel, untouched: mujoco.MjData, frame_skip: int) -> World:
    names = [model.body(index).name for index in range(model.nbody)]
    return World(
        model=model,
        dt=model.opt.timestep * frame_skip,
        init_qpos=untouched.qpos.copy(),
        init_qvel=untouched.qvel.copy(),
        bodies={name: index for index, name in enumerate(names) if name},
    )
