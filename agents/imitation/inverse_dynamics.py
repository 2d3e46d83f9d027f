"""Inverse dynamics: which action leads from a state to its successor, learned from what the policy did.

Applied to an expert's states it estimates actions that demonstrations do not contain (Torabi et al.,
arXiv:1805.01954; for imitation with a discriminator Ramos et al., arXiv:2306.09805). Shapes: B the global minibatch,
b this worker's part of it, S numbers of an observation, A action dimensions, K choices, D transitions of the expert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.common_settings import hidden_sizes
from agents.compute.compiled_step import CompiledStep
from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.demonstrations.dataset import Demonstrations
from agents.imitation.batch import Sample
from agents.imitation.inputs import CLIP, InputBuilder, InputNormalizers
from agents.imitation.networks import Perceptron
from agents.imitation.variants import MAADConfig
from agents.nn.noise import NoiseStream
from helpers.errors import NumericalError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

Tensors = Mapping[str, Tensor]
NAME = "inverse_dynamics"
SMALLEST_CHANGE = 1e-3  # of an observation's standard deviation, in a step


class InverseDynamics:
    """A network from (s, s') to the action between them.

    It sees the state standardised by the demonstrations' moments, and the change s' - s in its own standard
    deviations there. Actions are learned in [-1, 1] where they are bounded, by squared error; choices by cross entropy.

    Args:
        rows: knows the actions' form.
        demos: the expert's, of which it is asked.
        normalizers: of their states.
        config, workers, streams: the run's.
        environments: the global indices of this worker's environments.

    Attributes:
        updates: gradient steps so far.
    """

    def __init__(
        self,
        rows: InputBuilder,
        demos: Demonstrations,
        normalizers: InputNormalizers,
        *,
        config: MAADConfig,
        workers: Workers,
        streams: Streams,
        environments: Sequence[int],
    ) -> None:
        self.rows, self.config, self.workers = rows, config, workers
        self.dtype, self.updates = getattr(torch, config.precision), 0
        size = rows.observation_dim
        generator = torch.Generator().manual_seed(streams.integer("inverse dynamics"))
        self.net = Perceptron(
            2 * size,
            hidden_sizes(config.idm_perception_stack),
            rows.actions,
            activation="relu",
            spectral=False,
            generator=generator,
            dtype=self.dtype,
        )
        self.parameters = FlatParameters({NAME: self.net})
        workers.broadcast_(self.parameters.values)
        native = config.learner_config.compile and self.dtype == torch.float32
        self.optimizer = FlatAdam(self.parameters, epsilon=1e-8, native=native)
        samples = config.d_batch_size // config.num_envs
        self._noise = NoiseStream(
            "uniform",
            purpose="inverse dynamics: places",
            streams=streams,
            environments=environments,
            block_len=config.idm_steps,
            dim=samples,
            dtype=np.dtype(np.float64),
        )
        self._seen = states_of(demos, size)
        self.tensors = self._make_tensors(samples * len(environments), normalizers)
        self._step = CompiledStep(f"{NAME} gradient", self._gradient, self.tensors, native=native)
        self._logged = 0

    def _make_tensors(self, count: int, normalizers: InputNormalizers) -> dict[str, Tensor]:
        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(self.dtype)

        before, after = self._seen
        change = (after - before).std(0) if len(before) else np.ones(len(normalizers.mean))
        least = SMALLEST_CHANGE * np.sqrt(normalizers.variance)
        form = torch.int64 if self.rows.is_discrete else self.dtype
        return {
            "values": self.parameters.values,
            "gradients": self.parameters.gradients,
            "offset": tensor(normalizers.mean),
            "scale": tensor(1.0 / np.maximum(np.sqrt(normalizers.variance), SMALLEST_CHANGE)),
            "change_scale": tensor(1.0 / np.maximum(change, np.maximum(least, 1e-6))),
            "observation": torch.zeros(count, self.rows.observation_dim, dtype=self.dtype),
            "next_observation": torch.zeros(count, self.rows.observation_dim, dtype=self.dtype),
            "action": torch.zeros((count, *self.rows.action_shape), dtype=form),
            "loss": torch.zeros(1, dtype=torch.float64),
        }

    # Learning

    def begin(self) -> None:
        """Let be compiled what training needs."""
        self._step.begin()

    def update(self, sample: Sample) -> None:
        """`idm_steps` gradient steps on the policy's transitions; collective.

        Args:
            sample: gives them at uniform places (N, k).
        """
        for _ in range(self.config.idm_steps):
            given = sample(self._noise.next())
            for name, array in (
                ("observation", given.observations),
                ("next_observation", given.next_observations),
                ("action", given.actions),
            ):
                np.copyto(self.tensors[name].numpy(), array)
            self._step()
            self.workers.sum_(self.parameters.gradients)
            self.optimizer.step_({NAME: self.config.idm_lr})
            self.updates += 1

    def _gradient(self, t: Tensors) -> None:
        """This worker's part of the gradient of the mean over the global minibatch."""
        gradient, loss = self.parameters.gradient(lambda: self.loss(t), t["values"])
        t["gradients"].copy_(gradient)
        t["loss"].add_(loss.double().reshape(1))

    def loss(self, t: Tensors) -> tuple[Tensor, Tensor]:
        """This worker's part of the mean error of actions, a scalar; once more, without gradient."""
        outputs = self.outputs(t, t["observation"], t["next_observation"])
        if self.rows.is_discrete:
            errors = self.rows.choice_errors(outputs, t["action"])
        else:
            errors = (outputs - self.rows.scaled_action(t["action"])).square().mean(-1)
        loss = errors.sum() / self.config.d_batch_size
        return loss, loss.detach()

    def outputs(self, t: Tensors, before: Tensor, after: Tensor) -> Tensor:
        """Actions (B, A), unbounded, or logits (B, K) of what led from states (B, S) to their successors."""
        state = (before - t["offset"]) * t["scale"]
        change = (after - before) * t["change_scale"]
        inputs = torch.cat([state, change], -1).clamp(-CLIP, CLIP)
        found, _ = self.net(inputs, inputs)
        return found

    # Telling

    def states(self) -> np.ndarray:
        """States (D, S) of the expert of which a successor is known."""
        return self._seen[0]

    def actions(self) -> Tensor:
        """What he may have done there: (D, A) in [-1, 1] where actions are bounded, or probabilities (D, K)."""
        before, after = (torch.from_numpy(each).to(self.dtype) for each in self._seen)
        with torch.no_grad():
            found = self.outputs(self.tensors, before, after)
            if self.rows.is_discrete:
                return self.rows.probabilities(found)
            return self.rows.clip(found)

    def metrics(self) -> dict[str, float]:
        """The mean loss since the last call; collective.

        Raises:
            NumericalError: on every worker alike.
        """
        total = self.tensors["loss"].clone()
        self.workers.sum_(total)
        mean = float(total.item()) / max(1, self.updates - self._logged)
        self._logged = self.updates
        self.tensors["loss"].zero_()
        if not np.isfinite(mean):
            raise NumericalError(
                f"{NAME}/loss became {mean}",
                "lower --idm_lr; the last checkpoint is intact",
            )
        return {f"{NAME}/loss": mean}

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """Parameters, moments of Adam, count."""
        return {
            "parameters": self.parameters.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: the architecture is another one.
        """
        self.parameters.load_state_dict(state["parameters"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = self._logged = int(state["updates"])
        self._noise.seek(self.updates)

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        return {
            "parameters": self.parameters.values.numpy(),
            "moment1": self.optimizer.moment1.numpy(),
            "moment2": self.optimizer.moment2.numpy(),
        }


def states_of(demos: Demonstrations, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw states (D, S) and successors, without those that have to do with an absorbing state."""
    given = demos.transitions
    is_real = np.ones(len(given.rewards), dtype=np.bool_)
    if given.observations.shape[-1] > size:
        is_real = (given.observations[:, size] == 0) & (given.next_observations[:, size] == 0)
    both = given.observations, given.next_observations
    before, after = (each[is_real, :size].astype(np.float64) for each in both)
    return before, after
