"""OpenSim tasks as Gymnasium environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.wrappers import TimeLimit

from environments.opensim import catalogue
from environments.opensim.arm import ArmReach
from environments.opensim.catalogue import max_episode_steps
from environments.opensim.gait import GaitWalk
from environments.opensim.l2m2019 import L2M2019

__all__ = ["make_env", "max_episode_steps"]


def make_env(
    env_id: str,
    *,
    render_mode: str | None,
    options: Mapping[str, Any],
    limit: int | None = None,
) -> gymnasium.Env:
    """One environment for a canonical id.

    Raises:
        ConfigurationError: OpenSim or a model file is missing, or an option is not one.
    """
    chosen = catalogue.complete_options(env_id, options)
    kinds = {catalogue.ARM: ArmReach, catalogue.GAIT: GaitWalk, catalogue.L2M: L2M2019}
    env = kinds[env_id](env_id, chosen, render_mode=render_mode)
    return TimeLimit(env, limit or max_episode_steps(env_id, options))
