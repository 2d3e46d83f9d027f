"""The curve of one run and what it was trained with, read from its run folder; no torch, no MPI, no simulator."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from helpers.config.yaml_files import read_yaml
from helpers.errors import ConfigurationError
from helpers.run_folder.changes import read_capsule
from helpers.run_folder.experiment import CONFIG_FILE, group_of
from helpers.run_folder.run_lock import is_trained_here

Source = Literal["evaluation", "training"]
State = Literal["done", "running", "stopped", "failed", "diverged", "missing"]
Facts = Mapping[str, Any]

METRICS = "metrics.jsonl"
KEYS: Mapping[Source, str] = {"evaluation": "eval/return_mean", "training": "rollout/return_mean"}
_TAIL = 1 << 16  # bytes; longer than any row
_CRASHES = "crash_worker_*.txt"
_NUMERICAL = ("NumericalError", "UsersNumbersError")


@dataclass(frozen=True, eq=False)
class Series:
    """One run: its returns over environment steps, and what it was trained with.

    Attributes:
        name: of the run.
        group: the name without its seed.
        task: the id of its environment.
        seed: of the run.
        algorithm: its name in `--algo`.
        source: whether `returns` are of evaluations without exploration, or of the training's episodes.
        steps: (T,) int64, increasing; environment steps of all workers, or updates of what learns without steps.
        returns: (T,) float64, all finite; each a mean over episodes.
        seconds: (T,) float64; wall-clock time of training until then, over all starts; NaN where it is not known.
        state: how the run stands.
        reason: why; "" where there is nothing to say.
        last_step: the step of its last row, with a return or without.
        num_timesteps: how many were asked for; 0 where that is not known.
        settings: as its config.yaml has them, texts; None where a setting has no value.
        facts: its capsule.json (helpers/run_folder/capsule.py); empty where there is none.
        folder: of the run; None for what comes from elsewhere.
        not_finite: rows whose return was NaN or infinite, and that the curve leaves out.
        torn: lines of the metrics that are no rows, the last one's unfinished end apart.
    """

    name: str
    group: str
    task: str
    seed: int
    algorithm: str
    source: Source
    steps: np.ndarray
    returns: np.ndarray
    seconds: np.ndarray
    state: State = "done"
    reason: str = ""
    last_step: int = 0
    num_timesteps: int = 0
    settings: Mapping[str, str | None] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    folder: Path | None = None
    not_finite: int = 0
    torn: int = 0

    @property
    def final(self) -> float | None:
        """The last return; None where there is none."""
        return float(self.returns[-1]) if len(self.returns) else None

    @property
    def final_seconds(self) -> float | None:
        """Wall-clock time until the last return; None where it is not known."""
        known = len(self.seconds) and math.isfinite(self.seconds[-1])
        return float(self.seconds[-1]) if known else None


def is_run_folder(folder: Path) -> bool:
    """Whether a run has begun there."""
    return (folder / CONFIG_FILE).is_file()


def run_folders(folder: Path) -> list[Path]:
    """The run folders directly below a folder, by name."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
    return [folder / name for name in names if is_run_folder(folder / name)]


def read_series(folder: Path, source: Source | None = None) -> Series:
    """The curve of a run folder, also of a run that still writes, was killed while it wrote, or diverged.

    Args:
        folder: of the run.
        source: which returns; None: of evaluations, or of training where there is no evaluation.

    Raises:
        ConfigurationError: it is no run folder, or its config.yaml is damaged.
    """
    settings = read_settings(folder)
    content = _content(folder / METRICS)
    if source is None:
        source = "evaluation" if f'"{KEYS["evaluation"]}"'.encode() in content else "training"
    steps, returns, seconds, torn = _curve(content, KEYS[source])
    finite = np.isfinite(returns)
    last = last_row_of(content)
    last_step = int(last.get("step", 0))
    wanted = int(settings.get("num_timesteps") or 0)
    state, reason = _state(folder, last, wanted)
    if state != "running" and len(returns) and not finite[-1]:
        state, reason = "diverged", f"its last return is {returns[-1]}"
    seed = settings.get("seed")
    return Series(
        name=folder.name,
        group=_group(folder.name),
        task=str(settings.get("env_id") or ""),
        seed=int(seed) if seed is not None else 0,
        algorithm=str(settings.get("algo") or ""),
        source=source,
        steps=steps[finite],
        returns=returns[finite],
        seconds=seconds[finite],
        state=state,
        reason=reason,
        last_step=last_step,
        num_timesteps=wanted,
        settings=settings,
        facts=read_capsule(folder),
        folder=folder,
        not_finite=int(np.count_nonzero(~finite)),
        torn=torn,
    )


