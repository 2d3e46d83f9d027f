"""HumanoidStandup-v5: stand up; nothing but time ends an episode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco import task
from environments.batched_mujoco.task import Arrays, Outcome, Range, World
from environments.batched_mujoco.tasks import humanoid_body


@dataclass(frozen=True, kw_only=True)
class HumanoidStandup:
    """Gymnasium's options, by their names there."""

    xml_file: str = "humanoidstandup.xml"
    frame_skip: int = 5
    default_camera_config: Mapping[str, Any] = field(
        default_factory=lambda: {
            "trackbodyid": 1,
            "distance": 4.0,
            "lookat": np.array((0.0, 0.0, 0.8925)),
            "elevation": -20.0,
        },
    )
    uph_cost_weight: float = 1  # Gymnasium takes it and uses it nowhere, so neither is it used here
    ctrl_cost_weight: float = 0.1
    impact_cost_weight: float = 5e-7
    impact_cost_range: Range = (-math.inf, 10.0)
    reset_noise_scale: float = 1e-2
    exclude_current_positions_from_observation: bool = True
    include_cinert_in_observation: bool = True
    include_cvel_in_observation: bool = True
    include_qfrc_actuator_in_observation: bool = True
    include_cfrc_ext_in_observation: bool = True

    max_episode_steps: ClassVar[int] = 1000
    reads: ClassVar[tuple[str, ...]] = humanoid_body.READS

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Lying."""
        return task.uniform_start(world, generator, self.reset_noise_scale)

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """Positions, velocities, and the dynamics of each body."""
        return humanoid_body.observe_body(
            now,
            exclude_current_positions=self.exclude_current_positions_from_observation,
            include_cinert=self.include_cinert_in_observation,
            include_cvel=self.include_cvel_in_observation,
            include_qfrc_actuator=self.include_qfrc_actuator_in_observation,
            include_cfrc_ext=self.include_cfrc_ext_in_observation,
        )

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """Height over time, less the costs of control and of impacts."""
        uph_cost = now.qpos[:, 2] / world.model.opt.timestep
        # MuJoCo's own controls, float64: it clears them where a simulation diverges.
        ctrl_cost = self.ctrl_cost_weight * task.square_sums(now.ctrl)
        impact_cost = self.impact_cost_weight * task.square_sums(now.cfrc_ext)
        impact_cost = impact_cost.clip(*self.impact_cost_range)
        terms = {
            "reward_linup": uph_cost,
            "reward_quadctrl": -ctrl_cost,
            "reward_impact": -impact_cost,
        }
        return Outcome(uph_cost - ctrl_cost - impact_cost + 1, task.never(now), terms)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Where it is, and its tendons."""
        return {
            "x_position": now.qpos[:, 0],
            "y_position": now.qpos[:, 1],
            "z_distance_from_origin": now.qpos[:, 2] - world.init_qpos[2],
            "tendon_length": now.ten_length,
            "tendon_velocity": now.ten_velocity,
        }
