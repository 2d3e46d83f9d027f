"""Whether two policies are the same function but for their numbers, layer by layer, and in which units they act."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.weights.architecture import OBSERVATION, Architecture

REMEDY = "Give this run the settings of that one"
_AFTER = ("first_half", "tanh", "scale", "clip", "to_float32", "argmax")
_PLAIN = frozenset(
    ("linear", "layer_norm", "tanh", "relu", "elu", "gelu", "silu", "selu", "leaky_relu"),
)


class Mismatch(Exception):
    """Why two networks are not the same function."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


class Fit:
    """Two policies, layer by layer.

    Attributes:
        same_units: whether their last layers speak in the same units.

    Raises:
        Mismatch: they are not the same function.
    """

    def __init__(self, theirs: Architecture, ours: Architecture) -> None:
        self.theirs, self.ours = theirs, ours
        self._compare_inputs()
        (self.layers, self.end), (self.own_layers, self.own_end) = map(_split, (theirs, ours))
        kinds = [[layer["kind"] for layer in body] for body in (self.layers, self.own_layers)]
        if kinds[0] != kinds[1]:
            raise Mismatch(
                f"its policy is {_words(kinds[0])}, this one's {_words(kinds[1])}",
                f"{REMEDY} (--p_perception_stack, --p_activation, --layer_norm)",
            )
        self._compare_shapes()
        squashes = ["tanh" in end for end in (self.end, self.own_end)]
        if squashes[0] != squashes[1]:
            raise Mismatch(
                f"its actions are {'' if squashes[0] else 'not '}squashed by tanh, this one's are"
                f"{'' if squashes[1] else ' not'}",
                "Train a clone with --no-squash_actions for PPO, with --squash_actions for SAC, TD3 and DDPG",
            )
        scales = [_scale(each) for each in (theirs, ours)]
        self.same_units = all(bool((a == b).all()) for a, b in zip(*scales, strict=True))
        if squashes[0] and not self.same_units:
            raise Mismatch(
                f"its actions reach from {_range(scales[0])}, this one's from {_range(scales[1])}",
                "Begin with a policy of actions with the same bounds",
            )
        self.scales = scales

    def _compare_inputs(self) -> None:
        sizes = [each.sizes[OBSERVATION] for each in (self.theirs, self.ours)]
        if sizes[0] != sizes[1]:
            raise Mismatch(
                f"its observations have {sizes[0]} numbers, this run's {sizes[1]}",
                "Begin with a policy of the same observations",
            )
        normal = [bool(each.prefixes.get(OBSERVATION)) for each in (self.theirs, self.ours)]
        if normal[0] != normal[1]:
            raise Mismatch(
                f"its observations are {'' if normal[0] else 'not '}normalized, this run's are"
                f"{'' if normal[1] else ' not'}",
                f"Give --{'' if normal[0] else 'no-'}p_batch_norm",
            )

    def _compare_shapes(self) -> None:
        for place, (old, new) in enumerate(zip(self.layers, self.own_layers, strict=True)):
            if "weight" not in old:
                continue
            there, here = (
                list(each.tensors[layer["weight"]].shape)
                for each, layer in ((self.theirs, old), (self.ours, new))
            )
            is_head = place == len(self.layers) - 1
            if is_head:
                there[0] //= 2 if "first_half" in self.end else 1
                here[0] //= 2 if "first_half" in self.own_end else 1
            if there != here:
                if is_head and there[1:] == here[1:]:
                    problem = f"its actions have {there[0]} numbers, this run's {here[0]}"
                    raise Mismatch(problem, "Begin with a policy of the same actions")
                problem = f"a layer of the policy is {there} there and {here} here"
                raise Mismatch(problem, f"{REMEDY} (--p_perception_stack)")

    def tensors(self) -> list[tuple[str, Tensor]]:
        """(kind, tensor) of the source, weights and biases in the order of layers; the head in this run's units.

        Raises:
            Mismatch: there is more in it than layers that every algorithm has.
        """
        strange = [layer["kind"] for layer in self.layers if layer["kind"] not in _PLAIN]
        if strange or self.layers[-1]["kind"] != "linear":
            problem = f"its policy has a layer {strange[0] if strange else 'behind its head'}"
            raise Mismatch(problem, "Begin with a run of the same algorithm")
        found = []
        for layer in self.layers:
            for role in ("weight", "bias"):
                if role in layer:
                    found.append((layer["kind"], self.theirs.tensors[layer[role]].clone()))
        (_, weight), (_, bias) = found[-2:]
        (center, half), (own_center, own_half) = (
            [torch.as_tensor(np.asarray(part), dtype=torch.float64) for part in scale]
            for scale in self.scales
        )
        if not self.same_units:  # never where a mean and a deviation share the head
            weight.copy_(weight.double() * (half / own_half).unsqueeze(-1))
            bias.copy_((half * bias.double() + center - own_center) / own_half)
        return found

    @property
    def log_ratio(self) -> np.ndarray:
        """What the logarithm of a deviation grows by between the two units."""
        (_, half), (_, own_half) = self.scales
        return np.log(np.asarray(half, dtype=np.float64) / np.asarray(own_half, dtype=np.float64))


def _split(made: Architecture) -> tuple[list[dict[str, Any]], list[str]]:
    """(the layers up to the head, the kinds of those behind it but the ones that change nothing)."""
    body = list(made.layers)
    end: list[str] = []
    while body and body[-1]["kind"] in _AFTER:
        end.insert(0, body.pop()["kind"])
    return body, [kind for kind in end if kind not in ("clip", "to_float32")]


def _scale(made: Architecture) -> tuple[np.ndarray, np.ndarray]:
    """(center, half) that actions are scaled by."""
    for layer in made.layers:
        if layer["kind"] == "scale":
            return made.tensors[layer["center"]].numpy(), made.tensors[layer["half"]].numpy()
    return np.zeros(1, np.float32), np.ones(1, np.float32)


def _range(scale: tuple[np.ndarray, np.ndarray]) -> str:
    center, half = scale
    return f"{(center - half).min():g} to {(center + half).max():g}"


def _words(kinds: list[str]) -> str:
    """Layers in a few words, without the head."""
    return "-".join(kinds[:-1]) or "linear"
