"""Demonstrations and experts on disk for what learns from them, small and the same in every process."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from agents.factory import make_agent
from helpers.checkpoints.store import Checkpoints
from helpers.config.schema import config_text, identity_of
from helpers.demos.hdf5 import demo_path, write_demo
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

CLONING = ("bc", "dagger")
OBSERVATION_DIM = 5
LENGTH = 60


@cache
def room() -> Path:
    """A folder that lasts as long as the process."""
    folder = tempfile.TemporaryDirectory(prefix="cloning-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def expert_action(observations: np.ndarray, kind: str) -> np.ndarray:
    """What the demonstrations show: a rule that a perceptron can learn."""
    weights = np.random.default_rng(7).normal(size=(OBSERVATION_DIM, 4)) / 3.0
    scores = observations @ weights
    if kind == "discrete":
        return scores.argmax(-1)
    if kind == "from -1":
        return scores.argmax(-1) - 1
    if kind == "several":
        columns = [scores[:, :3], scores[:, :2], scores]
        return np.stack([each.argmax(-1) for each in columns], -1) + [0, -1, 2]
    return np.tanh(scores[:, :3]).astype(np.float32)


def write_episodes(folder: Path, kind: str, *, count: int = 5, noise: float = 0.0) -> Path:
    """So many demonstrations of that rule, with noise on continuous actions."""
    for index in range(count):
        rng = np.random.default_rng([index, 99])
        states = rng.normal(1.0, 3.0, (LENGTH + 1, OBSERVATION_DIM))
        actions = expert_action(states[:-1], kind)
        if noise:
            actions = np.clip(actions + noise * rng.normal(size=actions.shape), -1, 1)
            actions = actions.astype(np.float32)
        ends = np.arange(LENGTH) == LENGTH - 1
        steps = {
            "observations": states[:-1],
            "actions": actions,
            "rewards": rng.normal(size=LENGTH),
            "next_observations": states[1:],
            "terminated": ends,
            "truncated": np.zeros(LENGTH, bool),
        }
        write_demo(demo_path(folder, "made_up", index), steps, {"run": "a rule"})
    return folder


@cache
def demonstrations(kind: str) -> Path:
    """A folder of them."""
    return write_episodes(room() / "demos" / kind, kind)


@cache
def expert_run(kind: str, **settings: Any) -> Path:
    """A run folder of PPO that has not learned, for the spaces of `tests.agents.builders`."""
    from tests.agents.builders import CHOICES, SPACES, small_config

    config = small_config("ppo", seed=3, policy_std_init=0.5, **settings)
    spaces = {
        "observation_space": gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_DIM,)),
        "action_space": (SPACES | CHOICES)[kind],
    }
    workers = Workers.solo()
    parts: dict[str, Any] = {"workers": workers, "streams": Streams(config.seed)}
    agent: Any = make_agent(config, environments=slice(0, config.num_envs), **spaces, **parts)
    generator = np.random.default_rng(5)  # its head begins near zero: let it have something to say
    agent.parameters.values.numpy()[:] *= generator.uniform(20, 200, len(agent.parameters.values))
    folder = room() / "experts" / f"{kind}.seed03"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config_text(config))
    identity = identity_of(config)
    saved = Checkpoints(folder / "checkpoints", workers=workers, keep=0, identity=identity)
    shared = {"agent": agent.state_dict(), "best_return": 0.0}
    saved.save(1, shared=shared, local={"agent": {}}, shards={}, best=True)
    return folder


def sources(algo: str, kind: str) -> dict[str, Any]:
    """The settings that name what an algorithm learns from; none for one that learns from rewards."""
    if algo not in CLONING:
        return {}
    found: dict[str, Any] = {
        "expert_path": str(demonstrations(kind)),
        "expert_demo_subsample": False,
    }
    if algo == "dagger":
        found["expert_policy"] = str(expert_run(kind))
    return found
