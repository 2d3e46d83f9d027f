"""The reward of transitions under a reward model, with the value of what comes after the task's end."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from agents.base import Transitions
from agents.compute.compiled_step import CompiledStep
from agents.imitation import losses
from agents.imitation.config import ImitationConfig
from agents.imitation.inputs import InputBuilder

Tensors = Mapping[str, Tensor]
Judge = Callable[[Tensors, Tensor], Tensor]
LogProb = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Scorer:
    """Rewards for transitions, compiled for the number of them that it is first asked for.

    Args:
        rows: makes rows of transitions.
        judge: rewards (B,) of rows (B, d), from the model's tensors and "goes_on", "log_prob" (B,).
        tensors: the model's, which it only reads.
        config: the run's.
        native: whether to compile.
    """

    def __init__(
        self,
        rows: InputBuilder,
        judge: Judge,
        tensors: Tensors,
        *,
        config: ImitationConfig,
        native: bool,
    ) -> None:
        self.rows, self.judge, self.config, self.native = rows, judge, config, native
        self._model = {
            n: t
            for n, t in tensors.items()
            if n in ("values", "vectors", "offset", "scale", "width")
        }
        self._steps: dict[int, tuple[dict[str, Tensor], CompiledStep]] = {}

    def begin(self, count: int) -> None:
        """Let be compiled what is to be asked of `count` transitions."""
        if count not in self._steps:
            self._steps[count] = self._make_step(count)
        self._steps[count][1].begin()

    def __call__(self, transitions: Transitions, log_prob: LogProb | None) -> np.ndarray:
        """Rewards, a new array of the transitions' leading shape.

        Args:
            transitions: (B, ...) or (T, N, ...), raw.
            log_prob: the policy's log-probabilities, where the reward has them.
        """
        lead = transitions.rewards.shape
        given = flatten(transitions)
        count = len(given.rewards)
        if count not in self._steps:
            self._steps[count] = self._make_step(count)
        buffers, step = self._steps[count]
        self.rows.fill_policy(buffers, given)
        if log_prob is not None:
            found = log_prob(given.observations, given.actions)
            step.tensors["log_prob"][:count] = torch.from_numpy(found)
        step()
        return step.tensors["reward"].numpy()[:count].reshape(lead).copy()

    def _make_step(self, count: int) -> tuple[dict[str, Tensor], CompiledStep]:
        buffers = self.rows.make_buffers(count + self.rows.wraps)
        dtype = buffers["ends"].dtype
        extra = {
            name: torch.zeros(count + self.rows.wraps, dtype=dtype)
            for name in ("reward", "log_prob")
        }
        native = self.native and not self._steps
        return buffers, CompiledStep(
            "discriminator reward",
            self._score,
            self._model | buffers | extra,
            native=native,
        )

    def _score(self, t: Tensors) -> None:
        config = self.config
        rows = self.rows.rows(t, offset=t["offset"], scale=t["scale"])
        rewards = losses.clip_and_scale(
            self.judge(t, rows),
            scale=config.syn_rew_scale,
            limit=config.syn_rew_clip,
        ).detach()
        if self.rows.wraps:
            absorbing = rewards[-1]
            rewards = losses.with_end_value(
                rewards,
                t["ends"],
                absorbing=absorbing,
                gamma=config.learner_config.gamma,
            )
        t["reward"].copy_(rewards)


def flatten(transitions: Transitions) -> Transitions:
    """(T, N, ...) as (T N, ...), in that order; (B, ...) as it is."""
    lead = transitions.rewards.ndim

    def flat(array: np.ndarray) -> np.ndarray:
        return array.reshape(-1, *array.shape[lead:])

    return Transitions(
        observations=flat(transitions.observations),
        actions=flat(transitions.actions),
        rewards=flat(transitions.rewards),
        next_observations=flat(transitions.next_observations),
        terminated=flat(transitions.terminated),
        truncated=flat(transitions.truncated),
    )
