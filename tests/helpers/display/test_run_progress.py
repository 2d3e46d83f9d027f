"""How far a run is and when it ends, from its rows of metrics."""

import pytest

from helpers.display import numbers
from helpers.display.progress import plain_line
from helpers.display.run_progress import MOST_POINTS, History, RunProgress
from tests.helpers.display.rows import Clock, row


def test_time_left_follows_the_present_speed():
    run = RunProgress(1_000_000)
    for second in range(600):
        run.take({"iteration": second, "step": second * 100}, float(second))
    assert run.rate == pytest.approx(100)
    for second in range(600, 1000):
        run.take({"iteration": second, "step": 59_900 + (second - 599) * 500}, float(second))
    assert run.rate == pytest.approx(500, rel=0.01)
    assert run.seconds_left == pytest.approx((1_000_000 - 259_900 - 500) / 500, rel=0.02)


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


def test_a_history_of_any_length_is_a_curve_of_the_whole_run():
    history = History()
    for i in range(10_000):
        history.take(float(i))
    history.take(float("nan"))
    assert MOST_POINTS / 2 <= len(history.points) <= MOST_POINTS
    assert history.points[0] == pytest.approx((history.each - 1) / 2)
    assert history.points == sorted(history.points)
    curve = numbers.sparkline(history.points, 40)
    assert (
        len(curve) == 40 and curve[0] == "▁" and curve[-1] == "█" and list(curve) == sorted(curve)
    )
