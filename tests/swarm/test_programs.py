"""What scripts and shells ask of the programs: readers that leave, Ctrl-C, an exit status, a swarm from anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import reporter
import spawner
from swarm import places
from swarm.control import find_swarm, select_runs, states_at_the_end
from swarm.ledger import Ledger
from swarm.status import run_statuses
from tests.patience import patience
from tests.swarm.plans import ROOT, refused
from tests.swarm.swarms import latest, make_plan, wait_for

CONFIG = str(ROOT / "tasks" / "train_classic_ppo.yaml")
SPAWN = ["spawner.py", "--config", CONFIG, "--num_seeds", "3000", "--dry_run"]


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A user without a past."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def started(argv: list[str], **streams: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, *argv]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, **streams)


@pytest.mark.parametrize(
    "argv",
    [
        SPAWN,
        ["spawner.py", "-h"],
        ["tuner.py", "-h"],
        ["reporter.py", "-h"],
        ["-m", "registry", "-h"],
        ["main.py", "-h"],
    ],
    ids=lambda argv: " ".join(argv[-2:]),
)
def test_a_reader_that_leaves_is_no_error(argv):
    """As before `| true`, which reads nothing."""
    reading, writing = os.pipe()
    os.close(reading)
    with started(argv, stdout=writing) as process:
        os.close(writing)
        assert process.stderr is not None
        said = process.stderr.read().decode()
        assert (process.wait(patience(60)), said) == (0, "")


def test_ctrl_c_while_expanding_says_nothing():
    script = (
        "import os, signal, sys\n"
        "import swarm.planning.expand as expand\n"
        "expand.run_name = lambda config: os.kill(os.getpid(), signal.SIGINT)\n"
        "import spawner\n"
        f"sys.argv = {SPAWN!r}\n"
        "sys.exit(spawner.run())\n"
    )
    with started(["-c", script], stdout=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=patience(60))
    assert (process.returncode, out, err) == (128 + signal.SIGINT, b"", b"")


@pytest.mark.parametrize(
    ("module", "verb"),
    [("tuner", "show"), ("reporter", "watch"), ("registry.cli", "top")],
)
def test_ctrl_c_ends_every_program_with_the_status_of_shells(monkeypatch, capfd, module, verb):
    program = pytest.importorskip(module)

    def interrupted(argv: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "main", interrupted)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    assert program.run() == 130
    assert tuple(capfd.readouterr()) == ("", "")


# Waiting for a swarm


@pytest.mark.parametrize(("code", "state"), [(0, "done"), (3, "failed")])
def test_a_swarm_that_is_waited_for(tmp_path, monkeypatch, capsys, code, state):
    from swarm.deploy import deploy

    plan = make_plan(tmp_path, count=2, seconds=0.3, code=code)
    deploy(plan)
    assert states_at_the_end(plan, pause=0.05) == {state: 2}
    assert spawner.wait(plan) == (0 if code == 0 else 1)
    assert capsys.readouterr().out.splitlines()[-1] == f"tiny: 2 {state}"


def test_waiting_ends_where_the_queue_process_has_died(tmp_path, capsys):
    from swarm.backends.local import QUEUE
    from swarm.deploy import deploy

    plan = make_plan(tmp_path, count=2, seconds=0.5, max_parallel=1)
    deploy(plan)
    ledger = Ledger(plan.folder)
    wait_for(lambda: any(each.state == "running" for each in run_statuses(plan).values()))
    queue = latest(ledger, QUEUE).process
    assert queue is not None
    os.kill(queue.pid, signal.SIGKILL)
    wait_for(lambda: queue.is_alive() is False)
    assert spawner.wait(plan) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "tiny: 1 done, 1 queued"
    assert "give the same command again" in err


def test_waiting_needs_something_to_wait_for(capsys):
    assert spawner.main(["--config", CONFIG, "--wait"]) == 2
    assert "--deploy_now" in capsys.readouterr().err


@pytest.mark.parametrize("deployment", ["tmux", "local"])
def test_a_gpu_is_not_requested_of_a_workstation(capsys, deployment):
    assert spawner.main(["--config", CONFIG, "--gpu", f"--deployment={deployment}"]) == 2
    assert "CUDA_VISIBLE_DEVICES" in capsys.readouterr().err


# Finding


def test_a_swarm_is_found_from_anywhere(state, monkeypatch, capsys):
    for folder in ("work", "else where"):
        (state / folder).mkdir()
    monkeypatch.chdir(state / "work")
    for _ in range(2):
        assert spawner.main(["--config", CONFIG, "--prefix=near", "--swarms_dir=my swarms"]) == 0
    assert spawner.main(["--config", CONFIG, "--prefix=usual"]) == 0
    monkeypatch.chdir(state / "else where")
    assert find_swarm("near").folder.parent == state / "work" / "my swarms"
    assert find_swarm("usual").folder.parent == state / "work" / "data" / "swarms"
    noted = (state / "state" / "milozero" / "swarms_dirs").read_text().splitlines()
    assert noted == [str(state / "work" / "my swarms"), str(state / "work" / "data" / "swarms")]
    assert reporter.main(["watch", "near", "--once"]) == 0
    assert "1 planned" in capsys.readouterr().out


def test_the_swarms_of_this_clone_are_found_outside_it(state, monkeypatch):
    clone = state / "clone"
    monkeypatch.setattr(places, "_CLONE", clone)
    plan = make_plan(state, name="home")
    (clone / "data").mkdir(parents=True)
    plan.folder.parent.rename(clone / "data" / "swarms")
    (state / "empty").mkdir()
    monkeypatch.chdir(state / "empty")
    assert find_swarm("ho").name == "home"
    assert "data/swarms" in refused(find_swarm, "x")[0]


def test_runs_have_the_names_of_the_table(tmp_path):
    plan = make_plan(tmp_path, count=12)
    names = [run.name for run in plan.runs]
    assert names[3] == "tiny.seed03"
    for given, found in (
        (["seed03"], names[3:4]),
        (["seed0*"], names[:10]),
        (["ti...03", "seed11"], [names[3], names[11]]),
        (["tiny.seed01"], names[1:2]),
    ):
        assert [run.name for run in select_runs(plan, given)] == found
    assert "called eed03" in refused(select_runs, plan, ["eed03"])[0]


def test_a_place_that_cannot_be_noted_is_told(state, monkeypatch):
    (state / "state").write_text("")
    told = places.note_place(Path(state / "swarms"))
    assert "cannot be written" in told and "by its folder" in told
