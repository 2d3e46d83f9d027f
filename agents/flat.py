"""The one flat vector that parameters live in, and Adam on it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

ALIGNMENT = 16  # elements: every parameter starts on a 64-byte boundary (float32)


class FlatParameters:
    """Parameters of some modules moved into one flat vector, their gradients into another.

    The modules go on working: their parameters are views. One vector is one all-reduce, one clip,
    one Adam step and one block of a checkpoint.

    Attributes:
        values: (P,) all parameters, zero in the gaps that alignment leaves.
        gradients: (P,) their gradients, accumulated into by `backward`.
        segments: the slice of each module, by name; a parameter shared by two belongs to the first.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.named: dict[str, nn.Parameter] = {}
        self.segments: dict[str, slice] = {}
        places: list[tuple[nn.Parameter, int]] = []
        seen: set[int] = set()
        end = 0
        for module_name, module in modules.items():
            start = end
            for name, parameter in module.named_parameters():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    self.named[f"{module_name}.{name}"] = parameter
                    places.append((parameter, end))
                    end += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
            self.segments[module_name] = slice(start, end)
        self.values = torch.zeros(end, dtype=places[0][0].dtype)
        self.gradients = torch.zeros_like(self.values)
        for parameter, start in places:
            view = self.values[start : start + parameter.numel()].view(parameter.shape)
            view.copy_(parameter.data)
            parameter.data = view
            parameter.grad = self.gradients[start : start + parameter.numel()].view_as(view)

    def state_dict(self) -> dict[str, Tensor]:
        """Each parameter by name, a copy."""
        return {name: parameter.detach().clone() for name, parameter in self.named.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy values in by name.

        Raises:
            ValueError: names or shapes differ, that is, the architecture is another one.
        """
        shapes = {name: tuple(parameter.shape) for name, parameter in self.named.items()}
        given = {name: tuple(value.shape) for name, value in state.items()}
        if shapes != given:
            differing = sorted(
                name for name in shapes | given if shapes.get(name) != given.get(name)
            )
            name = differing[0]
            raise ValueError(f"{name} is {given.get(name)} there and {shapes.get(name)} here")
        for name, parameter in self.named.items():
            parameter.data.copy_(state[name])


class FlatAdam:
    """Adam (arXiv:1412.6980, Algorithm 1) on one flat vector, a step size a segment.

    Attributes:
        moment1, moment2: (P,) running means of the gradient and of its square.
        steps: updates so far.
    """

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-5  # epsilon as in every PPO code base, 1e-5

    def __init__(self, parameters: FlatParameters) -> None:
        self.parameters = parameters
        self.moment1 = torch.zeros_like(parameters.values)
        self.moment2 = torch.zeros_like(parameters.values)
        self.steps = 0

    def step(self, step_sizes: Mapping[str, float]) -> None:
        """Move the parameters against `gradients`; `step_sizes` by segment name."""
        self.steps += 1
        gradients = self.parameters.gradients
        self.moment1.lerp_(gradients, 1.0 - self.BETA1)
        self.moment2.mul_(self.BETA2).addcmul_(gradients, gradients, value=1.0 - self.BETA2)
        correction1 = 1.0 - self.BETA1**self.steps
        correction2 = math.sqrt(1.0 - self.BETA2**self.steps)
        denominator = self.moment2.sqrt().mul_(1.0 / correction2).add_(self.EPSILON)
        for name, size in step_sizes.items():
            segment = self.parameters.segments[name]
            self.parameters.values[segment].addcdiv_(
                self.moment1[segment],
                denominator[segment],
                value=-size / correction1,
            )

    def state_dict(self) -> dict[str, Tensor | int]:
        """Moments and step count."""
        return {
            "moment1": self.moment1.clone(),
            "moment2": self.moment2.clone(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: Mapping[str, Tensor | int]) -> None:
        """Take over what `state_dict` gave."""
        self.moment1.copy_(torch.as_tensor(state["moment1"]))
        self.moment2.copy_(torch.as_tensor(state["moment2"]))
        self.steps = int(state["steps"])


def clip_norm_(gradients: Tensor, limit: float) -> Tensor:
    """Scale a gradient down to a Euclidean norm of at most `limit` (<= 0: never); its norm before."""
    norm = torch.linalg.vector_norm(gradients)
    if limit > 0.0:
        gradients.mul_((limit / (norm + 1e-6)).clamp_(max=1.0))
    return norm
