"""The table of a swarm, and stopping and resuming runs from it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.errors import ConfigurationError
from swarm import watch
from swarm.control import find_swarm, resume, select_runs, stop
from swarm.deploy import deploy
from swarm.plan import Plan
from swarm.status import run_statuses
from tests.patience import patience, promptly
from tests.swarm.swarms import REPOSITORY, STEPS, executions, make_plan, wait_for


def quiet(_line: str) -> None:
    """Takes what is said."""


def states(plan: Plan) -> list[str]:
    return [each.state for each in run_statuses(plan).values()]


def write_metrics(plan: Plan, number: int, *rows: dict[str, object]) -> None:
    folder = plan.runs[number].folder
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines + '{"iteration": 3, "st')


def test_a_line_shows_the_last_row_and_the_last_evaluation(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=1, seconds=60, max_parallel=1)
    write_metrics(
        plan,
        0,
        {"iteration": 1, "step": 100, "eval/return_mean": 12.5, "rollout/return_mean": 3.0},
        {"iteration": 2, "step": 200, "rollout/return_mean": 4.0, "time/steps_per_second": 50.0},
    )
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["running"])
    [line] = watch.lines_of(plan)
    assert (line.steps, line.total, line.return_, line.rate) == (200, STEPS, 12.5, 50.0)
    assert line.seconds_left == pytest.approx((STEPS - 200) / 50)
    assert (line.restarts, line.error) == (0, "")
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped"])


def test_a_run_that_was_changed_says_so(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=2)
    write_metrics(plan, 0, {"iteration": 2, "step": STEPS})
    change = {"kind": "setting", "name": "p_lr", "before": 3e-4, "after": 1e-4, "iteration": 2}
    capsule = {"changes": [change, {"kind": "file", "name": "cart.py", "iteration": 2}]}
    (plan.runs[0].folder / "capsule.json").write_text(json.dumps(capsule))
    lines = watch.lines_of(plan)
    told = "changed after iteration 2: p_lr 0.0003 -> 0.0001, cart.py"
    assert [line.changed for line in lines] == [told, ""]
    assert told in watch.status_table(plan, lines).plain
    assert json.loads(watch.to_json(plan, lines))["runs"][0]["changed"] == told


def test_what_ended_outside_the_ledger_is_done_too(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=2)
    for number, step in ((0, STEPS), (1, STEPS - 1)):
        write_metrics(plan, number, {"iteration": 2, "step": step})
        checkpoints = plan.runs[number].folder / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / "latest").symlink_to("iter_000002")
    assert states(plan) == ["done", "planned"]
    assert deploy(plan, say=quiet).submitted == [plan.runs[1].name]
    wait_for(lambda: states(plan) == ["done", "done"])


def test_the_last_error_of_a_failed_run_is_shown_without_control_characters(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=1, seconds=0, code=3, max_parallel=1)
    script = plan.launch_script(plan.runs[0])
    words = r"printf 'milozero: first\nmilozero: a loss \033[31mthat is\033[0m not finite\n  remedy: r\n'"
    script.write_text(
        script.read_text().replace('echo "the program', f'{words}\necho "the program'),
    )
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["failed"])
    [line] = watch.lines_of(plan)
    assert line.error == "a loss [31mthat is[0m not finite"
    assert line.error in str(watch.status_table(plan, [line]))


def test_stopped_runs_are_resumed_and_what_had_not_begun_leaves_the_queue(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=3, seconds=60, max_parallel=1)
    deploy(plan, say=quiet)
    wait_for(lambda: "running" in states(plan))
    said: list[str] = []
    assert len(stop(plan, plan.runs, say=said.append)) == 3
    assert sum("taken out of the queue" in line for line in said) == 2
    wait_for(lambda: states(plan) == ["stopped"] * 3)
    for run in plan.runs:
        script = plan.launch_script(run)
        script.write_text(script.read_text().replace("seq 600", "seq 1"))
    resumed = resume(plan, plan.runs, are_named=False, say=quiet)
    assert sorted(resumed.submitted) == sorted(run.name for run in plan.runs)
    wait_for(lambda: states(plan) == ["done"] * 3)
    assert sorted(executions(plan).values()) == [["001 0", "002 0"], ["002 0"], ["002 0"]]
    assert resume(plan, plan.runs, are_named=False, say=quiet).submitted == []


def test_failed_runs_are_resumed_only_by_name(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=2, seconds=0, code=2, max_parallel=2)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["failed", "failed"])
    said: list[str] = []
    assert resume(plan, plan.runs, are_named=False, say=said.append).submitted == []
    assert len(said) == 2 and "name it to try it again" in said[0]
    runs = select_runs(plan, ["*seed01"])
    assert resume(plan, runs, are_named=True, say=quiet).submitted == [plan.runs[1].name]
    wait_for(lambda: [len(each) for each in executions(plan).values()] == [1, 2])


def test_swarms_and_runs_are_found_by_name_beginning_folder_and_pattern(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, name="quick", count=12)
    make_plan(tmp_path, name="quiet", count=1)
    swarms = tmp_path / "swarms"
    for name in ("quick", "quic", str(plan.folder)):
        assert find_swarm(name, swarms=swarms).name == "quick"
    with pytest.raises(ConfigurationError, match="2 swarms start with qui"):
        find_swarm("qui", swarms=swarms)
    with pytest.raises(ConfigurationError) as refusal:
        find_swarm("quack", swarms=swarms)
    assert "quick" in refusal.value.remedy
    assert len(select_runs(plan, ["*seed0?", "*seed11"])) == 11
    with pytest.raises(ConfigurationError, match="is called nobody"):
        select_runs(plan, ["nobody"])


def test_the_table_fits_its_screen_and_puts_trouble_first(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, name="a_name_that_is_long", count=30)
    lines = [
        watch.Line(run.name, "done", "", "", STEPS, STEPS, 1.0, 5.0, None, 0, "")
        for run in plan.runs
    ]
    lines[29] = watch.Line(
        plan.runs[29].name,
        "failed",
        "",
        "",
        3,
        STEPS,
        None,
        None,
        None,
        2,
        "x" * 99,
    )
    text = str(watch.status_table(plan, lines, width=80, rows=10))
    rows = text.splitlines()
    assert rows[0] == "a_name_that_is_long: 30 runs, 29 done, 1 failed"
    assert rows[1] == "each name begins with a_name_that_is_long."
    assert rows[3].split()[:2] == ["seed29", "failed"]
    assert rows[-1] == "... and 21 more: --once shows all"
    assert max(map(len, rows)) <= 80
    assert len(str(watch.status_table(plan, lines)).splitlines()) == 33


def reporter(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "reporter.py", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_once_and_json_print_and_end(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=2)
    once = reporter("watch", str(plan.folder), "--once")
    assert once.returncode == 0, once.stderr
    assert once.stdout.splitlines()[0] == "tiny: 2 runs, 2 planned"
    content = json.loads(reporter("watch", str(plan.folder), "--json").stdout)
    assert content["counts"] == {"planned": 2}
    assert content["runs"][0]["run"] == "tiny.seed00"


def test_a_swarm_that_is_not_there_is_refused_in_two_lines() -> None:
    done = reporter("watch", "no_such_swarm")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"milozero: There is no swarm .*\n  remedy: .*\n", done.stderr)


def test_q_leaves_the_live_table_and_the_runs_alone(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=1, seconds=60, max_parallel=1)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["running"])
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(REPOSITORY)
        os.environ["TERM"] = "xterm"
        watch_it = [sys.executable, "reporter.py", "watch", str(plan.folder), "--every=0.2"]
        os.execv(sys.executable, watch_it)
    shown = b""
    deadline = time.monotonic() + patience(60)
    while b"running" not in shown and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536)
    os.write(terminal, b"q")
    began = time.monotonic()
    while True:
        try:
            if not os.read(terminal, 65536):
                break
        except OSError:  # the terminal closes with its last process
            break
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert time.monotonic() - began < promptly(15)
    assert b"1 running" in shown
    assert states(plan) == ["running"]
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped"])
