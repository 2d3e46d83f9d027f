"""The one flat vector that parameters live in, gradients of functions of it, and Adam on it."""

from __future__ import annotations

import ctypes
import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from helpers.errors import CheckpointError
from helpers.machine.native import build

_log = logging.getLogger(__name__)
TOLERANCE = 2e-3  # of the largest number; rounding leaves some 1e-5
SMALLEST = 1e-7
TRIAL_RATE = 1e-2  # large enough for the change of a parameter not to drown in its rounding
ALIGNMENT = 16  # elements: every parameter starts on a 64-byte boundary (float32)


class FlatParameters:
    """Parameters of some modules moved into one flat vector, with another one for their gradients.

    The modules still work: their parameters are views. One vector is one all-reduce, one clip,
    one Adam step and one block of a checkpoint.

    Attributes:
        values: (P,) all parameters, zero in the gaps that alignment leaves.
        gradients: (P,) room for their gradient.
        segments: the slice of each module, by name; a parameter shared by two belongs to the first.
        buffers: of the modules, by name.
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
        self.values = _aligned_zeros(end, places[0][0].dtype)
        self.gradients = _aligned_zeros(end, places[0][0].dtype)
        for parameter, start in places:
            view = self.values[start : start + parameter.numel()].view(parameter.shape)
            view.copy_(parameter.data)
            parameter.data = view
        self._places = {
            name: (slice(start, start + parameter.numel()), parameter.shape)
            for name, (parameter, start) in zip(self.named, places, strict=True)
        }
        self.buffers: dict[str, Tensor] = {
            f"{module_name}.{name}": buffer
            for module_name, module in modules.items()
            for name, buffer in module.named_buffers()
        }
        self._caller = _Caller(modules)

    def views(self, flat: Tensor, *, start: int = 0) -> dict[str, Tensor]:
        """The parameters by name in a vector laid out as `values[start:]` is, as far as it goes."""
        found = {}
        for name, (place, shape) in self._places.items():
            first, last = place.start - start, place.stop - start
            if first >= 0 and last <= len(flat):
                found[name] = flat[first:last].view(shape)
        return found

    def call(self, function: Callable[..., Any], values: Mapping[str, Tensor]) -> Any:
        """function() with `values`, by name, in place of the modules' own parameters and buffers."""
        named = {f"modules_by_name.{name}": value for name, value in values.items()}
        # Modules that share parameters are the same objects: tying them once more would put back the
        # wrong ones afterwards.
        return torch.func.functional_call(self._caller, named, (function,), tie_weights=False)

    def gradient(
        self,
        function: Callable[[], tuple[Tensor, Any]],
        values: Tensor,
        *,
        of: Sequence[str] | None = None,
        buffers: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, Any]:
        """The gradient of a loss, and whatever else the function returns beside it.

        Args:
            function: gives (loss, extras) under the modules' parameters.
            values: (P,) parameters to evaluate it at.
            of: neighbouring segments, all if None; the others are constants.
            buffers: in place of the modules' own.

        Returns:
            The gradient (their length,) and the extras.
        """
        where = self.span(of)
        parameters = {name: view.detach() for name, view in self.views(values).items()}
        inside = [
            name
            for name, (place, _) in self._places.items()
            if where.start <= place.start < where.stop
        ]
        for name in inside:
            parameters[name].requires_grad_()
        loss, extras = self.call(function, parameters | dict(buffers or {}))
        gradients = torch.autograd.grad(loss, [parameters[name] for name in inside])
        pieces, end = [], where.start
        for name, gradient in zip(inside, gradients, strict=True):
            place, _ = self._places[name]
            if place.start > end:
                pieces.append(gradient.new_zeros(place.start - end))
            pieces.append(gradient.flatten())
            end = place.stop
        if where.stop > end:
            pieces.append(values.new_zeros(where.stop - end))
        return torch.cat(pieces), extras

    def span(self, segments: Sequence[str] | None = None) -> slice:
        """Where some neighbouring segments lie, all of them if None."""
        chosen = [self.segments[name] for name in segments or self.segments]
        for before, after in itertools.pairwise(chosen):
            assert before.stop == after.start, "segments must be neighbours"
        return slice(chosen[0].start, chosen[-1].stop)

    def state_dict(self) -> dict[str, Tensor]:
        """Each parameter by name, a copy."""
        return {name: parameter.detach().clone() for name, parameter in self.named.items()}

    def load_checkpoint(self, state: Mapping[str, Tensor], *, remedy: str) -> None:
        """`load_state_dict` of a checkpoint.

        Raises:
            CheckpointError: names or shapes differ; with this remedy.
        """
        try:
            self.load_state_dict(state)
        except ValueError as error:
            problem = f"the checkpoint has another architecture: {error}"
            raise CheckpointError(problem, remedy) from error

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


