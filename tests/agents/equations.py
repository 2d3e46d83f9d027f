"""The equations of a discriminator's step, written out once more in numpy: docs/gail.md, docs/airl.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agents.base import Transitions
from agents.demonstrations.dataset import LOOP, sequence_rows, take_rows
from agents.imitation.inputs import CLIP, SMALLEST_SD
from tests.agents.builders import OBSERVATION_DIM

Arrays = Mapping[str, np.ndarray]
Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]


def log_prob(observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return 0.1 * observations[:, 0] - 0.3 * actions[:, 1] - 1.0


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


class Perceptron:
    """tanh layers, their outputs (B,) and gradients by the rows (B, d).

    Hidden matrices are divided by left W right, of the pairs of vectors that are given by the matrices' names.
    """

    def __init__(self, values: Arrays, name: str, pairs: Pairs) -> None:
        count = sum(key.startswith(f"{name}.weights") for key in values)
        names = [f"{name}.weights.{i}" for i in range(count)]
        self.biases = [values[f"{name}.biases.{i}"] for i in range(count)]
        self.weights = []
        for key in names:
            left, right = pairs.get(key, (None, None))
            self.weights.append(values[key] / (left @ values[key] @ right if key in pairs else 1))

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden, kept = rows, []
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.tanh(hidden @ weight.T + bias)
            kept.append(hidden)
        out = hidden @ self.weights[-1].T + self.biases[-1]
        gradient = np.repeat(self.weights[-1], len(rows), axis=0)
        for weight, after in zip(self.weights[-2::-1], kept[::-1], strict=True):
            gradient = (gradient * (1.0 - after**2)) @ weight
        return out[:, 0], gradient


def judged(
    config: Any,
    values: Arrays,
    rows: np.ndarray,
    goes_on: np.ndarray,
    states: int,
    pairs: Pairs,
) -> tuple[np.ndarray, np.ndarray]:
    """(logits without log-probabilities, their gradients by the rows)."""

    def net(name: str) -> Perceptron:
        return Perceptron(values, f"discriminator.{name}", pairs)

    if config.algo != "airl":
        return net("net")(rows)
    own, own_gradient = net("own")(rows[:, :-states])
    value, value_gradient = net("shaping")(rows[:, :states])
    following, following_gradient = net("shaping")(rows[:, -states:])
    gradient = np.zeros_like(rows)
    gradient[:, :-states] += own_gradient
    gradient[:, :states] -= value_gradient
    gradient[:, -states:] += config.gamma * goes_on[:, None] * following_gradient
    return own + config.gamma * goes_on * following - value, gradient


class Side:
    """Rows of one side as the equations have them."""

    def __init__(self, model: Any, given: Transitions, marks: np.ndarray | None) -> None:
        config, size = model.config, OBSERVATION_DIM
        shown = model.demos.transitions
        seen = shown.observations[shown.extras["step"] != LOOP, :size]
        mean, sd = seen.mean(0), np.maximum(seen.std(0), SMALLEST_SD)

        def state(raw: np.ndarray, absorbing: np.ndarray) -> np.ndarray:
            standard = ((raw[:, :size] - mean) / sd).clip(-CLIP, CLIP)
            if not config.wrap_absorb:
                return standard
            return np.c_[standard * (1.0 - absorbing)[:, None], absorbing]

        count = len(given.rewards)
        here = np.zeros(count) if marks is None else marks
        after = given.terminated.astype(float)
        if marks is not None:
            after = given.next_observations[:, size].astype(float)
        parts = [state(given.observations, here)]
        if not (config.state_only or config.state_state):
            parts.append(given.actions.clip(-1.0, 1.0) * (1.0 - here)[:, None])
        if config.state_state or config.algo == "airl":
            parts.append(state(given.next_observations, after))
        self.rows = np.concatenate(parts, axis=1)
        self.goes_on = np.ones(count) if config.wrap_absorb else 1.0 - given.terminated
        self.log_prob = log_prob(given.observations, given.actions) * (1.0 - here)
        if config.algo != "airl" or config.d_log_prob == "none":
            self.log_prob[:] = 0.0

    def add_loop(self, states: int, actions: int, *, has_successor: bool) -> None:
        absorbing = np.eye(states)[-1]
        parts = [absorbing, np.zeros(actions), *[absorbing] * has_successor]
        self.rows = np.r_[self.rows, [np.concatenate(parts)]]
        self.goes_on, self.log_prob = np.r_[self.goes_on, 1.0], np.r_[self.log_prob, 0.0]


def weights_of(model: Any, expert: Transitions, policy: Transitions) -> tuple[np.ndarray, ...]:
    """Of a minibatch's expert and policy; an end is followed by gamma / (1 - gamma) loops."""
    config, shown = model.config, model.demos.transitions
    size = config.d_batch_size
    if not config.wrap_absorb:
        return np.full(size, 1.0 / size), np.full(size, 1.0 / size)
    loops = config.gamma / (1.0 - config.gamma)
    a_loop = loops / config.expert_demo_subsample_rate
    of_all, of_these = (
        np.where(each.extras["step"] == LOOP, a_loop, 1.0) for each in (shown, expert)
    )
    ends = policy.terminated.sum()
    own = np.r_[np.ones(size), ends * loops] / (size + ends * loops)
    return of_these / of_all.mean() / size, own


