"""Swarms on a real tmux, on a socket of their own."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest

from helpers.errors import LAUNCH
from swarm.backends.base import DeploymentError
from swarm.backends.tmux import session_name
from swarm.control import resume, stop
from swarm.deploy import deploy
from swarm.ledger import Ledger
from swarm.plan import Plan
from swarm.status import run_statuses
from tests.patience import promptly
from tests.swarm.spawning import spawn_with_kills, start_spawner
from tests.swarm.swarms import are_done, executions, make_plan, most_at_once, wait_for


def quiet(_line: str) -> None:
    """Takes what is said."""


def states(plan: Plan) -> list[str]:
    return [each.state for each in run_statuses(plan).values()]


def make(folder: Path, tmux: str, **how: object) -> Plan:
    return make_plan(folder, deployment="tmux", tmux_socket=tmux, **how)


def windows(tmux: str, form: str = "#{window_name}") -> list[str]:
    done = subprocess.run(
        ["tmux", "-L", tmux, "list-windows", "-a", "-F", form],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\n")[:-1]


def test_each_run_has_a_window_which_keeps_what_it_printed(tmp_path: Path, tmux: str) -> None:
    plan = make(tmp_path, tmux, name="a.swarm", count=3)
    assert deploy(plan, say=quiet).submitted == [run.name for run in plan.runs]
    assert windows(tmux) == ["swarm", *(run.name for run in plan.runs)]
    assert set(windows(tmux, "#{session_name}")) == {session_name(plan)}
    wait_for(lambda: states(plan) == ["done"] * 3)
    wait_for(lambda: windows(tmux, "#{pane_dead}") == ["0", "1", "1", "1"])
    shown = subprocess.run(
        ["tmux", "-L", tmux, "capture-pane", "-p", "-S", "-", "-t", f"={session_name(plan)}:2"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"the program of {plan.runs[1].name}" in shown
    assert deploy(plan, say=quiet).submitted == []
    assert all(each == ["001 0"] for each in executions(plan).values())


def test_a_second_swarm_shares_the_server(tmp_path: Path, tmux: str) -> None:
    plans = [make(tmp_path, tmux, name=name, count=1) for name in ("one", "two")]
    for plan in plans:
        deploy(plan, say=quiet)
    assert set(windows(tmux, "#{session_name}")) == {session_name(plan) for plan in plans}
    for plan in plans:
        wait_for(partial(are_done, plan))


def test_folders_with_blanks_and_quotes_reach_the_window(tmp_path: Path, tmux: str) -> None:
    folder = tmp_path / "my runs; it's $(touch canary) #S"
    folder.mkdir()
    plan = make(folder, tmux, count=1)
    for run in plan.runs:  # the stand-in's own quoting is not what is tested
        script = plan.launch_script(run)
        script.write_text(script.read_text().replace(str(folder), str(tmp_path / "link")))
    (tmp_path / "link").symlink_to(folder)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"])
    assert not list(tmp_path.rglob("canary"))


def test_many_killed_spawners_lose_nothing_and_double_nothing(tmp_path: Path, tmux: str) -> None:
    plan = make(tmp_path, tmux, count=12, seconds=0.1)
    spawn_with_kills(plan, kills=12, longest=0.12)
    wait_for(lambda: states(plan) == ["done"] * 12)
    assert [len(each) for each in executions(plan).values()] == [1] * 12


def test_two_spawners_at_once_submit_each_run_once(tmp_path: Path, tmux: str) -> None:
    plan = make(tmp_path, tmux, count=8)
    spawners = [start_spawner(plan) for _ in range(2)]
    for spawner in spawners:
        spawner.join()
    assert [spawner.exitcode for spawner in spawners] == [0, 0]
    wait_for(lambda: states(plan) == ["done"] * 8)
    assert [len(each) for each in executions(plan).values()] == [1] * 8
    assert len(windows(tmux)) == 9


def test_stopping_and_resuming_gives_a_run_a_new_window(tmp_path: Path, tmux: str) -> None:
    plan = make(tmp_path, tmux, count=2, seconds=60)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["running", "running"])
    stop(plan, plan.runs[:1], say=quiet)
    wait_for(lambda: states(plan) == ["stopped", "running"])
    assert resume(plan, plan.runs, are_named=False, say=quiet).submitted == [plan.runs[0].name]
    wait_for(lambda: states(plan) == ["running", "running"])
    assert sorted(windows(tmux)) == sorted(["swarm", *(run.name for run in plan.runs)])
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped", "stopped"])


def test_max_parallel_opens_windows_as_places_become_free(tmp_path: Path, tmux: str) -> None:
    plan = make(tmp_path, tmux, count=4, seconds=promptly(0.3), max_parallel=2)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"] * 4)
    assert most_at_once(plan) == 2
    assert len(windows(tmux)) == 5


def test_a_key_in_the_environment_is_written_nowhere(
    tmp_path: Path,
    tmux: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """benchmarks/swarm.py does the same with real runs, by flag and netrc too, and on Slurm."""
    key = "canary0123456789"
    monkeypatch.setenv("WANDB_API_KEY", key)
    plan = make(tmp_path, tmux, count=2)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"] * 2)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if key.encode() in path.read_bytes()] == []
    commands = windows(tmux, "#{pane_start_command} #{window_name}")
    assert key not in str(commands)


def test_a_killed_server_loses_its_runs_and_spawning_again_brings_them_back(
    tmp_path: Path,
    tmux: str,
) -> None:
    plan = make(tmp_path, tmux, count=2, seconds=30)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["running", "running"])
    subprocess.run(["tmux", "-L", tmux, "kill-server"], check=True)
    wait_for(lambda: states(plan) == ["lost", "lost"])
    assert len(deploy(plan, say=quiet).submitted) == 2
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped", "stopped"])


def test_without_tmux_nothing_is_submitted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make(tmp_path, "unused", count=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match="There is no tmux") as refusal:
        deploy(plan, say=quiet)
    assert refusal.value.exit_code == LAUNCH
    assert Ledger(plan.ledger_folder).submission(plan.runs[0].name) is None


def test_a_run_has_the_environment_of_the_shell_that_spawned_it(
    tmp_path: Path,
    tmux: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two shells, one server; two clones with a swarm of one name; and a queue that is there already."""
    found = {}
    for shell, how in (("one", {}), ("two", {}), ("three", {"max_parallel": 1})):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"of {shell}\n$(touch canary)")
        (tmp_path / shell).mkdir()
        plan = make(tmp_path / shell, tmux, name="same", count=1, **how)
        [run] = plan.runs
        script = plan.launch_script(run)
        dump = tmp_path / shell / "seen"
        text = script.read_text().replace("set -u\n", f"set -u\nenv -0 >'{dump}'\n")
        script.write_text(text)
        deploy(plan, say=quiet)
        wait_for(partial(are_done, plan))
        pairs = dump.read_bytes().decode(errors="surrogateescape").split("\0")
        seen = dict(pair.partition("=")[::2] for pair in pairs if pair)
        found[shell] = seen["CUDA_VISIBLE_DEVICES"]
        assert "TMUX_PANE" in seen
    assert found == {shell: f"of {shell}\n$(touch canary)" for shell in ("one", "two", "three")}
    assert len(set(windows(tmux, "#{session_name}"))) == 3


def test_no_environment_stays_behind(
    tmp_path: Path,
    tmux: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(private))
    plan = make(tmp_path, tmux, count=3)
    deploy(plan, say=quiet)
    wait_for(partial(are_done, plan))
    wait_for(lambda: not list(private.iterdir()), seconds=5)
