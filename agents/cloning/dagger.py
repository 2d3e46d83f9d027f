"""Dataset aggregation (DAgger), arXiv:1011.0686, Algorithm 3.1, with a trained policy as the expert.

One update is one round, top to bottom: `Dagger.update`. How it differs from the paper, and what every metric means, is
in docs/dagger.md. Shapes: T steps, N environments of this worker, D rows of the dataset, which every worker has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agents.base import Metrics, Transitions
from agents.cloning.aggregate import Rounds
from agents.cloning.cloner import Cloner, track_loss
from agents.cloning.config import DaggerConfig
from agents.cloning.expert import Expert
from agents.demonstrations.dataset import Demonstrations, check_same, minibatch_rows
from agents.nn.models import Model
from agents.nn.noise import NoiseStream
from helpers.checkpoints.shards import Shard
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from helpers.trackers.skrl_metrics import Tracking

NO_DEMOS = hashlib.sha256(b"[]").hexdigest()  # the fingerprint of none, as checkpoints have it


class Dagger:
    """An `Agent`.

    Args:
        observation_space: Box (obs_dim,).
        action_space: Box (act_dim,), Discrete or MultiDiscrete (D,).
        config: the run's configuration.
        workers: who shares the gradients.
        streams: the run's random streams.
        environments: which of the run's environments this worker steps, a slice of global indices.
        demos: what the dataset begins with; none in an evaluation.
        expert: None in an evaluation.

    Attributes:
        cloner: the policy.
        expert: labels states and acts with probability `beta`; None in an evaluation.
        rounds: what was visited, and what the expert would have done there.
    """

    def __init__(
        self,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space,
        config: DaggerConfig,
        workers: Workers,
        streams: Streams,
        environments: slice,
        demos: Demonstrations,
        expert: Expert | None = None,
    ) -> None:
        self.config, self.workers = config, workers
        self.tracking = Tracking(interval=config.tracking_interval, workers=workers)
        self.track_data, self.writer = self.tracking.track_data, self.tracking.writer
        self.environments = range(environments.start, environments.stop)
        self.rollout_len, self.rollouts_per_iteration = config.rollout_len // config.num_envs, 1
        self.cloner = Cloner(
            observation_space=observation_space,
            action_space=action_space,
            config=config,
            workers=workers,
            streams=streams,
            environments=self.environments,
        )
        self.parameters, self.actions = self.cloner.parameters, self.cloner.actions
        self.rounds = Rounds(
            environments=self.environments,
            total_envs=config.num_envs,
            action_space=action_space,
            workers=workers,
        )
        self._mixing = NoiseStream(
            "uniform",
            streams=streams,
            purpose="mixture",
            environments=self.environments,
            block_len=max(1, self.rollout_len),
            dim=1,
            dtype=np.dtype(np.float64),
        )
        self.expert = expert
        self.fingerprint = demos.fingerprint or ("" if config.task == "eval" else NO_DEMOS)
        self._first = demos.transitions.observations, demos.transitions.actions
        if len(demos):
            self.cloner.update_normalizer(demos.share(workers).observations)

    @property
    def beta(self) -> float:
        """How likely the expert acts in this round: 1 in the first one."""
        return float(self.config.beta_decay ** len(self.rounds))

    # Acting

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Actions (N, act_dim) or (N,) for raw observations (N, obs_dim).

        Those of a rollout are the mixture's: in each environment and at each step the expert's, with probability
        `beta`, or the policy's mode. An evaluation has no expert: they are samples of the policy, or its mode.
        """
        if not explore or self.expert is None:
            return self.cloner.predict(observations, sample=explore), {}
        is_experts = self._mixing.next()[:, 0] < self.beta
        if is_experts.all():
            return self.expert(observations), {}
        actions = self.cloner.predict(observations)
        if is_experts.any():
            actions = actions.copy()
            actions[is_experts] = self.expert(observations)[is_experts]
        return actions, {}

    # Learning

    def update(self, rollout: Transitions) -> Metrics:
        """Label what was visited, add it to the dataset, learn from all of it; collective."""
        assert self.expert is not None, "evaluations do not learn"
        config, cloner, beta = self.config, self.cloner, self.beta
        visited = rollout.observations
        labels = self.expert(visited.reshape(-1, visited.shape[-1]))
        self.rounds.add(visited, labels.reshape(*visited.shape[:2], *labels.shape[1:]))
        disagreement = cloner.mean_loss(*cloner.prepare(*self.rounds.last_round()))
        cloner.update_normalizer(visited)
        seen, made = self._dataset()
        progress = (len(self.rounds) - 1) * config.rollout_len / config.num_timesteps
        for _ in range(config.updates_per_round):
            rows = self._draw(len(seen))
            cloner.learn(seen[rows], made[rows], progress=progress)
        cloner.copy_to_policy()
        self._mixing.seek(len(self.rounds) * self.rollout_len)
        metrics = cloner.report()
        track_loss(self.tracking, metrics)
        return metrics | {
            "policy/loss_where_visited": disagreement,
            "expert/beta": beta,
            "update/epochs": config.updates_per_round * config.batch_size / len(seen),
            "update/policy_step_size": cloner.learning_rate(progress),
            "dataset/transitions": float(len(seen)),
        }

    def _draw(self, count: int) -> Tensor:
        """This worker's rows (b,) of the next minibatch of a dataset of `count` rows."""
        rows = minibatch_rows(
            self.config.seed,
            count,
            self.cloner.updates,
            batch_size=self.config.batch_size,
            workers=self.workers,
        )
        return torch.from_numpy(rows)

    def _dataset(self) -> tuple[Tensor, Tensor]:
        """All there is to learn from: the demonstrations, then the rounds in their order."""
        parts = zip(self._first, self.rounds.all_rounds(), strict=True)
        observations, actions = (np.concatenate(part) for part in parts)
        return self.cloner.prepare(observations, actions)

    # Saving

    def models(self) -> dict[str, Model]:
        """The policy."""
        return self.cloner.models()

    def state_dict(self) -> dict[str, Any]:
        """All but what was visited, the same on every worker."""
        return self.cloner.state_dict() | {
            "demonstrations": self.fingerprint,
            "expert": self.expert.fingerprint if self.expert else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of another architecture, or of other demonstrations or another expert.
        """
        check_same("the demonstrations", state["demonstrations"], self.fingerprint)
        if self.expert is not None:
            check_same("the weights of the expert", state["expert"], self.expert.fingerprint)
        self.cloner.load_state_dict(state)

    def local_state_dict(self) -> dict[str, Any]:
        """How many rounds there were."""
        return {"rounds": len(self.rounds)}

    def shards(self) -> Mapping[str, Shard]:
        """What this worker's environments visited, and the expert's actions there."""
        return self.rounds.shards()

    def load_local_state_dict(
        self,
        state: Mapping[str, Any],
        shards: Mapping[str, np.ndarray],
    ) -> None:
        """Take over what `local_state_dict` and `shards` gave; collective."""
        self.rounds.load(int(state["rounds"]), shards)
        self._mixing.seek(len(self.rounds) * self.rollout_len)

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        return self.cloner.synchronised_arrays()
