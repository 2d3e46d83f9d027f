"""The update loop of the off-policy algorithms: collecting, counting, acting, saving; losses are theirs.

Every count is of global environment steps. A minibatch takes equally many samples of each environment, by streams of
its own: W workers, each with the replay buffer of its environments, draw what one would. Shapes: N environments of
this worker, B the global minibatch, b this worker's part of it, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agents.base import Metrics, RewardFunction, State, Transitions, environment_reward
from agents.compute.compiled_policy import CompiledPolicy
from agents.compute.flat_parameters import FlatParameters
from agents.compute.trainer import Objective, Trainer
from agents.metric_sums import MetricSums, Numbers, Tensors
from agents.nn.action_scale import ActionScale
from agents.nn.models import Model, models_of
from agents.nn.noise import NoiseStream
from agents.nn.normalizer import ObservationNormalizer
from agents.off_policy.core.algorithm import TD_ERROR, Batch, MakesAlgorithm, Spec
from agents.off_policy.core.batch import BLOCK, ReplayBatch, make_memory
from agents.off_policy.core.config import ReplayConfig
from agents.replay.files import load_memories
from helpers.checkpoints.shards import Shard
from helpers.parallel.workers import Workers
from helpers.pictures import picture_of
from helpers.seeding import Streams
from helpers.trackers.skrl_metrics import EPSILON, NOISE, Tracking

REMEDY = "give the --p_perception_stack, --q_perception_stack and --env_id of its run"


class OffPolicyLearner:
    """A `Learner` with a replay buffer, under an off-policy algorithm.

    Args:
        algorithm: its class: networks and losses.
        observation_space: Box (obs_dim,).
        action_space: Box (A,) with bounds, or Discrete.
        config: the run's configuration.
        workers: who shares the gradients.
        streams: the run's random streams.
        environments: which of the run's environments this worker steps, a slice of global indices.

    Attributes:
        rollout_len: steps of each environment between two bursts of updates.
        rollouts_per_iteration: such rollouts until metrics are reported.
        steps: global environment steps so far.
        trainer: takes the gradient steps, and counts the updates.
    """

    def __init__(
        self,
        algorithm: MakesAlgorithm,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space,
        config: ReplayConfig,
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
        self.dtype = np.dtype(config.precision)
        (self.observation_dim,) = observation_space.shape
        self.picture = picture_of(observation_space) if config.sees_pictures else None
        self._seen = np.dtype(np.uint8) if self.picture else self.dtype  # bytes stay bytes
        self.actions = ActionScale(action_space, self.dtype)
        spec = self._make_spec()
        self.algorithm = algorithm(config, spec)
        self.observation_normalizer = ObservationNormalizer(self.observation_dim, dtype=self.dtype)
        self.memory = make_memory(
            config,
            observation=(self._seen, self.observation_dim, config.frames_apart(self.picture)),
            actions=self.actions,
            environments=len(self.environments),
            workers=workers,
        )
        self.batch = ReplayBatch(
            self.memory,
            actions=self.actions,
            observation_dim=self.observation_dim,
            noise_dim=sum(each.noise for each in self.algorithm.objectives.values()),
            config=config,
            workers=workers,
            streams=streams,
            environments=self.environments,
        )
        self._offset = torch.zeros(self.observation_dim, dtype=spec.dtype)
        self._scale = torch.ones(self.observation_dim, dtype=spec.dtype)
        self.trainer = self._make_trainer(spec)
        self._compiled_policy = CompiledPolicy(
            f"{config.algo} policy",
            self.algorithm.act,
            parameters=self.trainer.parameters,
            native=self._is_compiled(spec),
        )
        self._make_noises()
        self._may_import = bool(config.memory_import) and config.task == "train"
        self.rollouts = self.steps = 0
        self._recent: list[np.ndarray] = []  # observations that the normalizer has not seen

    @property
    def parameters(self) -> FlatParameters:
        """Of the networks."""
        return self.trainer.parameters

    @property
    def updates(self) -> int:
        """Gradient steps so far."""
        return self.trainer.updates

    # Making

    def _make_spec(self) -> Spec:
        config = self.config
        return Spec(
            observation_dim=self.observation_dim,
            picture=self.picture,
            action_dim=self.actions.dim,
            layer_norm=config.layer_norm,
            init=config.init,
            generator=torch.Generator().manual_seed(self.streams.integer("initialisation")),
            dtype=getattr(torch, config.precision),
            environments=len(self.environments),
            samples=config.batch_size // config.num_envs,
            share=len(self.environments) / config.num_envs,
        )

    def _is_compiled(self, spec: Spec) -> bool:
        return self.config.compile and spec.dtype == torch.float32 and self.config.task != "eval"

    def _make_trainer(self, spec: Spec) -> Trainer:
        algorithm, config = self.algorithm, self.config
        objectives, start = {}, 0
        for name, each in algorithm.objectives.items():
            loss = partial(self._loss, each, slice(start, start + each.noise))
            objectives[name] = replace(each, loss=loss)
            start += each.noise
        return Trainer(
            config.algo,
            algorithm.networks,
            objectives,
            inputs={"offset": self._offset, "scale": self._scale, **self.batch.tensors},
            metrics=MetricSums(
                environments=(len(self.environments), config.num_envs),
                dtype=spec.dtype,
                tracking=self.tracking,
            ),
            workers=self.workers,
            share=spec.share,
            compiled=self._is_compiled(spec),
            targets=algorithm.targets,
            clip_norm=config.clip_norm,
        )

    def _make_noises(self) -> None:
        exploration = self.algorithm.exploration
        noise = partial(
            NoiseStream,
            streams=self.streams,
            environments=self.environments,
            block_len=BLOCK,
            dtype=self.dtype,
        )
        self._exploring = noise(exploration.kind, purpose="exploration", dim=exploration.dim)
        self._noises = self.tracking.gather(NOISE, scale=exploration.std or 0.0)
        self._warming = noise("uniform", purpose="warm-up", dim=self.actions.random_dim)

    def begin(self) -> None:
        """Start compiling what training needs, while the replay buffer warms up."""
        self.trainer.begin()
        count, noises = len(self.environments), self.algorithm.exploration.dim
        seen = np.zeros((count, self.observation_dim), dtype=self._seen)
        noise = np.zeros((count, noises), dtype=self.dtype)
        self._compiled_policy.begin(seen, noise)

    # Acting

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Actions (N, A) or (N,) for raw observations (N, obs_dim): explored, or the best known."""
        if explore and self.steps < self.config.learning_starts:
            return self.actions.random(self._warming.next()), {}
        noise = self._exploration_noise() if explore else None
        actions = self._compiled_policy(self._policy_input(observations), noise)
        return self.actions.to_environment(actions), {}

    def _policy_input(self, observations: np.ndarray) -> np.ndarray:
        given = np.asarray(observations, dtype=self._seen)
        return self.observation_normalizer(given) if self.config.p_batch_norm else given

    def _exploration_noise(self) -> np.ndarray:
        exploration, noise = self.algorithm.exploration, self._exploring.next()
        if exploration.std is not None:
            self._noises.add(noise)
        if exploration.epsilon is not None:
            return noise - np.array([exploration.epsilon(self.steps), 0.0], dtype=noise.dtype)
        return noise

    def log_prob(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log-densities (B,) of actions (B, A) in raw observations (B, obs_dim); of stochastic policies.

        Actions are as the environment takes them.
        """
        algorithm: Any = self.algorithm
        scaled = self.actions.to_networks(torch.from_numpy(actions))
        with torch.no_grad():
            inputs = torch.from_numpy(self._policy_input(observations))
            found: np.ndarray = algorithm.log_prob(inputs, scaled).numpy()
        return found

    # Learning

    def update(
        self,
        rollout: Transitions,
        reward: RewardFunction = environment_reward,
    ) -> Metrics:
        """Store a rollout and learn from the replay buffer; collective.

        Metrics come with the last rollout of an iteration; the others give none.
        """
        config = self.config
        if self._may_import:
            self._import()
        epsilon = self.algorithm.exploration.epsilon
        if epsilon is not None and self.steps >= config.learning_starts:
            self.track_data(EPSILON, epsilon(self.steps))
        self.memory.add(rollout)
        if config.p_batch_norm or config.q_batch_norm:
            self._recent.append(rollout.observations)
        self._count_rollout()
        self._learn(reward)
        self._seek()
        if self.rollouts % self.rollouts_per_iteration:
            return {}
        if self._recent:
            self.observation_normalizer.update(np.concatenate(self._recent), workers=self.workers)
            self._recent.clear()
            self._copy_normalizer()
        metrics = {"memory/filled": self.memory.filled / self.memory.rows}
        metrics |= self.trainer.metrics.means(self.trainer.updates)
        return metrics if epsilon is None else metrics | {"policy/epsilon": epsilon(self.steps)}

    def _count_rollout(self) -> None:
        """Count its steps; copy to the target networks where a multiple of their period is passed."""
        before, period = self.steps, self.algorithm.target_period
        self.steps += self.config.rollout_len
        self.rollouts += 1
        if period and self.steps // period > before // period:
            self.trainer.copy_to_targets()

    def _learn(self, reward: RewardFunction) -> None:
        """The updates that are due; collective."""
        config, trainer = self.config, self.trainer
        progress = self.steps / config.num_timesteps
        trainer.learning_rate_scale = (
            1.0 if config.lr_schedule == "constant" else max(0.0, 1.0 - progress)
        )
        due = int(max(0, self.steps - config.learning_starts) * config.updates_per_step)
        while trainer.updates < due:
            index = self.batch.draw(reward, progress=progress)
            self.algorithm.update(trainer)
            self.batch.update_priorities(index)
            trainer.updates += 1

    def _loss(self, objective: Objective, noise: slice, t: Tensors) -> tuple[Tensor, Numbers]:
        """An algorithm's loss of the minibatch in `t`; TD errors go to where priorities are made of them."""
        batch = self._batch_of(t)
        given = t["noise"][:, noise] if "noise" in t else batch.reward.new_empty(0)
        loss, numbers = objective.loss(batch, given)
        numbers = dict(numbers)
        if TD_ERROR in numbers:
            t["error"].copy_(numbers.pop(TD_ERROR).detach())
        return loss, numbers

    def _batch_of(self, t: Tensors) -> Batch:
        """The minibatch as networks take it: standardised observations, actions in [-1, 1]."""
        config, limit = self.config, self.observation_normalizer.CLIP
        inputs = {}
        for prefix in ("", "next_"):
            raw = t[f"{prefix}observation"]
            standard = raw  # pictures are scaled by the networks
            if self.picture is None:
                standard = ((raw - t["offset"]) * t["scale"]).clamp(-limit, limit)
            inputs[f"{prefix}policy_input"] = standard if config.p_batch_norm else raw
            inputs[f"{prefix}critic_input"] = standard if config.q_batch_norm else raw
        return Batch(
            **inputs,
            action=self.actions.to_networks(t["action"]),
            reward=t["reward"],
            discount=t["discount"],
            weight=t["weight"],
        )

    def _import(self) -> None:
        """Start with what was exported; a resumed run has it in its checkpoint."""
        self._may_import, mine, files = False, self.environments, self.config.memory_import
        assert files is not None
        columns = load_memories(files, num_envs=self.config.num_envs)
        self.memory.fill_from(columns, environments=slice(mine.start, mine.stop))

    # Saving

    def models(self) -> dict[str, Model]:
        """The policy, critics and target networks, by name."""
        normalizers = {
            "policy": self.observation_normalizer if self.config.p_batch_norm else None,
            "critic": self.observation_normalizer if self.config.q_batch_norm else None,
        }
        found = models_of(self.algorithm.networks, normalizers, scale=self.actions)
        targets = models_of(self.algorithm.targets, normalizers, scale=self.actions)
        return found | {f"target_{name}": each for name, each in targets.items()}

    def state_dict(self) -> dict[str, Any]:
        """All but the replay buffer, the same on every worker."""
        return self.trainer.state_dict() | {
            "observations": self.observation_normalizer.state_dict(),
            "actions": self.actions.state_dict(),
            "rollouts": self.rollouts,
            "steps": self.steps,
            "updates": self.trainer.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of another architecture.
        """
        self.trainer.load_state_dict(state, remedy=REMEDY)
        self.observation_normalizer.load_state_dict(state["observations"])
        self._copy_normalizer()
        self.actions.load_state_dict(state.get("actions", {}))
        self.rollouts, self.steps = int(state["rollouts"]), int(state["steps"])
        self.trainer.updates = self.trainer.metrics.logged = int(state["updates"])
        self._seek()

    def _copy_normalizer(self) -> None:
        self._offset.copy_(torch.from_numpy(self.observation_normalizer.offset))
        self._scale.copy_(torch.from_numpy(self.observation_normalizer.scale))

    def _seek(self) -> None:
        """Let all random numbers follow from the counts."""
        for noise in (self._exploring, self._warming):
            noise.seek(self.rollouts * self.rollout_len)
        self.batch.seek(self.trainer.updates)

    def cut_episodes(self) -> None:
        """The episodes under way were cut: what is seen next does not follow on what was seen last."""
        self.memory.cut()

    def local_state_dict(self) -> dict[str, Any]:
        """What this worker alone has, beside `shards`."""
        return {"memory": self.memory.state_dict()}

    def shards(self) -> Mapping[str, Shard]:
        """This worker's replay buffer."""
        return self.memory.shards()

    def load_local_state_dict(self, state: State, shards: Mapping[str, np.ndarray]) -> None:
        """Take over what `local_state_dict` and `shards` gave."""
        self._may_import = False
        self.memory.load(state["memory"], shards)

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        return self.trainer.synchronised_arrays() | {
            "observations.mean": self.observation_normalizer.mean,
            "observations.m2": self.observation_normalizer.m2,
        }
