"""What goes into a policy and comes out, as its contract has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from agents.weights.architecture import NOISE, Architecture
from helpers.episodes import choice_sizes, first_choices
from helpers.pictures import PictureSpace, picture_to_json
from registry.package.contract import bounds_to_json
from registry.package.evaluation import Names


def interface_of(
    architecture: Architecture,
    *,
    seen: gymnasium.spaces.Box,
    space: gymnasium.Space,
    names: Names,
    action_shape: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Observations, actions and noise, as the contract has them.

    Args:
        seen: the space of an observation.
        space: of an action.
        names: of the components of both.
        action_shape: of an action as the environment itself takes it, where that is another.
    """
    observed, acted = names
    action: dict[str, Any]
    if isinstance(space, gymnasium.spaces.Box):
        action = {"shape": list(space.shape), "dtype": "float32"}
        action |= bounds_to_json(space.low, space.high)
    else:
        sizes, first = list(choice_sizes(space)), list(first_choices(space))
        one = {"choices": sizes[0], "start": first[0]}
        several = {"choices": sizes, "starts": first}
        shape = list(space.shape or ())
        action = {"shape": shape, "dtype": "int64", **(several if shape else one)}
    if action_shape is not None and list(action_shape) != action["shape"]:
        action["shape_of_environment"] = list(action_shape)
    parts = getattr(seen, "parts", None)
    noise = architecture.noise
    shown = slice(1) if isinstance(seen, PictureSpace) else slice(None)  # pixels all have the same
    return {
        "observation": {
            "name": "observation",
            "shape": list(seen.shape),
            "dtype": architecture.dtype,
            "dtype_of_environment": str(seen.dtype),
            **bounds_to_json(seen.low[shown], seen.high[shown]),
            "components": observed,
            **({} if parts is None else {"parts": parts}),
            **picture_in_words(seen),
        },
        "action": {"name": "action", **action, "components": acted},
        "noise": noise and {"distribution": noise, "shape": [architecture.sizes[NOISE]]},
    }


def picture_in_words(seen: gymnasium.Space) -> dict[str, Any]:
    """What a contract says of an observation that is a picture: its form, and how the environment's becomes one."""
    form = picture_to_json(seen)
    if form is None or seen.dtype != np.uint8:
        return {}
    order = "channels, rows, columns, made flat; values from 0 to 255; of stacked frames the oldest first"
    return {"picture": {**form, "order": order}}
