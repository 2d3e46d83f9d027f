"""A minibatch of the memory and its random numbers, in memory that stays where it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.base import RewardFunction, environment_reward
from agents.nn.action_scale import ActionScale
from agents.nn.noise import NoiseStream
from agents.off_policy.core.config import ReplayConfig
from agents.replay.files import export_as_set
from agents.replay.memory import ReplayMemory
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

BLOCK = 100  # steps or updates that random numbers are drawn for at a time
FLOATS = ("observation", "next_observation", "reward", "discount")


def make_memory(
    config: ReplayConfig,
    *,
    observation: tuple[np.dtype, int, int],
    actions: ActionScale,
    environments: int,
    workers: Workers,
) -> ReplayMemory:
    """This worker's memory, of one row where nothing is learned.

    Args:
        config: the run's configuration.
        observation: its dtype, its numbers, and how many stacked frames the memory keeps apart.
        actions: of the environment.
        environments: of this worker.
        workers: all of the run.
    """
    seen, size, frames = observation
    rank = workers.rank
    return ReplayMemory(
        rows=frames if config.task == "eval" else config.mem_size // config.num_envs,
        environments=environments,
        observation_shape=(size,),
        observation_dtype=seen,
        action_shape=actions.shape,
        action_dtype=actions.dtype,
        dtype=config.precision,
        n_step=config.n_step,
        gamma=config.gamma,
        priority_exponent=config.priority_exponent,
        folder=Path(config.memory_folder) if config.memory_folder else None,
        on_full=partial(export_as_set, config, rank) if config.memory_export else None,
        workers_here=workers.size,
        frames=frames,
    )


class ReplayBatch:
    """Draws b samples, equally many of each of this worker's environments, from streams of their own.

    Attributes:
        tensors: "observation", "next_observation" (b, obs_dim), "action" (b, A) or (b,), "reward",
            "discount" (b,); "noise" (b, noise_dim), standard normal; "weight" (b,), importance
            weights, 1 where samples are drawn uniformly; "error" (b,), room for the learner's absolute
            TD errors, which become priorities.
    """

    def __init__(
        self,
        memory: ReplayMemory,
        *,
        actions: ActionScale,
        observation_dim: int,
        noise_dim: int,
        config: ReplayConfig,
        workers: Workers,
        streams: Streams,
        environments: Sequence[int],
    ) -> None:
        self.memory, self.config, self.workers = memory, config, workers
        each = config.batch_size // config.num_envs
        count, dtype = each * len(environments), np.dtype(config.precision)
        shapes: dict[str, tuple[int, ...]] = {
            name: (count,) for name in (*FLOATS, "weight", "error")
        }
        shapes |= {name: (count, observation_dim) for name in FLOATS[:2]}
        arrays = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
        for name in FLOATS[:2] if memory.observation_dtype != dtype else ():  # bytes
            arrays[name] = np.zeros(shapes[name], memory.observation_dtype)
        arrays["weight"][:] = 1.0
        arrays["action"] = np.zeros((count, *actions.shape), actions.dtype)
        self._sampled = {name: arrays[name] for name in (*FLOATS, "action")}
        draw: dict[str, Any] = {
            "streams": streams,
            "environments": environments,
            "block_len": BLOCK,
        }
        self._places = NoiseStream(
            "uniform",
            purpose="replay",
            dim=each,
            dtype=np.dtype(np.float64),
            **draw,
        )
        self._noise = None
        if noise_dim:
            arrays["noise"] = np.zeros((count, noise_dim), dtype)
            dim = each * noise_dim
            self._noise = NoiseStream("normal", purpose="update", dim=dim, dtype=dtype, **draw)
        self._arrays = arrays
        self.tensors: dict[str, Tensor] = {
            name: torch.from_numpy(array) for name, array in arrays.items()
        }

    def seek(self, update: int) -> None:
        """Stand before this update, counted from 0."""
        for noise in filter(None, (self._places, self._noise)):
            noise.seek(update)

    def draw(self, reward: RewardFunction, *, progress: float) -> np.ndarray:
        """Fill `tensors` with the next minibatch; where its samples lie in the memory.

        Args:
            reward: replaces the rewards that were remembered, those of each of n steps.
            progress: the part of the training that is done; weights correct fully at 1.
        """
        batch = self.memory.sample(self._places.next(), self._sampled)
        if reward is not environment_reward:
            self._arrays["reward"][:] = self.memory.relabel_rewards(batch["index"], reward)
        if self._noise is not None:
            noise = self._noise.next()
            self._arrays["noise"][:] = noise.reshape(self._arrays["noise"].shape)
        if self.is_prioritised:
            self._weigh(batch["probability"], progress)
        return batch["index"]

    def update_priorities(self, index: np.ndarray) -> None:
        """Let the errors in "error" be the priorities of these samples."""
        if self.is_prioritised:
            self.memory.update_priorities(index, self._arrays["error"])

    @property
    def is_prioritised(self) -> bool:
        """Whether samples with large errors are preferred."""
        return bool(self.config.priority_exponent > 0)

    def _weigh(self, probability: np.ndarray, progress: float) -> None:
        """Importance weights, the largest of the global minibatch 1 (arXiv:1511.05952, 3.4)."""
        start = self.config.priority_correction
        exponent = start + (1.0 - start) * min(1.0, progress)
        weights = (self.memory.filled * probability) ** -exponent
        largest = weights.max(keepdims=True)
        self.workers.max_(largest)
        self._arrays["weight"][:] = weights / largest
