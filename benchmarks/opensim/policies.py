"""What policies of the OpenSim tasks do: how near a hand comes, how long a walker stays up.

python -m benchmarks.opensim.policies reach data/runs/NAME ...      100 episodes of each
python -m benchmarks.opensim.policies walk data/runs/NAME ...       and 200 excitations without a policy beside it
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from environments.factory import make_vector_env
from policy import load_policy

EPISODES, EXCITATIONS = 100, 200
Act = Callable[[np.ndarray], np.ndarray]


def last_infos(
    env_id: str,
    act: Act,
    seeds: Sequence[int],
    **environment: Any,
) -> list[dict[str, float]]:
    """Of one episode a seed: the last infos, and "length" and "return"."""
    env = make_vector_env(env_id, seeds=list(seeds), **environment)
    observations, _ = env.reset()
    running = np.ones(len(seeds), dtype=bool)
    found: list[dict[str, float]] = [{"length": 0.0, "return": 0.0} for _ in seeds]
    while running.any():
        observations, rewards, terminated, truncated, infos = env.step(act(observations))
        ended = (terminated | truncated) & running
        for index in np.flatnonzero(running):
            found[index]["length"] += 1
            found[index]["return"] += float(rewards[index])
        for index in np.flatnonzero(ended):
            last = infos["final_info"]
            for name, values in last.items():
                if not name.startswith("_"):
                    found[index][name] = float(values[index])
        running &= ~ended
        env.rest(ended)
    env.close()
    return found


def reach(runs: Sequence[str], iter_num: str) -> None:
    """How far from the target the hand is at the end."""
    for run in runs:
        policy = load_policy(run, iter_num=iter_num)
        ends = last_infos("Opensim-Arm-Reach-v0", policy, range(10_000, 10_000 + EPISODES))
        far = np.array([each["distance"] for each in ends]) * 100
        near = np.mean(far <= 3.0)
        print(
            f"{run}: {100 * near:.0f} % of {EPISODES} within 3 cm; median {np.median(far):.2f} cm, "
            f"90 % within {np.quantile(far, 0.9):.2f} cm, largest {far.max():.2f} cm",
            flush=True,
        )


def walk(runs: Sequence[str], iter_num: str, processes: int) -> None:
    """How long episodes are, in seconds."""
    env_id = "Opensim-Gait-Walk-v0"
    probe = make_vector_env(env_id, seeds=[0])
    seconds, actions = float(probe.time_step or 0.0), probe.single_action_space.shape[0]
    probe.close()
    for run in runs:
        policy = load_policy(run, iter_num=iter_num)
        ends = last_infos(env_id, policy, range(10_000, 10_020), processes=processes)
        lengths = np.array([each["length"] for each in ends]) * seconds
        ways = np.array([each.get("distance", 0.0) for each in ends])
        print(
            f"{run}: {lengths.mean():.2f} s (shortest {lengths.min():.2f}, longest {lengths.max():.2f}), "
            f"{ways.mean():.2f} m, {ways.sum() / lengths.sum():.2f} m/s; {len(ends)} episodes",
            flush=True,
        )
    draw = np.random.default_rng(0)
    constant = draw.uniform(0.0, 1.0, (EXCITATIONS // 2, actions)) * draw.uniform(
        0,
        1,
        (EXCITATIONS // 2, 1),
    )
    every = np.arange(EXCITATIONS) < EXCITATIONS // 2
    fixed = np.zeros((EXCITATIONS, actions))
    fixed[every] = constant

    def act(observations: np.ndarray) -> np.ndarray:
        random = draw.uniform(0.0, 1.0, fixed.shape)
        return np.where(every[:, None], fixed, random)

    ends = last_infos(env_id, act, range(20_000, 20_000 + EXCITATIONS), processes=processes)
    lengths = np.array([each["length"] for each in ends]) * seconds
    ways = np.array([each.get("distance", 0.0) for each in ends])
    for name, chosen in (("constant", every), ("random", ~every)):
        some = lengths[chosen]
        far = ways[chosen]
        print(
            f"{len(some)} {name} excitations: {some.mean():.2f} s, longest {some.max():.2f} s; "
            f"{far.mean():.2f} m, farthest {far.max():.2f} m",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("reach", "walk"))
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--iter_num", default="latest")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args(argv)
    if arguments.what == "reach":
        reach(arguments.runs, arguments.iter_num)
    else:
        walk(arguments.runs, arguments.iter_num, arguments.processes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
