"""The live panel and the plain lines, and who gets which."""

import io
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.display.progress import ESCAPE, Progress, can_encode, plain_line
from helpers.display.run_progress import RunProgress
from tests.helpers.display.rows import Clock, row
from tests.patience import patience

REPOSITORY = Path(__file__).parents[3]


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


def screen_of(text, columns=100):
    """What stands on a terminal that was sent this: lines, the cursor moved up, everything below it cleared."""
    lines, at = [""], 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|\x1b\[\d+(?:;\d+)+m|\r|\n|[^\x1b\r\n]+", text):
        if part == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif part.endswith("A") and part[0] == "\x1b":
            at -= int(part[2:-1])
            assert at >= 0, "above the first line"
        elif part == "\x1b[J":
            lines[at:] = [""]
        elif part[0] not in "\x1b\r":
            lines[at] += part
            assert len(lines[at]) <= columns
    return lines


def test_the_panel_is_redrawn_in_place_and_messages_stand_above_it():
    shown, output, clock = make("live")
    for i in range(1, 20):
        clock.now += 1.0
        shown.update(row(i, **{"eval/return_mean": i} if i > 5 else {}))  # grows by a line
        if i % 5 == 0:
            shown.message(f"message {i}\nits second line")
    shown.close()
    shown.message("after")
    lines = screen_of(output.getvalue())
    assert lines[:2] == ["message 5", "its second line"] and lines[4] == "message 15"
    assert lines[-2] == "after" and "iteration 19" in lines[-4]
    assert "".join(lines).count("steps/s") == 1
    assert "?25l" not in output.getvalue()  # the cursor stays: nothing has to bring it back


def test_a_terminal_made_narrower_is_cleared_of_the_panels_wrapped_lines(monkeypatch):
    shown, output, clock = make("live")
    monkeypatch.setenv("COLUMNS", "101")
    shown.update(row(1))
    monkeypatch.setenv("COLUMNS", "50")  # each line of 100 columns wraps into two
    clock.now = 5.0
    first = output.getvalue().count("\n")
    shown.update(row(2))
    assert f"\r\x1b[{2 * first}A\x1b[J" in output.getvalue()


def test_what_others_print_appears_above_the_panel_and_the_streams_come_back(monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    shown = Progress("live", is_root=True, total_steps=10)
    shown.update(row(1))
    print("a library's ", end="")
    assert "library" not in output.getvalue()
    print("warning")
    print("cut", end="")
    shown.close()
    assert sys.stdout is output
    lines = screen_of(output.getvalue())
    assert lines[0] == "a library's warning" and lines[1] == "cut" and "iteration 1 " in lines[-3]


def test_the_panel_is_not_drawn_faster_than_an_eye_reads():
    shown, output, clock = make("live")
    for iteration in range(1, 1001):
        clock.now += 0.001
        shown.update(row(iteration // 20))
    assert output.getvalue().count("\r") <= 4


@pytest.mark.parametrize(
    ("encoding", "named", "can"),
    [
        ("utf-8", {}, True),
        ("utf-8", {"LANG": "de_DE.UTF-8"}, True),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),  # as Python changes LANG=C
        ("utf-8", {"LC_ALL": "POSIX"}, False),
        ("utf-8", {"LC_ALL": "en_US.utf8", "LANG": "C"}, True),
        ("latin-1", {"LANG": "de_DE.UTF-8"}, False),
    ],
)
def test_unicode_is_for_terminals_that_have_it(encoding, named, can):
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert can_encode(output, named) is can


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
def test_a_person_at_a_terminal_sees_a_panel_also_under_mpiexec(launcher):
    text = run_watched([*launcher, *PYTHON], terminal=True)
    lines = screen_of(ESCAPE.sub("", text).replace("\r\n", "\n"))
    assert lines[0] == "hello" and "100%" in lines[2] and "".join(lines).count("iteration") == 1
    assert 60 < max(map(len, lines)) < 100


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
