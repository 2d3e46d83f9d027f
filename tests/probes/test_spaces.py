"""Learning in every form of observations and actions, on probes of one step whose best action is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.factory import make_agent
from environments.factory import make_vector_env
from helpers.demos.hdf5 import demo_path, space_attributes, write_demo
from helpers.episodes import choice_sizes, first_choices, run_episodes
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from tests.agents.builders import small_config, train_on
from tests.probes.spaces import SpaceProbe

ENV_ID = f"{Path(__file__).with_name('spaces.py')}:SpaceProbe"
ON_POLICY = {"p_lr": 0.01, "v_lr": 0.02, "num_timesteps": 100_000, "compile": False}
REPLAY = {
    "rollout_len": 16,
    "batch_size": 64,
    "learning_starts": 160,
    "updates_per_step": 1.0,
    "mem_size": 4000,
    "p_perception_stack": "mlp_16x1",
    "q_perception_stack": "mlp_64x1",
    "p_lr": 0.01,
    "q_lr": 0.02,
    "gamma": 0.5,
    "num_timesteps": 10_000,
}
OFF_POLICY: dict[str, dict[str, Any]] = {
    "sac": REPLAY | {"tau": 0.1, "temperature_init": 1e-6, "temperature_lr": 1e-9},
    "td3": REPLAY | {"tau": 0.1, "exploration_std": 0.3},
    "dqn": REPLAY | {"target_period": 32, "q_lr": 0.01},
}
LEARNT = [
    ("ppo", "vector", "several", 15),
    ("ppo", "dict", "switches", 15),
    ("ppo", "vector", "matrix of switches", 15),
    ("ppo", "tuple", "choice", 12),
    ("ppo", "goal", "matrix", 20),
    ("ppo", "vector", "half bounded", 40),
    ("dqn", "dict", "choice", 25),
    ("sac", "dict", "matrix", 30),
    ("td3", "matrix", "matrix", 30),
]


def made(observations: str, actions: str, *, count: int = 4, **further: Any) -> Any:
    options = {"observations": observations, "actions": actions}
    return make_vector_env(ENV_ID, seeds=range(count), options=options, **further)


def agent_in(environment: Any, algo: str, **settings: Any) -> Any:
    config = small_config(algo, **settings)
    return make_agent(
        config,
        observation_space=environment.single_observation_space,
        action_space=environment.single_action_space,
        workers=Workers.solo(),
        streams=Streams(config.seed),
        environments=slice(0, config.num_envs),
    )


def judged(agent: Any, observations: str, actions: str, *, worst: float) -> None:
    """That the agent's own actions pay what the best do, in episodes of either sign."""
    environment = made(observations, actions, count=8)
    episodes = run_episodes(environment, agent, seeds=range(100, 108))
    environment.close()
    returns = [each.return_ for each in episodes]
    assert min(returns) >= worst, f"{returns}: the policy does not do what pays most"


@pytest.mark.parametrize(("algo", "observations", "actions", "iterations"), LEARNT)
def test_it_is_learnt(algo: str, observations: str, actions: str, iterations: int) -> None:
    environment = made(observations, actions)
    agent = agent_in(environment, algo, **OFF_POLICY.get(algo, ON_POLICY))
    train_on(agent, environment, iterations)
    environment.close()
    is_choice = bool(choice_sizes(environment.single_action_space))
    # whoever does not see the sign gets -1.6 of a matrix, -2.5 of half bounded ones
    judged(agent, observations, actions, worst=0.0 if is_choice else -0.8)


def demonstrated(folder: Path, observations: str, actions: str) -> Path:
    """Demonstrations of the best actions, one step each, as `--task=eval --save_traj` writes them."""
    environment = made(observations, actions, count=16)
    space = environment.single_action_space

    class Best:
        def predict(self, seen: np.ndarray, *, explore: bool) -> Any:
            probe = SpaceProbe(observations, actions)
            best = [probe.best(is_up=bool(env.unwrapped.is_up)) for env in environment._awake]
            return np.stack(best).reshape(len(seen), *space.shape).astype(space.dtype), {}

    episodes = run_episodes(environment, Best(), seeds=range(16), keep_steps=True)
    environment.close()
    for index, episode in enumerate(episodes):
        path = demo_path(folder, "probe", index)
        write_demo(path, episode.steps, space_attributes(space) | {"seed": index})
    return folder


@pytest.mark.parametrize("actions", ["choice", "several", "matrix of switches", "wide matrix"])
def test_it_is_cloned_from_demonstrations_as_they_are_written(actions: str, tmp_path: Path) -> None:
    folder = demonstrated(tmp_path / "demos", "dict", actions)
    environment = made("dict", actions)
    settings = {"expert_path": str(folder), "p_lr": 0.02, "num_timesteps": 400}
    agent = agent_in(environment, "bc", **settings, expert_demo_subsample=False)
    rollout: Any = None
    for _ in range(300):
        agent.update(rollout)
    environment.close()
    shown = agent._learned.actions
    sizes, first = (each(environment.single_action_space) for each in (choice_sizes, first_choices))
    if sizes:
        assert shown.dtype == np.int64
        assert (shown.min(0) >= first).all() and (shown.min(0) < np.add(first, sizes)).all()
    judged(agent, "dict", actions, worst=0.0 if sizes else -0.01)


def test_several_choices_are_learnt_by_a_discriminator(tmp_path: Path) -> None:
    folder = demonstrated(tmp_path / "demos", "vector", "several")
    environment = made("vector", "several")
    imitation: dict[str, Any] = {
        "expert_path": str(folder),
        "expert_demo_subsample": False,
        "d_lr": 0.01,
    }
    imitation["p_ent_reg_scale"] = 0.01
    agent = agent_in(environment, "gail", **ON_POLICY, **imitation)
    train_on(agent, environment, 40)
    environment.close()
    judged(agent, "vector", "several", worst=0.0)
