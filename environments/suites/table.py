"""The table of suites. No other module names one: they call `suite_of(env_id)`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports Gymnasium, which takes 0.3 s and which reading settings does without
    from environments.suites.suite import Suite

# Modules of this folder, each with its SUITE, in the order in which they are asked for an id; the last one takes
# whatever is registered.
_MODULES = (
    "opensim",
    "dm_control",
    "mujoco",
    "gymnasium",
)


@cache
def suites() -> tuple[Suite, ...]:
    """All suites, in the order in which they are asked for an id."""
    return tuple(import_module(f"environments.suites.{each}").SUITE for each in _MODULES)


def suite_of(env_id: str) -> Suite:
    """The suite of a canonical id."""
    return next(each for each in suites() if each.owns(env_id))


def benchmark_of(env_id: str) -> str:
    """Whose bundles in tasks/bundles.yaml belong to the suite of a canonical id."""
    suite = suite_of(env_id)
    return suite.benchmark or suite.name


def packages() -> tuple[str, ...]:
    """The distributions that numbers of any suite depend on, each once."""
    return tuple(dict.fromkeys(name for each in suites() for name in each.packages))


def simulator_names() -> dict[str, str]:
    """What simulates environments, for people to read, by its package."""
    return {each.packages[-1]: each.simulator for each in suites() if each.simulator}
