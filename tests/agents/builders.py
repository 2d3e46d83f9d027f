"""Small agents and rollouts for tests."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np

from agents.algorithms import ALGORITHMS
from agents.base import Transitions
from agents.factory import make_agent
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from orchestrator import RolloutState, rollout_generator
from tests.agents.cloning.cases import CLONING
from tests.agents.imitation.cases import IMITATING, imitation_settings

SPACES = {
    "continuous": gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32),
    "discrete": gymnasium.spaces.Discrete(4),
}
# Of choices that do not begin at 0, and of several in an action.
CHOICES: dict[str, gymnasium.Space] = {
    "from -1": gymnasium.spaces.Discrete(4, start=-1),
    "several": gymnasium.spaces.MultiDiscrete([3, 2, 4], start=[0, -1, 2]),
}
OBSERVATION_DIM = 5


def small_config(algo: str = "ppo", **settings: Any) -> Any:
    """A configuration of 4 environments and 64 steps an iteration, unless settings say otherwise."""
    small = {
        "algo": algo,
        "num_envs": 4,
        "rollout_len": 64,
        "batch_size": 16,
        "num_timesteps": 10_000,
        "p_perception_stack": "mlp_8",
    }
    kind = ALGORITHMS[algo]
    declared = kind.settings_for(settings)
    if algo in IMITATING:
        small |= imitation_settings()
    if "v_perception_stack" in declared:
        small |= {"optim_epochs_per_iter": 3, "v_perception_stack": "mlp_8"}
    elif algo in CLONING:
        small["compile"] = False
        small |= {"steps_per_iteration": 1} if algo == "bc" else {"updates_per_round": 3}
        if algo == "bc":
            del small["rollout_len"]
    else:
        small |= {
            "steps_per_iteration": 64,
            "mem_size": 400,
            "learning_starts": 32,
            "updates_per_step": 0.25,
            "q_perception_stack": "mlp_8",
            "compile": False,  # each form would be compiled anew
        }
    return kind(**(small | settings))


def transplant(source: Any, target: Any) -> None:
    """Let an agent go on from where another one stands, by way of what a checkpoint holds."""
    state, local = copy.deepcopy((source.state_dict(), source.local_state_dict()))
    shards = {name: shard.array.copy() for name, shard in source.shards().items()}
    target.load_state_dict(state)
    target.load_local_state_dict(local, shards)


def small_agent(
    config: Any,
    action_space: gymnasium.Space,
    *,
    workers: Workers | None = None,
    dim: int = 0,
    space: gymnasium.Space | None = None,
) -> Any:
    """An agent on this worker's share of the environments."""
    workers = workers or Workers.solo()
    return make_agent(
        config,
        observation_space=space or gymnasium.spaces.Box(-np.inf, np.inf, (dim or OBSERVATION_DIM,)),
        action_space=action_space,
        workers=workers,
        streams=Streams(config.seed),
        environments=workers.share(config.num_envs),
    )


def random_rollout(
    agent: Any,
    action_space: gymnasium.Space,
    *,
    iteration: int = 0,
) -> Transitions:
    """A rollout of noise, keyed by global environment, with the agent's own actions."""
    config, columns = agent.config, []
    steps = agent.rollout_len
    for environment in agent.environments:
        rng = np.random.default_rng([environment, iteration])
        columns.append(
            {
                "observations": rng.normal(1.0, 3.0, (steps, OBSERVATION_DIM)),
                "rewards": rng.normal(size=steps),
                "next_observations": rng.normal(1.0, 3.0, (steps, OBSERVATION_DIM)),
                "terminated": rng.random(steps) < 0.1,
                "truncated": rng.random(steps) < 0.1,
            },
        )
    stacked = {name: np.stack([c[name] for c in columns], axis=1) for name in columns[0]}
    for name in ("observations", "rewards", "next_observations"):
        stacked[name] = stacked[name].astype(config.precision)
    if not steps:  # of an agent that takes no rollouts
        shape = (0, len(agent.environments), *(action_space.shape or ()))
        empty = np.empty(shape, action_space.dtype)
        return Transitions(actions=empty, **stacked)
    actions = [agent.predict(step, explore=True)[0] for step in stacked["observations"]]
    return Transitions(actions=np.stack(actions), **stacked)


def train_on(agent: Any, environment: Any, iterations: int) -> list[dict[str, float]]:
    """The loop without its trimmings; the metrics of each iteration."""
    state = RolloutState.start(environment.reset()[0])
    dtype = np.dtype(agent.config.precision)
    watch = agent.workers.stopwatch
    rollouts = rollout_generator(environment, agent, state, dtype=dtype, stopwatch=watch)
    return [dict(agent.update(next(rollouts))) for _ in range(iterations)]
