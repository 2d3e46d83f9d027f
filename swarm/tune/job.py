"""A search as one job of a cluster: its script in the folder of the search."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.data_root import data_root
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError
from swarm.backends.base import Searches, SearchJob
from swarm.backends.table import backend_of, backends, titles
from swarm.tune.task_file import Search

_SWITCHES = ("deploy_now",)
_FLAGS = ("deployment", "num_nodes", "cpus_per_node", "time", "partition", "ray_address")


def searches_of(search: Search) -> Searches:
    """How the cluster of a search runs it.

    Raises:
        ConfigurationError: the tuner cannot write a job for it.
    """
    backend = backend_of(search.settings.deployment)
    if backend.searches is None:
        able = titles(each for each in backends() if each.searches is not None)
        raise ConfigurationError(
            f"--deployment={backend.name}: the tuner writes jobs for {able} alone.",
            "Leave --deployment out, and start this command in a job of your own on one node, "
            "or beside a Ray cluster with --ray_address=HOST:PORT.",
        )
    return backend.searches


def write_script(search: Search, argv: Sequence[str], *, repository: Path) -> Path:
    """The script, in the folder of the search; the same command of the tuner resumes it after a requeue.

    Raises:
        ConfigurationError: the tuner cannot write a job for this cluster.
    """
    searches, settings, root = searches_of(search), search.settings, data_root()
    python = Path(sys.executable)
    job = SearchJob(
        name=search.name,
        folder=search.folder,
        repository=repository,
        python=python,
        command=[str(python), "tuner.py", *_inside(argv)],
        data_root=None if root is None else root.absolute(),
        nodes=settings.num_nodes,
        cpus_per_node=settings.cpus_per_node,
        time=settings.time,
        partition=settings.partition,
    )
    search.folder.mkdir(parents=True, exist_ok=True)
    path = search.folder / searches.script
    write_atomically(path, searches.render(job))
    path.chmod(0o755)
    return path


def _inside(argv: Sequence[str]) -> list[str]:
    """The arguments that the tuner itself takes inside the job."""
    kept, skip = [], False
    for word in argv:
        name, equals, _ = word.removeprefix("--").replace("-", "_").partition("=")
        if skip:
            skip = False
        elif word.startswith("--") and name in (*_FLAGS, *_SWITCHES):
            skip = not equals and name not in _SWITCHES
        else:
            kept.append(word)
    return kept
