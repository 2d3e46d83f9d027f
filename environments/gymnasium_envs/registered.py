"""Gymnasium's registry: its ids, the packages that add to it, and modules that a user names.

`my_package.envs:Reach-v0` imports the module before the colon, which registers what is behind it, as in Gymnasium.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from environments.suites.names import VERSIONED_ID
from helpers.errors import ConfigurationError
from helpers.user_code import failure

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

MUJOCO_NAMES = (
    "Ant",
    "HalfCheetah",
    "Hopper",
    "Humanoid",
    "HumanoidStandup",
    "InvertedDoublePendulum",
    "InvertedPendulum",
    "Pusher",
    "Reacher",
    "Swimmer",
    "Walker2d",
)
_OLDEST_MUJOCO_VERSION = 4  # older ones need mujoco-py
_MODULE_ID = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<id>.+)")


@dataclass(frozen=True)
class Package:
    """Environments that are not installed with this project.

    Attributes:
        ids: which they are.
        module: what must be there, and is imported so that it registers them; "" where nothing here can use them.
        install: the arguments of pip.
        is_registered: whether Gymnasium registers the ids itself, and the module is only what they need.
        max_episode_steps: the limit that they keep by themselves, where their registration names none.
    """

    ids: re.Pattern[str]
    module: str
    install: str
    is_registered: bool = False
    max_episode_steps: int | None = None


_ROBOTICS = "Fetch|PointMaze|AntMaze|AdroitHand|HandReach|HandManipulate|FrankaKitchen"
PACKAGES = (
    Package(
        re.compile(r"(LunarLander|BipedalWalker|CarRacing)\w*(-v\d+)?"),
        "Box2D",
        "'gymnasium[box2d]'",
        is_registered=True,
    ),
    Package(
        re.compile(r"ALE/.+|\w+(NoFrameskip|Deterministic)(-ram)?-v\d+"),
        "ale_py",
        "ale-py",
        max_episode_steps=108_000,  # frames; where an action is more than one, it ends earlier
    ),
    Package(re.compile(r"(MiniGrid|BabyAI)-.+"), "minigrid", "minigrid"),
    Package(re.compile(rf"({_ROBOTICS})\w*(-v\d+)?"), "gymnasium_robotics", "gymnasium-robotics"),
    Package(re.compile(r"Meta-World/.+"), "metaworld", "metaworld"),
    Package(re.compile(r"myo[A-Z]\w+(-v\d+)?"), "myosuite", "myosuite"),
    Package(re.compile(r"(phys2d|tabular)/.+"), "jax", "jax", is_registered=True),
    Package(re.compile(r"GymV2[16]Environment-v0"), "shimmy", "shimmy", is_registered=True),
)


# Packages that are no environments of Gymnasium: what they are, and what makes one of them.
_INTERFACES = {
    "pettingzoo": (
        "have several agents, and the algorithms here train one",
        "with one agent in it",
    ),
    "gym": ("have the interface that Gymnasium followed", "made by shimmy's GymV21CompatibilityV0"),
    "dm_env": ("have the interface of DeepMind", "made by shimmy's DmControlCompatibilityV0"),
}


def _other_interface(env_id: str, module: str) -> ConfigurationError:
    what, remedy = _INTERFACES[module.partition(".")[0]]
    return ConfigurationError(
        f"env_id={env_id}: environments of {module} {what}.",
        f"Write a gymnasium.Env {remedy}: docs/environments.md#wrappers-and-other-interfaces.",
    )


def interface_of(kind: object) -> tuple[str, str] | None:
    """What a class is an environment of, if not of Gymnasium, and what to write instead; None where nobody knows it."""
    for each in getattr(kind, "__mro__", ()):
        if found := _INTERFACES.get(each.__module__.partition(".")[0]):
            return found
    return None


def spec_of(env_id: str) -> EnvSpec:
    """Gymnasium's entry of a canonical id, in this process."""
    from gymnasium.envs.registration import registry

    module, name = split_module(env_id)
    if name not in registry:
        if module:
            _import_module(module, env_id)
        for package in PACKAGES:
            if package.ids.fullmatch(name):
                _import_package(package, env_id)
    return registry[name]


def package_limit(env_id: str) -> int | None:
    """After how many steps the environments of a known package end by themselves; None where that is not known."""
    name = split_module(env_id)[1]
    limits = [each.max_episode_steps for each in PACKAGES if each.ids.fullmatch(name)]
    return limits[0] if limits else None


def split_module(env_id: str) -> tuple[str, str]:
    """(the module that registers an id, the id alone); "" without a module."""
    parts = _MODULE_ID.fullmatch(env_id)
    return (parts["module"], parts["id"]) if parts else ("", env_id)


