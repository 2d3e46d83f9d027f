"""What the trials of a search have reported, on the disk: read by the table, by the report and by MLflow.

results/trial_000/params.json      the settings at the start
                  result.json      a line a report, append-only; each report once
                  progress.csv     the same as a table, written at the end
                  state.json       Ray's word for how it stands, and its name
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.durable import write_atomically
from swarm.tune.trial.run_folder import lineage_of

FOLDER = "results"
PARAMS, RESULTS, PROGRESS, STATE = "params.json", "result.json", "progress.csv", "state.json"


@dataclass
class TrialResults:
    """One trial.

    Attributes:
        number: from 0, in the order in which trials began.
        folder: of these files.
        run: its run folder.
        trial_id: Ray's name for it.
        reports: what it reported, in order.
        state: RUNNING, PAUSED, TERMINATED, ERROR or PENDING.
        params: its settings at the start.
        taken: its take-overs.
    """

    number: int
    folder: Path
    run: Path
    trial_id: str
    reports: list[dict[str, Any]] = field(default_factory=list)
    state: str = "PENDING"
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def taken(self) -> list[dict[str, Any]]:
        """Its take-overs, the first one first."""
        return lineage_of(self.run)

    @property
    def last(self) -> Mapping[str, Any]:
        """The newest report."""
        return self.reports[-1] if self.reports else {}

    def value(self, metric: str) -> float | None:
        """Of the newest report, where it has a finite one."""
        value = self.last.get(metric)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

    def settings(self) -> dict[str, Any]:
        """Of the dimensions, as they are now."""
        start = len("setting/")
        return {
            name[start:]: each for name, each in self.last.items() if name.startswith("setting/")
        }


class ResultFiles:
    """Writes the files of one trial.

    Args:
        folder: of the search.
        number: of the trial.
        run: its run folder.
        params: its settings at the start.
        trial_id: Ray's name for it.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        run: Path,
        params: Mapping[str, Any],
        trial_id: str,
    ) -> None:
        self.folder = folder_of(folder, number)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state = ""
        self._head = {"number": number, "run": str(run), "trial_id": trial_id}
        if not (self.folder / PARAMS).exists():
            write_atomically(self.folder / PARAMS, json.dumps(dict(params), indent=1) + "\n")
        reports = read_reports(self.folder / RESULTS)
        self.reported = reports[-1]["report"] if reports else 0
        # A line that was cut short when the machine failed.
        whole = "".join(json.dumps(each) + "\n" for each in reports)
        write_atomically(self.folder / RESULTS, whole)

    def add(self, report: Mapping[str, Any]) -> bool:
        """Append a report, but one that is there: a trial that died repeats what it had done, exactly."""
        if report["report"] <= self.reported:
            return False
        kept = {name: each for name, each in report.items() if _is_plain(each)}
        with (self.folder / RESULTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")
        self.reported = report["report"]
        return True

    def note(self, state: str) -> None:
        """How the trial stands."""
        if state == self._state:
            return
        self._state = state
        write_atomically(self.folder / STATE, json.dumps(self._head | {"state": state}) + "\n")

    def close(self) -> None:
        """Write the table."""
        reports = read_reports(self.folder / RESULTS)
        names = list(dict.fromkeys(name for each in reports for name in each))
        with (self.folder / PROGRESS).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(reports)


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float | str | bool) or value is None


def folder_of(search: Path, number: int) -> Path:
    """Of a trial's files."""
    return search / FOLDER / f"trial_{number:03d}"


def read_reports(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a result.json."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            row = None
        if isinstance(row, dict) and "report" in row:
            found.append(row)
    return found


def read_results(search: Path) -> list[TrialResults]:
    """All trials of a search, by number."""
    found = []
    for folder in sorted((search / FOLDER).glob("trial_*")):
        try:
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
            params = json.loads((folder / PARAMS).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue
        reports = read_reports(folder / RESULTS)
        place = Path(state["run"])
        if not place.exists():  # the search was moved
            place = search / "runs" / place.name
        found.append(
            TrialResults(
                state["number"],
                folder,
                place,
                state["trial_id"],
                reports,
                state["state"],
                params,
            ),
        )
    return found


def best_of(trials: Iterable[TrialResults], metric: str, mode: str) -> TrialResults | None:
    """The trial whose last report has the best value; of equal ones the first."""
    sign = 1.0 if mode == "max" else -1.0
    valued = [
        (sign * value, -each.number, each)
        for each in trials
        if (value := each.value(metric)) is not None
    ]
    return max(valued)[2] if valued else None
