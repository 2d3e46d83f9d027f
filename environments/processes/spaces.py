"""Spaces between a worker and the processes that step its environments: as plain data, and made of it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from environments.suites.parts import FlatSpace
from helpers.pictures import Picture, PictureSpace, picture_to_json


def describe_space(space: Any) -> dict[str, Any]:
    """A Box, a Discrete or a MultiDiscrete, as a message."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return {"n": int(space.n), "start": int(space.start)}
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return {"sizes": np.asarray(space.nvec), "starts": np.asarray(space.start)}
    about: dict[str, Any] = {"low": np.asarray(space.low), "high": np.asarray(space.high)}
    about |= {"picture": picture_to_json(space)}
    return about | ({"parts": space.parts} if isinstance(space, FlatSpace) else {})


def space_of(about: Mapping[str, Any]) -> gymnasium.Space:
    """The space of a message."""
    if "n" in about:
        return gymnasium.spaces.Discrete(about["n"], start=about["start"])
    if "sizes" in about:
        return gymnasium.spaces.MultiDiscrete(about["sizes"], start=about["starts"])
    bounds, dtype = (about["low"], about["high"]), about["low"].dtype.type
    if about["picture"]:
        return PictureSpace(Picture(**about["picture"]), dtype)
    if "parts" in about:
        return FlatSpace(*bounds, dtype=dtype, parts=about["parts"])
    return gymnasium.spaces.Box(*bounds, dtype=dtype)
