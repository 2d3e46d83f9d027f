"""Deadlines: when a run stops by itself, and that all workers stop at the same iteration."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.errors import ConfigurationError
from helpers.parallel.deadline import JOB_ENDS, STOP_SIGNALS, Deadline
from helpers.parallel.workers import Workers
from tests.mpi.start import start
from tests.patience import patience

needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None,
    reason="MPI is not installed",
)
BEGIN = 1_000_000.0


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Puts the handlers of this process back."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def limited(clock: Clock, execution_time: float | None, **environment: str) -> Deadline:
    return Deadline(
        workers=Workers.solo(),
        execution_time=execution_time,
        started=BEGIN,
        clock=clock,
        environment=environment,
    )


def seconds_until_stop(
    deadline: Deadline,
    clock: Clock,
    iteration: Callable[[int], float],
) -> float:
    for i in range(100_000):
        clock.now += iteration(i)
        if deadline.should_stop():
            return clock.now - BEGIN
    raise AssertionError("it never stops")


# Time


def test_without_a_limit_it_goes_on(clock: Clock) -> None:
    deadline = limited(clock, None)
    for _ in range(100):
        clock.now += 1e6
        assert deadline.should_stop() is None


def test_it_stops_while_three_iterations_a_save_and_the_margin_fit_in(clock: Clock) -> None:
    deadline = limited(clock, 1000.0)
    deadline.note_save(7.0)
    stopped = seconds_until_stop(deadline, clock, lambda _: 5.0)
    assert 1000 - (3 * 5 + 7 + 20) < stopped <= 1000 - (3 * 5 + 7 + 20) + 5
    assert deadline.should_stop() == "time limit"


def test_the_margin_is_120_s_at_most(clock: Clock) -> None:
    deadline = limited(clock, 86_400.0)
    stopped = seconds_until_stop(deadline, clock, lambda _: 10.0)
    assert 86_400 - 120 - 30 < stopped <= 86_400 - 120 - 30 + 10


def test_the_slowest_recent_iteration_counts(clock: Clock) -> None:
    deadline = limited(clock, 1000.0)
    stopped = seconds_until_stop(deadline, clock, lambda i: 60.0 if i % 10 == 5 else 5.0)
    assert 1000 - (180 + 20) < stopped <= 1000 - (180 + 20) + 60


def test_a_slow_start_is_forgotten(clock: Clock) -> None:
    """The first iteration compiles; three of it would end a short run at once."""
    deadline = limited(clock, 100.0)
    stopped = seconds_until_stop(deadline, clock, lambda i: 40.0 if i == 0 else 1.0)
    assert 100 - (3 + 2) < stopped <= 100 - (3 + 2) + 1


def test_the_first_iteration_counts_once_while_it_is_the_only_one(clock: Clock) -> None:
    assert seconds_until_stop(limited(clock, 100.0), clock, lambda _: 60.0) == 60.0


def test_saves_are_no_part_of_an_iteration(clock: Clock) -> None:
    deadline = limited(clock, 1000.0)

    def iteration(_: int) -> float:
        deadline.note_save(50.0)
        return 51.0  # of which 1 is training

    stopped = seconds_until_stop(deadline, clock, iteration)
    assert 1000 - (3 * 1 + 50 + 20) < stopped <= 1000 - (3 * 1 + 50 + 20) + 51


def test_the_time_before_the_deadline_was_made_counts(clock: Clock) -> None:
    clock.now = BEGIN + 90
    deadline = limited(clock, 100.0)
    clock.now += 5
    assert deadline.should_stop() == "time limit"


@pytest.mark.parametrize(
    ("execution_time", "job_end", "end"),
    [
        (1000.0, BEGIN + 500, BEGIN + 500),
        (1000.0, BEGIN + 5000, BEGIN + 1000),
        (None, BEGIN + 500, BEGIN + 500),
        (1000.0, BEGIN - 500, BEGIN + 1000),  # left over from a job that is gone
        (1000.0, 0, BEGIN + 1000),
    ],
)
def test_the_earlier_of_ours_and_the_jobs(clock: Clock, execution_time, job_end, end) -> None:
    for name in JOB_ENDS:
        assert limited(clock, execution_time, **{name: f"{job_end:.0f}"}).end == end
    first, second = JOB_ENDS
    both = {first: f"{BEGIN + 9000:.0f}", second: f"{job_end:.0f}"}
    assert limited(clock, execution_time, **both).end == min(end, BEGIN + 9000)


def test_the_end_of_a_job_has_to_be_a_number(clock: Clock) -> None:
    for name in JOB_ENDS:
        with pytest.raises(ConfigurationError, match=f"{name} is 'soon'"):
            limited(clock, None, **{name: "soon"})


# Stop file and signals


def test_a_stop_file_is_honoured_once(clock: Clock, tmp_path: Path) -> None:
    stop_file = tmp_path / "stop"
    deadline = Deadline(workers=Workers.solo(), stop_file=stop_file, clock=clock)
    assert deadline.should_stop() is None
    stop_file.touch()
    assert deadline.should_stop() == "stop file"
    assert not stop_file.exists()
    assert deadline.should_stop() == "stop file"  # it stays decided
    assert Deadline(workers=Workers.solo(), stop_file=stop_file).should_stop() is None


@pytest.mark.parametrize(("text", "stops"), [("", 1), ("\n", 1), ("3\n", 3), ("soon", 1), ("0", 1)])
def test_a_stop_file_may_name_the_iteration(
    tmp_path: Path,
    clock: Clock,
    text: str,
    stops: int,
) -> None:
    (tmp_path / "stop").write_text(text)
    deadline = Deadline(workers=Workers.solo(), stop_file=tmp_path / "stop", clock=clock)
    found = [deadline.should_stop(iteration) for iteration in range(1, stops + 1)]
    assert found == [*[None] * (stops - 1), "stop file"]
    assert not (tmp_path / "stop").exists()


def test_a_stop_file_that_stays_is_told(clock: Clock, tmp_path: Path, caplog) -> None:
    stop_file = tmp_path / "stop"
    stop_file.mkdir()  # cannot be unlinked, not even by root
    deadline = Deadline(workers=Workers.solo(), stop_file=stop_file, clock=clock)
    with caplog.at_level(logging.WARNING):
        assert deadline.should_stop() == "stop file"
    assert "cannot be removed" in caplog.text


@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.usefixtures("handlers")
def test_signals_only_flag(number: signal.Signals, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    deadline = Deadline(workers=Workers.solo(), stop_file=tmp_path / "stop", clock=clock)
    deadline.install_signal_handlers()
    for _ in range(3):
        os.kill(os.getpid(), number)
    assert deadline.should_stop() == f"signal {number.name[3:]}"
    assert not (tmp_path / "stop").exists()  # asked for twice, done once


@pytest.mark.usefixtures("handlers")
def test_hang_up_stays_ignored_under_nohup(clock: Clock) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    deadline = Deadline(workers=Workers.solo(), clock=clock)
    deadline.install_signal_handlers()
    os.kill(os.getpid(), signal.SIGHUP)
    assert deadline.should_stop() is None


@pytest.mark.usefixtures("handlers")
def test_a_forked_child_dies_of_its_signals() -> None:
    Deadline(workers=Workers.solo()).install_signal_handlers()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"!")
        time.sleep(600)
        os._exit(0)
    assert os.read(reading, 1) == b"!"  # Python forgets a signal that comes while it still forks
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    assert os.WTERMSIG(status) == signal.SIGTERM


class Fellow(Workers):
    """A worker beside one whose code is known."""

    def __init__(self, code: int) -> None:
        super().__init__(None, last_words=None)
        self.rank, self.code = 1, code

    def max_(self, array) -> None:
        array[:] = np.maximum(array, self.code)


def test_the_word_of_another_worker_decides(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    others = [
        (0, None),
        (1, "time limit"),
        (2, "stop file"),
        (1000 + signal.SIGUSR2, "signal USR2"),
    ]
    for code, reason in others:
        deadline = Deadline(workers=Fellow(code), stop_file=tmp_path / "stop", clock=clock)
        assert deadline.should_stop() == reason
    assert (tmp_path / "stop").exists()  # the root looks for it, and removes it


# Under mpiexec


def wait_for_workers(folder: Path, size: int) -> list[int]:
    """The process ids of the workers, once all are in their loop."""
    limit = time.monotonic() + patience(30)
    while not all((folder / f"pid_{rank}").exists() for rank in range(size)):
        assert time.monotonic() < limit, "the workers did not begin"
        time.sleep(0.01)
    time.sleep(0.2)
    return [int((folder / f"pid_{rank}").read_text()) for rank in range(size)]


def ending(workers: subprocess.Popen[str], size: int) -> str:
    """The iteration and the reason, which all workers have in common."""
    out, err = workers.communicate(timeout=patience(30))
    assert (workers.returncode, err) == (75, "")
    said = [line for line in out.splitlines() if not line.startswith("[mpiexec@")]
    assert len(said) == size and len(set(said)) == 1
    return said[0]


@needs_mpi
def test_a_signal_to_one_worker_stops_all_at_one_iteration(tmp_path: Path) -> None:
    with start(2, "deadline_loop.py", tmp_path) as workers:
        os.kill(wait_for_workers(tmp_path, 2)[1], signal.SIGUSR1)
        assert ending(workers, 2).endswith(" signal USR1")


@needs_mpi
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_mpiexec_lets_the_workers_finish(
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    with start(2, "deadline_loop.py", tmp_path) as workers:
        wait_for_workers(tmp_path, 2)
        workers.send_signal(number)
        assert ending(workers, 2).endswith(f" signal {number.name[3:]}")


@needs_mpi
def test_a_stop_file_stops_all(tmp_path: Path) -> None:
    with start(3, "deadline_loop.py", tmp_path) as workers:
        wait_for_workers(tmp_path, 3)
        (tmp_path / "stop").touch()
        assert ending(workers, 3).endswith(" stop file")
    assert not (tmp_path / "stop").exists()


@needs_mpi
def test_a_time_limit_stops_all_in_time(tmp_path: Path) -> None:
    with start(2, "deadline_loop.py", tmp_path, 1.0) as workers:
        wait_for_workers(tmp_path, 2)
        assert ending(workers, 2).endswith(" time limit")


def test_signals_that_come_after_the_last_iteration_do_nothing():
    """A process of its own: it must outlive both signals, and end by itself."""
    script = (
        "import os, signal; from helpers.parallel.deadline import Deadline; "
        "from helpers.parallel.workers import Workers; deadline = Deadline(workers=Workers.solo()); "
        "deadline.install_signal_handlers(); deadline.ignore_signals(); "
        "[os.kill(os.getpid(), number) for number in (signal.SIGUSR1, signal.SIGTERM)]; "
        "print(deadline.should_stop())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
