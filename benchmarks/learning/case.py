"""One environment at one number of steps, with what its returns are held to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

EPISODES = 20


@dataclass(frozen=True)
class Case:
    """One environment at one number of steps.

    Attributes:
        name: of the runs.
        task: the YAML file.
        flags: what differs from it; `{data}` stands for the folder of runs and demonstrations.
        bar: what the mean over seeds must reach; None where it is reported as it is.
        reference: what others report, with the source.
        episodes: of the evaluation.
        part_of: the name of a longer case that learns the same until this one's last step: its
            evaluation at that step is taken, and nothing is trained.
        seeds: at most so many; 0 is as many as the suite.
        stays_below: the mean must stay below the bar.
    """

    name: str
    task: str
    flags: tuple[str, ...]
    bar: float | None
    reference: str
    episodes: int = EPISODES
    part_of: str = ""
    seeds: int = 0
    stays_below: bool = False

    @property
    def env_id(self) -> str:
        """Of its environment."""
        return self.setting("env_id")

    def setting(self, name: str) -> str:
        """A setting among its flags."""
        (flag,) = [flag for flag in self.flags if flag.startswith(f"--{name}=")]
        return flag.partition("=")[2]

    def seeds_of(self, wanted: int) -> range:
        """Its seeds, of a suite of so many."""
        return range(min(self.seeds or wanted, wanted))

    def is_met(self, scores: Sequence[float]) -> bool:
        """Whether the mean of a score a seed is on its side of the bar; not without any."""
        if not scores or self.bar is None:
            return bool(scores)
        mean = statistics.fmean(scores)
        return mean < self.bar if self.stays_below else mean >= self.bar
