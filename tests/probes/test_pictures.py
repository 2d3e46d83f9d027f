"""PPO and DQN on pictures: what only two frames show is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from environments.factory import make_vector_env
from helpers.episodes import run_episodes
from tests.agents.builders import small_agent, small_config, train_on

DRIFT = "benchmarks/pixels/games.py:Drift"  # 4 of 8 for who guesses, 7.5 for who sees two frames
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {
        "p_perception_stack": "cnn_16",
        "v_perception_stack": "cnn_16",
        "rollout_len": 256,
        "batch_size": 64,
        "optim_epochs_per_iter": 4,
        "p_lr": 2e-3,
        "v_lr": 2e-3,
        "compile": False,
        "lr_schedule": "constant",
    },
    "dqn": {
        "p_perception_stack": "mlp_8",
        "q_perception_stack": "cnn_16",
        "rollout_len": 32,
        "steps_per_iteration": 32,
        "batch_size": 32,
        "mem_size": 1200,
        "learning_starts": 256,
        "updates_per_step": 0.25,
        "q_lr": 1e-3,
        "gamma": 0.5,
        "target_period": 128,
        "num_timesteps": 2000,
        "exploration_fraction": 0.5,
    },
}
STEPS = {"ppo": 12 * 256, "dqn": 1600}


def trained(algo: str, frames: int) -> tuple[Any, float]:
    """An agent that has seen so many frames at a time, and its mean return afterwards."""
    config = small_config(algo, **SETTINGS[algo], frame_stack=frames)
    options = config.environment_options
    envs = make_vector_env(DRIFT, seeds=range(4), options=options)
    agent = small_agent(config, envs.single_action_space, space=envs.single_observation_space)
    train_on(agent, envs, STEPS[algo] // config.rollout_len)
    envs.close()
    seeds = range(100, 140)
    envs = make_vector_env(DRIFT, seeds=seeds, options=options)
    returns = [each.return_ for each in run_episodes(envs, agent, seeds=seeds)]
    envs.close()
    return agent, float(np.mean(returns))


@pytest.mark.parametrize("algo", SETTINGS)
def test_what_two_frames_show_is_learnt(algo: str) -> None:
    agent, found = trained(algo, 2)
    assert found > 6.5
    if algo == "dqn":
        assert agent.memory.observation_dtype == np.uint8


def test_what_one_frame_does_not_show_is_not() -> None:
    assert trained("dqn", 1)[1] < 6.0
