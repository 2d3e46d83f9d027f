"""Numbers of trials: Ray's, where it numbers them, else in the order in which they began; the same after a restart."""

from __future__ import annotations

import json
import re
from pathlib import Path

from helpers.durable import write_atomically
from helpers.locks import wait_for_lock

FILE = "trials.json"


def trial_number(folder: Path, trial_id: str) -> int:
    """The number of a trial of the search in `folder`, the same from any process."""
    if match := re.fullmatch(r".+_(\d{5})", trial_id):
        return int(match[1])
    folder.mkdir(parents=True, exist_ok=True)
    lock = wait_for_lock(folder / f".{FILE}.lock")
    assert lock is not None  # waited for without an end
    with lock:
        known = trial_numbers(folder)
        if trial_id not in known:
            known[trial_id] = len(known)
            write_atomically(folder / FILE, json.dumps(known) + "\n")
        return known[trial_id]


def trial_numbers(folder: Path) -> dict[str, int]:
    """Numbers by the names of Ray."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {str(name): int(number) for name, number in found.items()}


def run_of(search: Path, trial_id: str, first_seed: int) -> tuple[int, Path]:
    """(seed, run folder) of a trial: seeds are counted up from the task file's."""
    number = trial_number(search, trial_id)
    seed = first_seed + number
    return seed, search / "runs" / f"{search.name}.trial_{number:03d}.seed{seed:02d}"


def shown_number(run: str) -> str:
    """The number of a trial in the name of its run folder: "003"."""
    match = re.search(r"\.trial_(\d+)\.seed\d+$", run)
    return match[1] if match else run
