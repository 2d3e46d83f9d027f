"""A model as plain data: layers by their names, and tensors. No class of this project is needed to run it.

    architecture = describe(agent.models()["policy"], observations=11)  # agents/weights/describe.py
    network = Network(architecture)                  # a torch module, from that alone
    actions = network(torch.as_tensor(observations, dtype=network.dtype))

What is written as `architecture.json` says, for each input, the layers that it passes; the results are joined and pass
the layers of the body:

    {"format": 1, "dtype": "float32",
     "inputs": {"observation": {"size": 11, "layers": [{"kind": "standardise", "offset": "standardise_0.offset"}]}},
     "layers": [{"kind": "linear", "weight": "linear_0.weight", "bias": "linear_0.bias"}, {"kind": "tanh"}, ...]}

Shapes: B observations, A action dimensions, K discrete actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.nn.distributions import by_choice
from helpers.errors import CheckpointError

FORMAT = 1
OBSERVATION, ACTION, NOISE = "observation", "action", "noise"
Layer = dict[str, Any]


class Kind(NamedTuple):
    """What a layer does with x (B, inputs), and the tensors, numbers, noise and lists of whole numbers that it takes.

    One with branches, lists of layers, is given what these make of x.
    """

    apply: Callable[..., Tensor]
    tensors: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    takes_noise: bool = False
    branches: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()


def _layer_norm(x: Tensor, *, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    return functional.layer_norm(x, tuple(weight.shape), weight, bias, epsilon)


def _batch_norm(x: Tensor, *, epsilon: float, **t: Tensor) -> Tensor:
    return (x - t["mean"]) * torch.rsqrt(t["variance"] + epsilon) * t["weight"] + t["bias"]


def _dueling(advantages: Tensor, baseline: Tensor) -> Tensor:
    """arXiv:1511.06581, Eq. 9."""
    return baseline + advantages - advantages.mean(-1, keepdim=True)


def _sample(x: Tensor, noise: Tensor, *, low: float, high: float) -> Tensor:
    """A Gaussian's sample (B, A) from its mean and unsquashed log-deviation (B, 2 A)."""
    mean, raw = x.chunk(2, -1)
    return mean + noise * (low + 0.5 * (high - low) * (torch.tanh(raw) + 1.0)).exp()


def _gaussian(mean: Tensor, log_std: Tensor, noise: Tensor, *, low: float, high: float) -> Tensor:
    """A Gaussian's sample (B, A) from its mean and its clipped log-deviation (B, A)."""
    return mean + noise * log_std.clamp(low, high).exp()


def _count_from(choices: Tensor, *, starts: list[int]) -> Tensor:
    """Choices (B,) with one start, or (B, D) with D."""
    return choices + (starts[0] if choices.dim() == 1 else torch.tensor(starts))


def _picture(x: Tensor, *, channels: float, height: float, width: float, largest: float) -> Tensor:
    """(B, C, H, W) from 0 to 1 of flat bytes (B, C H W) as numbers."""
    return x.reshape(-1, int(channels), int(height), int(width)) / largest


def _convolution(x: Tensor, *, weight: Tensor, bias: Tensor, stride: float) -> Tensor:
    return functional.conv2d(x, weight, bias, stride=int(stride))


KINDS: Mapping[str, Kind] = {
    "picture": Kind(_picture, numbers=("channels", "height", "width", "largest")),
    "convolution": Kind(_convolution, ("weight", "bias"), ("stride",)),
    "flatten": Kind(lambda x: x.flatten(1)),
    "standardise": Kind(
        lambda x, offset, scale, limit: ((x - offset) * scale).clamp(-limit, limit),
        ("offset", "scale"),
        ("limit",),
    ),
    "linear": Kind(functional.linear, ("weight", "bias")),
    "layer_norm": Kind(_layer_norm, ("weight", "bias"), ("epsilon",)),
    "batch_norm": Kind(_batch_norm, ("mean", "variance", "weight", "bias"), ("epsilon",)),
    "dueling": Kind(_dueling, branches=("advantages", "baseline")),
    "tanh": Kind(torch.tanh),
    "relu": Kind(functional.relu),
    "elu": Kind(functional.elu),
    "gelu": Kind(functional.gelu),
    "silu": Kind(functional.silu),
    "first_half": Kind(lambda x: x.chunk(2, -1)[0]),  # the means of (means, log-deviations)
    "sample": Kind(_sample, numbers=("low", "high"), takes_noise=True),
    "gaussian": Kind(
        _gaussian,
        numbers=("low", "high"),
        takes_noise=True,
        branches=("mean", "log_std"),
    ),
    "add_noise": Kind(lambda x, noise, deviation: x + noise * deviation, ("deviation",), (), True),
    "add_gumbel_noise": Kind(lambda x, noise: x + noise, (), (), True),
    "scale": Kind(lambda x, center, half: center + half * x, ("center", "half")),
    "unscale": Kind(lambda x, center, half: (x - center) / half, ("center", "half")),
    "clip": Kind(lambda x, low, high: torch.minimum(torch.maximum(x, low), high), ("low", "high")),
    "to_float32": Kind(lambda x: x.float()),
    "argmax": Kind(lambda x: x.argmax(-1)),
    # of several choices, one behind another: each has its own
    "argmax_each": Kind(lambda x, sizes: by_choice(x, sizes).argmax(-1), lists=("sizes",)),
    "count_from": Kind(_count_from, lists=("starts",)),  # choices that do not begin at 0
    "mean": Kind(lambda x: x.mean(-1)),  # of one value, or of quantiles
}


