"""Minimises losses over parameters that all workers share: compiled gradient, sum over the workers, Adam, metrics.

An algorithm says what it minimises, in plain torch:

    def critic_loss(self, batch):
        values = self.critics(batch.observation, batch.action)
        return (values - target).square().mean(), {"critic/value": values}

and `trainer.minimise("critic", critic=config.q_lr)` is one gradient step on it. The loss is traced with its backward
pass and compiled (compiled_step.py); with --no-compile it runs as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from agents.compute.compiled_step import CompiledStep
from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.metric_sums import MetricSums, Numbers, Tensors
from helpers.parallel.workers import Workers

TARGETS = "slow"  # the parameters of target networks in a checkpoint


@dataclass(frozen=True)
class Objective:
    """A loss, and the parameters that move to lower it.

    Attributes:
        loss: gives (loss, numbers for metrics by name); a mean over this worker's samples.
        segments: networks that it moves, neighbours in the flat vector; all others are constants.
        noise: standard normal numbers that it takes for each sample.
        every: updates for each step on it.
        beta1: decay of Adam's first moment.
        skrl_names: of its numbers, where they are not the usual ones.
    """

    loss: Callable[..., tuple[Tensor, Numbers]]
    segments: tuple[str, ...]
    noise: int = 0
    every: int = 1
    beta1: float = 0.9
    skrl_names: Mapping[str, str] = field(default_factory=dict)


class Trainer:
    """Gradient steps on the objectives of one algorithm.

    Args:
        name: the algorithm's, for messages and the cache of compiled steps.
        networks: what is trained, by segment. Their buffers may be read and changed by losses, in place.
        objectives: by name; a loss here takes all tensors by name.
        inputs: further tensors that losses read or change in place; their memory stays where it is.
        metrics: sums the numbers.
        workers: who shares the gradients.
        share: this worker's part of a minibatch.
        compiled: whether losses are compiled.
        targets: target networks, by the segments that they follow.
        clip_norm: largest norm of a gradient, after the sum; <= 0: none.

    Attributes:
        parameters: of the networks.
        targets: the parameters of target networks; None without any.
        optimizers: Adam by objective.
        tensors: all that losses read and change.
        updates: so far.
        learning_rate_scale: times every learning rate.
    """

    def __init__(
        self,
        name: str,
        networks: Mapping[str, nn.Module],
        objectives: Mapping[str, Objective],
        *,
        inputs: Tensors,
        metrics: MetricSums,
        workers: Workers,
        share: float,
        compiled: bool,
        targets: Mapping[str, nn.Module] | None = None,
        clip_norm: float = 0.0,
    ) -> None:
        self.objectives, self.metrics, self.workers = objectives, metrics, workers
        self.share, self.clip_norm = share, clip_norm
        self.updates, self.learning_rate_scale = 0, 1.0
        self.parameters = FlatParameters(networks)
        workers.broadcast_(self.parameters.values)
        self.targets = FlatParameters(targets) if targets else None
        self.copy_to_targets()
        self.optimizers = {
            key: FlatAdam(
                self.parameters,
                each.segments,
                beta1=each.beta1,
                epsilon=1e-8,
                native=compiled,
            )
            for key, each in objectives.items()
        }
        self.tensors = self._make_tensors(inputs)
        metrics.declare(
            {key: (self._numbers(key), each.skrl_names) for key, each in objectives.items()},
        )
        self.tensors |= metrics.tensors
        self._steps = {
            key: CompiledStep(
                f"{name} {key} gradient",
                partial(self._gradient, key),
                self.tensors,
                native=compiled,
            )
            for key in objectives
        }

    def _make_tensors(self, inputs: Tensors) -> dict[str, Tensor]:
        tensors = {"values": self.parameters.values, **inputs, **self.parameters.buffers}
        if self.targets is not None:
            tensors[TARGETS] = self.targets.values
        for key, optimizer in self.optimizers.items():
            tensors[f"{key}.gradients"] = self.parameters.gradients[optimizer.where]
        return tensors

    def begin(self) -> None:
        """Start compiling, while something else is done."""
        for step in self._steps.values():
            step.begin()

    # Gradient steps

    def minimise(
        self,
        name: str,
        *,
        sums: Sequence[Tensor] = (),
        **learning_rates: float,
    ) -> None:
        """One gradient step on an objective; collective.

        Args:
            name: the objective's.
            sums: tensors that its loss fills, to be summed over the workers.
            learning_rates: by segment.
        """
        self._steps[name]()
        for each in (self.tensors[f"{name}.gradients"], *sums):
            self.workers.sum_(each)
        scale = self.learning_rate_scale
        rates = {segment: rate * scale for segment, rate in learning_rates.items()}
        self.optimizers[name].step_(rates, clip_norm=self.clip_norm, want_norm=False)

    def is_due(self, every: int) -> bool:
        """Whether this update is one of every `every`."""
        return (self.updates + 1) % every == 0

    def update_targets(self, tau: float) -> None:
        """Move the target networks by `tau` of the way to those that they follow."""
        assert self.targets is not None
        followed = self.parameters.values[self.parameters.span(tuple(self.targets.segments))]
        self.targets.values.lerp_(followed, tau)

    def copy_to_targets(self) -> None:
        """Let the target networks equal those that they follow."""
        if self.targets is not None:
            where = self.parameters.span(tuple(self.targets.segments))
            self.targets.values.copy_(self.parameters.values[where])

    def _gradient(self, name: str, t: Tensors) -> None:
        """This worker's share of an objective's gradient, into "{name}.gradients"; its numbers into the sums."""
        objective = self.objectives[name]

        def loss() -> tuple[Tensor, None]:
            value, numbers = objective.loss(t)
            self.metrics.add(t, name, numbers, every=objective.every)
            return value, None

        gradient, _ = self.parameters.gradient(
            partial(self._with_targets, loss, t),
            t["values"],
            of=objective.segments,
            buffers={key: t[key] for key in self.parameters.buffers},
        )
        t[f"{name}.gradients"].copy_(gradient * self.share)

    def _with_targets(self, function: Callable[[], Any], t: Tensors) -> Any:
        """function() with the target networks' parameters as they are in `t`."""
        if self.targets is None:
            return function()
        return self.targets.call(function, self.targets.views(t[TARGETS]))

    def _numbers(self, name: str) -> Numbers:
        """What an objective's loss returns beside the loss: run once, on copies, to learn names and forms."""
        t = {key: tensor.clone() for key, tensor in self.tensors.items()}
        values = self.parameters.views(t["values"]) | {k: t[k] for k in self.parameters.buffers}
        found: Numbers
        with torch.no_grad():
            _, found = self.parameters.call(
                partial(self._with_targets, partial(self.objectives[name].loss, t), t),
                values,
            )
        return found

    # Saving

    @property
    def extra_state(self) -> dict[str, Tensor]:
        """What a checkpoint holds beside parameters and Adam's moments: target networks, buffers."""
        buffers = {key.rpartition(".")[2]: each for key, each in self.parameters.buffers.items()}
        return ({TARGETS: self.targets.values} if self.targets is not None else {}) | buffers

    def state_dict(self) -> dict[str, Any]:
        """Parameters, Adam's moments, target networks and buffers."""
        return {
            "parameters": self.parameters.state_dict(),
            "optimizers": {name: each.state_dict() for name, each in self.optimizers.items()},
            "kept": {name: each.clone() for name, each in self.extra_state.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], *, remedy: str) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of another architecture.
        """
        self.parameters.load_checkpoint(state["parameters"], remedy=remedy)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, kept in self.extra_state.items():
            kept.copy_(state["kept"][name])

    def synchronised_arrays(self) -> dict[str, Any]:
        """What must be equal on every worker."""
        arrays = {"parameters": self.parameters.values.numpy()}
        for name, optimizer in self.optimizers.items():
            arrays[f"{name}.moment1"] = optimizer.moment1.numpy()
            arrays[f"{name}.moment2"] = optimizer.moment2.numpy()
        return arrays | {f"kept.{name}": kept.numpy() for name, kept in self.extra_state.items()}
