"""What the learners that replay have in common: collecting, counting, saving; not what they learn.

Every count is of global environment steps. A minibatch takes equally many samples of each environment, by streams of
its own: W workers, each with the memory of its environments, draw what one would. Shapes: N environments of this
worker, B the global minibatch, b this worker's part of it, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from agents.base import Metrics, RewardFunction, Transitions, environment_reward
from agents.compute.compiled_policy import Acting
from agents.compute.compiled_step import Piece, Step
from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.metric_sums import Tally
from agents.nn.action_scale import ActionScale
from agents.nn.critics import rectified
from agents.nn.noise import RandomBlocks
from agents.nn.normalizer import ObservationNormalizer
from agents.off_policy.batch import BLOCK, ReplayBatch
from agents.replay.files import export_as_set, load_memories
from agents.replay.memory import ReplayMemory
from helpers.checkpoints.shards import Shard
from helpers.errors import CheckpointError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from helpers.trackers.skrl_metrics import NOISE, Tracking


class ReplayLearner:
    """A `Learner` with a replay memory; an algorithm says what stands under "To be said".

    Args:
        observation_space: Box (obs_dim,).
        action_space: Box (A,) with bounds, or Discrete.
        config: the run's configuration.
        workers: who shares the gradients.
        streams: the run's random streams.
        environments: which of the run's environments this worker steps, a slice of global indices.

    Attributes:
        rollout_len: steps of each environment between two bursts of updates.
        rollouts_per_iteration: such rollouts until metrics are reported.
        steps, updates: global environment steps and gradient steps so far.
        kept: tensors that a checkpoint holds beside parameters and moments.
        tensors: all that a gradient step reads and changes, by name; what it adds up is in `tally`.
    """

    METRICS: tuple[str, ...]  # the columns of `tally`
    TRACKED: tuple[str, ...]  # their names, and those of further columns, among skrl's metrics
    EXPLORATION = "normal"  # the kind of random numbers that exploring takes
    ADDS_NOISE = False  # whether these are added to actions, times `exploration_std`

    def __init__(
        self,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space,
        config: Any,
        workers: Workers,
        streams: Streams,
        environments: slice,
    ) -> None:
        self.config, self.workers, self.streams = config, workers, streams
        self.tracking = Tracking(interval=config.tracking_interval, workers=workers)
        self.track_data, self.writer = self.tracking.track_data, self.tracking.writer
        self.environments = range(environments.start, environments.stop)
        self.rollout_len = config.rollout_len // config.num_envs
        self.rollouts_per_iteration = config.steps_per_iteration // config.rollout_len
        self.local_share = len(self.environments) / config.num_envs  # b / B
        self.samples = config.batch_size // config.num_envs  # of each environment
        self.dtype = np.dtype(config.precision)
        self.torch_dtype = getattr(torch, config.precision)
        (self.observation_dim,) = observation_space.shape
        self.actions = ActionScale(action_space, self.dtype)
        self.action_dim = self.actions.dim
        self.generator = torch.Generator().manual_seed(streams.integer("initialisation"))
        self.parameters = FlatParameters(self.make_modules())
        workers.broadcast_(self.parameters.values)
        is_eligible = self.torch_dtype == torch.float32 and config.task != "eval"
        self._native = config.compile and is_eligible
        self.optimizers = self.make_optimizers()
        self.kept = self.make_kept()
        self.observations = ObservationNormalizer(self.observation_dim, dtype=self.dtype)
        self.memory = ReplayMemory(
            rows=1 if config.task == "eval" else config.mem_size // config.num_envs,
            environments=len(self.environments),
            observation_shape=(self.observation_dim,),
            observation_dtype=self.dtype,
            action_shape=self.actions.shape,
            action_dtype=self.actions.dtype,
            dtype=self.dtype,
            n_step=config.n_step,
            gamma=config.gamma,
            priority_exponent=config.priority_exponent,
            folder=Path(config.memory_folder) if config.memory_folder else None,
            on_full=partial(export_as_set, config, workers.rank) if config.memory_export else None,
            workers_here=workers.size,
        )
        self._may_import = bool(config.memory_import) and config.task == "train"
        self.batch = ReplayBatch(
            self.memory,
            actions=self.actions,
            observation_dim=self.observation_dim,
            noise_dim=self.update_dim(),
            config=config,
            workers=workers,
            streams=streams,
            environments=self.environments,
        )
        self.tally = Tally.of(self)
        self.tensors = self._make_tensors()
        self._steps = {
            name: Step(f"{config.algo} {name} gradient", piece, self.tensors, native=self._native)
            for name, piece in self.gradients().items()
        }
        self._acting = Acting(
            f"{config.algo} policy",
            self.choose,
            parameters=self.parameters,
            others=self.kept,
            native=self._native,
        )
        noise = partial(
            RandomBlocks,
            streams=streams,
            environments=self.environments,
            block_len=BLOCK,
            dtype=self.dtype,
        )
        self._exploring = noise(self.EXPLORATION, purpose="exploration", dim=self.exploration_dim())
        std = config.exploration_std if self.ADDS_NOISE else 1.0
        self._noises = self.tracking.gather(NOISE, scale=std)
        self._warming = noise("uniform", purpose="warm-up", dim=self.actions.random_dim)
        self.rollouts = self.steps = self.updates = 0
        self._recent: list[np.ndarray] = []  # observations that the moments have not seen

    # To be said

    def make_modules(self) -> dict[str, nn.Module]:
        """The networks by segment, drawn from `generator`."""
        raise NotImplementedError

    def make_optimizers(self) -> dict[str, FlatAdam]:
        """Adam for neighbouring segments, by name."""
        raise NotImplementedError

    def make_kept(self) -> dict[str, Tensor]:
        """`kept`, as it begins."""
        raise NotImplementedError

    def gradients(self) -> dict[str, Piece]:
        """What writes this worker's share of a gradient into `{name}.gradients`, by the optimizer's name."""
        raise NotImplementedError

    def choose(
        self,
        observations: Tensor,
        noise: Tensor | None,
        kept: Mapping[str, Tensor],
    ) -> Tensor:
        """Actions (N, A) in [-1, 1], or choices (N,), for observations as the policy takes them."""
        raise NotImplementedError

    def gradient_step(self) -> None:
        """One update from what lies in `batch`; collective."""
        raise NotImplementedError

    def exploration_dim(self) -> int:
        """Random numbers that exploring takes a step and environment."""
        return self.action_dim

    def exploration(self, noise: np.ndarray) -> np.ndarray:
        """What `choose` is given, from the random numbers (N, exploration_dim)."""
        return noise

    def update_dim(self) -> int:
        """Normal random numbers that a sample takes in an update."""
        return 0

    # Acting

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Actions (N, A) or (N,) for raw observations (N, obs_dim): explored, or the best known."""
        if explore and self.steps < self.config.warm_up:
            return self.actions.random(self._warming.next()), {}
        standard = np.asarray(observations, dtype=self.dtype)
        if self.config.p_batch_norm:
            standard = self.observations(standard)
        noise = self.exploration(self._exploring.next()) if explore else None
        if noise is not None and self.ADDS_NOISE:
            self._noises.add(noise)
        return self.actions.to_environment(self._acting(standard, noise)), {}

    # Learning

    def update(
        self,
        rollout: Transitions,
        reward: RewardFunction = environment_reward,
    ) -> Metrics:
        """Remember a rollout and learn from the memory; collective.

        Metrics come with the last rollout of an iteration; the others give none.
        """
        config = self.config
        if self._may_import:
            self._import()
        self.memory.add(rollout)
        if config.p_batch_norm or config.q_batch_norm:
            self._recent.append(rollout.observations)
        self.steps += config.rollout_len
        self.rollouts += 1
        due = int(max(0, self.steps - config.warm_up) * config.updates_per_step)
        while self.updates < due:
            index = self.batch.draw(reward, progress=self.steps / config.num_timesteps)
            self.gradient_step()
            self.batch.learnt(index)
            self.updates += 1
        self._seek()
        if self.rollouts % self.rollouts_per_iteration:
            return {}
        if self._recent:
            self.observations.update(np.concatenate(self._recent), workers=self.workers)
            self._recent.clear()
            self._show_moments()
        filled = self.memory.filled / self.memory.rows
        return {"memory/filled": filled} | self.tally.means(self.updates)

    def samples_of(self, t: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The minibatch as networks take it: standardised observations, actions in [-1, 1]."""
        limit = self.observations.CLIP
        batch = {name: t[name] for name in ("reward", "discount")}
        batch["action"] = self.actions.to_networks(t["action"])
        for name, is_standardised in (
            ("policy", self.config.p_batch_norm),
            ("critic", self.config.q_batch_norm),
        ):
            for prefix in ("", "next_"):
                raw = t[f"{prefix}observation"]
                standard = ((raw - t["offset"]) * t["scale"]).clamp(-limit, limit)
                batch[f"{prefix}{name}_input"] = standard if is_standardised else raw
        return batch

    def descend(
        self,
        name: str,
        step_sizes: Mapping[str, float],
        *,
        sums: Sequence[str] = (),
    ) -> None:
        """An optimizer's step along its gradient, which all workers share; collective.

        Args:
            name: the optimizer's, one of `gradients`.
            step_sizes: by segment, at the start of the training.
            sums: further tensors that the workers sum.
        """
        self._steps[name]()
        for each in (f"{name}.gradients", *sums):
            self.workers.sum_(self.tensors[each])
        sizes = {segment: size * self._step_scale for segment, size in step_sizes.items()}
        self.optimizers[name].step_(sizes, clip_norm=self.config.clip_norm, want_norm=False)

    @property
    def _step_scale(self) -> float:
        if self.config.lr_schedule == "constant":
            return 1.0
        return max(0.0, 1.0 - self.steps / self.config.num_timesteps)

    # Making

    def begin(self) -> None:
        """Let be compiled what training needs, while the memory warms up."""
        for step in self._steps.values():
            step.begin()
        seen, noise = (
            np.zeros((len(self.environments), size), dtype=self.dtype)
            for size in (self.observation_dim, self.exploration_dim())
        )
        self._acting.begin(seen, self.exploration(noise))

    def perceptron(self, inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
        """A perceptron as configured, drawn from `generator`."""
        form = {"layer_norm": self.config.layer_norm, "dtype": self.torch_dtype}
        return rectified(inputs, hidden, outputs, generator=self.generator, **form)

    def adam(self, *segments: str, beta1: float = 0.9) -> FlatAdam:
        """Adam for neighbouring segments."""
        return FlatAdam(self.parameters, segments, beta1=beta1, epsilon=1e-8, native=self._native)

    def _make_tensors(self) -> dict[str, Tensor]:
        dtype = self.torch_dtype
        tensors = {
            "values": self.parameters.values,
            "offset": torch.zeros(self.observation_dim, dtype=dtype),
            "scale": torch.ones(self.observation_dim, dtype=dtype),
        }
        for name, optimizer in self.optimizers.items():
            tensors[f"{name}.gradients"] = self.parameters.gradients[optimizer.where]
        return tensors | self.tally.tensors | self.batch.tensors | self.kept

    # Export and import

    def _import(self) -> None:
        """Begin with what was exported; a run that goes on has it in its checkpoint."""
        self._may_import, mine = False, self.environments
        columns = load_memories(self.config.memory_import, num_envs=self.config.num_envs)
        self.memory.fill_from(columns, environments=slice(mine.start, mine.stop))

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """All but the memory, the same on every worker."""
        return {
            "parameters": self.parameters.state_dict(),
            "optimizers": {name: each.state_dict() for name, each in self.optimizers.items()},
            "kept": {name: each.clone() for name, each in self.kept.items()},
            "observations": self.observations.state_dict(),
            "actions": self.actions.state_dict(),
            "rollouts": self.rollouts,
            "steps": self.steps,
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of another architecture.
        """
        try:
            self.parameters.load_state_dict(state["parameters"])
        except ValueError as error:
            raise CheckpointError(
                f"the checkpoint is of another architecture: {error}",
                "give the --p_perception_stack, --q_perception_stack and --env_id it was made with",
            ) from error
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, kept in self.kept.items():
            kept.copy_(state["kept"][name])
        self.observations.load_state_dict(state["observations"])
        self._show_moments()
        self.rollouts, self.steps = int(state["rollouts"]), int(state["steps"])
        self.updates = self.tally.reported = int(state["updates"])
        self._seek()

    def _show_moments(self) -> None:
        self.tensors["offset"].copy_(torch.from_numpy(self.observations.offset))
        self.tensors["scale"].copy_(torch.from_numpy(self.observations.scale))

    def _seek(self) -> None:
        """Let all random numbers follow from the counts."""
        for noise in (self._exploring, self._warming):
            noise.seek(self.rollouts * self.rollout_len)
        self.batch.seek(self.updates)

    def local_state_dict(self) -> dict[str, Any]:
        """What this worker alone has, beside `shards`."""
        return {"memory": self.memory.state_dict()}

    def shards(self) -> Mapping[str, Shard]:
        """This worker's memory."""
        return self.memory.shards()

    def load_local_state_dict(
        self,
        state: Mapping[str, Any],
        shards: Mapping[str, np.ndarray],
    ) -> None:
        """Take over what `local_state_dict` and `shards` gave."""
        self._may_import = False
        self.memory.load(state["memory"], shards)

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        arrays = {"parameters": self.parameters.values.numpy()}
        for name, optimizer in self.optimizers.items():
            arrays[f"{name}.moment1"] = optimizer.moment1.numpy()
            arrays[f"{name}.moment2"] = optimizer.moment2.numpy()
        arrays |= {f"kept.{name}": kept.numpy() for name, kept in self.kept.items()}
        return arrays | {
            "observations.mean": self.observations.mean,
            "observations.m2": self.observations.m2,
        }