def label_of(kind: str, label: float) -> float:
    return abs(label - float(kind.partition("_")[2])) if kind != "none" else label


def pairs_of(model: Any, before: torch.Tensor, vectors: torch.Tensor) -> dict[str, Any]:
    """A step of power iteration for each hidden matrix."""
    views, pairs, place = model.parameters.views(before), {}, 0
    for name in ("net",) if model.config.algo != "airl" else ("own", "shaping"):
        for i in range(2):
            key = f"discriminator.{name}.weights.{i}"
            weight = views[key].numpy()
            right = weight.T @ vectors.numpy()[place : place + len(weight)]
            right /= np.linalg.norm(right)
            left = weight @ right
            pairs[key] = (left / np.linalg.norm(left), right)
            place += len(weight)
    assert place == len(vectors)
    return pairs


class Equations:
    """All that one step is made of, from the minibatch that the model has just taken."""

    def __init__(
        self,
        model: Any,
        policy: Transitions,
        *,
        before: torch.Tensor,
        vectors: torch.Tensor,
    ) -> None:
        config = self.config = model.config
        self.pairs = pairs_of(model, before, vectors) if config.spectral_norm else {}
        self.views, self.uniform = model.parameters.views, model.tensors["uniform"].numpy()
        shown, size = model.demos.transitions, config.d_batch_size
        places = sequence_rows(
            model.demos.seed,
            len(model.demos),
            (model.updates - 1) * size,
            size,
        )
        given = take_rows(shown, places)
        self.states = OBSERVATION_DIM + config.wrap_absorb
        self.expert, self.policy = self.side(model, given), Side(model, policy, None)
        if config.wrap_absorb:
            has_action = not (config.state_only or config.state_state)
            has_successor = config.state_state or config.algo == "airl"
            self.policy.add_loop(self.states, 3 * has_action, has_successor=has_successor)
        self.weights = weights_of(model, given, policy)
        self.spread = self.side(model, shown).rows.std(0)

    def side(self, model: Any, given: Transitions) -> Side:
        wraps = self.config.wrap_absorb
        return Side(model, given, given.observations[:, OBSERVATION_DIM] if wraps else None)

    def logits(self, values: Arrays, side: Side) -> np.ndarray:
        found, _ = judged(self.config, values, side.rows, side.goes_on, self.states, self.pairs)
        return found - side.log_prob

    def risk(self, values: Arrays) -> float:
        """PURL: E_policy[-log(1 - D)] - eta E_expert[-log(1 - D)]."""
        expert, policy = self.logits(values, self.expert), self.logits(values, self.policy)
        costs = (
            (self.weights[1] * softplus(policy)).sum(),
            (self.weights[0] * softplus(expert)).sum(),
        )
        return float(costs[0] - self.config.purl_eta * costs[1])

    def total(self, flat: torch.Tensor) -> tuple[float, dict[str, float]]:
        """What is minimised, and its parts."""
        config = self.config
        values = {name: value.numpy() for name, value in self.views(flat).items()}
        expert, policy = self.logits(values, self.expert), self.logits(values, self.policy)
        labels = label_of(config.real_ls_type, 1.0), label_of(config.fake_ls_type, 0.0)

        def cost(logits: np.ndarray, label: float, weight: np.ndarray) -> float:
            return float((weight * (softplus(logits) - label * logits)).sum())

        loss = cost(expert, labels[0], self.weights[0])
        if config.use_purl:
            loss = config.purl_eta * loss + max(0.0, self.risk(values))
        else:
            loss += cost(policy, labels[1], self.weights[1])
        entropy = 0.0
        for logits, weight in ((expert, self.weights[0]), (policy, self.weights[1])):
            p = 1.0 / (1.0 + np.exp(-logits))
            entropy -= 0.5 * float((weight * (p * np.log(p) + (1 - p) * np.log1p(-p))).sum())
        penalty = self.penalty(values) if config.grad_pen else 0.0
        parts = {"loss": loss, "entropy": entropy, "penalty": penalty}
        return loss - config.d_ent_reg_scale * entropy + config.grad_pen_scale * penalty, parts

    def penalty(self, values: Arrays) -> float:
        config, size = self.config, self.config.d_batch_size
        mixture, goes_on = self.uniform[:, 0], self.expert.goes_on
        if config.grad_pen_type == "wgan":
            mixed = mixture[:, None]
            at = mixed * self.expert.rows + (1 - mixed) * self.policy.rows[:size]
            goes_on = mixture * goes_on + (1 - mixture) * self.policy.goes_on[:size]
        else:
            at = self.expert.rows + 0.5 * mixture[:, None] * self.spread * self.uniform[:, 1:]
        _, gradient = judged(config, values, at, goes_on, self.states, self.pairs)
        excess = np.linalg.norm(gradient, axis=1) - config.grad_pen_targ
        return float(np.square(np.maximum(excess, 0) if config.one_sided_pen else excess).mean())
