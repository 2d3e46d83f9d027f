"""The live line and the plain lines, and who gets which."""

import io
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.display import progress
from helpers.display.progress import Progress, RunProgress, live_line, plain_line
from tests.patience import patience

REPOSITORY = Path(__file__).parents[3]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def row(iteration, **metrics):
    return {"iteration": iteration, "step": 1000 * iteration, **metrics}


def make(mode, *, total_steps=100_000, is_root=True):
    output, clock = io.StringIO(), Clock()
    shown = Progress(mode, is_root=is_root, total_steps=total_steps, output=output, clock=clock)
    return shown, output, clock


def test_plain_lines_come_first_last_and_every_ten_seconds():
    shown, output, clock = make("plain", total_steps=25_000)
    for iteration in range(1, 26):
        clock.now += 1.0
        shown.update(row(iteration))
    shown.close()
    lines = output.getvalue().splitlines()
    assert [int(line.split()[1]) for line in lines] == [1, 11, 21, 25]


def test_a_run_that_stops_early_still_shows_where():
    shown, output, clock = make("plain")
    shown.update(row(1))
    clock.now = 1.0
    shown.update(row(2))
    shown.close()
    assert [line.split()[1] for line in output.getvalue().splitlines()] == ["1", "2"]


def test_a_plain_line_says_all():
    run = RunProgress(1_000_000)
    run.take(row(10, **{"eval/return_mean": 1500.0, "time/steps_per_second": 8000.0}), 0.0)
    run.take(row(18, **{"eval/return_mean": 1623.4}), 1.0)
    assert plain_line(run) == (
        "iteration 18 | 18k of 1M steps (2%) | 8k steps/s | return 1623 (+123.4) | 2m03s left"
    )


def test_time_left_follows_the_present_speed():
    run = RunProgress(1_000_000)
    for second in range(600):
        run.take({"iteration": second, "step": second * 100}, float(second))
    assert run.rate == pytest.approx(100)
    for second in range(600, 1000):
        run.take({"iteration": second, "step": 59_900 + (second - 599) * 500}, float(second))
    assert run.rate == pytest.approx(500, rel=0.01)
    assert run.seconds_left == pytest.approx((1_000_000 - 259_900 - 500) / 500, rel=0.02)


