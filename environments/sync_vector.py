"""Vector environments that step one environment after another and can be saved exactly."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from environments import same_step
from environments.same_step import State
from environments.state import exact_state
from environments.state.continuation import why_inexact
from environments.suites.parts import component_names
from helpers.errors import UsersCodeError
from helpers.user_code import UsersCode, definition


class SerialVectorEnv(SyncVectorEnv):
    """N copies of an environment in this process: a `SameStepEnv`.

    Observations are (N, obs_dim), rewards float64 (N,), `terminated` and `truncated` bool (N,).

    Args:
        env_id: canonical.
        make_env: makes one environment with 1-D Box observations.
        seeds: one for each environment, at least 0 and below 2**32. `reset` starts from them; every
            later episode continues with its environment's own generator.
        max_episode_steps: after how many steps an episode is truncated.
        backend: whose environments these are, for people to read.
        is_exact: whether a saved state is known to resume bit for bit; None: tried when first asked.
    """

    def __init__(
        self,
        env_id: str,
        make_env: Callable[[], gymnasium.Env],
        *,
        seeds: Sequence[int],
        max_episode_steps: int,
        backend: str = "Gymnasium",
        is_exact: bool | None = None,
    ) -> None:
        users: Any = nullcontext() if is_exact else UsersCode(f"env_id={env_id} cannot be made")
        with users:
            super().__init__([make_env] * len(seeds), autoreset_mode=AutoresetMode.SAME_STEP)
        self.env_id = env_id
        kind = type(self.envs[0].unwrapped)
        self._users = {  # whose code it is that these call
            name: (
                users
                if is_exact
                else _Called(self, f"env_id={env_id}, {name}", getattr(kind, name))
            )
            for name in ("reset", "step")
        }
        self.backend = backend
        self._make_env, self._steps = make_env, 0
        self._inexact_because = None if is_exact is None else ""
        self.seeds = list(seeds)
        self.max_episode_steps = max_episode_steps
        self._bounds = same_step.action_bounds(self.single_action_space)
        self._awake = list(self.envs)  # those that rest, too: each has a stand-in then
        self._simulations = [_simulation(env) for env in self.envs]
        self._saver: Any = None
        if self._simulations[0] is not None:
            from environments.state.simulation_state import SimulationSaver

            self._saver = SimulationSaver(self._simulations[0][0])

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every environment, from its seed unless another is given."""
        if seed is None and options is None:
            seed = list(self.seeds)
        chosen = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=np.bool_))
        for index in np.flatnonzero(chosen):
            self.envs[index] = self._awake[index]
        with self._users["reset"]:
            return super().reset(seed=seed, options=options)

    def rest(self, chosen: np.ndarray) -> None:
        """Step environments no more, where a mask (N,) is set, until they are reset."""
        for index in np.flatnonzero(chosen):
            self.envs[index] = _AtRest(self._env_obs[index])  # type: ignore[call-overload]

    def step(
        self,
        actions: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every environment. Actions are clipped to the bounds here, in a copy."""
        if self._bounds is not None:
            actions = same_step.clip_to_bounds(actions, *self._bounds)
        self._steps += 1
        with self._users["step"]:
            outcome = super().step(actions)
            self._check_shapes(outcome[-1].get("final_obs", ()))  # the loop has not looked at them
            return outcome

    def _check_shapes(self, observations: Iterable[Any]) -> None:
        """Refuse observations of another shape than their space has; None is none.

        Raises:
            _MisfitError: there is one.
        """
        wanted = self.single_observation_space.shape
        for each in observations:
            shape = getattr(each, "shape", wanted)
            if shape != wanted:
                raise _MisfitError(f"an observation of shape {shape}, and its space has {wanted}")

    def successors(self, observations: np.ndarray, infos: Mapping[str, Any]) -> np.ndarray:
        """The true next observations (N, obs_dim): the last one of an episode where one ended."""
        return same_step.successors(observations, infos)

    def close_extras(self, **kwargs: Any) -> None:
        """Close those at rest, too."""
        self.envs = list(self._awake)
        super().close_extras(**kwargs)

    def picture(self, index: int) -> Any:
        """What one environment shows in its render mode."""
        return self._awake[index].render()

    @property
    def time_step(self) -> float | None:
        """Simulated seconds between two actions, as the environment calls them: dt, or CartPole's tau."""
        first = self._awake[0].unwrapped
        seconds = getattr(first, "dt", getattr(first, "tau", None))
        return None if seconds is None else float(seconds)

    @property
    def names(self) -> same_step.Names:
        """Of the components of an observation and of an action."""
        first, simulation = self._awake[0].unwrapped, self._simulations[0]
        actions = getattr(first, "action_names", None)
        if simulation is not None:
            actions = same_step.actuator_names(simulation[0])
        named = getattr(first, "observation_names", None)
        return named or component_names(self.single_observation_space), actions

    @property
    def failures(self) -> int:
        """How often a simulator failed, which truncated an episode."""
        return sum(getattr(env.unwrapped, "failures", 0) for env in self._awake)

    @property
    def inexact_because(self) -> str:
        """Why a saved state begins new episodes; "" where it resumes bit for bit in a short trial."""
        if self._inexact_because is None:
            self._inexact_because = self._try_to_continue()
        return self._inexact_because

    def _try_to_continue(self) -> str:
        make = partial(
            SerialVectorEnv,
            self.env_id,
            self._make_env,
            max_episode_steps=self.max_episode_steps,
            is_exact=True,  # as if
        )
        try:
            return why_inexact(make)
        except Exception as error:  # noqa: BLE001  # a state that raises is not exact
            return f"a trial of it raised {type(error).__name__}: {error}"

    @property
    def observations(self) -> np.ndarray:
        """A copy of what the last `reset`, `step` or `load_state_dict` arrived at, (N, obs_dim)."""
        return np.array(self._observations)

    def state_dict(self) -> State:
        """All of it: with the same actions, a fresh copy that loads this continues bit for bit."""
        environments: dict[str, Any] = {}
        for index, (env, simulation) in enumerate(zip(self._awake, self._simulations, strict=True)):
            if self.inexact_because:
                # another one after each save, so that a run is not caught in the same episode
                seed = np.random.SeedSequence([self.seeds[index], self._steps]).generate_state(1)
                environments[f"{index:03d}"] = {"restart": {"seed": int(seed[0])}}
                continue
            environments[f"{index:03d}"] = {"attributes": exact_state.capture(env)}
            if simulation is not None:
                environments[f"{index:03d}"]["simulation"] = self._saver.state_dict(*simulation)
        return {
            "env_id": self.env_id,
            "backend": self.backend,
            "num_envs": self.num_envs,
            "observations": self.observations,
            "environments": environments,
        } | ({"steps": self._steps} if self.inexact_because else {})

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken; with new episodes, of seeds kept there, where it is not exact.

        Raises:
            CheckpointError: it was taken of others than these.
        """
        same_step.check_origin(state, self)
        observations = np.array(state["observations"])
        self._steps = state.get("steps", 0)
        for index, (env, simulation) in enumerate(zip(self._awake, self._simulations, strict=True)):
            saved = state["environments"][f"{index:03d}"]
            if "restart" in saved:
                observations[index], _ = env.reset(seed=saved["restart"]["seed"])
                self._inexact_because = self._inexact_because or "it was saved so"
                continue
            exact_state.restore(env, saved["attributes"])
            if simulation is not None:
                self._saver.load_state_dict(*simulation, saved["simulation"])
        self._observations = observations
        self._env_obs = list(np.array(observations))


class _MisfitError(ValueError):
    """What an environment returned is not of its spaces."""


class _Called(UsersCode):
    """A call of an environment: a result of another form than its spaces is reported as that."""

    def __init__(self, envs: SerialVectorEnv, what: str, of: Any) -> None:
        super().__init__(what, of)
        self._envs = envs

    def __exit__(
        self,
        kind: object,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell what was raised."""
        if isinstance(error, TypeError | ValueError) and _is_of_the_loop(trace):
            try:
                self._envs._check_shapes(self._envs._env_obs)
                words = str(error).rstrip(".")
                error = _MisfitError(f"no observation, reward and ends of its spaces: {words}")
            except _MisfitError as misfit:
                error = misfit
        if isinstance(error, _MisfitError):
            remedy = f"{self.mend} {definition(self.of)}"
            raise UsersCodeError(f"{self.what}: it returned {error}.", remedy) from error
        super().__exit__(kind, error, trace)


def _is_of_the_loop(trace: TracebackType | None) -> bool:
    """Whether an error came out of Gymnasium's loop over environments itself, or of NumPy where that calls it."""
    files = [Path(each.filename).parts for each in traceback.extract_tb(trace)]
    loop = [i for i, parts in enumerate(files) if ("gymnasium", "vector") in pairwise(parts)]
    return bool(loop) and all("numpy" in parts for parts in files[loop[-1] + 1 :])


class _AtRest:
    """Stands in for an environment that is not stepped."""

    def __init__(self, observation: Any) -> None:
        self._observation = observation

    def step(self, _: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Nothing happens."""
        return self._observation, 0.0, False, False, {}


def _simulation(env: gymnasium.Env) -> tuple[Any, Any] | None:
    """The (MjModel, MjData) that an environment keeps as `model` and `data`, if it does."""
    mujoco = sys.modules.get("mujoco")  # an environment that uses it has imported it
    data = getattr(env.unwrapped, "data", None)
    if mujoco is None or not isinstance(data, mujoco.MjData):
        return None
    return env.unwrapped.model, data  # type: ignore[attr-defined]
