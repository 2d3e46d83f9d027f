"""Reacher-v5: bring the tip of an arm of two links to a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco import task
from environments.batched_mujoco.task import Arrays, Outcome, World


@dataclass(frozen=True, kw_only=True)
class Reacher:
    """Gymnasium's options, by their names there."""

    xml_file: str = "reacher.xml"
    frame_skip: int = 2
    default_camera_config: Mapping[str, Any] = field(default_factory=lambda: {"trackbodyid": 0})
    reward_dist_weight: float = 1
    reward_control_weight: float = 1

    max_episode_steps: ClassVar[int] = 50
    reads: ClassVar[tuple[str, ...]] = ("qpos", "qvel", "xpos")

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The arm nearly straight, the target anywhere within reach."""
        qpos = generator.uniform(-0.1, 0.1, world.model.nq) + world.init_qpos
        while True:
            goal = generator.uniform(-0.2, 0.2, 2)
            if np.linalg.norm(goal) < 0.2:
                break
        qpos[-2:] = goal
        qvel = world.init_qvel + generator.uniform(-0.005, 0.005, world.model.nv)
        qvel[-2:] = 0
        return qpos, qvel

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """The angles as cosine and sine, the target, the joints' speed, from target to tip."""
        angles = np.ascontiguousarray(now.qpos[:, :2])
        return np.concatenate(
            (
                np.cos(angles),
                np.sin(angles),
                now.qpos[:, 2:],
                now.qvel[:, :2],
                _from_target(world, now)[:, :2],
            ),
            axis=1,
        )

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """The costs of distance and of control."""
        reward_dist = -task.lengths(_from_target(world, now)) * self.reward_dist_weight
        reward_ctrl = -task.square_sums(actions) * self.reward_control_weight
        terms = {"reward_dist": reward_dist, "reward_ctrl": reward_ctrl}
        return Outcome(reward_dist + reward_ctrl, task.never(now), terms)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Nothing more."""
        return {}


def _from_target(world: World, now: Arrays) -> np.ndarray:
    """(N, 3): from the target to the fingertip."""
    return now.xpos[:, world.bodies["fingertip"]] - now.xpos[:, world.bodies["target"]]
