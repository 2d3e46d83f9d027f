"""Imitation: a reward that is learned, and a learner that maximises it.

One update, top to bottom: `ImitationAgent.update`. With a discriminator and PPO it is GAIL or AIRL, with SAC or TD3
SAM or DAC, with a distilled reward RED. The pages docs/gail.md, docs/airl.md and docs/sam.md say what is learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from agents.base import Metrics, State, Transitions
from agents.demonstrations.dataset import LOOP, Demonstrations, check_same, take_rows
from agents.imitation.adversarial import AdversarialReward, RewardModel
from agents.imitation.config import ImitationConfig
from agents.imitation.inputs import InputBuilder, InputNormalizers
from agents.imitation.red import DistilledReward
from agents.imitation.scorer import flatten
from agents.nn.models import Model
from agents.on_policy.config import PPOConfig
from helpers.checkpoints.shards import Shard
from helpers.errors import CheckpointError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

MODEL = "reward_model."  # before the names of its arrays


class ImitationAgent:
    """An `Agent`: reward model x learner.

    Args:
        learner: a `Learner` under this configuration; one that replays has a `memory`.
        demos: the expert's; none in an evaluation.
        observation_space: Box (obs_dim,).
        action_space: Box (act_dim,), Discrete or MultiDiscrete (D,).
        config: the run's configuration.
        workers: who shares the gradients.
        streams: the run's random streams.
        environments: which of the run's environments this worker steps, a slice of global indices.
        unseen: numbers of an observation that the reward model does not see.
    """

    def __init__(
        self,
        learner: Any,
        demos: Demonstrations,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space,
        config: ImitationConfig,
        workers: Workers,
        streams: Streams,
        environments: slice,
        unseen: Sequence[int] = (),
    ) -> None:
        self.learner, self.demos, self.config, self.workers = learner, demos, config, workers
        self.rollout_len = learner.rollout_len
        self.rollouts_per_iteration = learner.rollouts_per_iteration
        self.tracking = learner.tracking
        self.track_data, self.writer = self.tracking.track_data, self.tracking.writer
        self.environments = range(environments.start, environments.stop)
        self.rollouts, self.unseen = 0, list(unseen)
        (size,) = observation_space.shape
        rows = InputBuilder(size, action_space, config, unseen)
        self.normalizers = InputNormalizers(size, demos, config)
        parts: dict[str, Any] = {
            "demos": demos,
            "normalizers": self.normalizers,
            "config": config,
            "workers": workers,
            "streams": streams,
            "environments": self.environments,
        }
        self.model: RewardModel
        if config.LEARNS_ADVERSARIALLY:
            log_prob = learner.log_prob if rows.is_airl and config.d_log_prob != "none" else None
            self.model = AdversarialReward(
                rows,
                log_prob=log_prob,
                tracking=learner.tracking,
                **parts,
            )
        else:
            self.model = DistilledReward(rows, **parts)
        self._rewards = np.zeros(3)  # count, sum, sum of squares since the last report
        if config.p_moments_from_demos and len(demos):
            self._begin_moments(size)

    def _begin_moments(self, size: int) -> None:
        """Let the learner's moments have seen what the expert saw."""
        mine = self.demos.share(self.workers)
        states = mine.observations[mine.extras["step"] != LOOP, :size]
        self.learner.observation_normalizer.update(states, workers=self.workers)
        self.learner.load_state_dict(self.learner.state_dict())  # whatever shows them does it anew

    def begin(self) -> None:
        """Let be compiled what training needs, of the learner and of the reward model."""
        learner = self.learner
        learner.begin()
        count = learner.rollout_len * len(self.environments)
        config = self.config.learner_config
        if not isinstance(config, PPOConfig):  # rewards are asked for each of a minibatch's n steps
            count = len(learner.batch.tensors["reward"]) * config.n_step
        self.model.begin(count)

    # Acting

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """The learner's actions."""
        actions: tuple[np.ndarray, Mapping[str, np.ndarray]] = self.learner.predict(
            observations,
            explore=explore,
        )
        return actions

    # Learning

    def update(self, rollout: Transitions) -> Metrics:
        """The reward model's steps that are due, then the learner's under it; collective."""
        self.model.prepare()
        self.rollouts += 1
        sample = self._samples_of(rollout)
        while self.model.updates < self._due():
            self.model.update(sample)
        self.normalizers.collect(rollout.observations)
        metrics = self.learner.update(rollout, self.reward)
        if self.rollouts % self.rollouts_per_iteration:
            return metrics
        if self.normalizers.update(self.workers):
            self.model.copy_normalizers()
        return dict(metrics) | self.model.metrics() | self._reward_metrics()

    def reward(self, transitions: Transitions) -> np.ndarray:
        """Rewards of the reward model of this moment, with the value of what comes after the task's end."""
        rewards = self.model.reward(transitions)
        wide = rewards.astype(np.float64)
        self._rewards += wide.size, wide.sum(), np.square(wide).sum()
        return rewards

    def _due(self) -> int:
        """Steps that the reward model has taken once this rollout is learned from."""
        config, learner = self.config, self.config.learner_config
        if not config.LEARNS_ADVERSARIALLY:
            return 0
        updates = self.rollouts  # of the learner
        if not isinstance(learner, PPOConfig):
            steps = max(0, self.rollouts * learner.rollout_len - learner.learning_starts)
            updates = int(steps * learner.updates_per_step)
        return -(-updates // config.g_steps) * int(config.d_steps)

    def _samples_of(self, rollout: Transitions) -> _FromMemory | FromRollout:
        """Where the policy's transitions come from: a memory as it is before this rollout, or the rollout.

        Collective where ends count.
        """
        memory = getattr(self.learner, "memory", None)
        is_remembered = memory is not None and memory.added
        sample = _FromMemory(memory) if is_remembered else FromRollout(rollout)
        if self.config.wrap_absorb:
            counts = np.array([sample.ends, sample.count], dtype=np.float64)
            self.workers.sum_(counts)
            sample.end_rate = counts[0] / counts[1]
        return sample

    def _reward_metrics(self) -> dict[str, float]:
        """Of all rewards that the learner was given; collective."""
        sums, self._rewards = self._rewards, np.zeros(3)
        self.workers.sum_(sums)
        count, total, squares = sums
        if not count:
            return {}
        mean = total / count
        sd = float(np.sqrt(max(0.0, squares / count - mean * mean)))
        return {"reward/mean": float(mean), "reward/sd": sd}

    # Saving

    def models(self) -> Mapping[str, Model]:
        """The learner's."""
        models: Mapping[str, Model] = self.learner.models()
        return models

    def state_dict(self) -> dict[str, Any]:
        """The learner's, the reward model's, the moments', and the count."""
        return {
            "learner": self.learner.state_dict(),
            "reward_model": self.model.state_dict(),
            "moments": self.normalizers.state_dict(),
            "demonstrations": self.demos.fingerprint,
            "rollouts": self.rollouts,
            # the groups are unknown where it is loaded without the environment
            **({"unseen": np.array(self.unseen)} if self.unseen else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of another architecture, or of other demonstrations.
        """
        check_same("the demonstrations", state["demonstrations"], self.demos.fingerprint)
        self.learner.load_state_dict(state["learner"])
        try:
            self.model.load_state_dict(state["reward_model"])
        except ValueError as error:
            raise CheckpointError(
                f"the checkpoint has another reward model: {error}",
                "give its --d_perception_stack, --wrap_absorb and --state_only",
            ) from error
        self.normalizers.load_state_dict(state["moments"])
        self.model.copy_normalizers()
        self.rollouts = int(state["rollouts"])

    def cut_episodes(self) -> None:
        """The episodes under way were cut: what its learner sees next does not follow on what it saw last."""
        cut = getattr(self.learner, "cut_episodes", None)
        if cut is not None:
            cut()

    def local_state_dict(self) -> State:
        """The learner's."""
        local: State = self.learner.local_state_dict()
        return local

    def shards(self) -> Mapping[str, Shard]:
        """The learner's."""
        shards: Mapping[str, Shard] = self.learner.shards()
        return shards

    def load_local_state_dict(self, state: State, shards: Mapping[str, np.ndarray]) -> None:
        """Take over what `local_state_dict` and `shards` gave."""
        self.learner.load_local_state_dict(state, shards)

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        arrays = dict(self.learner.synchronised_arrays())
        own = self.model.synchronised_arrays()
        arrays |= {f"{MODEL}{name}": array for name, array in own.items()}
        return arrays | {
            f"{MODEL}mean": self.normalizers.policy.mean,
            f"{MODEL}m2": self.normalizers.policy.m2,
        }


class _FromMemory:
    """The policy's transitions in a memory, however much it prefers some of them."""

    def __init__(self, memory: Any) -> None:
        self.memory, self.end_rate = memory, 0.0
        self.ends, self.count = memory.ends, memory.filled * memory.environments

    def __call__(self, uniforms: np.ndarray) -> Transitions:
        rows = (uniforms * self.memory.filled).astype(np.int64)  # (N, k)
        index = rows * self.memory.environments + np.arange(len(rows))[:, None]
        transitions: Transitions = self.memory.transitions_at(index.reshape(-1))
        return transitions


class FromRollout:
    """The policy's transitions in a rollout."""

    def __init__(self, rollout: Transitions) -> None:
        self.steps, self.flat, self.end_rate = len(rollout.rewards), flatten(rollout), 0.0
        self.ends, self.count = int(rollout.terminated.sum()), rollout.terminated.size

    def __call__(self, uniforms: np.ndarray) -> Transitions:
        rows = (uniforms * self.steps).astype(np.int64)  # (N, k)
        index = rows * len(rows) + np.arange(len(rows))[:, None]
        return take_rows(self.flat, index.reshape(-1))
