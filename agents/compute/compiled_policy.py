"""Choosing a rollout's actions as native code, without torch's overhead for each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from agents.compute.compiled_step import CompiledStep
from agents.compute.flat_parameters import FlatParameters

Choose = Callable[[Tensor, Tensor | None], Tensor]


class CompiledPolicy:
    """A policy for numpy arrays.

    Exploring is compiled for the number of observations that it is first asked for, a worker's
    environments; everything else, evaluation above all, runs in torch.

    Args:
        name: for messages and the cache.
        choose: actions (N, ...) for observations (N, obs_dim) and noise (N, ...) or None.
        parameters: of the networks that `choose` uses.
        native: whether to compile.
    """

    def __init__(
        self,
        name: str,
        choose: Choose,
        *,
        parameters: FlatParameters,
        native: bool,
    ) -> None:
        self.name, self.choose, self.parameters = name, choose, parameters
        self.native = native
        self._step: CompiledStep | None = None

    def begin(self, observations: np.ndarray, noise: np.ndarray) -> None:
        """Let exploring be compiled for arrays like these, (N, obs_dim) and (N, ...), while something else is done."""
        if self.native and self._step is None:
            seen, random = torch.from_numpy(observations), torch.from_numpy(noise)
            self._step = self._make_step(seen, random)
            self._step.begin()

    def __call__(self, observations: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        """Actions (N, ...), a new array, for observations (N, obs_dim) as the networks take them."""
        if observations.ndim != 2:
            raise ValueError(f"observations {observations.shape}, expected (N, obs_dim)")
        seen = torch.from_numpy(observations)
        random = None if noise is None else torch.from_numpy(noise)
        if self.native and random is not None:
            step = self._step
            if step is None:
                step = self._step = self._make_step(seen, random)
            if len(step.tensors["seen"]) == len(seen):
                step(seen=seen, random=random)
                return step.tensors["actions"].numpy().copy()
        with torch.inference_mode():
            actions: np.ndarray = self.choose(seen, random).numpy()
        return actions

    def _make_step(self, seen: Tensor, random: Tensor) -> CompiledStep:
        with torch.inference_mode():
            form = self.choose(seen, random)
        tensors = {
            "values": self.parameters.values,
            "seen": seen,
            "random": random,
            "actions": torch.zeros(form.shape, dtype=form.dtype),
        }

        def act(t: Mapping[str, Tensor]) -> None:
            buffers = {name: t[name] for name in self.parameters.buffers}
            actions = self.parameters.call(
                lambda: self.choose(t["seen"], t["random"]),
                self.parameters.views(t["values"]) | buffers,
            )
            t["actions"].copy_(actions)

        return CompiledStep(self.name, act, tensors | self.parameters.buffers, native=True)
