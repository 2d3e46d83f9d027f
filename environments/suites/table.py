"""The table of suites. Nothing else names one: whoever needs something of a suite asks `suite_of(env_id)` for it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # they import Gymnasium, which nobody who only reads settings waits for
    from environments.suites.suite import Suite

# Modules of this folder, each with its SUITE, asked in this order; the last one takes whatever is registered.
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
