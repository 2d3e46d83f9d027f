"""A goal that moves: follow a point that swings about a place, both drawn anew for each episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco.task import Arrays, Outcome, Start, World


@dataclass(frozen=True, kw_only=True)
class MovingGoal:
    """The options, each with its default."""

    xml_file: str = str(Path(__file__).with_name("moving_goal.xml"))
    frame_skip: int = 2
    default_camera_config: Mapping[str, Any] = field(default_factory=lambda: {"distance": 3.0})
    swing: float = 0.3  # m to each side

    max_episode_steps: ClassVar[int] = 200
    reads: ClassVar[tuple[str, ...]] = (
        *("qpos", "qvel", "act", "mocap_pos", "userdata"),
        "sensordata",  # the clock
    )

    def start(self, world: World, generator: np.random.Generator) -> Start:
        """The cart, its motor's activation, and of the swing its place, rate (rad/s) and phase (rad)."""
        return Start(
            qpos=generator.uniform(-0.5, 0.5, world.model.nq),
            qvel=world.init_qvel,
            act=generator.uniform(-0.1, 0.1, world.model.na),
            mocap_pos=np.array([[generator.uniform(-0.3, 0.3), 0.0, 0.2]]),
            userdata=generator.uniform((1.0, 0.0), (3.0, 2 * np.pi)),
        )

    def goal(self, now: Arrays) -> np.ndarray:
        """Where the goal is, (N,): a function of what MjData holds, so that a saved run resumes with it."""
        rates, phases = now.userdata.T
        swing: np.ndarray = self.swing * np.sin(rates * now.sensordata[:, 0] + phases)
        return now.mocap_pos[:, 0, 0] + swing

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """Position, velocity, activation, and the way to the goal, (N, 4)."""
        way = self.goal(now)[:, None] - now.qpos
        return np.concatenate((now.qpos, now.qvel, now.act, way), axis=1)

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """The costs of distance and control; the end of the rail ends the episode."""
        position = now.qpos[:, 0]
        distance = -np.square(self.goal(now) - position)
        ctrl = -0.01 * np.square(actions[:, 0])
        terms = {"reward_dist": distance, "reward_ctrl": ctrl}
        return Outcome(distance + ctrl, np.abs(position) > 1.0, terms)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """For `infos`, also at the beginning of an episode."""
        return {"goal": self.goal(now)}
