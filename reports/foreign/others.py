"""What the command line tells of other libraries' runs; read by the flags, so nothing is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Others:
    """What the command line tells of other libraries' runs.

    Attributes:
        task, seed: of runs whose files and folders do not tell it.
        step, returns, seed_column, group_column, task_column: columns of CSV files; None: their usual names.
        kind: of the returns in CSV files.
    """

    task: str | None = None
    seed: int | None = None
    step: str | None = None
    returns: str | None = None
    seed_column: str | None = None
    group_column: str | None = None
    task_column: str | None = None
    kind: Literal["evaluation", "training"] = "training"
