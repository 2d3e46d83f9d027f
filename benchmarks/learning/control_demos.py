"""Demonstrations that show nothing, or little: what is learned from them tells of a bias, not of an expert.

    <env_id>_shuffled    an expert's, the actions of each episode in another order; his states are still there
    <env_id>_reordered   the same actions in another order, done: the states are those that they lead to
    <env_id>_constant    of a policy that does one thing for ever, drawn within the bounds

They are the same whenever they are made. What is there is not made again: remove a folder after its expert changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from environments.factory import make_vector_env
from helpers.demos.hdf5 import demo_path, space_attributes, write_demo
from helpers.demos.load import find_demos
from helpers.episodes import run_episodes
from helpers.seeding import Streams

EPISODES = 16


class ConstantPolicy:
    """Does one thing, whatever is observed.

    Args:
        action: (act_dim,)
    """

    def __init__(self, action: np.ndarray) -> None:
        self.action = action

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Actions (N, act_dim) for N observations."""
        return np.tile(self.action, (len(observations), 1)), {}


class Replayed:
    """Does what a list says, whatever is observed, and begins again at its end.

    Args:
        actions: (T, act_dim) of each of N environments.
    """

    def __init__(self, actions: Sequence[np.ndarray]) -> None:
        self.actions, self.step = actions, 0

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """The next actions (N, act_dim)."""
        chosen = np.stack([each[self.step % len(each)] for each in self.actions])
        self.step += 1
        return chosen, {}


def make_missing(folder: Path, demos: Path) -> None:
    """All kinds, below a folder; `demos` holds an environment's demonstrations and has its id as name."""
    makers: dict[str, Callable[[Path], None]] = {
        "shuffled": lambda target: shuffle_actions(demos, target),
        "reordered": lambda target: record_reordered(demos, target),
        "constant": lambda target: record_constant(demos.name, target),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for kind, make in makers.items():
        target = folder / f"{demos.name}_{kind}"
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                made = Path(scratch) / kind
                make(made)
                made.rename(target)  # all of it or nothing
            print(f"made {target}", flush=True)


def shuffle_actions(demos: Path, target: Path) -> None:
    """Copies in which each step has an action of the same episode, mostly another step's."""
    source, streams = find_demos(str(demos)), Streams(0)
    for index, name in enumerate(source.names):
        demo = source.read(index)
        steps = dict(demo.arrays())
        steps["actions"] = streams.generator("shuffled actions", index).permutation(
            steps["actions"],
        )
        control = "actions shuffled within the episode"
        write_demo(target / Path(name).name, steps, {**demo.origin, "control": control})


def record_reordered(demos: Path, target: Path) -> None:
    """Episodes of an expert's actions, each demonstration's in another order, done by nobody who looks."""
    source, streams = find_demos(str(demos)), Streams(0)
    orders = [
        streams.generator("reordered actions", index).permutation(source.read(index).actions)
        for index in range(len(source.names))
    ]
    seeds = [streams.integer("reordered actions", index) for index in range(len(orders))]
    environment = make_vector_env(demos.name, seeds=seeds)
    policy, control = Replayed(orders), "actions in another order, done"
    record(environment, policy, seeds, target, env_id=demos.name, control=control)


def record_constant(env_id: str, target: Path) -> None:
    """Episodes of one constant action."""
    streams = Streams(0)
    seeds = [streams.integer("constant action", i) for i in range(EPISODES)]
    environment = make_vector_env(env_id, seeds=seeds)
    space = environment.single_action_space
    action = streams.generator("constant action").uniform(space.low, space.high).astype(space.dtype)
    policy, control = ConstantPolicy(action), "one constant action"
    record(environment, policy, seeds, target, env_id=env_id, control=control)


def record(
    environment: Any,
    policy: ConstantPolicy | Replayed,
    seeds: Sequence[int],
    target: Path,
    *,
    env_id: str,
    control: str,
) -> None:
    """An episode in each environment, as files."""
    space = environment.single_action_space
    episodes = run_episodes(environment, policy, seeds=seeds, keep_steps=True)
    environment.close()
    origin = {
        "env_id": env_id,
        "run": "none",
        "deterministic": True,
        "control": control,
        "mujoco_version": version("mujoco"),
        "gymnasium_version": version("gymnasium"),
        **space_attributes(space),
    }
    for index, episode in enumerate(episodes):
        mine = {"seed": episode.seed, "return": episode.return_}
        write_demo(demo_path(target, env_id, index), episode.steps, origin | mine)