def test_plain_lines_of_three_days_stay_below_a_hundred_kilobytes():
    """A row each 5 s; a line each 10 s would be 25,920 lines, 2 MB a run."""
    shown, output, clock = make("plain", total_steps=10**9)
    counts = []
    for iteration in range(1, 3 * 86_400 // 5):
        clock.now += 5.0
        shown.update(row(iteration, **{"eval/return_mean": float(iteration)}))
        if iteration % (86_400 // 5) == 0:
            counts.append(output.getvalue().count("\n"))
    assert 100 < counts[0] < 700 and counts[1] - counts[0] <= 145  # of a day, then of a day more
    assert len(output.getvalue()) < 100_000
    late = [line for line in output.getvalue().splitlines() if "iteration" in line][-2:]
    first, second = (int(line.split()[1]) for line in late)
    assert 5 * (second - first) <= 605  # whoever follows the log sees that the run lives


def replaying(run, clock, iterations, *, updates, seconds):
    """So many iterations of 1000 steps, each taking so long."""
    for _ in range(iterations):
        clock.now += seconds
        done = row(run.iteration + 1, **{"update/count": updates})
        run.take(done | {"time/steps_per_second": 1000 / seconds}, clock())


def test_time_left_is_that_of_updates_not_of_a_warm_up_which_costs_nothing():
    """5 iterations of 0.05 s, then each takes 4 s: 995 are 3980 s, and so it says at once."""
    run, clock = RunProgress(1_000_000), Clock()
    for _ in range(5):
        replaying(run, clock, 1, updates=0.0, seconds=0.05)
        assert run.seconds_left is None  # how long an update takes is not known
        assert run.rate == pytest.approx(20_000)
        assert "left" not in plain_line(run)
    for iteration in range(6, 30):
        replaying(run, clock, 1, updates=1000.0, seconds=4.0)
        assert run.seconds_left == pytest.approx((1000 - iteration) * 4.0)
        assert run.rate == pytest.approx(250)


def test_time_left_does_not_trust_the_iteration_in_which_updates_begin():
    """A warm-up of 5900 steps: the sixth iteration has a tenth of the updates, and of the time."""
    run, clock = RunProgress(1_000_000), Clock()
    replaying(run, clock, 5, updates=0.0, seconds=0.05)
    replaying(run, clock, 1, updates=100.0, seconds=0.4)
    assert run.seconds_left == pytest.approx(994 * 0.4)
    replaying(run, clock, 1, updates=1000.0, seconds=4.0)
    assert run.seconds_left == pytest.approx(993 * 4.0)


def test_time_left_forgets_the_first_updates_which_are_compiled():
    """14 s for the first, then 4 s: half of what is too much is gone after 30 s or so."""
    run, clock = RunProgress(10_000_000), Clock()
    replaying(run, clock, 5, updates=0.0, seconds=0.05)
    replaying(run, clock, 1, updates=1000.0, seconds=14.0)
    errors = []
    for _ in range(100):
        replaying(run, clock, 1, updates=1000.0, seconds=4.0)
        assert run.seconds_left is not None
        errors.append(run.seconds_left / (4.0 * (10_000 - run.iteration)) - 1.0)
    assert errors == sorted(errors, reverse=True)
    assert errors[7] < 0.3 and errors[-1] < 0.002


def test_time_left_after_going_on_is_known_from_the_first_row():
    run, clock = RunProgress(1_000_000), Clock()
    run.iteration = 499
    replaying(run, clock, 1, updates=1000.0, seconds=4.0)
    assert run.seconds_left == pytest.approx(500 * 4.0)


def test_few_updates_do_not_make_the_speed_start_anew_for_ever():
    """One update in every other iteration: 2 s and 4 s, 3 s on average."""
    run, clock = RunProgress(1_000_000), Clock()
    for _ in range(40):
        replaying(run, clock, 1, updates=1.0, seconds=4.0)
        replaying(run, clock, 1, updates=0.0, seconds=2.0)
    assert run.seconds_left == pytest.approx(920 * 3.0, rel=0.02)


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40, 20, 10, 3, 0])
@pytest.mark.parametrize("signs", [True, False])
def test_the_live_line_fits(width, signs):
    run = RunProgress(30_000_000)
    for i in range(1, 12):
        run.take(row(1000 * i, **{"eval/return_mean": -1234.5 * i}), float(100 * i))
    line = live_line(run, width=width, signs=signs, colours=True)
    text = re.sub(r"\x1b\[\d+m", "", line)
    assert len(text) <= width
    assert signs or line.isascii()
    if width >= 40:
        assert "return -13580" in text and "left" in text and "37%" in text
    if width >= 120:
        assert "iteration 11000" in text and ("↘" if signs else "-") in text


def test_a_live_line_is_redrawn_in_place_and_messages_stand_above_it():
    shown, output, clock = make("live")
    shown.update(row(1))
    clock.now = 1.0
    shown.message("wandb: offline")
    shown.update(row(2))
    shown.close()
    parts = output.getvalue().split("\r\x1b[K")
    assert parts[0] == "" and "iteration 1 " in parts[1] and "\n" not in parts[1]
    assert parts[2] == "wandb: offline\n" + parts[1]
    assert "iteration 2 " in parts[3] and parts[3].endswith("\n") and len(parts) == 4


def test_the_live_line_is_not_drawn_faster_than_an_eye_reads():
    shown, output, clock = make("live")
    for iteration in range(1, 1001):
        clock.now += 0.001
        shown.update(row(iteration // 20))
    assert output.getvalue().count("\r") <= 11


def test_other_workers_and_mode_none_show_nothing_but_the_roots_messages():
    shown, output, _ = make("live", is_root=False)
    shown.update(row(1))
    shown.message("text")
    shown.close()
    assert output.getvalue() == ""
    shown, output, _ = make("none")
    shown.update(row(1))
    shown.message("text")
    shown.close()
    assert output.getvalue() == "text\n"


def test_a_terminal_that_goes_away_does_not_end_the_run():
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    shown = Progress("live", is_root=True, total_steps=10, output=Gone())
    shown.update(row(1))
    shown.message("text")
    shown.update(row(2))
    shown.close()


def test_a_return_that_is_not_finite_is_shown():
    run = RunProgress(1000)
    for value in (1.0, float("nan"), 2.0):
        run.take(row(1, **{"eval/return_mean": value}), 0.0)
    assert "return 2" in live_line(run, width=120, signs=True, colours=False)
    run.take(row(1, **{"eval/return_mean": float("nan")}), 0.0)
    assert "return nan" in live_line(run, width=120, signs=True, colours=False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (80, "1m20s"),
        (3599, "59m59s"),
        (7500, "2h05m"),
        (97_200, "1d03h"),
    ],
)
def test_durations(seconds, text):
    assert progress.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (999.9, "1k"), (16_384, "16.4k"), (1.23e6, "1.23M"), (3e9, "3G")],
)
def test_counts(value, text):
    assert progress.count(value) == text


