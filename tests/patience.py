"""Time limits that follow the machine: what takes a second on a quiet one takes ten beside other programs.

`patience` is for limits of waiting, which cost nothing where all goes well; `promptly` for limits that a test holds the
product to. Both grow with the slowest that this machine was seen to be lately, and never shrink.
"""

from __future__ import annotations

import subprocess
from collections import deque
from time import monotonic, perf_counter  # by themselves: tests put clocks of their own into `time`

MARGIN = 3.0  # of patience: other programs may begin after it was asked for
REMEMBERED = 600.0  # seconds
_PAUSE = 20.0  # seconds between two looks
_ADDITIONS = 2_000_000
_QUIET = 0.045  # seconds that the work below takes on 2 quiet cores of an EPYC of 2024, with nothing else to do
_seen: deque[tuple[float, float]] = deque()  # (when, how many times slower than that)


def patience(seconds: float) -> float:
    """How long to wait for what takes well under `seconds` on a quiet machine."""
    return MARGIN * seconds * slowness()


def promptly(seconds: float) -> float:
    """What is `seconds` on a quiet machine, where a test asserts that something did not take longer."""
    return seconds * slowness()


def slowness() -> float:
    """How many times slower than a quiet machine this one was in its slowest moment of the last minutes; at least 1."""
    now = monotonic()
    if not _seen or now - _seen[-1][0] > _PAUSE:
        _seen.append((now, _work() / _QUIET))
    while now - _seen[0][0] > REMEMBERED:
        _seen.popleft()
    return max(1.0, *(times for _, times in _seen))


def _work() -> float:
    """Wall-clock seconds of a fixed piece of work: additions, and the start of a process."""
    started = perf_counter()
    total = 0
    for number in range(_ADDITIONS):
        total += number
    subprocess.run(["/bin/sh", "-c", ":"], check=True)
    return perf_counter() - started
