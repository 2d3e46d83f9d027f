"""Behaviour cloning: regression on an expert's actions, stopped early on trajectories that are held out.

One update is one gradient step, and takes no rollout. What is minimised, and what every metric means, is in docs/bc.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch

from agents.base import Metrics, Transitions
from agents.cloning.cloner import Cloner, check_finite, track_loss
from agents.cloning.config import BCConfig
from agents.demonstrations.dataset import Demonstrations, check_same, minibatch_rows
from agents.nn.models import Model
from helpers.checkpoints.shards import Shard
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from helpers.trackers.skrl_metrics import Tracking


class BC:
    """An `Agent`. The global batch is fixed: each of W workers sees B/W samples of it.

    Args:
        observation_space: Box (obs_dim,).
        action_space: Box (act_dim,), Discrete or MultiDiscrete (D,).
        config: the run's configuration.
        workers: who shares the gradients.
        streams: the run's random streams.
        environments: which of the run's environments this worker has, a slice of global indices.
        demos: the expert's; none in an evaluation.

    Attributes:
        cloner: the policy. What acts, and is saved to be evaluated, fitted the held-out demonstrations best so far.
        best_loss: the loss of that one there; infinite before the first look, or where nothing is held out.
        waited: looks since then.
        is_done: whether it has waited long enough.
    """

    def __init__(
        self,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space,
        config: BCConfig,
        workers: Workers,
        streams: Streams,
        environments: slice,
        demos: Demonstrations,
    ) -> None:
        self.config, self.workers = config, workers
        self.tracking = Tracking(interval=config.tracking_interval, workers=workers)
        self.track_data, self.writer = self.tracking.track_data, self.tracking.writer
        self.environments = range(environments.start, environments.stop)
        self.rollout_len = 0
        self.rollouts_per_iteration = config.steps_per_iteration
        self.cloner = Cloner(
            observation_space=observation_space,
            action_space=action_space,
            config=config,
            workers=workers,
            streams=streams,
            environments=self.environments,
        )
        self.parameters, self.actions = self.cloner.parameters, self.cloner.actions
        self.best_loss, self.waited, self.is_done = math.inf, 0, False
        self.fingerprint = demos.fingerprint
        if config.task != "eval":
            learned, judged = demos.split_held_out(config.held_out_demos)
            self.cloner.update_normalizer(learned.share(workers).observations)
            self._learned, self._judged = learned.transitions, judged.transitions
            self._prepare()

    def _prepare(self) -> None:
        """Rows in the policy's units."""
        self._train_rows, self._held_out_rows = (
            self.cloner.prepare(each.observations, each.actions)
            for each in (self._learned, self._judged)
        )

    # Acting

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Actions (N, act_dim) or (N,) for raw observations (N, obs_dim): sampled, or the mode."""
        return self.cloner.predict(observations, sample=explore), {}

    # Learning

    def update(self, rollout: Transitions) -> Metrics:
        """A gradient step; collective. The rollout is empty.

        Metrics come with the last update of an iteration; the others give none.
        """
        config, cloner = self.config, self.cloner
        seen, made = self._train_rows
        rows = torch.from_numpy(
            minibatch_rows(
                config.seed,
                len(seen),
                cloner.updates,
                batch_size=config.batch_size,
                workers=self.workers,
            ),
        )
        cloner.learn(seen[rows], made[rows], progress=cloner.updates / config.num_timesteps)
        if cloner.updates % self.rollouts_per_iteration:
            return {}
        metrics = cloner.report() | self._select_best()
        track_loss(self.tracking, metrics)
        passes = cloner.updates * config.batch_size / len(seen)
        return metrics | {
            "update/epochs": passes,
            "update/policy_step_size": cloner.learning_rate(
                (cloner.updates - 1) / config.num_timesteps,
            ),
            "dataset/transitions": float(len(seen)),
            "dataset/held_out": float(len(self._held_out_rows[0])),
        }

    def _select_best(self) -> dict[str, float]:
        """Let the policy act that fits best what is held out, the last one where nothing is; collective."""
        if not len(self._held_out_rows[0]):
            self.cloner.copy_to_policy()
            return {}
        loss = self.cloner.mean_loss(*self._held_out_rows)
        check_finite("policy/held_out_loss", loss, updates=self.cloner.updates)
        if loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
            self.cloner.copy_to_policy()
        else:
            self.waited += 1
        self._finish()
        return {"policy/held_out_loss": loss, "policy/best_held_out_loss": self.best_loss}

    def _finish(self) -> None:
        self.is_done = 0 < self.config.patience <= self.waited

    # Saving

    def models(self) -> dict[str, Model]:
        """The policy."""
        return self.cloner.models()

    def state_dict(self) -> dict[str, Any]:
        """All there is. Minibatches follow from the count of updates."""
        return self.cloner.state_dict() | {
            "best_loss": self.best_loss,
            "waited": self.waited,
            "demonstrations": self.fingerprint,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of another architecture, or was learned from other demonstrations.
        """
        check_same("the demonstrations", state["demonstrations"], self.fingerprint)
        self.cloner.load_state_dict(state)
        if self.config.task != "eval":
            self._prepare()
        self.best_loss, self.waited = float(state["best_loss"]), int(state["waited"])
        self._finish()

    def local_state_dict(self) -> dict[str, Any]:
        """Nothing is this worker's alone."""
        return {}

    def shards(self) -> Mapping[str, Shard]:
        """Nothing is large."""
        return {}

    def load_local_state_dict(
        self,
        state: Mapping[str, Any],
        shards: Mapping[str, np.ndarray],
    ) -> None:
        """Nothing is this worker's alone."""

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        return self.cloner.synchronised_arrays()
