"""A minibatch of a discriminator: the policy's transitions and the expert's, with weights, labels and random numbers.

It is the same however the environments are spread over workers: the policy's samples come equally from each
environment by a stream of its own, and the expert's are dealt out to the environments.
Shapes: B the global minibatch, b this worker's part of it, k = B / environments samples of each environment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from agents.base import Transitions
from agents.demonstrations.dataset import Demonstrations, sequence_rows, take_rows
from agents.imitation import losses
from agents.imitation.config import ImitationConfig
from agents.imitation.inputs import InputBuilder, expert_weights
from agents.nn.noise import NoiseStream
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

LogProb = Callable[[np.ndarray, np.ndarray], np.ndarray]  # raw observations, actions -> (B,)
BLOCK = 100  # updates that random numbers are drawn for at a time


class Sample(Protocol):
    """The policy's transitions.

    Attributes:
        end_rate: the share of all of them, on all workers, that the task ended; asked for with absorbing states.
    """

    end_rate: float

    def __call__(self, uniforms: np.ndarray) -> Transitions:
        """Those at uniform places (N, k): (N k, ...), one environment's together."""


class DiscriminatorBatch:
    """What a discriminator learns from in one step.

    Args:
        rows: makes rows of transitions.
        demos: the expert's; with none of them, all that is judged is the policy.
        log_prob: the policy's log-probabilities, where logits have them subtracted.
        config, workers, streams: the run's.
        environments: the global indices of this worker's environments.

    Attributes:
        size: b.
        tensors: "expert.NAME" (b, ...) and "policy.NAME" (b, ...), with absorbing states (b + 1, ...), whose last
            row is their loop: what `InputBuilder` reads, "weight" (its sum over rows and workers is 1 in the mean of
            minibatches), "label", "log_prob"; "uniform" (b, 1 or 1 + d), of the penalty.
    """

    def __init__(
        self,
        rows: InputBuilder,
        *,
        demos: Demonstrations,
        log_prob: LogProb | None,
        config: ImitationConfig,
        workers: Workers,
        streams: Streams,
        environments: Sequence[int],
    ) -> None:
        self.rows, self.demos, self.log_prob = rows, demos, log_prob
        self.config, self.workers = config, workers
        weights = expert_weights(demos.transitions, config).astype(np.float64)
        self._expert_mean = float(weights.mean()) if len(demos) else 1.0
        self.drawn = 0
        samples = config.d_batch_size // config.num_envs  # k
        self.size = samples * len(environments)
        self._first = samples * min(environments, default=0)
        numbers = self._random_numbers()
        self._noises = {
            name: NoiseStream(
                "uniform",
                purpose=f"discriminator: {name}",
                streams=streams,
                environments=environments,
                block_len=BLOCK,
                dim=samples * count,
                dtype=np.dtype(np.float64),
            )
            for name, count in numbers.items()
        }
        dtype = getattr(torch, config.precision)
        sides = {"expert": self.size, "policy": self.size + rows.wraps}
        self._buffers = {side: rows.make_buffers(count) for side, count in sides.items()}
        self.tensors: dict[str, Tensor] = {
            "uniform": torch.zeros(self.size, numbers.get("penalty", 1), dtype=dtype),
        }
        for side, count in sides.items():
            self.tensors |= {f"{side}.{name}": each for name, each in self._buffers[side].items()}
            for name in ("weight", "label", "log_prob"):
                self.tensors[f"{side}.{name}"] = torch.zeros(count, dtype=dtype)
        self.tensors["expert.label"].fill_(1.0)
        if rows.wraps:  # one row for many steps: their mean label, the loss being linear in it
            mean = losses.mean_label(config.fake_ls_type, label=0.0)
            self.tensors["policy.label"][self.size :] = mean

    def _random_numbers(self) -> dict[str, int]:
        """How many a sample takes, by purpose."""
        config, found = self.config, {"places": 1}
        if config.grad_pen:
            found["penalty"] = 1 + self.rows.size * (config.grad_pen_type == "dragan")
        if config.real_ls_type != "none" or config.fake_ls_type != "none":
            found["labels"] = 2
        return found

    def seek(self, update: int) -> None:
        """Stand before this update, counted from 0."""
        self.drawn = update
        for noise in self._noises.values():
            noise.seek(update)

    def draw(self, sample: Sample) -> None:
        """Fill `tensors` with the next minibatch.

        Args:
            sample: the policy's transitions at uniform places (N, k).
        """
        policy, expert = sample(self._noises["places"].next()), self._expert()
        self.rows.fill_policy(self._buffers["policy"], policy)
        if expert is None:
            for name, buffers in self._buffers["expert"].items():
                buffers.copy_(self._buffers["policy"][name][: self.size])
        else:
            self.rows.fill_expert(self._buffers["expert"], expert)
        self._weigh(policy, expert, sample.end_rate)
        if "penalty" in self._noises:
            uniform = self._noises["penalty"].next().reshape(self.size, -1)
            self.tensors["uniform"].copy_(torch.from_numpy(uniform))
        if "labels" in self._noises:
            self._label(self._noises["labels"].next().reshape(self.size, 2))
        if self.log_prob is not None:
            self._fill_log_probs("policy", policy)
            self._fill_log_probs("expert", policy if expert is None else expert)

    def _expert(self) -> Transitions | None:
        """Rows for this worker's environments; None of no demonstrations."""
        if not len(self.demos):
            return None
        first = self.drawn * self.config.d_batch_size + self._first
        places = sequence_rows(self.demos.seed, len(self.demos), first, self.size)
        return take_rows(self.demos.transitions, places)

    def _weigh(self, policy: Transitions, expert: Transitions | None, end_rate: float) -> None:
        """A terminated step of the policy is followed by the loops of the absorbing state that its value counts.

        Divided by what a minibatch weighs in the mean, not by what this one does: a side whose ends are rare but
        weigh much would else count less of them than one whose ends are many and weigh little.
        """
        size = self.config.d_batch_size
        weights = np.zeros(self.size) if expert is None else expert_weights(expert, self.config)
        expert_weight = weights / (self._expert_mean * size)
        self.tensors["expert.weight"].copy_(torch.from_numpy(expert_weight))
        gamma = self.config.learner_config.gamma
        loops = losses.loops_of_an_end(gamma) if self.rows.wraps else 0.0
        mass = size * (1.0 + end_rate * loops)
        self.tensors["policy.weight"][: self.size] = 1.0 / mass
        ends = float(policy.terminated.sum())
        self.tensors["policy.weight"][self.size :] = ends * loops / mass

    def _fill_log_probs(self, side: str, given: Transitions) -> None:
        """The policy's log-probabilities; in the absorbing state nothing is chosen."""
        assert self.log_prob is not None
        observations = given.observations[:, : self.rows.full_dim]
        absorbing = self._buffers[side]["absorbing"][: self.size]
        actions = self.rows.with_choices(given.actions, absorbing.numpy())
        found = torch.from_numpy(self.log_prob(observations, actions))
        is_chosen = 1.0 - absorbing
        self.tensors[f"{side}.log_prob"][: self.size] = found * is_chosen

    def _label(self, uniform: np.ndarray) -> None:
        numbers = torch.from_numpy(uniform)
        for side, kind, label, column in (
            ("expert", self.config.real_ls_type, 1.0, 0),
            ("policy", self.config.fake_ls_type, 0.0, 1),
        ):
            labels = losses.smooth_labels(kind, numbers[:, column], label=label)
            self.tensors[f"{side}.label"][: self.size] = labels
