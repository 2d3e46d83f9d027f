"""Which installed packages simulate an environment."""

from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions, requires
from typing import Any

from gymnasium.envs.registration import load_env_creator

from environments.ids import suite_of
from environments.suites.gymnasium_suites import spec_of


def packages_of(env_id: str) -> list[str]:
    """The installed packages whose versions its numbers depend on, of a canonical id; what simulates it is the last."""
    suite = suite_of(env_id)
    if suite == "opensim":
        return ["opensim"]
    if suite == "dm_control":
        return ["dm_control", "mujoco"]
    if suite == "mujoco":
        return ["gymnasium", "mujoco"]
    entry_point: Any = spec_of(env_id).entry_point
    home = entry_point if isinstance(entry_point, str) else entry_point.__module__
    found = packages_distributions().get(re.split(r"[.:]", home)[0], [])[:1]
    if found in ([], ["gymnasium"]):
        return ["gymnasium"]
    needed = [re.split(r"[^\w-]", each, maxsplit=1)[0] for each in requires(found[0]) or ()]
    return ["gymnasium", *found, *(["mujoco"] if "mujoco" in needed else [])]


def uses_mujoco(env_id: str) -> bool:
    """Whether MuJoCo simulates an environment, of a canonical id, as far as its package or its own file show it."""
    if suite_of(env_id) in ("mujoco", "dm_control") or "mujoco" in packages_of(env_id):
        return True
    if suite_of(env_id) == "opensim":
        return False
    entry_point: Any = spec_of(env_id).entry_point
    kind = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    homes = {each.__module__ for each in getattr(kind, "__mro__", ())}
    named = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
    return "mujoco" in named or any(home.startswith("gymnasium.envs.mujoco") for home in homes)
