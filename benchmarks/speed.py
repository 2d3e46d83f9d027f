"""Environment steps per second beside the peers': the same work, interleaved, medians, and the physical limit.

    benchmarks/peers/setup.sh                       installs the peers, once
    .venv/bin/python benchmarks/speed.py --fresh    measures, and writes docs/results/speed-KIND.{json,md,png}
    .venv/bin/python benchmarks/speed.py --index    only writes the index of all kinds, docs/results/speed.md

A measurement that was stopped goes on where it was: the same command without --fresh. docs/speed.md explains.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import speed_report  # noqa: E402
from benchmarks.speed_bars import bars  # noqa: E402
from benchmarks.speed_contestants import CONTESTANTS  # noqa: E402
from benchmarks.speed_program import Program  # noqa: E402
from benchmarks.speed_work import WORKLOADS  # noqa: E402

PROGRAM = Program(
    "speed",
    works=WORKLOADS,
    contestants=CONTESTANTS,
    page=speed_report.page,
    bars=bars,
    draw=speed_report.draw,
)


def main(argv: Sequence[str] | None = None) -> int:
    """0: all bars are met, or it was a quick run; 1: one is missed or not measured; 2: it cannot measure."""
    return PROGRAM.main(__doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
