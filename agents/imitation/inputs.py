"""Transitions of expert and policy as rows of numbers that a reward model judges, alike for both.

An action is what reaches the environment: cut to its bounds, in [-1, 1]; a choice is one-hot, several lie one
behind another. Observations are standardised, by moments of the reward model's own. An absorbing state is zeros, with a
1 in a column of its own.
Shapes: B transitions, S numbers of an observation, A of an action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from agents.base import Transitions
from agents.demonstrations.dataset import LOOP, Demonstrations
from agents.imitation import losses
from agents.imitation.config import ImitationConfig
from agents.nn import distributions
from agents.nn.action_scale import center_and_half
from agents.nn.normalizer import RunningMoments
from helpers.episodes import choice_sizes
from helpers.parallel.workers import Workers

CLIP = 10.0
# floor on the standard deviation: otherwise the discriminator could separate near-constant features by rounding noise
SMALLEST_SD = 0.1
COLUMNS = ("observation", "action", "next_observation", "absorbing", "ends", "goes_on")
Tensors = Mapping[str, Tensor]


class InputBuilder:
    """From transitions to rows (B, d): state, action, successor, as far as they are judged.

    Args:
        observation_dim: S.
        action_space: Box (A,), Discrete or MultiDiscrete (D,).
        config: the run's.
        unseen: numbers of an observation that are not judged.

    Attributes:
        full_dim: S.
        columns: those of an observation that are judged.
        observation_dim: how many these are.
        states: columns of a state: these, and one more with absorbing states.
        size: d.
        sizes: of how many each choice of an action is; empty of vectors.
        wraps: whether there are absorbing states.
    """

    def __init__(
        self,
        observation_dim: int,
        action_space: gymnasium.Space,
        config: ImitationConfig,
        unseen: Sequence[int] = (),
    ) -> None:
        self.wraps: bool = config.wrap_absorb
        self.full_dim = observation_dim
        self.columns = np.setdiff1d(np.arange(observation_dim), np.array(unseen, dtype=np.int64))
        self.observation_dim = len(self.columns)
        self.states = self.observation_dim + self.wraps
        self.dtype = np.dtype(config.precision)
        self.is_airl = config.algo == "airl"
        self.has_action = not (config.state_only or config.state_state)
        self.has_successor = config.state_state or self.is_airl
        self.sizes = choice_sizes(action_space)
        self.is_discrete = bool(self.sizes)
        self.actions: int
        self.action_shape: tuple[int, ...] = tuple(action_space.shape or ())
        if self.is_discrete:
            self.actions = sum(self.sizes)
            self._starts = torch.as_tensor(getattr(action_space, "start"))  # noqa: B009
            self._begins_at_zero = not self._starts.any()
        else:
            assert isinstance(action_space, gymnasium.spaces.Box)
            self.actions = action_space.shape[0]
            bounded, center, half = center_and_half(action_space)
            limit = np.where(bounded, 1.0, np.inf)
            self._center, self._half, self._limit = (
                torch.from_numpy(each.astype(self.dtype)) for each in (center, half, limit)
            )
        self.size = self.states * (1 + self.has_successor) + self.actions * self.has_action

    def make_buffers(self, rows: int) -> dict[str, Tensor]:
        """Zeros for `rows` transitions, by the names of `COLUMNS`."""
        dtype = getattr(torch, str(self.dtype))
        vector = (rows, self.observation_dim)
        form = torch.int64 if self.is_discrete else dtype
        action = torch.zeros((rows, *self.action_shape), dtype=form)
        if self.is_discrete:
            action += self._starts  # a choice that there is, where none is taken
        found = {name: torch.zeros(rows, dtype=dtype) for name in ("absorbing", "ends", "goes_on")}
        found |= {
            name: torch.zeros(vector, dtype=dtype) for name in ("observation", "next_observation")
        }
        return found | {"action": action}

    def fill_policy(self, buffers: Tensors, given: Transitions) -> None:
        """Write what the policy did, (B, ...); of what is left of the room the loop of the absorbing state."""
        count = len(given.rewards)
        if not self.wraps:
            terminated = given.terminated
            self._write(buffers, count, given, terminated=terminated)
            return
        buffers["absorbing"][count:] = 1.0
        self._write(buffers, count, given, terminated=given.terminated)
        buffers["ends"][count:] = 1.0
        buffers["goes_on"].fill_(1.0)

    def fill_expert(self, buffers: Tensors, given: Transitions) -> None:
        """Write what demonstrations show, whose absorbing states are marked in their observations."""
        count, size = len(given.rewards), self.full_dim
        if self.wraps:
            marks = given.observations[:, size], given.next_observations[:, size]
            buffers["absorbing"][:count] = torch.from_numpy(marks[0].astype(self.dtype))
            self._write(buffers, count, given, terminated=marks[1])
            buffers["goes_on"].fill_(1.0)
        else:
            self._write(buffers, count, given, terminated=given.terminated)

    def _write(
        self,
        buffers: Tensors,
        count: int,
        given: Transitions,
        *,
        terminated: np.ndarray,
    ) -> None:
        sees_all = self.observation_dim == self.full_dim
        seen: Any = slice(self.full_dim) if sees_all else self.columns
        for name, array in (
            ("observation", given.observations[:, seen]),
            ("next_observation", given.next_observations[:, seen]),
        ):
            np.copyto(buffers[name].numpy()[:count], array)
        if self.has_action:
            actions = self.with_choices(given.actions, buffers["absorbing"].numpy()[:count])
            np.copyto(buffers["action"].numpy()[:count], actions)
        np.copyto(buffers["ends"].numpy()[:count], terminated)
        np.subtract(1.0, buffers["ends"].numpy()[:count], out=buffers["goes_on"].numpy()[:count])

    def rows(self, batch: Tensors, *, offset: Tensor, scale: Tensor) -> Tensor:
        """Rows (B, d) of what `make_buffers` holds; traced in compiled steps."""
        parts = [self._state(batch["observation"], batch["absorbing"], offset, scale)]
        if self.has_action:
            parts.append(self._action(batch["action"]) * (1.0 - batch["absorbing"]).unsqueeze(-1))
        if self.has_successor:
            ends = batch["ends"] if self.wraps else torch.zeros_like(batch["ends"])
            parts.append(self._state(batch["next_observation"], ends, offset, scale))
        return torch.cat(parts, -1)

    def _state(self, raw: Tensor, mark: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
        standard = ((raw - offset) * scale).clamp(-CLIP, CLIP)
        if not self.wraps:
            return standard
        column = mark.unsqueeze(-1)
        return torch.cat([standard * (1.0 - column), column], -1)

    def _action(self, raw: Tensor) -> Tensor:
        return self.one_hot(raw) if self.is_discrete else self.scaled_action(raw)

    def one_hot(self, raw: Tensor) -> Tensor:
        """Choices (B,) or (B, D) of the environment as ones among zeros (B, A), one choice behind another."""
        dtype, chosen = getattr(torch, str(self.dtype)), self.counted(raw)
        if not self.action_shape:
            return functional.one_hot(chosen, self.actions).to(dtype)
        columns = zip(chosen.unbind(-1), self.sizes, strict=True)
        return torch.cat([functional.one_hot(each, n).to(dtype) for each, n in columns], -1)

    def with_choices(self, actions: np.ndarray, absorbing: np.ndarray) -> np.ndarray:
        """Actions (B, ...) with a choice that there is in absorbing states (B,), whose actions are written as zeros."""
        if not self.is_discrete or self._begins_at_zero:
            return actions
        return np.where(
            absorbing.reshape(-1, *(1 for _ in self.action_shape)) > 0,
            self._starts.numpy(),
            actions,
        )

    def counted(self, raw: Tensor) -> Tensor:
        """Choices of the environment, counted from 0."""
        return raw if self._begins_at_zero else raw - self._starts

    def choice_errors(self, logits: Tensor, raw: Tensor) -> Tensor:
        """Minus the log-probability (B,) of choices of the environment under logits (B, A)."""
        if not self.action_shape:
            return functional.cross_entropy(logits, self.counted(raw), reduction="none")
        return -distributions.product_log_prob(self.counted(raw), logits, self.sizes)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Those of choices (B, A), of one choice behind another, of logits (B, A)."""
        if not self.action_shape:
            return logits.softmax(-1)
        return distributions.product_log_softmax(logits, self.sizes).exp()

    def distance(self, logits: Tensor, probabilities: Tensor) -> Tensor:
        """The mean cross entropy, a scalar, of choices' logits (B, A) and a guide's probabilities (B, A)."""
        if not self.action_shape:
            return functional.cross_entropy(logits, probabilities)
        log_probs = distributions.product_log_softmax(logits, self.sizes)
        return -(probabilities * log_probs).sum(-1).mean()

    def scaled_action(self, raw: Tensor) -> Tensor:
        """Actions (B, A) as they reach the environment, in [-1, 1] where they are bounded."""
        return self.clip(self.unbounded_action(raw))

    def clip(self, scaled: Tensor) -> Tensor:
        """Scaled actions (B, A), cut to the bounds."""
        return torch.minimum(torch.maximum(scaled, -self._limit), self._limit)

    def unbounded_action(self, raw: Tensor) -> Tensor:
        """Actions (B, A), scaled alike but not cut."""
        return (raw - self._center) / self._half


