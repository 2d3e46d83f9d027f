"""From another program's units of actions and deviations to ours, as changes of weights that were copied."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agents.weights.migration.foreign_files import Foreign
from agents.weights.migration.names import SQUASHED, State
from helpers.errors import ConfigurationError


def scale_of(
    algo: str,
    foreign: Foreign,
    space: gymnasium.Space,
) -> tuple[np.ndarray, np.ndarray] | None:
    """What the program stretches its actions by; None where it takes them as they come."""
    stretches = algo in SQUASHED or (algo == "ppo" and foreign.program == "rl_games")
    if not (stretches and isinstance(space, gymnasium.spaces.Box) and space.is_bounded()):
        return None
    scale = (space.low + space.high) / 2, (space.high - space.low) / 2
    if foreign.bounds is not None:
        theirs = tuple(each.numpy() for each in foreign.bounds)
        if not all(
            np.shape(a) == b.shape and np.allclose(a, b) for a, b in zip(theirs, scale, strict=True)
        ):
            center, half = theirs
            raise ConfigurationError(
                f"{foreign.path} acts in {center - half} to {center + half}, the environment in {space.low} to "
                f"{space.high}.",
                "Give the environment that it was trained in: --env_id=NAME.",
            )
    return scale


def let_critics_take_scaled_actions(
    slots: Mapping[str, Tensor],
    scale: tuple[np.ndarray, np.ndarray],
) -> None:
    """CleanRL's critics take actions in the environment's units, ours in [-1, 1]: w a = (w half) a' + w center."""
    center, half = (torch.from_numpy(each) for each in scale)
    for name, weight in slots.items():
        if "critic" in name and name.endswith(".0.weight"):
            of_actions = weight[:, -len(half) :]
            slots[name.replace("weight", "bias")].add_(of_actions @ center)
            of_actions.mul_(half)


def stretch(policy: State, scale: tuple[np.ndarray, np.ndarray]) -> None:
    """Let a Gaussian policy over [-1, 1] be one over the environment's bounds: the same actions, unstretched."""
    center, half = (torch.from_numpy(each) for each in scale)
    *_, weight, bias = (name for name in policy if name.startswith("layers."))
    policy[weight].mul_(half.unsqueeze(-1))
    policy[bias].mul_(half).add_(center)
    policy["log_std"].add_(half.log())


def translate_deviations(slots: Mapping[str, Tensor], bounds: tuple[float, float]) -> None:
    """Let our squashed log-deviations be theirs to first order around the middle of our range."""
    low, high = bounds
    slots["policy.log_std.bias"].sub_((low + high) / 2)
    for part in ("weight", "bias"):
        slots[f"policy.log_std.{part}"].div_((high - low) / 2)
