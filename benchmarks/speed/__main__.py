"""Environment steps per second beside the peers': the same work, interleaved, medians, and the physical limit.

    benchmarks/speed/peers/setup.sh                 installs the peers, once
    .venv/bin/python -m benchmarks.speed --fresh    measures, and writes docs/results/speed-KIND.{json,md,png}
    .venv/bin/python -m benchmarks.speed --index    only writes the index of all kinds, docs/results/speed.md

A measurement that was stopped goes on where it was: the same command without --fresh. docs/speed.md explains.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.speed import report
from benchmarks.speed.bars import bars
from benchmarks.speed.contestants import CONTESTANTS
from benchmarks.speed.program import Program
from benchmarks.speed.workload import WORKLOADS

PROGRAM = Program(
    "speed",
    works=WORKLOADS,
    contestants=CONTESTANTS,
    page=report.page,
    bars=bars,
    draw=report.draw,
)


def main(argv: Sequence[str] | None = None) -> int:
    """0: all bars are met, or it was a quick run; 1: one is missed or not measured; 2: it cannot measure."""
    return PROGRAM.main(__doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
