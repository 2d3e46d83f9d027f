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
from swarm import screen, table, watch
from swarm.control import find_swarm, resume, select_runs, stop
from swarm.deploy import deploy
from swarm.plan import Plan
from swarm.status import run_statuses
from swarm.table import status_table
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
    shown = status_table(plan, lines).plain.split()
    assert " ".join(told.split()) in " ".join(shown)
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
    assert line.error in str(table.status_table(plan, [line]))


def test_stopped_runs_are_resumed_and_what_had_not_begun_leaves_the_queue(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=3, seconds=60, max_parallel=1)
    deploy(plan, say=quiet)
    wait_for(
        lambda: ["001 0"] in executions(plan).values(),
    )  # "running" is said before its script begins
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
    text = str(table.status_table(plan, lines, width=80, rows=10))
    rows = text.splitlines()
    assert rows[0] == "a_name_that_is_long: 30 runs, 29 done, 1 failed"
    assert rows[1] == "each name begins with a_name_that_is_long."
    assert rows[3].split()[:2] == ["seed29", "failed"]
    assert "".join(row.strip() for row in rows[4:6]) == "x" * 99  # whole
    assert rows[-1] == "... and 23 more: --once shows all"
    assert len(rows) == 3 + 10 and max(map(len, rows)) <= 80
    assert len(str(table.status_table(plan, lines)).splitlines()) == 34


ERROR = (
    "the loss is not finite in iteration 1234 of 5000: policy/loss is nan, critic/loss is 3.4e38, and the largest "
    "gradient was of critic.layers.2.weight; the checkpoint before is iter_001200"
)


def many(plan: Plan, count: int) -> list[watch.Line]:
    """Runs of all kinds: each hundredth has failed, each second is done."""
    lines = []
    for number in range(count):
        state = "failed" if number % 100 == 7 else "done" if number % 2 else "running"
        error = ERROR if state == "failed" else ""
        name = f"{plan.name}.a_long_name_of_an_experiment.seed{number:03d}"
        how = (number * 7 % 1000, 1000, float(number), 5.0, 60.0, number % 3, error)
        lines.append(watch.Line(name, state, "", "", *how))
    return lines


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120, 200, 1000])
def test_what_is_wrong_is_whole_at_every_width_and_the_summary_is_first(
    tmp_path: Path,
    width: int,
) -> None:
    plan = make_plan(tmp_path, count=1)
    text = str(table.status_table(plan, many(plan, 8), width=width))
    rows = text.splitlines()
    assert max(map(len, rows)) <= width
    assert " ".join(rows).startswith("tiny: 8 runs, ")
    assert "".join(ERROR.split()) in "".join(text.split())
    assert sum("seed0" in row and "run" not in row.split() for row in rows) == 8
    assert "failed" in next(row for row in rows if "seed007" in row)


def test_five_hundred_runs_scroll_are_sorted_filtered_and_show_their_logs(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=1)
    lines = many(plan, 500)
    lines[4] = watch.Line(plan.runs[0].name, "running", "", "", 1, 1000, 1e9, 1.0, None, 0, "")
    view = screen.View(plan, lines)

    def shown() -> list[str]:
        rows = str(view.render(80, 24)).split("\n")
        assert len(rows) == 24 and max(map(len, rows)) <= 80
        return rows

    def selected() -> str:
        [row] = [row for row in shown() if row.startswith("> ")]
        return row.split()[1].rpartition(".")[2]

    def press(*keys: str) -> None:
        assert all(view.press(key) for key in keys)

    assert "500 runs" in shown()[0] and "q quit" in shown()[-1] and "/ filter" in shown()[-1]
    assert view.chosen()[0].state == "failed"  # trouble first
    first = selected()
    press(*["down"] * 40)
    assert selected() != first
    seen = {selected()}
    for _ in range(100):
        press("page down")
        seen.add(selected())
    assert selected() == view.chosen()[-1].run.rpartition(".")[2] and len(seen) > 20
    press("s", "s", "s", "g")  # by return, the largest first
    assert "sort: return" in shown()[-1] and selected() == "seed00"
    press("/", *"seed00", "backspace", "backspace", "enter")
    assert {line.run for line in view.chosen()} == {
        line.run for line in lines if "seed" in line.run
    }
    press("/", *["backspace"] * 9, *"fAiled", "enter")
    assert len(view.chosen()) == 5
    press("/", *["backspace"] * 9, *"*seed00", "enter")
    assert [line.run for line in view.chosen()] == [plan.runs[0].name]
    log = plan.log_file(plan.runs[0])
    log.write_text("".join(f"line {number}\n" for number in range(1000)) + "\x1b[31mlast\n")
    press("enter")
    assert shown()[-2] == "[31mlast" and "line 999" in shown()[-3]
    press("page up")
    assert "line 999" not in shown()[-3]
    press("q")
    assert selected() == "seed00"
    press("/", "q", "escape")
    assert len(view.chosen()) == 500 and not view.press("q")


def test_keys_are_read_as_terminals_send_them() -> None:
    content = b"\x1b[A\x1b[6~/a\r\x1b\x7fG"
    expected = ["up", "page down", "/", "a", "enter", "escape", "backspace", "G"]
    assert screen.names_of(content) == expected


PANES = {
    "narrow": (40, {}),
    "usual": (80, {}),
    "wide": (140, {}),
    "dumb": (80, {"TERM": "dumb"}),
    "no UTF-8": (80, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "piped": (80, {}),
}


def test_every_kind_of_terminal_shows_the_summary_and_the_whole_error(tmp_path: Path) -> None:
    """Real panes of tmux, all at once: a failed run says why, in all of them."""
    plan = make_plan(tmp_path, count=12, seconds=0, code=3, max_parallel=2)
    run = plan.runs[0]
    script = plan.launch_script(run)
    told = f"printf 'milozero: {ERROR} \\342\\206\\222\\n'"
    script.write_text(script.read_text().replace('echo "the program', f'{told}\necho "the program'))
    deploy(plan, only=[run.name], say=quiet)
    wait_for(lambda: states(plan)[0] == "failed")
    tmux = ["tmux", "-L", f"panes{os.getpid()}", "-f", "/dev/null"]
    try:
        for number, (kind, (width, added)) in enumerate(PANES.items()):
            words = " ".join(f"{name}={value}" for name, value in added.items())
            end = "| cat" if kind == "piped" else ""
            command = (
                f"env {words} {sys.executable} reporter.py watch {plan.folder} {end}; sleep 600"
            )
            where = ["-x", str(width), "-y", "30", "-c", str(REPOSITORY), "-s", str(number)]
            subprocess.run([*tmux, "new-session", "-d", *where, command], check=True)
        for number, (kind, (width, _)) in enumerate(PANES.items()):

            def pane(number: int = number) -> str:
                asked = [*tmux, "capture-pane", "-p", "-J", "-t", f"{number}:"]
                return subprocess.run(asked, capture_output=True, text=True, check=True).stdout

            wait_for(lambda: "12 runs" in pane())
            text = pane()
            first = next(line for line in text.splitlines() if line.strip())
            assert first.startswith("tiny: 12 runs"), (kind, text)
            assert "".join(ERROR.split()) in "".join(text.split()), (kind, text)
            assert "Traceback" not in text, text
            if kind != "piped":
                assert max(map(len, text.splitlines())) <= width, (kind, text)
            is_live = kind in ("narrow", "usual", "wide", "no UTF-8")
            assert ("arrows" in text) == is_live, (kind, text)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


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
