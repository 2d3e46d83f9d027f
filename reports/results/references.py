"""What returns are measured by: a policy of random actions is 0, the reference is 1.

An imitation's own references.json comes first: its expert, and a random policy. Others are in references.yaml: known
returns of random actions and of a reference, with their sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from helpers.run_folder.references import EXPERT, RANDOM, read_references
from reports.series import Series

_FILE = Path(__file__).with_name("references.yaml")


@dataclass(frozen=True)
class Scale:
    """The two returns that stand for 0 and 1.

    Attributes:
        random: of random actions.
        target: of the reference.
        source: what the reference is.
    """

    random: float
    target: float
    source: str

    def normalise(self, returns: np.ndarray) -> np.ndarray:
        """Returns on this scale."""
        return (returns - self.random) / (self.target - self.random)


def scale_of(runs: Sequence[Series]) -> Scale | None:
    """The scale of one task's runs; None where no reference is known."""
    for run in runs:
        if run.folder is not None and not run.library:
            found = read_references(run.folder)
            if {EXPERT, RANDOM} <= found.keys():
                expert, chance = found[EXPERT], found[RANDOM]
                if expert["return_mean"] != chance["return_mean"]:
                    source = f"expert: {expert['source']}"
                    return Scale(chance["return_mean"], expert["return_mean"], source)
    tasks = {run.task for run in runs}
    options = any(run.settings.get("env_options") for run in runs)
    return None if len(tasks) != 1 or options else known().get(tasks.pop())


@cache
def known() -> dict[str, Scale]:
    """Scales by environment."""
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {
        task: Scale(float(each["random"]), float(each["target"]), str(each["source"]))
        for task, each in content.items()
    }
