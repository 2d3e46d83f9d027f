"""What a list shows of a run, read from the end of its metrics, its settings and the sizes of its files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.errors import ConfigurationError
from helpers.run_folder.experiment import CONFIG_FILE
from helpers.run_folder.run_lock import holder_elsewhere
from reports.series import (
    METRICS,
    TAIL,
    Source,
    last_return_of,
    last_row_of,
    read_settings,
    read_tail,
    state_of,
)

COLUMNS = (
    "name",
    "algorithm",
    "task",
    "seed",
    "state",
    "steps",
    "num_timesteps",
    "return",
    "age",
    "size",
)
STATES = ("running", "unknown", "failed", "diverged", "missing", "stopped", "done", "damaged")
_BLOCK = 512  # bytes, of st_blocks


@dataclass(frozen=True)
class Entry:
    """A run as a list shows it.

    Attributes:
        folder: of the run.
        algorithm, task, seed: its algorithm, the id of its environment, its seed.
        state: as `reports.series` tells it from the folder; "unknown" where another machine holds the run, "damaged"
            where its settings cannot be read.
        reason: why; "" where there is nothing to say.
        steps, num_timesteps: done, and asked for; of all workers.
        return_: the last one; None where there is none.
        return_of: whether that is of an evaluation, or of the training where there is none.
        age: seconds since something was last written there.
        written: when that was, in seconds since 1970.
        size: bytes that it takes on the disk; what links lead to is not its own.
        settings: as its config.yaml has them, texts; None where one has no value.
    """

    folder: Path
    algorithm: str
    task: str
    seed: int
    state: str
    reason: str
    steps: int
    num_timesteps: int
    return_: float | None
    return_of: Source | None
    age: float
    written: float
    size: int
    settings: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the run."""
        return self.folder.name

    def value(self, key: str) -> Any:
        """A column or a setting; None where it has no value.

        Raises:
            KeyError: there is neither.
        """
        if key in COLUMNS:
            return getattr(self, {"return": "return_"}.get(key, key))
        return self.settings[key]

    def to_json(self) -> dict[str, Any]:
        """For scripts: the columns, the folder, and the settings."""
        columns = {key: self.value(key) for key in COLUMNS}
        if self.return_ is not None and not math.isfinite(self.return_):
            columns["return"] = None  # which JSON has no word for; the reason has
        more = {"return_of": self.return_of, "reason": self.reason, "folder": str(self.folder)}
        return columns | more | {"settings": dict(self.settings)}


@dataclass(frozen=True)
class Measure:
    """What a folder takes, all below it, without following links.

    Attributes:
        bytes: on the disk; a file with several names counts once.
        written: when a file of it was last written, in seconds since 1970.
        inner: run folders inside, apart from those of its own lineage (swarm/tune).
    """

    bytes: int
    written: float
    inner: tuple[Path, ...] = ()


def read_entry(folder: Path, now: float) -> Entry:
    """A run folder, as it is at a time."""
    taken = measure(folder)
    age = max(now - taken.written, 0.0)
    try:
        settings = read_settings(folder)
        seed, wanted = int(settings.get("seed") or 0), int(settings.get("num_timesteps") or 0)
    except (ConfigurationError, ValueError) as error:
        why = error.problem if isinstance(error, ConfigurationError) else f"{CONFIG_FILE}: {error}"
        return Entry(
            folder,
            "",
            "",
            0,
            "damaged",
            why,
            0,
            0,
            None,
            None,
            age,
            taken.written,
            taken.bytes,
        )
    tail = read_tail(folder)
    last = last_row_of(tail)
    state: str
    state, reason = state_of(folder, last, wanted)
    if state not in ("done", "running") and (host := holder_elsewhere(folder)) is not None:
        state, reason = "unknown", f"{host} holds it, and cannot be seen from here"
    return_, source = _last_return(folder, tail, is_evaluated=settings.get("eval_frequency") != "0")
    if state != "running" and return_ is not None and not math.isfinite(return_):
        state, reason = "diverged", f"its last return is {return_}"
    return Entry(
        folder=folder,
        algorithm=settings.get("algo") or "",
        task=settings.get("env_id") or "",
        seed=seed,
        state=state,
        reason=reason,
        steps=int(last.get("step", 0)),
        num_timesteps=wanted,
        return_=return_,
        return_of=source,
        age=age,
        written=taken.written,
        size=taken.bytes,
        settings=settings,
    )


def measure(folder: Path) -> Measure:
    """What lies in a folder; what disappears meanwhile does not count."""
    total, written = 0, 0.0
    seen: set[tuple[int, int]] = set()
    inner: list[Path] = []
    top, waiting = str(folder), [str(folder)]
    lineage = os.path.join(top, "lineage")
    while waiting:
        path = waiting.pop()
        for entry in _entries(path):
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if found.st_mtime > written:
                written = found.st_mtime
            if entry.name == CONFIG_FILE and path != top and not path.startswith(lineage):
                inner.append(Path(path))
            if found.st_nlink > 1:
                if (found.st_dev, found.st_ino) in seen:
                    continue
                seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * _BLOCK
    return Measure(total, written, tuple(sorted(inner)))


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as listed:
            return list(listed)
    except OSError:
        return []


def _last_return(
    folder: Path,
    tail: bytes,
    *,
    is_evaluated: bool,
) -> tuple[float | None, Source | None]:
    """(last return, what it is of): evaluations may lie far apart, so that the end of the metrics has none."""
    if is_evaluated:
        value = last_return_of(tail, "evaluation")
        if value is None and len(tail) >= TAIL:
            value = last_return_of(
                read_tail(folder, (folder / METRICS).stat().st_size),
                "evaluation",
            )
        if value is not None:
            return value, "evaluation"
    value = last_return_of(tail, "training")
    return value, None if value is None else "training"
