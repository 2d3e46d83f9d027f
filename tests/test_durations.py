"""The order of the tests, and limits of time that follow the machine."""

from __future__ import annotations

import pytest

from tests import patience as limits
from tests.durations import SECONDS, longest_first
from tests.launch import ROOT


def test_the_modules_that_take_long_exist() -> None:
    assert [path for path in SECONDS if not (ROOT / path).exists()] == []


def test_each_share_begins_with_long_modules_and_none_is_torn_apart() -> None:
    long = sorted(SECONDS, key=lambda module: -SECONDS[module])
    counts = dict.fromkeys([*long, "tests/a.py", "tests/b.py"], 2) | {"tests/c.py": 60}
    given = [f"{module}::{number}" for module in counts for number in range(counts[module])]
    ordered = longest_first(given, 2, module_of=lambda item: item.partition("::")[0])
    assert sorted(ordered) == sorted(given)
    half = len(given) // 2
    seconds = []
    for share in (ordered[:half], ordered[half:]):
        modules = [item.partition("::")[0] for item in share]
        times = [SECONDS.get(module, 0) for module in modules]
        assert times == sorted(times, reverse=True) and times[0] and not times[-1]
        assert all(modules.count(module) == 2 for module in modules if module in SECONDS)
        seconds.append(sum(times) / 2)
    assert abs(seconds[0] - seconds[1]) < 0.1 * sum(seconds)


def test_limits_grow_with_what_the_machine_was_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    now, work = [1000.0], [0.5 * limits._QUIET]
    monkeypatch.setattr(limits, "monotonic", lambda: now[0])
    monkeypatch.setattr(limits, "_work", lambda: work[0])
    monkeypatch.setattr(limits, "_seen", limits.deque())
    assert limits.promptly(4.0) == 4.0  # a faster machine is given as much
    work[0] = 5 * limits._QUIET
    assert limits.promptly(4.0) == 4.0  # just looked at
    now[0] += 30
    assert limits.promptly(4.0) == pytest.approx(20.0)
    assert limits.patience(4.0) == pytest.approx(limits.MARGIN * 20.0)
    work[0] = limits._QUIET
    now[0] += 30
    assert limits.promptly(4.0) == pytest.approx(20.0)  # it may be so again
    now[0] += limits.REMEMBERED
    assert limits.promptly(4.0) == pytest.approx(4.0)
