"""Demonstrations that show nothing: what is learnt from them tells of a bias, not of an expert.

    <env_id>_shuffled   an expert's, the actions of each episode in another order
    <env_id>_constant   of a policy that does one thing for ever, drawn within the bounds

They are the same whenever they are made. What is there is not made again: remove a folder after its expert changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from environments.factory import make_vector_env
from helpers.demos.files import demo_path, space_attributes, write_demo
from helpers.demos.source import find_demos
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


def make_missing(folder: Path, demos: Path) -> None:
    """Both kinds, below a folder; `demos` holds an environment's demonstrations and has its id as name."""
    makers: dict[str, Callable[[Path], None]] = {
        "shuffled": lambda target: shuffle_actions(demos, target),
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


def record_constant(env_id: str, target: Path) -> None:
    """Episodes of one constant action."""
    streams = Streams(0)
    seeds = [streams.integer("constant action", i) for i in range(EPISODES)]
    environment = make_vector_env(env_id, seeds=seeds)
    space = environment.single_action_space
    action = streams.generator("constant action").uniform(space.low, space.high).astype(space.dtype)
    episodes = run_episodes(environment, ConstantPolicy(action), seeds=seeds, keep_steps=True)
    environment.close()
    origin = {
        "env_id": env_id,
        "run": "none",
        "deterministic": True,
        "control": "one constant action",
        "mujoco_version": version("mujoco"),
        "gymnasium_version": version("gymnasium"),
        **space_attributes(space),
    }
    for index, episode in enumerate(episodes):
        mine = {"seed": episode.seed, "return": episode.return_}
        write_demo(demo_path(target, env_id, index), episode.steps, origin | mine)
