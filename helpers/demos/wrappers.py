"""Wrappers of the environment that demonstrations were recorded in: which change numbers, and which can be undone.

What is known of a recording is kept in its origin as JSON, as Gymnasium's `EnvSpec.additional_wrappers` says it:
name, entry point and arguments of each wrapper, from the environment outwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Observations, actions, rewards and ends are the environment's own behind these. A time limit shortens episodes alone.
_HARMLESS = frozenset(
    {
        "AddWhiteNoise",  # to pictures
        "ArrayConversion",
        "DataCollector",
        "EnvCompatibility",
        "FlattenObservation",
        "HumanRendering",
        "JaxToNumpy",
        "JaxToTorch",
        "Monitor",
        "NumpyToTorch",
        "ObstructView",  # of pictures
        "OrderEnforcing",
        "PassiveEnvChecker",
        "RecordEpisodeStatistics",
        "RecordVideo",
        "RenderCollection",
        "ReshapeObservation",  # vectors are flattened here anyhow
        "StepAPICompatibility",
        "TimeLimit",
    },
)
_CHANGED = {
    "AddRenderObservation": "observations",
    "AtariPreprocessing": "observations",
    "Autoreset": "what a step is",
    "ClipReward": "rewards",
    "DelayObservation": "observations",
    "DiscretizeAction": "actions",
    "DiscretizeObservation": "observations",
    "DtypeObservation": "the precision of observations",
    "FilterObservation": "observations",
    "FrameStackObservation": "observations",
    "GrayscaleObservation": "observations",
    "MaxAndSkipObservation": "what a step is",
    "NormalizeObservation": "observations, by statistics that are not in the file",
    "NormalizeReward": "rewards, by statistics that are not in the file",
    "RepeatAction": "what a step is",
    "RescaleObservation": "observations",
    "ResizeObservation": "observations",
    "StickyAction": "which action is executed",
    "TimeAwareObservation": "observations",
    "TransformAction": "actions",
    "TransformObservation": "observations",
    "TransformReward": "rewards",
}
_RESCALE, _CLIP = "RescaleAction", "ClipAction"
# a user's class of the same name is another wrapper
_KNOWN_FROM = re.compile(r"(gymnasium|gym|minari|stable_baselines3)\b")


@dataclass(frozen=True)
class Wrapper:
    """One wrapper of a recording.

    Attributes:
        name: of its class.
        entry_point: module and class; empty where nobody says it.
        arguments: by name; empty where they are not known.
    """

    name: str
    entry_point: str
    arguments: Mapping[str, Any]

    @property
    def is_known(self) -> bool:
        """Whether it is the wrapper of a library that is known here."""
        return not self.entry_point or _KNOWN_FROM.match(self.entry_point) is not None

    @property
    def is_harmless(self) -> bool:
        """Whether it changes no numbers."""
        return self.is_known and self.name in _HARMLESS

    @property
    def changed(self) -> str | None:
        """What it changes; None where that is not known."""
        return _CHANGED.get(self.name) if self.is_known else None

    @property
    def acts(self) -> bool:
        """Whether it maps actions in a known way that can be undone."""
        return self.is_known and self.name in (_RESCALE, _CLIP)


def wrappers_of(origin: Mapping[str, Any]) -> list[Wrapper]:
    """Those that an origin names, from the environment outwards."""
    return [_wrapper(each) for each in parse_json(origin.get("env_wrappers"), list)]


def _wrapper(said: Any) -> Wrapper:
    found = said if isinstance(said, dict) else {"name": said}
    name = re.sub(r"V\d+$", "", str(found.get("name")))
    arguments = found.get("kwargs")
    return Wrapper(
        name,
        str(found.get("entry_point") or ""),
        arguments if isinstance(arguments, dict) else {},
    )


def parse_json(text: object, kind: type[Any]) -> Any:
    """What JSON says, or an empty one of this kind where it says none."""
    try:
        found = json.loads(text) if isinstance(text, str | bytes) else None
    except ValueError:
        found = None
    return found if isinstance(found, kind) else kind()


def origin_of_spec(text: object) -> dict[str, Any]:
    """What the JSON of a Gymnasium `EnvSpec` says of an environment: id, options, wrappers, entry point."""
    spec = parse_json(text, dict)
    origin: dict[str, Any] = {}
    if isinstance(spec.get("id"), str):
        origin["env_id"] = spec["id"]
    if isinstance(spec.get("entry_point"), str):
        origin["entry_point"] = spec["entry_point"]
    if isinstance(spec.get("kwargs"), dict) and spec["kwargs"]:
        origin["env_options"] = json.dumps(spec["kwargs"], sort_keys=True)
    if isinstance(spec.get("additional_wrappers"), list | tuple) and spec["additional_wrappers"]:
        origin["env_wrappers"] = json.dumps(spec["additional_wrappers"], sort_keys=True)
    return origin


def executed(
    actions: np.ndarray,
    found: Sequence[Wrapper],
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """The actions that reached the environment behind its wrappers, as `RescaleAction` and `ClipAction` map them.

    Args:
        actions: (T, act_dim), as they were given to the outermost wrapper.
        found: the wrappers, from the environment outwards; those that do not act are passed over.
        low, high: the environment's bounds, (act_dim,).

    Raises:
        ValueError: a wrapper does not say its arguments.
    """
    acting = [each for each in found if each.acts]
    inner = [(low.astype(np.float64), high.astype(np.float64))]  # the bounds behind each wrapper
    for each in acting:
        inner.append(_bounds_outside(each, inner[-1]))
    mapped = actions.astype(np.float64)
    for index in range(len(acting) - 1, -1, -1):
        (low, high), (outer_low, outer_high) = inner[index], inner[index + 1]
        if acting[index].name == _CLIP:
            mapped = np.clip(mapped, low, high)
        else:
            mapped = rescale(mapped, (outer_low, outer_high), (low, high))
    return mapped.astype(actions.dtype if actions.dtype.kind == "f" else np.float64)


def rescale(
    actions: np.ndarray,
    given: tuple[np.ndarray, np.ndarray],
    wanted: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Actions by the affine map from some bounds to others."""
    share = (actions - given[0]) / (given[1] - given[0])
    return wanted[0] + share * (wanted[1] - wanted[0])


def _bounds_outside(
    wrapper: Wrapper,
    inner: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of the actions that a wrapper takes."""
    if wrapper.name == _CLIP:
        return np.full_like(inner[0], -np.inf), np.full_like(inner[1], np.inf)
    try:
        ends = [
            np.broadcast_to(np.asarray(wrapper.arguments[name], np.float64), inner[0].shape)
            for name in ("min_action", "max_action")
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{wrapper.name} does not say its bounds") from error
    return ends[0], ends[1]