@pytest.mark.parametrize(
    ("values", "sign"),
    [([1.0], ""), ([1.0, 2.0], "↗"), ([2.0, 1.0], "↘"), ([0.0, 10.0, 5.1], "→"), ([3.0, 3.0], "→")],
)
def test_the_arrow_compares_with_the_evaluations_before(values, sign):
    assert progress.trend(values, signs=True) == sign


WATCHED = (
    "import os\n"
    "from helpers.display.progress import Progress\n"
    "p = Progress(is_root=os.environ.get('PMI_RANK', '0') == '0', total_steps=2000)\n"
    "p.update({'iteration': 1, 'step': 1000})\n"
    "p.message('hello')\n"
    "p.update({'iteration': 2, 'step': 2000})\n"
    "p.close()"
)


def run_watched(command, *, terminal, columns=100):
    """What a command writes to a terminal, or to a pipe."""
    pty = pytest.importorskip("pty")
    reading, writing = pty.openpty() if terminal else os.pipe()
    if terminal:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("4H", 30, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "PYTHONUTF8": "1"}
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=writing, env=environment) as process:
        os.close(writing)
        text = b""
        while True:
            try:
                data = os.read(reading, 65536)
            except OSError:  # how a terminal says that its other end is closed
                break
            if not data:
                break
            text += data
    os.close(reading)
    assert process.returncode == 0
    return text.decode()


PYTHON = [sys.executable, "-c", WATCHED]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
under_mpi = pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec in the environment")


@pytest.mark.parametrize("launcher", [[], pytest.param([MPIEXEC, "-n", "2"], marks=under_mpi)])
def test_a_person_at_a_terminal_sees_a_live_line_also_under_mpiexec(launcher):
    text = run_watched([*launcher, *PYTHON], terminal=True)
    assert text.count("\r\x1b[K") == 3 and "hello\r\n" in text and "100%" in text
    lines = re.sub(r"\x1b\[\d*[mK]", "", text).replace("\n", "\r").split("\r")
    assert max(map(len, lines)) > 60 and max(map(len, lines)) < 100


@pytest.mark.parametrize("launcher", [[], pytest.param([MPIEXEC, "-n", "2"], marks=under_mpi)])
def test_a_log_file_gets_plain_lines_also_under_mpiexec(launcher):
    text = run_watched([*launcher, *PYTHON], terminal=False)
    assert [line.split()[0] for line in text.splitlines()] == ["iteration", "hello", "iteration"]


@under_mpi
@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell")
def test_a_rank_that_writes_to_a_file_gets_plain_lines_although_mpiexec_has_a_terminal(tmp_path):
    (tmp_path / "watched.py").write_text(WATCHED)
    run_watched(
        [MPIEXEC, "-n", "1", "env", f"PYTHONPATH={REPOSITORY}", "sh", "-c"]
        + [f"{sys.executable} {tmp_path}/watched.py > {tmp_path}/log"],
        terminal=True,
    )
    assert (tmp_path / "log").read_text().startswith("iteration 1 ")


def test_loggers_are_heard_on_the_root_only():
    for is_root in (True, False):
        output = io.StringIO()
        progress = Progress("none", is_root=is_root, total_steps=10, output=output)
        progress.hear("agents.test_progress")
        logger = logging.getLogger("agents.test_progress")
        logger.info("compiling %s", "it")
        logger.debug("details")
        logger.propagate, logger.handlers = True, []
        assert output.getvalue() == ("compiling it\n" if is_root else "")


def test_a_program_outlasts_whoever_read_its_words(tmp_path):
    script = (
        "from helpers.display.terminal import outlast_readers\n"
        "outlast_readers()\n"
        "for i in range(100_000):\n"
        "    print(i, flush=i % 7 == 0)\n"
        f"open({str(tmp_path / 'end')!r}, 'w').write('reached')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert (process.wait(patience(30)), process.stderr.read()) == (0, b"")
    assert (tmp_path / "end").read_text() == "reached"