def expert_weights(given: Transitions, config: ImitationConfig) -> np.ndarray:
    """How much each row (B,) of demonstrations counts: 1, but an absorbing state's loop as it does of a policy.

    A loop stands for all that follow an end, discounted. Of an episode that is thinned to one transition out of
    `rate`, each that is kept stands for `rate` of them; the loop, which is always kept, does not.
    """
    weights = np.ones(len(given.rewards), dtype=config.precision)
    if config.wrap_absorb:
        is_loop = given.extras["step"] == LOOP
        loops = losses.loops_of_an_end(config.learner_config.gamma)
        weights[is_loop] = loops / given.extras["rate"][is_loop]
    return weights


class InputNormalizers:
    """What the reward model standardises observations by: the expert's moments, running ones of the policy, or both.

    Attributes:
        offset, scale: (S,), of the networks' numbers.
        policy: running moments; they stay empty where nothing asks for them.
    """

    def __init__(self, size: int, demos: Demonstrations, config: ImitationConfig) -> None:
        self.config, self.dtype = config, np.dtype(config.precision)
        self.mean, self.variance = np.zeros(size), np.ones(size)
        self.has_expert = len(demos) > 0
        if self.has_expert:
            given = demos.transitions
            is_state = given.extras["step"] != LOOP
            states = given.observations[is_state, :size].astype(np.float64)
            self.mean, self.variance = states.mean(0), states.var(0)
        self.policy = RunningMoments((size,))
        self._recent: list[np.ndarray] = []
        self.follows_policy = config.d_batch_norm and config.d_moments != "demos"
        self.refresh()

    def collect(self, observations: np.ndarray) -> None:
        """Remember observations (T, N, S) of the policy until the iteration's end."""
        if self.follows_policy:
            self._recent.append(observations)

    def update(self, workers: Workers) -> bool:
        """Take in what was seen, at an iteration's end, collective; whether anything changed."""
        if not self._recent:
            return False
        self.policy.update(np.concatenate(self._recent), workers=workers)
        self._recent.clear()
        self.refresh()
        return True

    def refresh(self) -> None:
        """Derive offset and scale."""
        mean, variance = self._choose()
        self.offset = mean.astype(self.dtype)
        self.scale = (1.0 / np.maximum(np.sqrt(variance), SMALLEST_SD)).astype(self.dtype)

    def _choose(self) -> tuple[np.ndarray, np.ndarray]:
        config, expert = self.config, (self.mean, self.variance)
        nothing = np.zeros_like(self.mean), np.ones_like(self.variance)
        if not config.d_batch_norm:
            return nothing
        if config.d_moments == "demos":
            return expert if self.has_expert else nothing
        policy = self.policy.mean, self.policy.variance
        if config.d_moments == "policy" or not self.has_expert:
            return policy
        if not self.policy.count:
            return expert
        gap = self.mean - self.policy.mean
        return (
            (self.mean + self.policy.mean) / 2,
            (self.variance + self.policy.variance) / 2 + gap * gap / 4,
        )

    def state_dict(self) -> dict[str, Any]:
        """All that offset and scale follow from."""
        return {
            "mean": self.mean.copy(),
            "variance": self.variance.copy(),
            "policy": self.policy.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.mean = np.array(state["mean"], dtype=np.float64)
        self.variance = np.array(state["variance"], dtype=np.float64)
        self.policy.load_state_dict(state["policy"])
        self.refresh()
