"""What behaviour cloning and DAgger share: a policy, gradient steps that draw it towards actions, and its saving.

Two sets of parameters of one form: `learning` moves with each gradient step, `parameters` acts, and takes over the
former when `copy_to_policy` is called. Shapes: B the global minibatch, b this worker's part of it, D rows of a dataset.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agents.base import Metrics
from agents.cloning.config import CloningConfig
from agents.cloning.policies import make_policy
from agents.common_settings import hidden_sizes
from agents.compute.compiled_policy import CompiledPolicy
from agents.compute.compiled_step import CompiledStep
from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.nn.action_scale import ActionScale
from agents.nn.models import Model, PolicyModel
from agents.nn.noise import NoiseStream
from agents.nn.normalizer import ObservationNormalizer
from helpers.episodes import choice_sizes, clip_actions
from helpers.errors import NumericalError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

BLOCK = 1024  # steps of random numbers drawn at a time
CHUNK = 4096  # rows judged at a time


class Cloner:
    """A policy that regresses on actions.

    Args:
        observation_space: Box (obs_dim,).
        action_space: Box (A,), with bounds where it is squashed, Discrete or MultiDiscrete (D,).
        config: the run's configuration.
        workers: who shares the gradients.
        streams: the run's random streams.
        environments: global indices of the environments that this worker acts in.

    Attributes:
        parameters: of the policy that acts.
        learning: of the policy that learns.
        observation_normalizer: standardises for both.
        updates: gradient steps so far.
        actions: their units.
    """

    def __init__(
        self,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space,
        config: CloningConfig,
        workers: Workers,
        streams: Streams,
        environments: range,
    ) -> None:
        self.config, self.workers, self.action_space = config, workers, action_space
        self.dtype = np.dtype(config.precision)
        dtype = getattr(torch, config.precision)
        (self.observation_dim,) = observation_space.shape
        self.is_discrete = bool(choice_sizes(action_space))
        is_squashed = config.squash_actions and not self.is_discrete
        squashes = is_squashed or self.is_discrete
        self.actions = ActionScale(action_space, self.dtype, squashes=squashes)
        self.policy = make_policy(
            observations=self.observation_dim,
            hidden=hidden_sizes(config.p_perception_stack),
            actions=self.actions.dim,
            sizes=self.actions.sizes,
            is_several=self.is_discrete and self.actions.shape != (),
            activation=config.p_activation,
            init=config.init,
            loss=config.cloning_loss,
            log_std=(config.log_std_min, config.log_std_max),
            squash=is_squashed,
            generator=torch.Generator().manual_seed(streams.integer("initialisation")),
            dtype=dtype,
        )
        self.learner = copy.deepcopy(self.policy)
        self.parameters = FlatParameters({"policy": self.policy})
        self.learning = FlatParameters({"policy": self.learner})
        for each in (self.parameters, self.learning):
            workers.broadcast_(each.values)
        native = config.compile and dtype == torch.float32
        self.optimizer = FlatAdam(self.learning, epsilon=1e-8, native=native)
        self.observation_normalizer = ObservationNormalizer(self.observation_dim, dtype=self.dtype)
        self.updates = 0
        self._norms = self._count = 0.0  # of gradients since the last report
        self._noise = NoiseStream(
            self.policy.noise or "normal",
            streams=streams,
            purpose="exploration",
            environments=environments,
            block_len=BLOCK,
            dim=self.policy.noise_dim,
            dtype=self.dtype,
        )
        self._compiled_policy = CompiledPolicy(
            f"{config.algo} policy",
            self.policy.act,
            parameters=self.parameters,
            native=native,
        )
        self._tensors = {
            "values": self.learning.values,
            "gradients": self.learning.gradients,
            "loss": torch.zeros(1, dtype=dtype),
            "offset": torch.zeros(self.observation_dim, dtype=dtype),
            "scale": torch.ones(self.observation_dim, dtype=dtype),
        }
        self._native = native
        self._step: CompiledStep | None = None  # made with the first minibatch

    # Acting

    def predict(self, observations: np.ndarray, *, sample: bool = False) -> np.ndarray:
        """Actions (N, A) as environments take them, or choices (N,) or (N, D), for raw observations (N, obs_dim).

        They are the policy's mode, or samples of it where it has a distribution; (N, A) inside their bounds.
        """
        standard = np.asarray(observations, dtype=self.dtype)
        if self.config.p_batch_norm:
            standard = self.observation_normalizer(standard)
        noise = self._noise.next() if sample and self.policy.noise else None
        actions = self.actions.to_environment(self._compiled_policy(standard, noise))
        return actions if self.actions.squashes else clip_actions(actions, self.action_space)

    # Learning

    def prepare(self, observations: np.ndarray, actions: np.ndarray) -> tuple[Tensor, Tensor]:
        """Rows (D, ...) as `learn` and `mean_loss` take them: raw observations, actions as the policy gives them.

        Actions beyond the bounds count as what the environment makes of them.
        """
        seen = torch.from_numpy(np.ascontiguousarray(observations, dtype=self.dtype))
        if self.is_discrete:
            chosen = torch.from_numpy(np.ascontiguousarray(actions, dtype=np.int64))
            return seen, self.actions.to_networks(chosen)
        executed = clip_actions(actions, self.action_space).astype(self.dtype)
        return seen, self.actions.to_networks(torch.from_numpy(executed))

    def learn(self, observations: Tensor, actions: Tensor, *, progress: float) -> None:
        """A gradient step on this worker's part (b, ...) of a minibatch; collective.

        Args:
            observations, actions: rows of `prepare`.
            progress: how much of the training is done, 0 to 1, for the learning rate.
        """
        tensors = {"observation": observations, "action": actions}
        if self._step is None:
            self._tensors |= tensors
            self._copy_normalizer()
            label = f"{self.config.algo} gradient"
            self._step = CompiledStep(label, self._gradient, self._tensors, native=self._native)
        self._step(**tensors)
        gradients = self.learning.gradients
        self.workers.sum_(gradients)
        if self.config.weight_decay:
            gradients.add_(self.learning.values, alpha=self.config.weight_decay)
        self._norms += self.optimizer.step_(
            {"policy": self.learning_rate(progress)},
            clip_norm=self.config.clip_norm,
        )
        self._count += 1
        self.updates += 1

    def learning_rate(self, progress: float) -> float:
        """Adam's, of the part of the training that is done."""
        rest = 1.0 - progress if self.config.lr_schedule == "linear" else 1.0
        return float(self.config.p_lr * max(0.0, rest))

    def _gradient(self, t: Mapping[str, Tensor]) -> None:
        """This worker's share of a minibatch's gradient, and of its loss."""
        standard = self._standardise(t["observation"], t)

        def loss() -> tuple[Tensor, Tensor]:
            value = self.learner.loss(standard, t["action"])
            return value, value.detach()

        gradients, value = self.learning.gradient(loss, t["values"])
        share = 1.0 / self.workers.size
        t["gradients"].copy_(gradients * share)
        t["loss"].add_(value * share)

    def _standardise(self, observations: Tensor, t: Mapping[str, Tensor]) -> Tensor:
        if not self.config.p_batch_norm:
            return observations
        limit = self.observation_normalizer.CLIP
        return ((observations - t["offset"]) * t["scale"]).clamp(-limit, limit)

    def update_normalizer(self, observations: np.ndarray) -> None:
        """Let the moments take in observations (..., obs_dim) of each worker; collective."""
        self.observation_normalizer.update(observations, workers=self.workers)
        self._copy_normalizer()

    def _copy_normalizer(self) -> None:
        self._tensors["offset"].copy_(torch.from_numpy(self.observation_normalizer.offset))
        self._tensors["scale"].copy_(torch.from_numpy(self.observation_normalizer.scale))

    def mean_loss(self, observations: Tensor, actions: Tensor) -> float:
        """The mean loss of what learns on rows (D, ...) that every worker has, D at least 1; collective."""
        mine = self.workers.share(len(observations))
        total = np.zeros(1)
        with torch.no_grad():
            for start in range(mine.start, mine.stop, CHUNK):
                rows = slice(start, min(start + CHUNK, mine.stop))
                standard = self._standardise(observations[rows], self._tensors)
                value = self.learner.loss(standard, actions[rows])
                total += float(value) * (rows.stop - rows.start)
        self.workers.sum_(total)
        return float(total[0]) / len(observations)

    def copy_to_policy(self) -> None:
        """What has learned acts from now on."""
        self.parameters.values.copy_(self.learning.values)

    def report(self) -> dict[str, float]:
        """Means over the gradient steps since the last call; collective.

        Raises:
            NumericalError: on every worker alike.
        """
        total = self._tensors["loss"].numpy().astype(np.float64)
        self._tensors["loss"].zero_()
        self.workers.sum_(total)
        count, norms = max(1.0, self._count), self._norms
        metrics = {
            "policy/loss": float(total[0]) / count,
            "update/gradient_norm": norms / count,
            "update/count": float(self._count),
        }
        self._norms = self._count = 0.0
        for name, value in metrics.items():
            check_finite(name, value, updates=self.updates)
        return metrics

    # Saving

    def models(self) -> dict[str, Model]:
        """The policy that acts."""
        normalizer = self.observation_normalizer if self.config.p_batch_norm else None
        return {"policy": PolicyModel(self.policy, normalizer=normalizer, scale=self.actions)}

    def state_dict(self) -> dict[str, Any]:
        """Both sets of parameters, the optimizer's moments, those of observations, the count."""
        moments = self.observation_normalizer.state_dict()
        # bounds are those of the environment where actions are squashed into them
        units = self.actions.state_dict() if self.is_discrete or not self.actions.squashes else {}
        return {
            **({"actions": units} if units or not self.actions.squashes else {}),
            "parameters": self.parameters.state_dict(),
            "learning": self.learning.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            # A number of numpy's before it is loaded, one of Python's after: the same bytes from both.
            "observations": moments | {"count": float(moments["count"])},
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of another architecture.
        """
        remedy = "give the --p_perception_stack, --cloning_loss and --env_id of its run"
        if self.is_discrete or not self.actions.squashes:
            self.actions.load_state_dict(state.get("actions"))
        self.parameters.load_checkpoint(state["parameters"], remedy=remedy)
        self.learning.load_checkpoint(state["learning"], remedy=remedy)
        self.optimizer.load_state_dict(state["optimizer"])
        self.observation_normalizer.load_state_dict(state["observations"])
        self._copy_normalizer()
        self.updates = int(state["updates"])

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        return {
            "parameters": self.parameters.values.numpy(),
            "learning": self.learning.values.numpy(),
            "optimizer.moment1": self.optimizer.moment1.numpy(),
            "optimizer.moment2": self.optimizer.moment2.numpy(),
            "observations.mean": self.observation_normalizer.mean,
            "observations.m2": self.observation_normalizer.m2,
        }


def check_finite(name: str, value: float, *, updates: int) -> None:
    """Raises NumericalError for a number that all workers share."""
    if not np.isfinite(value):
        raise NumericalError(
            f"{name} became {value} after {updates} updates",
            "lower --p_lr, or limit the gradient by --clip_norm=1; the last checkpoint is intact",
        )


def track_loss(tracking: Any, metrics: Metrics) -> None:
    """skrl's metric of an iteration's gradient steps."""
    tracking.add("Loss / Policy loss", metrics["policy/loss"], weight=metrics["update/count"])