@dataclass
class Architecture:
    """A model as plain data.

    Attributes:
        dtype: of its inputs and tensors: float32 or float64.
        sizes: of each input, by name; all are (B, size).
        prefixes: the layers of each input.
        layers: those of the body.
        noise: the distribution of the input `noise`, normal or gumbel; None where it takes none.
        tensors: by the names that layers give.
    """

    dtype: str
    sizes: dict[str, int]
    prefixes: dict[str, list[Layer]]
    layers: list[Layer] = field(default_factory=list)
    noise: str | None = None
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All but the tensors."""
        inputs = {
            name: {"size": size, "layers": self.prefixes.get(name, [])}
            for name, size in self.sizes.items()
        }
        return {
            "format": FORMAT,
            "dtype": self.dtype,
            "noise": self.noise,
            "inputs": inputs,
            "layers": self.layers,
        }

    @classmethod
    def from_json(cls, content: Any, tensors: Mapping[str, Tensor], *, source: str) -> Architecture:
        """What `to_json` gave, with its tensors; `source` says in errors where it lies.

        Raises:
            CheckpointError: it is of another format, or has a layer that is not known, or lacks something.
        """
        damaged = "Export the policy again, or use the program that wrote it."
        try:
            if content["format"] != FORMAT:
                problem = (
                    f"{source} has format {content['format']}, and this program reads {FORMAT}."
                )
                raise CheckpointError(problem, damaged)
            inputs = content["inputs"]
            made = cls(
                content["dtype"],
                {name: int(each["size"]) for name, each in inputs.items()},
                {name: each["layers"] for name, each in inputs.items()},
                content["layers"],
                content["noise"],
                dict(tensors),
            )
            for layer in made.all_layers():
                kind = KINDS.get(layer["kind"])
                if kind is None:
                    known = ", ".join(KINDS)
                    problem = f"{source} has a layer of the unknown kind {layer['kind']!r}."
                    raise CheckpointError(problem, f"Kinds that are known: {known}.")
                for role in kind.tensors:
                    if layer[role] not in tensors:
                        raise KeyError(layer[role])
                for role in kind.numbers:
                    float(layer[role])
                for role in kind.lists:
                    layer[role] = [int(each) for each in layer[role]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{source} is damaged: {error!r}.", damaged) from error
        return made

    def all_layers(self) -> list[Layer]:
        """Those of the inputs, then the body's, those of branches behind their own."""
        found = [layer for each in self.prefixes.values() for layer in each] + self.layers
        for layer in found:  # grows as it goes
            kind = KINDS.get(layer["kind"])
            for name in kind.branches if kind else ():
                found += layer[name]
        return found


class Network(nn.Module):
    """A torch module from an architecture: raw observations in, actions in the environment's units out."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.dtype: torch.dtype = getattr(torch, architecture.dtype)
        for name, tensor in architecture.tensors.items():
            self.register_buffer(name.replace(".", "_"), tensor)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Actions (B, A) float32, choices int64 (B,) or (B, D), or values (B,).

        Args:
            inputs: (B, size) each, in the order of the architecture's `sizes`; the noise is the last.
        """
        sizes = self.architecture.sizes
        given = dict(zip(sizes, inputs, strict=True))
        noise = given.pop(NOISE, None)
        parts = [
            self._pass(given[name], self.architecture.prefixes.get(name, []), noise)
            for name in given
        ]
        x = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        return self._pass(x, self.architecture.layers, noise)

    def _pass(self, x: Tensor, layers: list[Layer], noise: Tensor | None) -> Tensor:
        for layer in layers:
            kind = KINDS[layer["kind"]]
            arguments = {
                role: getattr(self, layer[role].replace(".", "_")) for role in kind.tensors
            }
            arguments |= {role: layer[role] for role in (*kind.numbers, *kind.lists)}
            given: list[Any] = [self._pass(x, layer[name], noise) for name in kind.branches] or [x]
            if kind.takes_noise:
                given.append(noise)
            x = kind.apply(*given, **arguments)
        return x
