"""Humanoid-v5: walk forward on two legs without falling."""

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
class Humanoid:
    """Gymnasium's options, by their names there."""

    xml_file: str = "humanoid.xml"
    frame_skip: int = 5
    default_camera_config: Mapping[str, Any] = field(
        default_factory=lambda: {
            "trackbodyid": 1,
            "distance": 4.0,
            "lookat": np.array((0.0, 0.0, 2.0)),
            "elevation": -20.0,
        },
    )
    forward_reward_weight: float = 1.25
    ctrl_cost_weight: float = 0.1
    contact_cost_weight: float = 5e-7
    contact_cost_range: Range = (-math.inf, 10.0)
    healthy_reward: float = 5.0
    terminate_when_unhealthy: bool = True
    healthy_z_range: Range = (1.0, 2.0)
    reset_noise_scale: float = 1e-2
    exclude_current_positions_from_observation: bool = True
    include_cinert_in_observation: bool = True
    include_cvel_in_observation: bool = True
    include_qfrc_actuator_in_observation: bool = True
    include_cfrc_ext_in_observation: bool = True

    max_episode_steps: ClassVar[int] = 1000
    reads: ClassVar[tuple[str, ...]] = humanoid_body.READS

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Near upright."""
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
        """Speed of the centre of mass, a bonus for standing, the costs of control and contacts."""
        velocity = (_mass_centers(world, now) - _mass_centers(world, before)) / world.dt
        healthy = task.inside(now.qpos[:, 2], self.healthy_z_range)
        forward_reward = self.forward_reward_weight * velocity[:, 0]
        healthy_reward = healthy * self.healthy_reward
        # MuJoCo's own controls, float64: it clears them where a simulation diverges.
        ctrl_cost = self.ctrl_cost_weight * task.square_sums(now.ctrl)
        contact_cost = self.contact_cost_weight * task.square_sums(now.cfrc_ext)
        contact_cost = contact_cost.clip(*self.contact_cost_range)
        rewards = forward_reward + healthy_reward - (ctrl_cost + contact_cost)
        terms = {
            "x_velocity": velocity[:, 0],
            "y_velocity": velocity[:, 1],
            "reward_survive": healthy_reward,
            "reward_forward": forward_reward,
            "reward_ctrl": -ctrl_cost,
            "reward_contact": -contact_cost,
        }
        terminated = ~healthy if self.terminate_when_unhealthy else task.never(now)
        return Outcome(rewards, terminated, terms)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Where it is, and its tendons."""
        return {
            "x_position": now.qpos[:, 0],
            "y_position": now.qpos[:, 1],
            "tendon_length": now.ten_length,
            "tendon_velocity": now.ten_velocity,
            "distance_from_origin": task.lengths(now.qpos[:, :2]),
        }


def _mass_centers(world: World, now: Arrays) -> np.ndarray:
    """(N, 2): x and y of the centre of mass."""
    masses = world.model.body_mass
    weighted = np.einsum("b,nbj->nj", masses, now.xipos)  # (N, 3), summed in the order of "b,bj->j"
    return (weighted / masses.sum())[:, :2]
