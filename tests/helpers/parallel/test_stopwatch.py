"""The stopwatch: every second belongs to one part, and looking costs next to nothing."""

import json
import timeit

import numpy as np
import pytest

from helpers.parallel import stopwatch
from helpers.parallel.profile import profile, profile_table, share_metrics
from helpers.parallel.stopwatch import MEASURED, SHARES, Stopwatch
from helpers.parallel.workers import Workers
from tests.launch import run


class Clock:
    """Stands in for `time`; `tick` is exact in binary."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    return clock


def an_iteration(watch: Stopwatch, clock: Clock) -> None:
    """32 s: physics 8, policy 2, gradient 4, all-reduce 12 in four calls, other 6."""
    for _ in range(2):
        with watch.policy:
            clock.tick(1)
        with watch.physics:
            clock.tick(4)
    clock.tick(1)
    with watch.gradient:
        clock.tick(3)
        with watch.allreduce:
            clock.tick(2)
        clock.tick(6)
        watch.add("allreduce", 5, calls=2)  # as C reports it: within the 6 s
    with watch.evaluation:
        clock.tick(1)
        with watch.evaluation_physics:
            clock.tick(2)
        with watch.allreduce:
            clock.tick(5)
    with watch.logging:
        clock.tick(2)


def test_time_belongs_to_the_innermost_part_and_sums_to_all_of_it(clock):
    watch = Stopwatch()
    clock.tick(100)  # before the start: does not count
    watch.start()
    for _ in range(2):
        an_iteration(watch, clock)
        assert dict(zip(SHARES, watch.lap(), strict=True)) == {
            "physics": 8,
            "policy": 2,
            "gradient": 4,
            "allreduce": 12,
            "other": 6,
        }
    totals = dict(zip((*MEASURED, "all"), watch.totals(), strict=True))
    assert totals["physics"] == [16, 4] and totals["allreduce"] == [24, 8]
    assert totals["evaluation"] == [2, 2] and totals["eval physics"] == [4, 2]
    assert totals["all"] == [64, 2]


def test_a_part_that_fails_is_counted_and_leaves_the_watch_whole(clock):
    watch = Stopwatch()
    with pytest.raises(ZeroDivisionError), watch.gradient, watch.allreduce:
        clock.tick(2)
        raise ZeroDivisionError
    with watch.gradient:
        clock.tick(1)
    assert watch.lap().tolist() == [0, 0, 1, 2, 0]


def test_the_table_shows_every_part_and_how_far_the_workers_differ(clock):
    watch = Stopwatch()
    watch.start()
    an_iteration(watch, clock)
    watch.lap()
    slower = (np.array(watch.totals()) * [[2, 1]]).tolist()
    lines = profile_table([watch.totals(), slower], laps=1).splitlines()
    cells = {line[:16].strip(): line[16:].split() for line in lines[2:]}
    assert cells["allreduce"] == ["18000.00", "37.5%", "4", "4500000.0", "12000.00", "24000.00"]
    assert cells["the rest of it"] == ["1500.00", "3.1%", "1000.00", "2000.00"]
    assert cells["all"] == ["48000.00", "100.0%", "32000.00", "64000.00"]
    alone = profile_table([watch.totals()], laps=1).splitlines()
    assert alone[2].split() == ["physics", "8000.00", "25.0%", "2", "4000000.0"]


def test_nothing_is_printed_of_a_run_that_had_nothing_left_to_do():
    assert profile(Workers.solo()) is None


def test_a_visit_costs_less_than_two_microseconds():
    watch = Stopwatch()

    def visit() -> None:
        with watch.physics:
            pass

    assert min(timeit.repeat(visit, number=2000, repeat=20)) / 2000 < 2e-6


def test_shares_sum_to_one():
    shares = share_metrics(np.array([3.0, 0.1, 0.7, 0.0, 1e-9]), workers=Workers.solo())
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_row_of_a_run_carries_the_shares_and_profile_prints_them(tmp_path, workers):
    flags = (
        "--env_id=InvertedPendulum-v5 --num_timesteps=512 --rollout_len=256 --num_envs=4 "
        f"--eval_frequency=1 --runs_dir={tmp_path} --uuid=watched.seed00 --progress=none --profile"
    )
    done = run(flags.split(), workers=workers)
    assert done.returncode == 0, done.stderr
    log = tmp_path / "watched.seed00" / "metrics.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(rows) == 2
    for row in rows:
        shares = {name: row[f"time/share_{name}"] for name in SHARES}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-9)
        assert all(share > 0 for name, share in shares.items() if name != "allreduce")
        assert (shares["allreduce"] > 0) == (workers > 1)
        seconds = 256 / row["time/steps_per_second"]
        acting = shares["physics"] + shares["policy"]
        if workers == 1:
            assert acting * seconds < row["time/rollout"]
            assert shares["gradient"] * seconds < row["time/update"]
    assert done.stdout.count("where an iteration's time went: mean of 2 iterations") == 1
    assert done.stdout.count("\nallreduce ") == 1
