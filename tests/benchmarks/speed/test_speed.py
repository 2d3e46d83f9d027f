"""`python -m benchmarks.speed`: what a RESULT line, a metrics file and a set of rows say, and that stopped work
goes on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.kernels import native
from benchmarks.speed import __main__ as speed
from benchmarks.speed import imitation, replay, report
from benchmarks.speed.bars import AVX2, AVX512, Table, bars, spread
from benchmarks.speed.contestants import (
    CONTESTANTS,
    LIMIT,
    ROOT,
    Contestant,
    RunError,
    figures_in,
    figures_of,
    said_by,
)
from benchmarks.speed.limit import NUM_ENVS, STEPS, Player
from benchmarks.speed.machine import OF_OTHERS, OF_TORCH
from benchmarks.speed.peers.work import Clock, Work, result
from benchmarks.speed.program import RESULTS, measure, plan
from benchmarks.speed.rows import MEASURED, OtherRowsError, Rows, Watch, differences
from benchmarks.speed.workload import WORKLOADS, Workload
from helpers.machine.native import build

HOPPER = WORKLOADS[0]
MACHINE = {
    "kind": "zen9-avx2",
    "cpu": "a processor",
    "instruction_set": AVX2,
    "march": "native",
    "compiler": "gcc 12",
    "cores": 2,
    "kernel": "6",
    "threads": "1",
    **dict.fromkeys(OF_TORCH + OF_OTHERS, "unset"),
}
IDENTITY = {
    "commit": "abc",
    "code": "1",
    "machine": MACHINE,
    "versions": {"MiloZero": {"python": "3.11"}},
    "works": {HOPPER.name: {"iterations": 20}},
}
PEER = "SBX, 32 environments, one core"
SLOW_PEER = "Stable-Baselines3, 32 environments"
ONE = "MiloZero, 1 worker, 16 environments"
TWO = "MiloZero, 2 workers, 16 environments"
TWO_SLOWER = "MiloZero, 2 workers, 32 environments"


def row(contestant: str, rate: float, round_: int = 0, work: str = HOPPER.name) -> dict[str, Any]:
    figures = {"steps_per_second": rate, "rollout_s": 0.1, "update_s": 0.05}
    limit = {"physics_one_core": 1.0, "physics_two_cores": 1.9, "gradient_step_us": 30.0}
    place = {"round": round_, "work": work, "contestant": contestant}
    return place | figures | limit | {"seconds": 6.0, "load": 1.0, "others": 0.01}


# What a run says


def test_the_last_result_line_counts() -> None:
    text = 'noise\nRESULT {"steps_per_second": 1}\nRESULT {"steps_per_second": 2.5}\nmore noise'
    assert figures_in(text) == {"steps_per_second": 2.5}
    with pytest.raises(RunError, match="no RESULT"):
        figures_in("nothing")


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(RunError, match="no-such-file"):
        said_by(["cat", "/no-such-file"])
    with pytest.raises(RunError, match="no-such-program"):
        said_by(["no-such-program"])


def test_a_peer_is_timed_from_the_end_of_its_first_update() -> None:
    work = Work(rollout_len=100, iterations=3)
    found = result(work, [(0.0, 9.0), (10.0, 12.0), (13.0, 15.0)])
    assert found == {"steps_per_second": pytest.approx(200 / 6), "rollout_s": 1.0, "update_s": 2.0}
    with pytest.raises(SystemExit, match="3 updates were asked for and 1"):
        result(work, [(0.0, 1.0)])


def test_a_watched_method_still_does_its_work() -> None:
    clock, learner = Clock(), Work(train=lambda a, b: a - b)
    clock.watch(learner, "train")
    assert learner.train(5, b=2) == 3
    ((began, ended),) = clock.updates
    assert began <= ended


def test_our_own_figures_leave_the_first_iteration_out_and_nothing_else() -> None:
    rows = [
        {"step": 10, "time/elapsed": 100.0, "time/update": 90.0},
        {"step": 20, "time/elapsed": 102.0, "time/update": 0.5},
        {"step": 30, "time/elapsed": 105.0, "time/update": 1.5},
    ]
    assert figures_of(rows) == {"steps_per_second": 4.0, "rollout_s": 1.5, "update_s": 1.0}


@pytest.mark.skipif(build("benchmarks/speed/physics.c") is None, reason="no C compiler")
def test_the_limit_plays_the_physics_of_the_environments() -> None:
    player = Player("Hopper-v5", seed=0)
    assert player.steps == sum(len(rows) for _, rows in player.episodes) == NUM_ENVS * STEPS
    assert player.seconds() > 0.0
    last = player.envs.simulations.datas[-1]
    assert np.array_equal(player.data.qpos, last.qpos)
    assert np.array_equal(player.data.qvel, last.qvel)


# What the rows say


def test_ratios_are_of_runs_of_the_same_round() -> None:
    rows = [row(TWO, 30, 0), row(TWO, 50, 1), row(TWO, 90, 2), row(PEER, 10, 0), row(PEER, 20, 1)]
    assert Table(rows, HOPPER.name).ratios(TWO, PEER) == (3.0, 2.5)
    assert Table(rows, HOPPER.name).ratios(TWO, None) == ()
    assert Table(rows, "another work").ratios(TWO, PEER) == ()


def test_bars_compare_the_fastest_of_each() -> None:
    rows = [
        row(PEER, 10),
        row(SLOW_PEER, 4),
        row(ONE, 20),
        row(TWO, 41),
        row(TWO_SLOWER, 28),
        row(LIMIT, 50),
    ]
    found = {bar.says: bar for bar in bars(rows, AVX2) if bar.work == HOPPER.name}
    assert found["2 workers over the fastest peer"].median == pytest.approx(4.1)
    assert found["2 workers over the fastest peer"].verdict == "met"
    assert found["2 workers over Stable-Baselines3"].median == pytest.approx(41 / 4)
    assert found["2 workers over the physical limit"].median == pytest.approx(41 / 50)
    others = {bar.verdict for bar in bars(rows, AVX2) if bar.work != HOPPER.name}
    assert others == {"not measured"}


def test_a_bar_that_is_missed_is_missed() -> None:
    rows = [row(PEER, 10), row(TWO, 39.9), row(SLOW_PEER, 8), row(LIMIT, 65)]
    verdicts = [bar.verdict for bar in bars(rows, AVX2) if bar.work == HOPPER.name]
    assert verdicts == ["missed", "missed", "missed"]


def test_bars_are_those_of_the_instruction_set() -> None:
    rows = [row(PEER, 10), row(TWO, 42)]  # 4.2 times the peer

    def of_peers(instructions: str) -> dict[str, Any]:
        found = bars(rows, instructions)
        return {bar.work: bar for bar in found if bar.says == "2 workers over the fastest peer"}

    assert of_peers(AVX2)[HOPPER.name].verdict == "met"
    assert of_peers(AVX512)[HOPPER.name].verdict == "missed"
    assert [bar.least for bar in of_peers(AVX2).values()] == [4.0, 4.0, 3.0, 3.0]
    assert [bar.least for bar in of_peers("NEON").values()] == [4.0, 4.0, 3.0, 3.0]
    (aim,) = [bar.aim for bar in of_peers(AVX512).values() if bar.aim]
    assert aim == 5.0
    assert not any(bar.aim for bar in bars(rows, AVX2))


def test_what_zen_5_reached_meets_its_own_bars() -> None:
    kept = json.loads((RESULTS / "speed-zen5-avx512.json").read_text(encoding="utf-8"))
    found = bars(kept["rows"], kept["identity"]["machine"]["instruction_set"])
    assert {bar.verdict for bar in found} == {"met"}


def test_without_sbx_on_one_core_nobody_knows_the_fastest_peer() -> None:
    rows = [row(SLOW_PEER, 1), row(TWO, 9)]
    verdicts = {bar.says: bar.verdict for bar in bars(rows, AVX2) if bar.work == HOPPER.name}
    assert verdicts["2 workers over the fastest peer"] == "not measured"
    assert verdicts["2 workers over Stable-Baselines3"] == "met"


def test_two_workers_are_held_against_one() -> None:
    work = "Hopper-v5 16384/2048"
    rows = [row(ONE, 10, work=work), row(TWO, 18, work=work)]
    (bar,) = [bar for bar in bars(rows, AVX2) if bar.ratios]
    assert (bar.says, bar.least, bar.median) == ("2 workers over 1 worker", 1.7, 1.8)


def test_every_bar_of_the_issue_is_there() -> None:
    least = {(bar.work, bar.says): bar.least for bar in bars([], AVX2)}
    assert len(least) == 11
    assert {work for work, _ in least} == {work.name for work in WORKLOADS}
    assert least["HalfCheetah-v5 2048/64", "2 workers over Stable-Baselines3"] == 7.0
    assert least["HalfCheetah-v5 2048/64", "2 workers over the physical limit"] == 0.65


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0 to 3.0)"
    assert spread([1.0], ".1f") == "1.0"


# What is kept


def test_rows_are_kept_and_go_on(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    rows = Rows(path, IDENTITY)
    rows.add(row(PEER, 10))
    again = Rows(path, IDENTITY | {"commit": "def"})
    assert again.has(0, HOPPER.name, PEER)
    assert not again.has(1, HOPPER.name, PEER)
    assert json.loads(path.read_text())["rows"] == rows.rows
    assert Rows(path, IDENTITY | {"code": "2"}, fresh=True).rows == []


def test_rows_of_something_else_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    Rows(path, IDENTITY).add(row(PEER, 10))
    other = IDENTITY | {"versions": {"MiloZero": {"python": "3.12"}}}
    with pytest.raises(OtherRowsError, match="^versions.MiloZero.python$"):
        Rows(path, other)
    assert differences({"a": {"b": 1}}, {"c": 2}) == ["a", "c"]


@pytest.mark.parametrize(
    "name",
    [*MEASURED, *replay.PROGRAM.sources, *imitation.PROGRAM.sources, *native.SOURCES],
)
def test_what_figures_depend_on_is_there(name: str) -> None:
    """A digest does not miss a file that has moved."""
    assert (ROOT / name).exists()


def test_what_others_take_of_the_machine_is_not_negative() -> None:
    watch = Watch()
    sum(range(100_000))
    assert watch.others() >= 0.0


def test_a_stopped_measurement_does_only_the_rest(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done: list[str] = []

    def run(work: Workload) -> dict[str, float]:
        done.append(work.name)
        if len(done) == 2:
            raise RunError("a cause")
        return {"steps_per_second": 1.0, "rollout_s": 0.1, "update_s": 0.1}

    runs = list(plan(2, WORKLOADS[:1], [Contestant("A", "", "", run)]))
    rows, missing = Rows(tmp_path / "speed.json", IDENTITY), {}
    assert measure(runs, rows, missing, guarded=False)
    assert (len(done), len(rows.rows)) == (2, 1)
    assert "a cause" in missing["A"]
    assert measure(runs, rows, missing, guarded=False)
    assert (len(done), len(rows.rows)) == (3, 2)
    assert "1 of 2 runs were done before" in capsys.readouterr().out
    another = list(plan(3, WORKLOADS[:1], [runs[0][2]]))
    assert not measure(another, rows, {}, guarded=True)


def test_everybody_runs_once_before_anybody_runs_again() -> None:
    runs = [(i, work.name, each.name) for i, work, each in plan(2, WORKLOADS, CONTESTANTS)]
    half = len(WORKLOADS) * len(CONTESTANTS)
    assert len(set(runs)) == len(runs) == 2 * half
    assert {i for i, _, _ in runs[:half]} == {0}


def test_a_contestant_may_take_part_in_some_works_alone() -> None:
    only = Contestant("A", "", "", dict, frozenset({HOPPER.name}))
    assert [work.name for _, work, _ in plan(1, WORKLOADS, [only])] == [HOPPER.name]


def test_filters_that_leave_nothing_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed.main(["--only", "nobody"]) == 2
    assert "leave nothing" in capsys.readouterr().err


# What a reader sees


def test_page_and_chart(tmp_path: Path) -> None:
    names = (PEER, SLOW_PEER, ONE, TWO, LIMIT)
    rows = [row(name, 10.0 + i + k, i) for i in range(3) for k, name in enumerate(names)]
    text = report.page(rows, IDENTITY, {"CleanRL, 32 environments": "not installed"})
    assert "| Hopper-v5 2048/64 | 2 workers over the fastest peer | 4 |  | 1.17 " in text
    assert (
        "a processor (`zen9-avx2`), 2 cores, Linux 6; native code for AVX2 (march native) by gcc 12"
        in text
    )
    assert f"**{SLOW_PEER}**" in text
    assert "- CleanRL, 32 environments: not installed" in text
    report.draw(rows, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 10_000
