"""Run under mpiexec: learners for a few iterations in float64; root saves what all must agree on.

usage: worlds.py FOLDER CASES.json

CASES.json lists [kind, [key=value, ...]], a kind being one of SPACES or CHOICES, or an environment's id; the arrays of
the first come as FOLDER/0.npy, and so on.
"""

import json
import sys
from pathlib import Path

import numpy as np

from agents.algorithms import ALGORITHMS
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from tests.agents.builders import (
    CHOICES,
    SPACES,
    random_rollout,
    small_agent,
    small_config,
    train_on,
)
from tests.agents.cloning.cases import CLONING, sources
from tests.agents.imitation.cases import IMITATING, demonstrations

ITERATIONS = 4


def main() -> None:
    folder, cases = map(Path, sys.argv[1:])
    workers = Workers.connect()
    for index, (kind, settings) in enumerate(json.loads(cases.read_text())):
        arrays = learned(kind, settings, workers)
        if workers.is_root:
            flat = [np.ravel(arrays[name]) for name in sorted(arrays)]
            np.save(folder / f"{index}.npy", np.concatenate(flat))


def learned(kind: str, settings: list[str], workers: Workers) -> dict[str, np.ndarray]:
    """What all workers must agree on after a few iterations; that they do is checked; collective."""
    options = dict(setting.split("=") for setting in settings)
    sizes = {"precision": "float64", "num_envs": 12, "rollout_len": 192, "batch_size": 48}
    algo = options.get("algo", "ppo")
    if algo in CLONING:
        sizes |= sources(algo, kind)
        sizes |= {"steps_per_iteration": 20} if algo == "bc" else {"updates_per_round": 20}
    elif "mem_size" in ALGORITHMS[algo].settings_for(options):
        sizes |= {"steps_per_iteration": 192, "mem_size": 600, "updates_per_step": 0.1}
    if algo == "bc":
        del sizes["rollout_len"]
    if algo in IMITATING:
        sizes |= {"d_batch_size": 24, "expert_path": str(demonstrations(kind))}
    config = small_config(**sizes | options)
    if space := (SPACES | CHOICES).get(kind):
        agent = small_agent(config, space, workers=workers)
        for i in range(ITERATIONS * agent.rollouts_per_iteration):
            agent.update(random_rollout(agent, space, iteration=i))
    else:
        from environments.factory import make_vector_env

        mine = workers.share(config.num_envs)
        streams = Streams(config.seed)
        seeds = [streams.integer("training", index) for index in range(mine.start, mine.stop)]
        environment = make_vector_env(kind, seeds=seeds, options=config.environment_options)
        agent = small_agent(
            config,
            environment.single_action_space,
            workers=workers,
            space=environment.single_observation_space,
        )
        train_on(agent, environment, ITERATIONS)
        environment.close()
    arrays: dict[str, np.ndarray] = agent.synchronised_arrays()
    workers.assert_in_sync(arrays)
    return arrays


if __name__ == "__main__":
    main()
