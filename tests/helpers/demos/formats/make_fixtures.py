"""Writes trajectories and replay buffers into written/, by the libraries imitation and Stable-Baselines3 themselves.

Run it where they are installed (imitation 1.0.1, datasets 5.2.0, Stable-Baselines3 2.9.2 made what is committed); the
tests need neither them nor this:

    path/to/its/python tests/helpers/demos/formats/make_fixtures.py
"""

from pathlib import Path

import gymnasium
import numpy as np
from imitation.data import serialize
from imitation.data.types import TrajectoryWithRew
from stable_baselines3 import SAC

FOLDER = Path(__file__).parent / "written"
COLUMNS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def of_imitation(name: str, rng: np.random.Generator, *, discrete: bool) -> None:
    """Three trajectories, and their arrays beside them; the second was cut."""
    arrays, found = {}, []
    for i, (length, terminal) in enumerate(((4, True), (5, False), (3, True))):
        each = TrajectoryWithRew(
            obs=rng.normal(size=(length + 1, 3)).astype(np.float32),
            acts=(
                rng.integers(0, 3, length)
                if discrete
                else rng.uniform(-1, 1, (length, 2)).astype(np.float32)
            ),
            rews=rng.normal(size=length),
            infos=None,
            terminal=terminal,
        )
        found.append(each)
        arrays |= {f"{key}{i}": getattr(each, key) for key in ("obs", "acts", "rews", "terminal")}
    serialize.save(FOLDER / name, found)
    np.savez(FOLDER / f"{name}_arrays.npz", **arrays)


def of_stable_baselines(name: str, steps: int) -> None:
    """A buffer of 18 steps, as a pickle and as docs/demos.md writes it."""
    environment = gymnasium.make("Pendulum-v1", max_episode_steps=7)
    small = {"net_arch": [4]}
    model = SAC(
        "MlpPolicy",
        environment,
        buffer_size=18,
        learning_starts=1000,
        seed=0,
        policy_kwargs=small,
    )
    model.learn(steps)
    buffer = model.replay_buffer
    columns = {each: getattr(buffer, each) for each in COLUMNS}
    np.savez_compressed(FOLDER / f"{name}.npz", **columns, pos=buffer.pos, full=buffer.full)
    model.save_replay_buffer(FOLDER / f"{name}.pkl")


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    of_imitation("imitation", generator, discrete=False)
    of_imitation("imitation_choices", generator, discrete=True)
    of_stable_baselines("sb3", 16)
    of_stable_baselines("sb3_full", 30)
    (FOLDER / "sb3_full.pkl").unlink()
