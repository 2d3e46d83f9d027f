"""No run is lost and none is started twice, whenever a spawner dies and however many are at work."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from helpers.config.schema import dump_config
from helpers.errors import ConfigurationError, StorageError
from helpers.processes import Process
from helpers.run_folder.experiment import CONFIG_FILE
from swarm.backends.base import DeploymentError
from swarm.backends.local import QUEUE, Queue, QueueScheduler, submissions_of
from swarm.deploy import deploy
from swarm.ledger import Ledger, Submission, new_token
from swarm.status import OWNER_FILE, owner_of, run_statuses
from tests.patience import promptly
from tests.swarm.spawning import spawn_killed_at, start_spawner
from tests.swarm.swarms import are_done, executions, latest, make_plan, most_at_once, wait_for

RUN = "some_name.seed00"


def claim(ledger: Ledger, number: int = 1) -> bool:
    return ledger.claim(RUN, number, token=new_token(), deployment="tmux")


def test_of_many_claimants_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(8)
    wins = context.Value("i", 0)

    def compete() -> None:
        ledger = Ledger(tmp_path / "ledger")
        for number in range(1, 21):
            barrier.wait()
            if claim(ledger, number):
                with wins.get_lock():
                    wins.value += 1

    processes = [context.Process(target=compete) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert wins.value == 20
    found = Ledger(tmp_path / "ledger").submission(RUN)
    assert found is not None and found.number == 20


def test_a_closed_submission_cannot_begin_and_one_that_began_cannot_be_closed(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    assert claim(ledger, 1) and ledger.void(RUN, 1)
    assert not ledger.begin(RUN, 1)
    assert latest(ledger, RUN).is_void
    assert claim(ledger, 2) and ledger.begin(RUN, 2)
    assert not ledger.void(RUN, 2)
    found = latest(ledger, RUN)
    assert not found.is_void and found.process == Process.this() and found.process.is_alive()


def test_the_latest_submission_counts_with_the_attempts_of_all_its_generations(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    claim(ledger, 1)
    (tmp_path / RUN / "001.attempts").write_text(
        "start 0 100 7\nend 0 110 9 none\nrequeue 0 110 killed\n",
    )
    claim(ledger, 2)
    ledger.begin(RUN, 2)
    (tmp_path / RUN / "002.attempts").write_text(
        "start 0 200 8\nend 0 210 75 iter_000004\nrequeue 0 210 time\n",
    )
    (tmp_path / RUN / "002+1.attempts").write_text(
        "start 1 300 9\nend 1 310 0 iter_000008\ndone 1 310 fini",
    )
    found = latest(ledger, RUN)
    assert (found.number, found.starts) == (2, 3)
    assert [(each.exit_code, each.checkpoint) for each in found.attempts] == [
        (75, "iter_000004"),
        (0, "iter_000008"),
    ]
    assert found.verdict is None, "the last line is still being written"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"token": 1}'])
def test_a_damaged_entry_is_refused_in_two_lines(tmp_path: Path, content: str) -> None:
    ledger = Ledger(tmp_path)
    claim(ledger)
    path = tmp_path / RUN / "001.claim.json"
    path.unlink()
    path.write_text(content)
    with pytest.raises(StorageError, match="001.claim.json is damaged"):
        ledger.submission(RUN)


def test_a_process_is_told_from_another_of_its_number(tmp_path: Path) -> None:
    this = Process.this()
    assert this.is_alive() is True
    assert Process(this.host, this.pid, (this.ticks or 0) + 1, this.boot).is_alive() is False
    assert Process(this.host, this.pid, this.ticks, "another boot").is_alive() is False
    assert Process("another-host", this.pid, this.ticks, this.boot).is_alive() is None
    assert Process.of(this.to_json()) == this


def test_a_spawner_may_die_before_any_of_its_deeds(tmp_path: Path, tmux: str) -> None:
    """Every third instant here; benchmarks/swarm.py tries them all."""
    plans = []
    instant = 1
    is_killed = True
    while is_killed:
        plan = make_plan(
            tmp_path,
            name=f"t{instant}",
            count=1,
            seconds=0,
            deployment="tmux",
            tmux_socket=tmux,
        )
        is_killed = spawn_killed_at(plan, instant)
        deploy(plan, say=lambda _: None)
        plans.append(plan)
        instant += 3
    assert len(plans) > 10
    for plan in plans:
        wait_for(partial(are_done, plan))
    time.sleep(0.3)  # whatever would start a second time
    assert [each for plan in plans for each in executions(plan).values() if len(each) != 1] == []


def test_two_spawners_at_once_share_the_runs(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=6, seconds=0.1, max_parallel=6)
    spawners = [start_spawner(plan) for _ in range(3)]
    for spawner in spawners:
        spawner.join()
    assert [spawner.exitcode for spawner in spawners] == [0, 0, 0]
    wait_for(lambda: are_done(plan))
    assert all(len(each) == 1 for each in executions(plan).values())


def test_a_queue_keeps_to_its_places_and_outlives_the_spawner(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=5, seconds=promptly(0.4), max_parallel=2)
    start_spawner(plan).join()
    wait_for(lambda: are_done(plan))
    assert most_at_once(plan) == 2
    assert all(len(each) == 1 for each in executions(plan).values())


def test_a_queue_process_that_was_killed_is_replaced_and_runs_go_on(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=3, seconds=promptly(0.8), max_parallel=1)
    deploy(plan, say=lambda _: None)
    wait_for(lambda: any(each.state == "running" for each in run_statuses(plan).values()))
    queue = latest(Ledger(plan.folder), QUEUE).process
    assert queue is not None
    _kill(queue.pid)
    wait_for(lambda: not queue.is_alive())
    reasons = {each.reason for each in run_statuses(plan).values() if each.state == "queued"}
    assert reasons == {"nobody starts it: spawn again"}
    outcome = deploy(plan, say=lambda _: None)
    assert outcome.submitted == []
    wait_for(lambda: are_done(plan))
    assert all(len(each) == 1 for each in executions(plan).values())


def test_what_is_noted_while_the_queue_process_ends_is_started(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make_plan(tmp_path, count=1, seconds=0)
    ledger, name = Ledger(plan.ledger_folder), plan.runs[0].name
    end = Ledger.end
    plan.runs[0].folder.mkdir(parents=True)
    plan.runs[0].job_script.write_text(plan.launch_script(plan.runs[0]).read_text())

    def end_late(self: Ledger, run: str, number: int, reason: str) -> None:
        if ledger.submission(name) is None:  # the spawner looks now, sees a queue process, and goes
            ledger.claim(name, 1, token=new_token(), deployment=QUEUE)
            ledger.note_job(name, 1, {"deployment": QUEUE, "job": None})
        end(self, run, number, reason)

    monkeypatch.setattr(Ledger, "end", end_late)
    Queue(plan, 1).run()
    wait_for(lambda: are_done(plan))
    assert latest(Ledger(plan.folder), QUEUE).number == 2
    QueueScheduler(plan).finish()
    assert latest(Ledger(plan.folder), QUEUE).number == 2, "nothing waits: nothing is started"


def test_a_run_whose_script_was_killed_is_at_work_until_its_workers_end(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=1, seconds=0, max_parallel=1)
    script = plan.launch_script(plan.runs[0])
    worker = f'sleep {promptly(2):.1f} & touch "$folder/at_work"; wait\nfor _ in'
    script.write_text(script.read_text().replace("for _ in", worker))
    deploy(plan, say=lambda _: None)
    wait_for(lambda: latest(Ledger(plan.ledger_folder), plan.runs[0].name).attempts)
    process = latest(Ledger(plan.ledger_folder), plan.runs[0].name).process
    assert process is not None
    wait_for((plan.runs[0].folder / "at_work").exists)
    _kill(process.pid)
    wait_for(lambda: process.is_alive() is False)
    [status] = run_statuses(plan).values()
    assert (status.state, status.reason) == (
        "running",
        "its script was killed, its workers still run",
    )
    assert deploy(plan, say=lambda _: None).submitted == []
    wait_for(lambda: next(iter(run_statuses(plan).values())).state == "lost")
    assert len(deploy(plan, say=lambda _: None).submitted) == 1


def test_done_runs_stay_done_and_failed_ones_are_submitted_anew(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=2, seconds=0, code=3, max_parallel=2)
    deploy(plan, say=lambda _: None)
    wait_for(lambda: all(each.state == "failed" for each in run_statuses(plan).values()))
    assert {each.reason for each in run_statuses(plan).values()} == {"exit code 3, standin"}
    script = plan.launch_script(plan.runs[0])
    script.write_text(script.read_text().replace("code=${code:-3}", "code=${code:-0}"))
    assert len(deploy(plan, say=lambda _: None).submitted) == 2
    wait_for(lambda: [each.state for each in run_statuses(plan).values()] == ["done", "failed"])
    assert deploy(plan, say=lambda _: None).submitted == [plan.runs[1].name]
    assert submissions_of(plan)[plan.runs[0].name].number == 2


def test_a_run_of_another_swarm_is_left_to_it(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=2, seconds=0, max_parallel=2)
    (plan.runs[0].folder).mkdir(parents=True)
    (plan.runs[0].folder / OWNER_FILE).write_text('{"swarm": "older", "folder": "/nowhere"}')
    said: list[str] = []
    outcome = deploy(plan, say=said.append)
    assert (outcome.submitted, outcome.already) == ([plan.runs[1].name], [plan.runs[0].name])
    assert said == [f"{plan.runs[0].name} belongs to swarm older: it is not submitted from here"]


def test_a_folder_that_holds_another_run_is_refused_before_anything_is_submitted(
    tmp_path: Path,
) -> None:
    plan = make_plan(tmp_path, count=2)
    other = plan.runs[1].config.model_copy(update={"num_timesteps": 77})
    plan.runs[1].folder.mkdir(parents=True)
    dump_config(other, plan.runs[1].folder / CONFIG_FILE)
    with pytest.raises(ConfigurationError, match="num_timesteps is 77 there, 1000 here"):
        deploy(plan, say=lambda _: None)
    assert all(each.is_void for each in submissions_of(plan).values())
    dump_config(plan.runs[1].config, plan.runs[1].folder / CONFIG_FILE)
    assert len(deploy(plan, say=lambda _: None).submitted) == 2


def test_a_refused_run_that_another_spawner_submits_meanwhile_is_not_given_away(
    tmp_path: Path,
) -> None:
    """The other one is at work between the look at the ledger and the release."""
    plan = make_plan(tmp_path, count=1, seconds=0, max_parallel=1)
    look, left = Ledger.submission, ["once"]

    def refuse(*_: object) -> None:
        raise DeploymentError("It refuses.", "Wait.")

    def look_before_the_other(self: Ledger, run: str) -> Submission | None:
        found = look(self, run)
        if found is not None and found.is_void and left:
            left.clear()
            patch.undo()
            start_spawner(plan).join()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QueueScheduler, "submit", refuse)
        patch.setattr(Ledger, "submission", look_before_the_other)
        with pytest.raises(DeploymentError, match="It refuses"):
            deploy(plan, say=lambda _: None)
    assert not left
    assert (owner_of(plan.runs[0]) or {}).get("swarm") == plan.name
    wait_for(lambda: are_done(plan))
    assert [len(each) for each in executions(plan).values()] == [1]


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_a_claim_of_a_machine_whose_clock_is_wrong_blocks_nothing(
    tmp_path: Path,
    ahead: float,
) -> None:
    plan = make_plan(tmp_path, count=1, seconds=0, max_parallel=1)
    ledger, name = Ledger(plan.ledger_folder), plan.runs[0].name
    ledger.claim(name, 1, token=new_token(), deployment=QUEUE)
    path = plan.ledger_folder / name / "001.claim.json"
    claimed = json.loads(path.read_text())
    claimed["process"] |= {"host": "elsewhere"}  # where nobody sees whether it lives
    path.write_text(json.dumps(claimed | {"time": time.time() + ahead}))
    began = time.monotonic()
    assert deploy(plan, say=lambda _: None).submitted == [name]
    assert time.monotonic() - began < promptly(10)
    assert latest(ledger, name).number == 2
    wait_for(lambda: are_done(plan))


def test_whom_it_waits_for_is_told(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=1)
    Ledger(plan.ledger_folder).claim(plan.runs[0].name, 1, token=new_token(), deployment=QUEUE)
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        Ledger(plan.ledger_folder).note_job(
            plan.runs[0].name,
            1,
            {"deployment": QUEUE, "job": None},
        )

    assert deploy(plan, say=hear).already == [plan.runs[0].name]
    assert len(said) == 1 and "is spawning this swarm too" in said[0]


def test_a_folder_that_cannot_be_written_is_told_in_two_lines(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, count=1)
    plan.runs[0].folder.parent.write_text("a file in the way")
    with pytest.raises(StorageError, match="runs"):
        deploy(plan, say=lambda _: None)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
