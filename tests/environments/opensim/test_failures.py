"""What a simulator that fails costs: an episode, told and counted; never the run, and never for ever."""

import logging
import re
import time
from typing import Any

import numpy as np
import pytest

from environments.factory import make_vector_env
from environments.opensim import simulation
from environments.opensim.catalogue import ARM, GAIT
from environments.opensim.simulation import Simulation, SimulationFailed
from helpers.errors import NumericalError
from helpers.parallel.workers import Workers
from tests.agents.builders import small_config
from tests.mpi.tracked import Recorder, make_loop


@pytest.fixture
def envs():
    made = make_vector_env(ARM, seeds=[1, 2])
    made.reset()
    return made


def fail_once(envs, monkeypatch, error: Exception) -> None:
    """Let the first environment's next action fail."""
    first = envs.envs[0].unwrapped.simulation
    advance, failed = type(first).advance, []

    def instead(self, end):
        if self is first and not failed:
            failed.append(end)
            raise error
        advance(self, end)

    monkeypatch.setattr(Simulation, "advance", instead)


@pytest.mark.parametrize("error", [SimulationFailed("stuck"), RuntimeError("std::exception")])
def test_a_failure_truncates_one_episode_is_counted_and_said_once(
    envs,
    monkeypatch,
    caplog,
    error,
) -> None:
    before = envs.observations
    fail_once(envs, monkeypatch, error)
    action = np.full((2, 6), 0.5, np.float32)
    with caplog.at_level(logging.WARNING):
        observations, rewards, terminated, truncated, infos = envs.step(action)
    assert truncated.tolist() == [True, False] and not terminated.any() and rewards[0] == 0
    np.testing.assert_array_equal(infos["final_obs"][0], before[0])
    assert infos["final_info"]["simulator_failed"][0]
    assert envs.failures == 1
    assert str(error) in caplog.text and "rollout/simulator_failures" in caplog.text
    after, _, terminated, truncated, _ = envs.step(action)  # it goes on with the next episode
    assert np.isfinite(after).all() and not (terminated | truncated).any()
    assert (observations[0] != before[0]).any()


def test_a_state_that_is_not_finite_is_a_failure(envs) -> None:
    simulated = envs.envs[0].unwrapped.simulation
    simulated.values = simulated.values.copy()
    simulated.values[2] = np.nan
    _, rewards, _, truncated, _ = envs.step(np.full((2, 6), 0.5, np.float32))
    assert truncated.tolist() == [True, False] and rewards[0] == 0 and envs.failures == 1


def test_an_integration_that_does_not_end_is_cut_after_so_many_steps() -> None:
    """A body a metre under the ground: at this accuracy the integrator would take 20 s and more for 10 ms."""
    made: Any = make_vector_env(GAIT, seeds=[1], options={"accuracy": 1e-3, "frame_skip": 1})
    made.reset()
    simulated = made.envs[0].unwrapped.simulation
    simulated.reset({"pelvis_ty": -1.0}, {}, activation=0.05)
    started = time.process_time()
    _, _, _, truncated, _ = made.step(np.full((1, 18), 0.5, np.float32))
    assert truncated.all() and made.failures == 1
    assert time.process_time() - started < 10
    most = 2 * simulation.STEP / simulation.SMALLEST_STEP
    assert 100 < simulated._integrator.steps_taken < most  # it had not begun before


def test_too_many_steps_are_a_failure(envs, monkeypatch, caplog) -> None:
    monkeypatch.setattr(simulation, "MOST_STEPS", 0.1)
    _, _, _, truncated, _ = envs.step(np.full((2, 6), 0.9, np.float32))
    assert truncated.all()
    assert re.search(r"the integrator took \d+ steps in 0.02 s", caplog.text)


def test_a_task_that_cannot_begin_is_refused_in_two_lines(envs, monkeypatch) -> None:
    def fail(*_, **__):
        raise SimulationFailed("no equilibrium")

    monkeypatch.setattr(Simulation, "reset", fail)
    with pytest.raises(
        NumericalError,
        match=r"20 episodes in a row: no equilibrium[\s\S]*pose_spread",
    ):
        envs.reset()


def test_a_failure_and_what_follows_are_part_of_the_state(envs, monkeypatch) -> None:
    fail_once(envs, monkeypatch, SimulationFailed("stuck"))
    action = np.full((2, 6), 0.3, np.float32)
    envs.step(action)
    state = envs.state_dict()
    expected = [envs.step(action)[0] for _ in range(3)]
    fresh = make_vector_env(ARM, seeds=[1, 2])
    fresh.load_state_dict(state)
    assert fresh.failures == 1
    np.testing.assert_array_equal([fresh.step(action)[0] for _ in range(3)], expected)


def test_failures_of_an_iteration_are_a_metric() -> None:
    config = small_config("ppo", precision="float64", batch_size=8)
    loop = make_loop(config, Workers.solo(), Recorder())
    assert "rollout/simulator_failures" not in loop.do_iteration()
    loop.environment.failures = 3
    assert loop.do_iteration()["rollout/simulator_failures"] == 3
    assert "rollout/simulator_failures" not in loop.do_iteration()
    loop.environment.failures = 4
    assert loop.do_iteration()["rollout/simulator_failures"] == 1
