"""A run that is told to stop while its gradient steps are compiled."""

import signal
from types import SimpleNamespace

import pytest

from helpers import errors
from helpers.parallel import crash
from helpers.parallel.deadline import STOP_SIGNALS, Deadline, received_signal
from helpers.parallel.workers import Workers
from helpers.run_folder import run_lock
from main import train_or_stop


@pytest.fixture
def handlers():
    """What takes signals is as before afterwards."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_a_deadline_has_noted_can_be_asked_for(number, handlers):
    assert received_signal() is None
    Deadline(workers=Workers.solo()).install_signal_handlers()
    assert received_signal() is None
    signal.raise_signal(number)
    assert received_signal() == signal.Signals(number).name.removeprefix("SIG")
    Deadline(workers=Workers.solo()).install_signal_handlers()  # of the next run
    assert received_signal() is None


def test_it_ends_as_stopped_early_and_says_where_it_goes_on(tmp_path):
    def train():
        raise errors.Stopped("Stopped by signal TERM.", "The same command resumes.")

    closed = []
    run_lock.take(tmp_path)
    with pytest.raises(errors.Stopped) as caught:
        train_or_stop(
            SimpleNamespace(agent=None, train=train, saved=7, workers=Workers.solo()),
            SimpleNamespace(close=lambda: closed.append(True)),
            tmp_path,
        )
    assert closed and not (tmp_path / run_lock.LOCK_FILE).exists()
    code, text = crash._report(caught.value, Workers.solo(), tmp_path)
    assert code == errors.STOPPED_EARLY
    assert text.splitlines() == [
        "milozero: Stopped by signal TERM.",
        "  remedy: The same command resumes after iteration 7.",
    ]
    assert not list(tmp_path.iterdir())  # it is no crash
