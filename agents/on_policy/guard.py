"""Whether PPO's C kernel computes what the code in torch says, and is the faster one; asked before its first step.

PPO is changed in torch (agents/on_policy/ppo.py, losses.py, agents/nn), of which the kernel knows nothing. So the
kernel is compared with torch before it takes a step, and left out where they differ.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.base import Transitions
from agents.compute.flat_parameters import TRIAL_RATE, agree
from agents.nn.normalizer import ObservationNormalizer
from agents.on_policy.native_steps import NativeSteps
from agents.on_policy.torch_steps import TorchSteps
from helpers.machine import choices
from helpers.machine.choices import NATIVE, TORCH

_log = logging.getLogger(__name__)
SPREAD = 0.3  # of what is added to old log-probabilities and values: a first minibatch alone clips nothing
PARAMETER_SPREAD = 0.3  # of the noise on parameters
TAKES = 4
ENDS, SEEN = (
    0.2,
    64,
)  # share of the steps that end an episode, of either kind; observations acted on
LEARNING_RATES = {"policy": TRIAL_RATE, "value": TRIAL_RATE}


@dataclass(frozen=True)
class Trial:
    """What both routes are given.

    Attributes:
        data: the rollout's columns (T * N, ...), advantages and targets included.
        index: (b,) rows of the first minibatch.
        returns: arguments of `gae`, (T, N) each, made up.
        observations: raw ones (S, obs_dim).
        normalizer: of the policy's observations.
    """

    data: Mapping[str, Tensor]
    index: Tensor
    returns: Mapping[str, np.ndarray]
    observations: np.ndarray
    normalizer: ObservationNormalizer | None

    @classmethod
    def of(
        cls,
        data: Mapping[str, Tensor],
        orders: Tensor,
        rollout: Transitions,
        *,
        normalizer: ObservationNormalizer | None,
    ) -> Trial:
        """That of a rollout whose minibatches are `orders` (epochs, M, b)."""
        rng, shape = np.random.default_rng(2), rollout.rewards.shape
        returns: dict[str, np.ndarray] = {
            name: rng.normal(size=shape).astype(np.float32)
            for name in ("rewards", "values", "next_values")
        }
        returns |= {name: rng.random(shape) < ENDS for name in ("terminated", "truncated")}
        seen = rollout.observations.reshape(-1, rollout.observations.shape[-1])[:SEEN]
        return cls(data, orders[0, 0], returns, seen, normalizer)

    def perturb(self) -> dict[str, Tensor]:
        """The data, its old log-probabilities and values moved so that some samples are clipped."""
        rng, moved = np.random.default_rng(0), dict(self.data)
        for name in ("old_log_prob", "old_value"):
            noise = rng.normal(scale=SPREAD, size=tuple(moved[name].shape))
            moved[name] = moved[name] + torch.from_numpy(noise).to(moved[name].dtype)
        return moved


def check_kernel(native: NativeSteps, trial: Trial) -> NativeSteps | TorchSteps:
    """The kernel, or torch's steps where it is wrong or slower, which one line says; the same on every worker."""
    eager = native.in_torch
    assert eager is not None
    found = find_difference(native, eager, trial)
    route = choices.choose("ppo steps in C", lambda: _measure(native, eager, trial))
    verdict = np.array([bool(found), route == TORCH], dtype=np.int64)
    native.workers.max_(verdict)
    native.is_checked = True
    if not verdict.any():
        return native
    where = found or "the same, on another worker"
    why = f"differ from torch in: {where}" if verdict[0] else "are slower than torch"
    _log.warning("PPO's steps in C %s; torch is used", why)
    return eager


def find_difference(native: NativeSteps, eager: TorchSteps, trial: Trial) -> str | None:
    """What the kernel computes otherwise than torch, in words; None where all is the same.

    Asked at the parameters as they are and at others: a term may have no gradient where training starts.
    """
    values, rng = eager.parameters.values, np.random.default_rng(3)
    kept = values.clone()
    noise = torch.from_numpy(rng.normal(scale=PARAMETER_SPREAD, size=len(values))).to(values.dtype)
    try:
        for move in (torch.zeros_like(noise), noise):
            values.add_(move)
            native.forget()
            for name, ours, theirs in _pairs(native, eager, trial):
                if not agree(ours.float(), theirs.float()):
                    return name
    finally:
        values.copy_(kept)
        native.forget()
    return None


def is_slower(native: NativeSteps, eager: TorchSteps, trial: Trial) -> bool:
    """Whether the kernel's gradient takes more processor time than eager torch's; the best of a few takes each."""
    best = [float("inf")] * 2
    routes: tuple[NativeSteps | TorchSteps, ...] = (native, eager)
    for _ in range(TAKES):
        for i, route in enumerate(routes):
            started = time.thread_time()
            route.gradient(trial.data, trial.index)
            best[i] = min(best[i], time.thread_time() - started)
    return best[0] > best[1]


def _measure(native: NativeSteps, eager: TorchSteps, trial: Trial) -> str:
    return TORCH if is_slower(native, eager, trial) else NATIVE


def _pairs(
    native: NativeSteps,
    eager: TorchSteps,
    trial: Trial,
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(what, by the kernel, by torch)."""
    data, index = trial.perturb(), trial.index
    yield from _action_pairs(native, eager, trial)
    inputs = data["value_input"]
    yield "values", native.values(inputs), eager.values(inputs)
    ours, theirs = (torch.from_numpy(each.gae(**trial.returns)) for each in (native, eager))
    yield "advantages (losses.gae)", ours, theirs
    rows = torch.arange(len(inputs))[None]
    yield "log-probabilities", native.log_probs(data, rows), eager.log_probs(data, rows)
    gradient, metrics = native.gradient(data, index)
    its_gradient, its_metrics = eager.gradient(data, index)
    names = torch.tensor(eager.names == native.names), torch.tensor(True)
    yield "metrics (PPO.loss)", *names
    for name, ours, theirs in zip(native.names[:-1], metrics, its_metrics, strict=False):
        yield f"{name} (PPO.loss)", ours, theirs
    views = eager.parameters.views
    for name, ours in views(gradient).items():
        yield f"gradient of {name} (PPO.loss)", ours, views(its_gradient)[name]
    optimizer, clip_norm = eager.optimizer, eager.config.clip_norm
    eager.parameters.gradients.copy_(its_gradient)
    steps = (
        optimizer.try_step(lambda: native.apply(LEARNING_RATES)),
        optimizer.try_step(lambda: optimizer.step_in_torch(LEARNING_RATES, clip_norm=clip_norm)),
    )
    for ours, theirs in zip(*steps, strict=True):
        yield "Adam's step (FlatAdam)", ours, theirs


def _action_pairs(
    native: NativeSteps,
    eager: TorchSteps,
    trial: Trial,
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Actions with noise, and the mode. Of choices, which near ties decide: how many are the same."""
    seen, normalizer = trial.observations, trial.normalizer
    standard = np.asarray(seen, dtype=np.float32)
    if normalizer is not None:
        standard = normalizer(standard)
    rng = np.random.default_rng(1)
    noise = rng.gumbel(size=(len(seen), eager.actor.noise_dim)).astype(np.float32)
    for given in (noise, None):
        with torch.inference_mode():
            random = None if given is None else torch.from_numpy(given)
            theirs = eager.actor.act(torch.from_numpy(standard), random)
        ours = torch.from_numpy(native.act(seen, normalizer, given))
        if not ours.is_floating_point():
            ours = (ours == theirs).float().mean().ge(0.99).float()
            theirs = torch.ones_like(ours)
        yield "actions", ours, theirs
