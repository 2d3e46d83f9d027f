"""Random expert distillation, arXiv:1905.06750: a reward without a discriminator, trained before the policy.

A network learns to predict a random one on the expert's transitions: its error is large on transitions that the expert
did not visit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.base import Transitions
from agents.common_settings import hidden_sizes
from agents.compute.compiled_step import CompiledStep
from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.demonstrations.dataset import Demonstrations, sequence_rows, take_rows
from agents.imitation import losses
from agents.imitation.batch import Sample
from agents.imitation.config import ImitationConfig
from agents.imitation.inputs import COLUMNS, InputBuilder, InputNormalizers, expert_weights
from agents.imitation.networks import Perceptron
from agents.imitation.scorer import Scorer
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

Tensors = Mapping[str, Tensor]
LEAST_WIDTH = 1e-12


class DistilledReward:
    """exp(-error / width) of the prediction of random embeddings.

    Args:
        rows: makes rows of transitions.
        demos: the expert's.
        normalizers: standardise observations, by the expert's.
        config, workers, streams: the run's.
        environments: the global indices of this worker's environments.
    """

    def __init__(
        self,
        rows: InputBuilder,
        *,
        demos: Demonstrations,
        normalizers: InputNormalizers,
        config: ImitationConfig,
        workers: Workers,
        streams: Streams,
        environments: Sequence[int],
    ) -> None:
        self.rows, self.demos, self.normalizers, self.config = rows, demos, normalizers, config
        self.workers, self.updates = workers, 0
        self.dtype = getattr(torch, config.precision)
        native = config.learner_config.compile and self.dtype == torch.float32
        generator = torch.Generator().manual_seed(streams.integer("discriminator"))
        *hidden, outputs = hidden_sizes(config.d_perception_stack)
        self.nets = {
            name: Perceptron(
                rows.size,
                hidden,
                outputs,
                activation=config.d_activation,
                spectral=False,
                generator=generator,
                dtype=self.dtype,
            )
            for name in ("predictor", "target")
        }
        self.parameters = FlatParameters(self.nets)
        workers.broadcast_(self.parameters.values)
        self.optimizer = FlatAdam(self.parameters, ["predictor"], epsilon=1e-8, native=native)
        samples = config.d_batch_size // config.num_envs
        self._first = samples * min(environments, default=0)
        self._count = samples * len(environments)
        self._buffers = rows.make_buffers(self._count)
        self.tensors: dict[str, Tensor] = {
            "values": self.parameters.values,
            "gradients": self.parameters.gradients[self.optimizer.where],
            "offset": torch.zeros(rows.observation_dim, dtype=self.dtype),
            "scale": torch.zeros(rows.observation_dim, dtype=self.dtype),
            "width": torch.ones(1, dtype=self.dtype),
            "weight": torch.zeros(self._count, dtype=self.dtype),
            **self._buffers,
        }
        self._step = CompiledStep(
            "distillation gradient",
            self._gradient,
            self.tensors,
            native=native,
        )
        self._scorer = Scorer(rows, self._judge, self.tensors, config=config, native=native)
        self.copy_normalizers()

    def begin(self, count: int) -> None:
        """The gradient, unless all its steps are taken, and the reward of `count` transitions."""
        if not self.updates:
            self._step.begin()
        self._scorer.begin(count)

    def prepare(self) -> None:
        """All of the learning: `red_epochs` passes over the demonstrations, then the width; collective."""
        if self.updates:
            return
        batch_size = self.config.d_batch_size
        mass = batch_size * float(expert_weights(self.demos.transitions, self.config).mean())
        for _ in range(self.config.red_epochs * -(-len(self.demos) // batch_size)):
            first = self.updates * batch_size + self._first
            places = sequence_rows(self.demos.seed, len(self.demos), first, self._count)
            given = take_rows(self.demos.transitions, places)
            weights = expert_weights(given, self.config) / mass
            self.rows.fill_expert(self._buffers, given)
            self.tensors["weight"].copy_(torch.from_numpy(weights))
            self._step()
            self.workers.sum_(self.tensors["gradients"])
            self.optimizer.step_({"predictor": self.config.d_lr})
            self.updates += 1
        width = self.config.red_width * self.expert_error()
        self.tensors["width"].fill_(max(width, LEAST_WIDTH))

    def update(self, sample: Sample) -> None:
        """The policy has no say."""

    def expert_error(self) -> float:
        """Mean error on all demonstrations, which every worker has."""
        buffers = self.rows.make_buffers(len(self.demos))
        self.rows.fill_expert(buffers, self.demos.transitions)
        with torch.no_grad():
            rows = self.rows.rows(
                buffers,
                offset=self.tensors["offset"],
                scale=self.tensors["scale"],
            )
            errors = self._errors(rows).double().numpy()
        return float(
            np.average(errors, weights=expert_weights(self.demos.transitions, self.config)),
        )

    def _errors(self, rows: Tensor) -> Tensor:
        predicted, target = (self.nets[n](rows, rows)[0] for n in ("predictor", "target"))
        return losses.distillation_errors(predicted, target.detach())

    def _gradient(self, t: Tensors) -> None:
        """This worker's part of the gradient; weights make it one."""
        buffers = {name: t[name] for name in COLUMNS}
        rows = self.rows.rows(buffers, offset=t["offset"], scale=t["scale"])

        def loss() -> tuple[Tensor, None]:
            return (t["weight"] * self._errors(rows)).sum(), None

        gradient, _ = self.parameters.gradient(loss, t["values"], of=["predictor"])
        t["gradients"].copy_(gradient)

    def _judge(self, t: Tensors, rows: Tensor) -> Tensor:
        views = self.parameters.views(t["values"])
        errors = self.parameters.call(lambda: self._errors(rows), views)
        return losses.distilled_reward(errors, width=t["width"])

    def reward(self, transitions: Transitions) -> np.ndarray:
        """Rewards in (0, 1]; with absorbing states also what these are worth after a task's end."""
        return self._scorer(transitions, None)

    def copy_normalizers(self) -> None:
        """Take over the expert's moments."""
        columns = self.rows.columns
        self.tensors["offset"].copy_(torch.from_numpy(self.normalizers.offset[columns]))
        self.tensors["scale"].copy_(torch.from_numpy(self.normalizers.scale[columns]))

    def metrics(self) -> dict[str, float]:
        """What was distilled, once for all."""
        width = float(self.tensors["width"].item())
        return {"distillation/expert_error": width / self.config.red_width}

    def state_dict(self) -> dict[str, Any]:
        """Both networks, moments of Adam, width, count."""
        return {
            "parameters": self.parameters.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "width": self.tensors["width"].clone(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: the architecture is another one.
        """
        self.parameters.load_state_dict(state["parameters"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.tensors["width"].copy_(state["width"])
        self.updates = int(state["updates"])

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        return {
            "parameters": self.parameters.values.numpy(),
            "moment1": self.optimizer.moment1.numpy(),
            "moment2": self.optimizer.moment2.numpy(),
            "width": self.tensors["width"].numpy(),
        }
