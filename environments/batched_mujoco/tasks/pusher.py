"""Pusher-v5: push a cylinder to a goal with an arm of seven joints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco import task
from environments.batched_mujoco.task import Arrays, Outcome, World


@dataclass(frozen=True, kw_only=True)
class Pusher:
    """Gymnasium's options, by their names there."""

    xml_file: str = "pusher_v5.xml"
    frame_skip: int = 5
    default_camera_config: Mapping[str, Any] = field(
        default_factory=lambda: {"trackbodyid": -1, "distance": 4.0},
    )
    reward_near_weight: float = 0.5
    reward_dist_weight: float = 1
    reward_control_weight: float = 0.1

    max_episode_steps: ClassVar[int] = 100
    reads: ClassVar[tuple[str, ...]] = ("qpos", "qvel", "xpos")

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The arm at rest, the cylinder anywhere but at the goal."""
        goal = np.zeros(2)
        while True:
            x, y = generator.uniform(-0.3, 0, 1), generator.uniform(-0.2, 0.2, 1)
            cylinder = np.concatenate((x, y))
            if np.linalg.norm(cylinder - goal) > 0.17:
                break
        qpos = world.init_qpos.copy()
        qpos[-4:-2] = cylinder
        qpos[-2:] = goal
        qvel = world.init_qvel + generator.uniform(-0.005, 0.005, world.model.nv)
        qvel[-4:] = 0
        return qpos, qvel

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """The arm's joints and their speed; where the arm's tip, the cylinder and the goal are."""
        tip, cylinder, goal = _places(world, now)
        return np.concatenate((now.qpos[:, :7], now.qvel[:, :7], tip, cylinder, goal), axis=1)

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """The costs of distance, cylinder to goal and tip to cylinder, and of control."""
        tip, cylinder, goal = _places(world, now)
        reward_near = -task.lengths(cylinder - tip) * self.reward_near_weight
        reward_dist = -task.lengths(cylinder - goal) * self.reward_dist_weight
        reward_ctrl = -task.square_sums(actions) * self.reward_control_weight
        terms = {
            "reward_dist": reward_dist,
            "reward_ctrl": reward_ctrl,
            "reward_near": reward_near,
        }
        return Outcome(reward_dist + reward_ctrl + reward_near, task.never(now), terms)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Nothing more."""
        return {}


def _places(world: World, now: Arrays) -> tuple[np.ndarray, ...]:
    """(N, 3) each: the arm's tip, the cylinder, the goal."""
    return tuple(now.xpos[:, world.bodies[name]] for name in ("tips_arm", "object", "goal"))