class _Caller(nn.Module):
    """Calls a function while torch has replaced the parameters of these modules."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.modules_by_name = nn.ModuleDict(modules)

    def forward(self, function: Callable[..., Any]) -> Any:
        return function()


def _aligned_zeros(count: int, dtype: torch.dtype) -> Tensor:
    """A vector that starts on a 64-byte boundary."""
    spare = torch.zeros(count + ALIGNMENT, dtype=dtype)
    start = -spare.data_ptr() % 64 // spare.element_size()
    return spare[start : start + count]


class FlatAdam:
    """Adam (arXiv:1412.6980, Algorithm 1) on neighbouring segments of one flat vector, P' long.

    Args:
        parameters: what is optimised.
        segments: which part of it; all if None. Each has a learning rate of its own.
        beta1: decay of the first moment.
        epsilon: added to the root of the second moment.
        native: whether to step by kernels/adam.c, in one pass over memory, where that can be had.

    Attributes:
        moment1, moment2: (P',) running means of the gradient and of its square.
        steps: updates so far.
        where: their place in the flat vector.
    """

    BETA2 = 0.999

    def __init__(
        self,
        parameters: FlatParameters,
        segments: Sequence[str] | None = None,
        *,
        beta1: float = 0.9,
        epsilon: float = 1e-5,
        native: bool = False,
    ) -> None:
        self.parameters, self.beta1, self.epsilon = parameters, beta1, epsilon
        self.segments = tuple(segments or parameters.segments)
        self.where = parameters.span(self.segments)
        size, dtype = self.where.stop - self.where.start, parameters.values.dtype
        self.moment1, self.moment2 = _aligned_zeros(size, dtype), _aligned_zeros(size, dtype)
        self.steps = 0
        self._lengths = [
            parameters.segments[name].stop - parameters.segments[name].start
            for name in self.segments
        ]
        library = (
            build("agents/compute/kernels/adam.c") if native and dtype == torch.float32 else None
        )
        self._kernel = None if library is None else self._prepare(library)
        self._is_checked = False

    def step_(
        self,
        learning_rates: Mapping[str, float],
        *,
        clip_norm: float = 0.0,
        want_norm: bool = True,
    ) -> float:
        """Move the parameters against `parameters.gradients`.

        Args:
            learning_rates: by segment.
            clip_norm: the gradient's largest Euclidean norm, by which it is scaled down; <= 0: none.
            want_norm: whether the norm is asked for where it does not clip; a pass over memory.

        Returns:
            The norm before.
        """
        self.steps += 1
        correction1 = 1.0 - self.beta1**self.steps
        root = 1.0 / math.sqrt(1.0 - self.BETA2**self.steps)
        rates = [learning_rates[name] / correction1 for name in self.segments]
        if self._kernel is not None and not self._is_checked:
            self._check(root, clip_norm)
        if self._kernel is not None:
            return self._kernel(rates, root, clip_norm, want_norm)
        return self._step_in_torch(rates, root, clip_norm)

    def _step_in_torch(self, rates: Sequence[float], root: float, clip_norm: float) -> float:
        gradients = self.parameters.gradients[self.where]
        norm = clip_norm_(gradients, clip_norm)
        self.moment1.lerp_(gradients, 1.0 - self.beta1)
        self.moment2.mul_(self.BETA2).addcmul_(gradients, gradients, value=1.0 - self.BETA2)
        change = self.moment1 / (self.moment2.sqrt() * root + self.epsilon)
        for part, rate in zip(change.split(self._lengths), rates, strict=True):
            part.mul_(rate)
        self.parameters.values[self.where] -= change
        return norm.item()

    def try_step(self, step: Callable[[], object]) -> tuple[Tensor, ...]:
        """How a step would change (parameters, moment1, moment2), each (P',); all stay as they are."""
        kept = [self.parameters.values[self.where], self.moment1, self.moment2]
        kept.append(self.parameters.gradients[self.where])
        before = [each.clone() for each in kept]
        step()
        change = tuple(each - old for each, old in zip(kept[:3], before, strict=False))
        for each, old in zip(kept, before, strict=True):
            each.copy_(old)
        return change

    def step_in_torch(self, learning_rates: Mapping[str, float], *, clip_norm: float = 0.0) -> None:
        """The next step as torch takes it; it is not counted."""
        steps = self.steps + 1
        rates = [learning_rates[name] / (1.0 - self.beta1**steps) for name in self.segments]
        self._step_in_torch(rates, 1.0 / math.sqrt(1.0 - self.BETA2**steps), clip_norm)

    def _check(self, root: float, clip_norm: float) -> None:
        """Leave the kernel out if it makes something else of its first gradient than torch does."""
        self._is_checked = True
        kernel, rates = self._kernel, [TRIAL_RATE] * len(self.segments)
        assert kernel is not None
        ours = self.try_step(lambda: kernel(rates, root, clip_norm, True))
        theirs = self.try_step(lambda: self._step_in_torch(rates, root, clip_norm))
        if not all(map(agree, ours, theirs)):
            _log.warning(
                "Adam's step in C differs from the one in agents/compute/flat_parameters.py, which is taken",
            )
            self._kernel = None

    def _prepare(self, library: ctypes.CDLL) -> Callable[..., float]:
        """The C function on this optimizer's memory."""
        library.adam.restype = ctypes.c_float
        count = len(self._lengths)
        rates_type = ctypes.c_float * count
        fixed = [
            ctypes.c_int64(count),
            (ctypes.c_int64 * count)(*self._lengths),
            *(
                ctypes.c_void_p(tensor.data_ptr())
                for tensor in (
                    self.parameters.values[self.where],
                    self.parameters.gradients[self.where],
                    self.moment1,
                    self.moment2,
                )
            ),
            *map(ctypes.c_float, (1.0 - self.beta1, 1.0 - self.BETA2, self.epsilon)),
        ]

        def step(rates: Sequence[float], root: float, clip_norm: float, want_norm: bool) -> float:
            varying = ctypes.c_float(root), ctypes.c_float(clip_norm), ctypes.c_int64(want_norm)
            return float(library.adam(*fixed, *varying, rates_type(*rates)))

        return step

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


def agree(ours: Tensor, theirs: Tensor) -> bool:
    """Whether two results of the same arithmetic in float32 are the same but for its rounding.

    What is not a number must be so in both.
    """
    largest = theirs.abs().nan_to_num().max().item() if theirs.numel() else 0.0
    limit = TOLERANCE * largest + SMALLEST
    return torch.allclose(ours, theirs, rtol=0.0, atol=limit, equal_nan=True)


def clip_norm_(gradients: Tensor, limit: float) -> Tensor:
    """Scale a gradient down to a Euclidean norm of at most `limit` (<= 0: never); its norm before."""
    norm = torch.linalg.vector_norm(gradients)
    if limit > 0.0:
        gradients.mul_((limit / (norm + 1e-6)).clamp_(max=1.0))
    return norm