def read_settings(folder: Path) -> dict[str, str | None]:
    """The settings of a run as texts, None where one has no value.

    Raises:
        ConfigurationError: there is no config.yaml, or it is damaged.
    """
    values = read_yaml(folder / CONFIG_FILE).values
    return {key: None if each is None else str(each) for key, each in values.items()}


def last_row_of(content: bytes) -> dict[str, Any]:
    """The last complete row of metrics; empty where there is none."""
    end = len(content)
    while (end := content.rfind(b"\n", 0, end)) >= 0:
        row = _row(content[content.rfind(b"\n", 0, end) + 1 : end])
        if row is not None:
            return row
    return {}


def read_tail(folder: Path, size: int = _TAIL) -> bytes:
    """The end of a run's metrics, for what needs the last rows only; empty where there are none."""
    try:
        with (folder / METRICS).open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - size, 0))
            return file.read()
    except OSError:
        return b""


def _group(name: str) -> str:
    """The name without its seed; of a run that was renamed, its name."""
    try:
        return group_of(name)
    except ConfigurationError:
        return name


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def _curve(content: bytes, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """(steps, returns, seconds, torn lines); a step that is there twice counts as it stood last.

    A row is one object of numbers in one line, as `MetricsLog` writes it, so that its three numbers are looked for and
    nothing else is parsed: 500 runs of 1,000 rows are read in a second or two.
    """
    wanted, points, torn = f'"{key}": '.encode(), {}, 0
    for line in content.splitlines(keepends=True):
        if not (line.startswith(b"{") and line.endswith(b"}\n") and line.count(b"{") == 1):
            torn += line.endswith(b"\n")
            continue
        value, step = _number(line, wanted), _number(line, b'"step": ')
        if value is not None and step is not None:
            elapsed = _number(line, b'"time/elapsed": ')
            points[int(step)] = value, math.nan if elapsed is None else elapsed
    steps = np.array(sorted(points), np.int64)
    values = np.array([points[int(step)] for step in steps], np.float64).reshape(-1, 2)
    return steps, values[:, 0], values[:, 1], torn


def _number(line: bytes, mark: bytes) -> float | None:
    """The number after a key; None where there is no such key, or `null`."""
    start = line.find(mark)
    if start < 0:
        return None
    start += len(mark)
    end = line.find(b",", start)
    try:
        return float(line[start : end if end >= 0 else line.index(b"}", start)])
    except ValueError:
        return None


def _state(folder: Path, last: Mapping[str, Any], wanted: int) -> tuple[State, str]:
    if is_trained_here(folder):
        return "running", ""
    if _is_finished(folder, last, wanted):
        return "done", ""
    crash = _crash_since(folder)
    if crash is not None:
        return ("diverged" if crash.startswith(_NUMERICAL) else "failed"), crash
    if not last:
        return "missing", "it has no metrics"
    return "stopped", f"after {int(last.get('step', 0)):,} of {wanted:,} steps"


def _is_finished(folder: Path, last: Mapping[str, Any], wanted: int) -> bool:
    """Whether the last row is of the end, and its checkpoint is there; rows of a copy without checkpoints count."""
    if not last or last["step"] < wanted:
        return False
    try:
        latest = os.readlink(folder / "checkpoints" / "latest")
    except OSError:
        return not (folder / "checkpoints").exists()
    return latest == f"iter_{last.get('iteration', 0):06d}"


def _crash_since(folder: Path) -> str | None:
    """The last line of the newest traceback, where nothing was logged after it; else None."""
    found = sorted((path.stat().st_mtime, path) for path in folder.glob(_CRASHES))
    if not found:
        return None
    when, path = found[-1]
    try:
        if (folder / METRICS).stat().st_mtime > when:
            return None
    except OSError:
        pass
    lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"[\w.]+(?:Error|Exception|Interrupt)\b", line)]
    return (told or lines or ["it failed"])[-1].rpartition("helpers.errors.")[2]
