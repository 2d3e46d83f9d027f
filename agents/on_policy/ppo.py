"""Proximal policy optimisation, arXiv:1707.06347, for continuous and discrete actions.

Rollouts hold actions as the environment takes them; networks, densities and entropies are in units of its range
(agents/nn/action_scale.py).

One update, top to bottom: `PPO.update`. How it differs from the paper, and what every metric means, is in docs/ppo.md.
Shapes: T steps, N environments of this worker, B the global minibatch, b this worker's part, M minibatches an epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agents.base import Metrics, RewardFunction, Transitions, environment_reward
from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.nn.action_scale import ActionScale
from agents.nn.models import CriticModel, Model, PolicyModel
from agents.nn.noise import NoiseStream
from agents.nn.normalizer import ObservationNormalizer, ReturnNormalizer
from agents.on_policy import losses, reporting
from agents.on_policy.actor_critic import make_actor_critic
from agents.on_policy.config import PPOConfig
from agents.on_policy.guard import Trial, check_kernel
from agents.on_policy.learning_rates import LearningRates
from agents.on_policy.minibatches import Batch, sample_orders, standardise
from agents.on_policy.native_steps import NativeSteps, native_steps
from agents.on_policy.torch_steps import KL, TorchSteps
from agents.on_policy.value_units import ValueUnits
from helpers.checkpoints.shards import Shard
from helpers.errors import NumericalError
from helpers.parallel.workers import Workers
from helpers.pictures import picture_of
from helpers.seeding import Streams
from helpers.trackers.skrl_metrics import Tracking


class PPO:
    """A `Learner`. The global batch is fixed: W workers with N environments each see B/W samples.

    Args:
        observation_space: Box (obs_dim,).
        action_space: Box (act_dim,), Discrete or MultiDiscrete (D,).
        config: the run's configuration.
        workers: who shares the gradients.
        streams: the run's random streams.
        environments: which of the run's environments this worker steps, a slice of global indices.
    """

    def __init__(
        self,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space,
        config: PPOConfig,
        workers: Workers,
        streams: Streams,
        environments: slice,
    ) -> None:
        self.config, self.workers, self.streams = config, workers, streams
        self.tracking = Tracking(interval=config.tracking_interval, workers=workers)
        self.track_data, self.writer = self.tracking.track_data, self.tracking.writer
        self.environments = range(environments.start, environments.stop)
        self.rollout_len = config.rollout_len // config.num_envs
        self.rollouts_per_iteration = 1
        self.num_minibatches = config.rollout_len // config.batch_size
        self.local_share = len(self.environments) / config.num_envs  # b / B
        self.dtype = np.dtype(config.precision)
        (observation_dim,) = observation_space.shape
        self.picture = picture_of(observation_space) if config.sees_pictures else None
        self.actions = ActionScale(action_space, self.dtype, squashes=False)
        if config.task == "train" and workers.is_root:
            reporting.warn_of_unbounded(self.actions)
        self.actor, self.critic = make_actor_critic(
            self.picture or observation_dim,
            action_space,
            config,
            seed=streams.integer("initialisation"),
        )
        self.parameters = FlatParameters({"policy": self.actor, "value": self.critic})
        workers.broadcast_(self.parameters.values)
        self.optimizer = FlatAdam(self.parameters, native=config.compile)
        parts: dict[str, Any] = {
            "parameters": self.parameters,
            "optimizer": self.optimizer,
            "config": config,
            "workers": workers,
        }
        self.gradient_steps = self.make_steps(parts)
        self.noise = NoiseStream(
            self.actor.noise,
            streams=streams,
            purpose="exploration",
            environments=self.environments,
            block_len=self.rollout_len,
            dim=self.actor.noise_dim,
            dtype=self.dtype,
        )
        standardised = 0 if self.picture else observation_dim  # pictures are divided by 255
        self.observation_normalizer = ObservationNormalizer(standardised, dtype=self.dtype)
        self.return_normalizer = ReturnNormalizer(active=config.normalize_values)
        self.value_units = ValueUnits(self.return_normalizer, self.critic, workers)
        self.learning_rates = LearningRates(config)
        self.iteration = self.steps = 0

    def make_steps(self, parts: dict[str, Any]) -> NativeSteps | TorchSteps:
        """What takes the gradient steps: C where it can be had."""
        nets = (self.actor, self.critic)
        in_torch = TorchSteps(*nets, loss=self.loss, share=self.local_share, **parts)
        return native_steps(*nets, in_torch=in_torch, **parts) or in_torch

    def begin(self) -> None:
        """Let be compiled what training needs, while the first rollout is collected."""
        if isinstance(self.gradient_steps, TorchSteps):
            shape = (self.rollout_len, len(self.environments))
            self.gradient_steps.begin(shape, self.extra_columns())

    # Acting

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Actions (N, act_dim) or (N,) for raw observations (N, obs_dim): sampled, or the mode."""
        noise = self.noise.next() if explore else None
        actions = self.gradient_steps.act(observations, self._policy_normalizer, noise)
        return self.actions.to_environment(actions), {}

    @property
    def _policy_normalizer(self) -> ObservationNormalizer | None:
        return self.observation_normalizer if self.config.p_batch_norm else None

    def log_prob(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log-probabilities (B,) of actions (B, ...), unclipped, in raw observations (B, obs_dim).

        Actions are as the environment takes them, their density is that of the policy's units.
        """
        made = self.actions.to_networks(torch.from_numpy(actions))
        with torch.no_grad():
            inputs = torch.from_numpy(self._policy_input(observations))
            found, _ = self.actor.log_prob_and_entropy(inputs, made)
        return np.asarray(found.numpy())

    def _policy_input(self, observations: np.ndarray) -> np.ndarray:
        return self._input(observations, self.config.p_batch_norm)

    def _value_input(self, observations: np.ndarray) -> np.ndarray:
        return self._input(observations, self.config.v_batch_norm)

    def _input(self, observations: np.ndarray, is_standardised: bool) -> np.ndarray:
        if self.picture is None:  # bytes stay, which the networks scale
            observations = np.asarray(observations, dtype=self.dtype)
        return self.observation_normalizer(observations) if is_standardised else observations

    # Learning

    def update(
        self,
        rollout: Transitions,
        reward: RewardFunction = environment_reward,
    ) -> Metrics:
        """Several epochs of clipped policy gradient and value regression; collective."""
        config, rewards = self.config, np.ascontiguousarray(reward(rollout), dtype=self.dtype)
        learning_rates = self.learning_rates.begin(self.steps)
        self.value_units.begin(rewards, rollout, self.gradient_steps.gae)
        policy_input = torch.from_numpy(self._policy_input(rollout.observations)).flatten(0, 1)
        data = {
            "policy_input": policy_input,
            "value_input": (
                policy_input
                if config.p_batch_norm == config.v_batch_norm
                else torch.from_numpy(self._value_input(rollout.observations)).flatten(0, 1)
            ),
            "action": self.actions.to_networks(torch.from_numpy(rollout.actions)).flatten(0, 1),
        }
        data |= self.extra_columns()
        fresh = rollout.rows_with_own_successor()
        next_input = torch.from_numpy(self._value_input(rollout.next_observations[fresh]))
        orders = sample_orders(
            self.streams,
            environments=self.environments,
            iteration=self.iteration,
            epochs=config.optim_epochs_per_iter,
            rollout_len=self.rollout_len,
            count=self.num_minibatches,
        )

        def evaluate() -> dict[str, Tensor]:
            """Log-probabilities are those of the first epoch's minibatches, so that its first ratio is exactly 1."""
            found = self._estimate(data["value_input"], next_input, fresh, rewards, rollout)
            data["old_value"] = found["value"]
            data["old_log_prob"] = self.gradient_steps.log_probs(data, orders[0])
            return found

        estimate = evaluate()
        if isinstance(self.gradient_steps, NativeSteps) and not self.gradient_steps.is_checked:
            trial = Trial.of(data | estimate, orders, rollout, normalizer=self._policy_normalizer)
            self.gradient_steps = check_kernel(self.gradient_steps, trial)
            estimate = evaluate()
        fit = reporting.variance_sums(estimate["target"], estimate["value"])
        step_metrics: list[Tensor] = []
        for epoch, order in enumerate(orders):
            if epoch > 0 and config.recompute_advantages:
                estimate = self._estimate(data["value_input"], next_input, fresh, rewards, rollout)
            data["target"] = estimate["target"]
            data["advantage"] = self._scaled_advantage(estimate["advantage"], order)
            epoch_metrics = self.gradient_steps.epoch(data, order, learning_rates)
            step_metrics.append(epoch_metrics)
            if config.target_kl > 0.0 or config.lr_schedule == "adaptive":
                kl = self._mean_over_workers(epoch_metrics)[self.gradient_steps.names.index(KL)]
                learning_rates = self.learning_rates.adapt(kl)
                if 0.0 < config.target_kl < kl:
                    break
        metrics = self._metrics(torch.cat(step_metrics), fit) | {
            "update/epochs": float(len(step_metrics)),
            "update/policy_step_size": learning_rates["policy"],
            "update/value_step_size": learning_rates["value"],
        }
        steps = sum(map(len, step_metrics))
        reporting.track(self.tracking, metrics, steps=steps, entropy_scale=config.p_ent_reg_scale)
        self.value_units.update(estimate["target"].numpy())
        self.observation_normalizer.update(rollout.observations, workers=self.workers)
        self.iteration += 1
        self.steps += self.config.rollout_len
        return metrics

    def extra_columns(self) -> dict[str, Tensor]:
        """What else a minibatch of the loss has, (T * N, ...)."""
        return {}

    def _estimate(
        self,
        value_input: Tensor,
        next_input: Tensor,
        fresh: np.ndarray,
        rewards: np.ndarray,
        rollout: Transitions,
    ) -> dict[str, Tensor]:
        """Values, advantages and value targets (T * N,) under the current critic.

        The critic speaks in standard deviations of the returns from their running mean; advantages
        are in units of reward. `next_input` holds the successors that are nobody's observation.
        """
        steps, denormalize = self.gradient_steps, self.return_normalizer.denormalize
        value = steps.values(value_input)
        in_rewards = denormalize(value.numpy().reshape(rewards.shape))
        next_values = np.empty_like(in_rewards)
        next_values[:-1] = in_rewards[1:]
        next_values[fresh] = denormalize(steps.values(next_input).numpy())
        advantages = steps.gae(
            rewards,
            in_rewards,
            next_values=next_values,
            terminated=rollout.terminated,
            truncated=rollout.truncated,
        )
        advantage = torch.from_numpy(advantages).flatten()
        return {
            "value": value,
            "advantage": advantage,
            "target": advantage / self.return_normalizer.sd + value,
        }

    def _scaled_advantage(self, advantage: Tensor, order: Tensor) -> Tensor:
        if not self.config.normalize_advantages:
            return advantage
        return standardise(
            advantage,
            order,
            batch_size=self.config.batch_size,
            workers=self.workers,
        )

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Policy, value and entropy terms of a minibatch: the loss, and scalars by name for metrics."""
        config = self.config
        log_prob, entropy = self.actor.log_prob_and_entropy(batch["policy_input"], batch["action"])
        policy_loss, policy_metrics = losses.ppo_clip_loss(
            log_prob,
            batch["old_log_prob"],
            advantage=batch["advantage"],
            clip_ratio=config.clip_ratio,
        )
        value_loss = losses.value_loss(
            self.critic(batch["value_input"]),
            batch["target"],
            old_value=batch["old_value"],
            value_clip=config.value_clip,
        )
        loss = policy_loss + config.baseline_scale * value_loss - config.p_ent_reg_scale * entropy
        return loss, {
            "policy/loss": policy_loss,
            "value/loss": value_loss,
            "policy/entropy": entropy,
            KL: policy_metrics["approx_kl"],
            "policy/clip_fraction": policy_metrics["clip_fraction"],
        }

    # Reporting

    def _mean_over_workers(self, step_metrics: Tensor) -> np.ndarray:
        """Global means (names,) of per-step metrics (steps, names)."""
        mean = step_metrics.double().mean(0).numpy()
        self.workers.sum_(mean)
        return mean

    def _metrics(self, step_metrics: Tensor, fit: np.ndarray) -> dict[str, float]:
        """Global means over the iteration's gradient steps.

        Raises:
            NumericalError: on every worker alike, since the numbers are all-reduced.
        """
        means = self._mean_over_workers(step_metrics)
        for name, value in zip(self.gradient_steps.names, means, strict=True):
            if not np.isfinite(value):
                raise NumericalError(
                    f"{name} became {value} in iteration {self.iteration + 1}",
                    "lower --p_lr and --v_lr or --clip_norm; the last checkpoint is intact",
                )
        self.workers.sum_(fit)
        metrics = dict(zip(self.gradient_steps.names, map(float, means), strict=True))
        metrics |= reporting.value_metrics(fit / self.config.rollout_len, self.return_normalizer)
        return metrics | reporting.policy_std(self.actor)

    # Saving

    def models(self) -> dict[str, Model]:
        """The policy, and the value in units of reward."""
        of_value = self.observation_normalizer if self.config.v_batch_norm else None
        policy = PolicyModel(self.actor, normalizer=self._policy_normalizer, scale=self.actions)
        value = CriticModel(self.critic, normalizer=of_value, returns=self.return_normalizer)
        return {"policy": policy, "value": value}

    def state_dict(self) -> dict[str, Any]:
        """Parameters, moments, normalisers, counters. Random streams follow from the iteration."""
        return {
            "parameters": self.parameters.state_dict(),
            "actions": self.actions.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "observations": self.observation_normalizer.state_dict(),
            "returns": self.return_normalizer.state_dict(),
            "iteration": self.iteration,
            "steps": self.steps,
            "step_size_scale": self.learning_rates.scale,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of another architecture.
        """
        self.parameters.load_checkpoint(
            state["parameters"],
            remedy="give the --p_perception_stack, --v_perception_stack and --env_id of its run",
        )
        self.actions.load_state_dict(state.get("actions"))
        self.optimizer.load_state_dict(state["optimizer"])
        self.gradient_steps.forget()
        self.observation_normalizer.load_state_dict(state["observations"])
        self.return_normalizer.load_state_dict(state["returns"])
        self.iteration = int(state["iteration"])
        self.steps = int(state.get("steps", self.iteration * self.config.rollout_len))
        self.learning_rates.scale = float(state["step_size_scale"])
        self.noise.rewind(self.iteration)

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
        return {
            "parameters": self.parameters.values.numpy(),
            "optimizer.moment1": self.optimizer.moment1.numpy(),
            "optimizer.moment2": self.optimizer.moment2.numpy(),
            "observations.mean": self.observation_normalizer.mean,
            "observations.m2": self.observation_normalizer.m2,
            "returns.m2": self.return_normalizer.m2,
        }