def resolve_registered(env_id: str) -> str | None:
    """The registered id, of a bare name its newest version; None if nothing is registered under it.

    Raises:
        ConfigurationError: what it needs is not installed or cannot be imported, it can no longer be run, or the module
            that it names does not register it.
    """
    module, name = split_module(env_id)
    if module:
        if module.partition(".")[0] in _INTERFACES:
            raise _other_interface(env_id, module)
        _import_module(module, env_id)
    for package in PACKAGES:
        if package.ids.fullmatch(name):
            _import_package(package, env_id)
    versions = _versions()
    if _is_exact(name):
        return env_id
    if name in versions:
        newest = f"{name}-v{max(versions[name])}"
        return f"{module}:{newest}" if module else newest
    parts = VERSIONED_ID.fullmatch(name)
    stem, version = (parts["name"], int(parts["version"])) if parts else (name, -1)
    if stem in MUJOCO_NAMES and 0 <= version <= _OLDEST_MUJOCO_VERSION:
        raise _mujoco_refusal(stem, version)
    if module:
        raise _not_of_module(env_id, module)
    return None


def registered_ids() -> list[str]:
    """All that can be run, of a name the newest version first: it is taken where two are equally near."""
    versions = _versions()
    return [f"{name}-v{each}" for name in versions for each in reversed(versions[name])]


def _is_exact(name: str) -> bool:
    """Whether an id is registered as it is, and can be run."""
    from gymnasium.envs.registration import registry

    return name in registry and not _is_dead(name)


def _is_dead(registered: str) -> bool:
    """Whether a registered id is of a MuJoCo task that can no longer be run; Pusher-v4 needs MuJoCo < 3."""
    parts = VERSIONED_ID.fullmatch(registered)
    if parts is None or parts["name"] not in MUJOCO_NAMES:
        return False
    return int(parts["version"]) < _OLDEST_MUJOCO_VERSION or registered == "Pusher-v4"


def _versions() -> dict[str, list[int]]:
    """The versions that can be run, by name, of everything in Gymnasium's registry."""
    from gymnasium.envs.registration import registry

    missing = [each.ids for each in PACKAGES if find_spec(each.module) is None]
    versions: dict[str, list[int]] = {}
    for registered in registry:
        parts = VERSIONED_ID.fullmatch(registered)
        if parts is None or any(ids.fullmatch(registered) for ids in missing):
            continue
        if not _is_dead(registered):
            versions.setdefault(parts["name"], []).append(int(parts["version"]))
    return versions


def _import_module(module: str, env_id: str) -> None:
    """Import what a user names, so that it registers its environments."""
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a user's module raises is his to mend
        if isinstance(error, ModuleNotFoundError) and error.name and module.startswith(error.name):
            raise ConfigurationError(
                f"env_id={env_id}: there is no module {error.name} here.",
                f"Install it, or put its folder into PYTHONPATH; try: python -c 'import {module}'.",
            ) from error
        raise failure(error, f"env_id={env_id}: the module {module} cannot be imported") from error


def _import_package(package: Package, env_id: str) -> None:
    if find_spec(package.module) is None:
        raise ConfigurationError(
            f"env_id={env_id} needs the package {package.module}, which is not installed here.",
            f"Install it: pip install {package.install}.",
        )
    if not package.is_registered:
        _import_module(package.module, env_id)
        import gymnasium

        gymnasium.register_envs(importlib.import_module(package.module))


def _mujoco_refusal(name: str, version: int) -> ConfigurationError:
    """Why a version of a MuJoCo task cannot be run, and how its returns compare with v5's."""
    if version == _OLDEST_MUJOCO_VERSION:
        reason = "needs MuJoCo 2, this project has MuJoCo 3"
    else:
        reason = "needs mujoco-py, which Gymnasium no longer supports"
    if name in ("Ant", "Humanoid"):
        comparison = "v2 = v3; v4 and v5 differ from them and from each other"
    elif name in ("HalfCheetah", "Swimmer"):
        comparison = "v2 = v3, comparable with v4, and v4 = v5"
    else:
        comparison = "v2 = v3, comparable with v4; v5 differs from v4"
    return ConfigurationError(
        f"env_id={name}-v{version} {reason}.",
        f"Use {name}-v5. Comparability of returns: {comparison}.",
    )


def _not_of_module(env_id: str, module: str) -> ConfigurationError:
    """That a module registers no such id, and what there is of its package."""
    from gymnasium.envs.registration import registry

    package, own = module.partition(".")[0], []
    for registered, spec in registry.items():
        entry = spec.entry_point
        home = entry if isinstance(entry, str) else getattr(entry, "__module__", "")
        if home.partition(":")[0].partition(".")[0] == package:
            own.append(registered)
    return ConfigurationError(
        f"env_id={env_id}: the module {module} registers no such environment.",
        (
            f"There are {', '.join(own)}."
            if own
            else "Let it call gymnasium.register(id=...), or give a file and a class: --env_id=path/to/file.py:Class."
        ),
    )
