"""What the vector environments of every backend share: successors, bounds, and whose state it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np

from helpers.errors import CheckpointError

State = Mapping[str, Any]
Names = tuple[list[str] | None, list[str] | None]


class SameStepEnv(Protocol):
    """N environments stepped together, in SAME_STEP autoreset, that can be saved exactly.

    Where an episode ended, the observation is the first of the next one, and the last one is in
    `infos["final_obs"]`; `successors` puts the two together.

    Attributes:
        env_id: canonical.
        backend: what steps it: "batched MuJoCo", "Gymnasium", "dm_control" or "OpenSim".
        seeds: what `reset` starts the N environments from.
        max_episode_steps: after how many steps an episode is truncated.
        time_step: simulated seconds between two actions; None where the environment has no clock.
        names: of the components of an observation and of an action, each None where it names none.
        observations: a copy of what the last call arrived at, (N, obs_dim).
        failures: how often a simulator failed since they were made, each of which truncated an episode.
        inexact_because: why a state that is loaded begins new episodes instead of resuming; "" where it resumes
            bit for bit.
    """

    env_id: str
    backend: str
    num_envs: int
    seeds: list[int]
    max_episode_steps: int
    metadata: dict[str, Any]
    observation_space: Any
    action_space: Any
    single_observation_space: Any
    single_action_space: Any

    @property
    def time_step(self) -> float | None: ...
    @property
    def names(self) -> Names: ...
    @property
    def observations(self) -> np.ndarray: ...
    @property
    def failures(self) -> int: ...
    @property
    def inexact_because(self) -> str: ...

    def reset(
        self,
        *,
        seed: Any = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]: ...

    def step(
        self,
        actions: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]: ...

    def rest(self, chosen: np.ndarray) -> None:
        """Step environments no more, where a mask (N,) is set, until they are reset.

        They stay where they are, get rewards of 0 and do not end. It is no part of the state.
        """

    def successors(self, observations: np.ndarray, infos: Mapping[str, Any]) -> np.ndarray: ...
    def picture(self, index: int) -> Any: ...
    def render(self) -> tuple[Any, ...] | None: ...
    def state_dict(self) -> State: ...
    def load_state_dict(self, state: State) -> None: ...
    def close(self) -> None: ...


def successors(observations: np.ndarray, infos: Mapping[str, Any]) -> np.ndarray:
    """The true next observations (N, obs_dim): the last one of an episode where one ended.

    `observations` itself is returned where none ended, a copy otherwise.
    """
    if "final_obs" not in infos:
        return observations
    true_successors = observations.copy()
    for index in np.flatnonzero(infos["_final_obs"]):
        true_successors[index] = infos["final_obs"][index]
    return true_successors


def action_bounds(space: gymnasium.Space) -> tuple[np.ndarray, np.ndarray] | None:
    """The bounds to clip actions to; None for discrete actions and for a Box without any."""
    if not isinstance(space, gymnasium.spaces.Box):
        return None
    if not (space.bounded_below | space.bounded_above).any():
        return None
    return space.low, space.high


def clip_to_bounds(actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Actions within the bounds and in their dtype, in a copy."""
    # np.clip takes three times as long.
    return np.minimum(np.maximum(np.asarray(actions, low.dtype), low), high)


def actuator_names(model: Any) -> list[str] | None:
    """The names of a MjModel's actuators, one an action's component; None where one has no name."""
    names = [model.actuator(index).name for index in range(model.nu)]
    return names if all(names) else None


def one_seed_each(
    seed: int | Sequence[int | None] | None,
    num_envs: int,
) -> list[int | None]:
    """The seed of each environment: an integer counts up from the first, None draws on."""
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int):
        return [seed + index for index in range(num_envs)]
    if len(seed) != num_envs:
        raise ValueError(f"{len(seed)} seeds for {num_envs} environments")
    return list(seed)


def check_origin(state: State, envs: SameStepEnv) -> None:
    """That a state was taken of environments like these.

    Raises:
        CheckpointError: of another environment, of another number of them, or of another backend.
    """
    for key in ("env_id", "num_envs"):
        mine = getattr(envs, key)
        if state[key] != mine:
            raise CheckpointError(
                f"The saved environments have {key}={state[key]}, these have {key}={mine}.",
                f"Continue the run with {key}={state[key]}, or start a new one.",
            )
    theirs = state.get("backend", "an older version")
    if theirs != envs.backend:
        raise CheckpointError(
            f"The saved environments use the backend {theirs}, these use {envs.backend}.",
            "Continue with the version of the run (capsule.json), or start a new run.",
        )
