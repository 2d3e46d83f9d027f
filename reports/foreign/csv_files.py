"""CSV files: one row a point, or wandb's export of a chart, one column a run."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.errors import ConfigurationError
from reports.foreign.others import Others
from reports.foreign.runs import Found, words_in

SUFFIX = ".csv"
_USUAL = {"step": "step", "return": "return", "seed": "seed", "group": "group", "task": "task"}
_DELIMITERS = ",;\t"
_LARGEST_FIELD = 1 << 20  # characters


@dataclass
class _Run:
    """Points of one run: by step, (return, line)."""

    task: str | None
    group: str
    seed: int | None
    part: str
    points: dict[int, tuple[float, int]] = field(default_factory=dict)


def read_file(path: Path, others: Others, *, label: str = "") -> list[Found]:
    """The runs of a file.

    Args:
        path: of the file.
        others: its columns, and what holds for runs that do not tell their task or seed.
        label: of the group, or of the file where it has a column of groups; "" is the file's name.

    Raises:
        ConfigurationError: a column is missing, a cell is no number, or a step of a run is there twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            delimiter = max(_DELIMITERS, key=head.count)
            csv.field_size_limit(_LARGEST_FIELD)
            rows = csv.DictReader(file, delimiter=delimiter)
            columns = _Columns(path, rows.fieldnames or [], others)
            rows.fieldnames = columns.names
            runs = columns.wide(rows) if columns.is_wide else columns.long(rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}.",
            "Export it as CSV in UTF-8, with a line of column names.",
        ) from error
    if not runs:
        raise ConfigurationError(
            f"{path} has no row with a step and a return.",
            f"Name other columns, or leave the file out; it has: {', '.join(columns.names[:12])}.",
        )
    return [_found(path, run, others, label) for run in runs]


class _Columns:
    """Which columns of a file are what.

    Raises:
        ConfigurationError: a column that is needed or was named is missing.
    """

    def __init__(self, path: Path, names: Sequence[str], others: Others) -> None:
        self.path, self.names = path, [str(name).strip() for name in names]
        given = {
            "step": others.step,
            "return": others.returns,
            "seed": others.seed_column,
            "group": others.group_column,
            "task": others.task_column,
        }
        self.column = {what: given[what] or usual for what, usual in _USUAL.items()}
        if "Step" in self.names and not given["step"] and "step" not in self.names:
            self.column["step"] = "Step"  # wandb's name
        ending = f" - {self.column['return']}"
        self.curves = [name for name in self.names if name.endswith(ending)]
        self.is_wide = bool(self.curves) and self.column["return"] not in self.names
        for what, name in self.column.items():
            needed = what == "step" or (what == "return" and not self.is_wide) or given[what]
            if needed and not (what == "return" and self.is_wide) and name not in self.names:
                raise ConfigurationError(
                    f"{path} has no column {name}.",
                    f"Give one of its columns: --csv_{what} COLUMN; it has: {', '.join(self.names[:12])}.",
                )

    def long(self, rows: Iterator[Mapping[str, str | None]]) -> list[_Run]:
        """A row a point: the columns task, group and seed, where they are there, tell runs apart."""
        runs: dict[tuple[str | None, ...], _Run] = {}
        for line, row in enumerate(rows, start=2):
            cells = {what: (row.get(name) or "").strip() for what, name in self.column.items()}
            if not cells["step"] or not cells["return"]:
                continue
            key = tuple(cells[what] for what in ("task", "group", "seed"))
            if key not in runs:
                seed = self._whole(cells["seed"], "seed", line) if cells["seed"] else None
                part = " ".join(filter(None, (*key[:2], f"seed {seed}" if key[2] else "")))
                runs[key] = _Run(cells["task"] or None, cells["group"], seed, part)
            self._add(runs[key], cells["step"], cells["return"], line)
        return list(runs.values())

    def wide(self, rows: Iterator[Mapping[str, str | None]]) -> list[_Run]:
        """A column a run, as wandb exports a chart: "NAME - METRIC"; its name tells task, seed and group."""
        runs = {}
        for name in self.curves:
            part = name.removesuffix(f" - {self.column['return']}")
            words = words_in([part])
            runs[name] = _Run(words.task, words.name, words.seed, part)
        for line, row in enumerate(rows, start=2):
            step = (row.get(self.column["step"]) or "").strip()
            for name, run in runs.items():
                value = (row.get(name) or "").strip()
                if step and value:
                    self._add(run, step, value, line)
        return [run for run in runs.values() if run.points]

    def _add(self, run: _Run, step: str, value: str, line: int) -> None:
        at = self._whole(step, "step", line)
        if at in run.points:
            told = f" of {run.part}" if run.part else ""
            raise ConfigurationError(
                f"{self.path}, line {line}: step {at}{told} is there twice, first in line {run.points[at][1]}.",
                "Name the columns that tell runs apart (--csv_seed, --csv_group, --csv_task), or keep one row a step.",
            )
        run.points[at] = self._number(value, "return", line), line

    def _number(self, text: str, what: str, line: int) -> float:
        try:
            return float(text)
        except ValueError:
            raise ConfigurationError(
                f"{self.path}, line {line}: {self.column[what]} is {text[:40]!r}, no number.",
                f"Correct the cell, or name another column: --csv_{what} COLUMN.",
            ) from None

    def _whole(self, text: str, what: str, line: int) -> int:
        number = self._number(text, what, line)
        if not (number.is_integer() and number >= 0):
            raise ConfigurationError(
                f"{self.path}, line {line}: {self.column[what]} is {text[:40]}, which is no count.",
                f"Name a column of whole numbers from 0: --csv_{what} COLUMN.",
            )
        return int(number)


def _found(path: Path, run: _Run, others: Others, label: str) -> Found:
    label = label or path.stem
    steps = np.array(list(run.points), np.int64)
    return Found(
        place=path,
        library="CSV",
        group=f"{label}: {run.group}" if run.group else label,
        task=run.task,
        seed=run.seed,
        source=others.kind,
        steps=steps,
        returns=np.array([value for value, _ in run.points.values()], np.float64),
        seconds=np.full(len(steps), np.nan),
        part=run.part,
        notes=(
            f"from {path.name}, read as returns of {_KINDS[others.kind]} (--csv_kind).",
            "Wall-clock time, settings, versions and whether a run ended are not recorded.",
        ),
    )


_KINDS = {
    "training": "training, with exploration",
    "evaluation": "evaluations without exploration",
}
