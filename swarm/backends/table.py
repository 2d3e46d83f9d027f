"""All places that runs may go to, by what `--deployment` calls them. Each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from helpers.errors import ConfigurationError

if TYPE_CHECKING:  # the names alone are enough for a help page
    from swarm.backends.base import Backend

CLUSTERS: Mapping[str, str] = {
    "slurm": "swarm.backends.slurm.SLURM",
    "pbs": "swarm.backends.pbs.PBS",
}
BACKENDS: Mapping[str, str] = {
    "tmux": "swarm.backends.tmux.TMUX",
    **CLUSTERS,
    "local": "swarm.backends.local.LOCAL",
}


def backend_of(name: str) -> Backend:
    """The backend of a name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in BACKENDS:
        raise ConfigurationError(
            f"There is no deployment {name}.",
            f"Choose one of {', '.join(BACKENDS)}.",
        )
    return _load(BACKENDS[name])


def backends() -> tuple[Backend, ...]:
    """All of them."""
    return tuple(map(backend_of, BACKENDS))


def clusters() -> tuple[Backend, ...]:
    """Those that are clusters."""
    return tuple(map(backend_of, CLUSTERS))


def titles(found: Iterable[Backend]) -> str:
    """What sentences call them: "Slurm or another"."""
    return " or ".join(each.title for each in found)


def flags(found: Iterable[Backend]) -> str:
    """How a command chooses one of them: "--deployment slurm, or --deployment another"."""
    return ", or ".join(f"--deployment {each.name}" for each in found)


@cache
def _load(path: str) -> Backend:
    module, name = path.rsplit(".", 1)
    found: Backend = getattr(import_module(module), name)
    return found
