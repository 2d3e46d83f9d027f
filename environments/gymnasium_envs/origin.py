"""Where a Gymnasium environment comes from: the packages whose versions its numbers depend on, or a user's module."""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import load_env_creator

from environments.gymnasium_envs.env import spec_of
from helpers.user_code import is_users


def packages_of(env_id: str) -> list[str]:
    """The installed packages; what simulates it is the last."""
    entry_point: Any = spec_of(env_id).entry_point
    home = entry_point if isinstance(entry_point, str) else entry_point.__module__
    found = packages_distributions().get(re.split(r"[.:]", home)[0], [])[:1]
    if found in ([], ["gymnasium"]):
        return ["gymnasium"]
    needed = [re.split(r"[^\w-]", each, maxsplit=1)[0] for each in requires(found[0]) or ()]
    return ["gymnasium", *found, *(["mujoco"] if "mujoco" in needed else [])]


def uses_mujoco(env_id: str) -> bool:
    """Whether MuJoCo simulates an environment, as far as its package or its own file show it."""
    if "mujoco" in packages_of(env_id):
        return True
    entry_point: Any = spec_of(env_id).entry_point
    kind = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    homes = {each.__module__ for each in getattr(kind, "__mro__", ())}
    named = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
    return "mujoco" in named or any(home.startswith("gymnasium.envs.mujoco") for home in homes)


def users_module(env_id: str) -> Path | None:
    """The file of a Gymnasium environment's class, where no installed package has it."""
    entry_point: Any = spec_of(env_id).entry_point
    name = entry_point.partition(":")[0] if isinstance(entry_point, str) else entry_point.__module__
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None  # a module without a file, such as __main__; making it raises the error
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    path = Path(spec.origin)
    return path.resolve() if is_users(path) else None
