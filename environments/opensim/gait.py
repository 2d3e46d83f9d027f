"""Walking: a model of legs and trunk walks straight on at a speed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from environments.opensim.task import ACTIVATION, OpensimEnv

FALLEN = 0.65  # metres, of the pelvis; it stands at 0.9
_GRAVITY = 9.80665
_FASTEST = 10.0  # optimal lengths a second: a muscle's largest speed of contraction
_LEANING = math.radians(60.0)
_FEET = ("foot_r", "foot_l")
# Where an episode begins: one leg before the other, in the middle of a step.
_AHEAD = {"hip_flexion": 0.30, "knee_angle": -0.10, "ankle_angle": -0.05}
_BEHIND = {"hip_flexion": -0.20, "knee_angle": -0.20, "ankle_angle": 0.10}
_HEIGHTS = {"gait9dof18musc": 0.93, "gait14dof22musc": 0.93}


def foot_forces(simulation: Any, names: tuple[str, ...]) -> np.ndarray:
    """What the ground does to feet, (feet, 3) in newtons; the state is realized to its dynamics."""
    state, forces = simulation.state(), simulation.model.getForceSet()
    simulation.model.realizeDynamics(state)
    found = []
    for name in names:
        # The first three are the force on the ground.
        record = forces.get(name).getRecordValues(state)
        found.append([-record.get(index) for index in range(3)])
    return np.array(found)


class GaitWalk(OpensimEnv):
    """18 or 22 muscles walk at `speed` for at most 10 s, until the pelvis is below 0.65 m or leans by 60 degrees.

    The reward of an action of t seconds is t (2 + 20 max(0, 1 - |v - (speed, 0)| / speed) - 5 mean(a^2)), with v the
    pelvis's velocity on the ground and a the activations; `infos` has these terms, the velocity and the distance. Who
    stands still has a tenth of what walking gives, for a policy that once stands well leaves that for little else.
    """

    def begin(self) -> None:
        """A stride, with either leg ahead, at half the speed."""
        draw, spread = self.np_random, self.options["pose_spread"]
        sides = ("r", "l") if draw.random() < 0.5 else ("l", "r")
        angles: dict[str, float] = {"lumbar_extension": -0.1, "pelvis_tilt": -0.05}
        for side, leg in zip(sides, (_AHEAD, _BEHIND), strict=True):
            angles |= {f"{name}_{side}": value for name, value in leg.items()}
        angles = {name: value + spread * draw.standard_normal() for name, value in angles.items()}
        angles["pelvis_ty"] = _HEIGHTS[self.options["model"]]
        speed = self.options["speed"] * (0.5 + spread * draw.standard_normal())
        self.simulation.reset(angles, {"pelvis_tx": float(speed)}, activation=ACTIVATION)

    def move(self, action: np.ndarray) -> tuple[float, bool, dict[str, float]]:
        """One action."""
        self.simulation.excite(action)
        self.advance(self.frame_skip)
        wanted, forward, side = self.options["speed"], *self._velocity()
        off = math.hypot(forward - wanted, side) / max(wanted, 0.5)
        activations = self.simulation.read_muscles().activations
        terms = {
            "reward_alive": 2.0 * self.dt,
            "reward_velocity": 20.0 * self.dt * max(0.0, 1.0 - off),
            "reward_effort": -5.0 * self.dt * float(np.mean(activations**2)),
        }
        height, distance, tilt = self.angles(("pelvis_ty", "pelvis_tx", "pelvis_tilt"))
        fallen = bool(height < FALLEN or abs(tilt) > _LEANING)
        figures = {"velocity": forward, "distance": float(distance)}
        return sum(terms.values()), fallen, terms | figures

    def _velocity(self) -> tuple[float, float]:
        names = ("pelvis_tx", "pelvis_tz")
        found = self.speeds(tuple(name for name in names if name in self._coordinates))
        return float(found[0]), float(found[1]) if len(found) > 1 else 0.0

    def observe(self) -> np.ndarray:
        """Pose without the place, speeds, ground forces in weights (6), the speed to walk at (1), muscles.

        Fiber velocities are in largest speeds of contraction, so that all numbers are about as large as 1.
        """
        names = self.coordinate_names
        pose = tuple(name for name in names if name not in ("pelvis_tx", "pelvis_tz"))
        weight = self.simulation.model.getTotalMass(self.simulation.state()) * _GRAVITY
        forces = foot_forces(self.simulation, _FEET) / weight
        muscles = self.simulation.read_muscles()
        return np.concatenate(
            [
                self.angles(pose),
                self.speeds(names),
                forces.ravel(),
                [self.options["speed"]],
                muscles.activations,
                muscles.lengths,
                muscles.velocities / _FASTEST,
            ],
        )

    def scene(self) -> dict[str, Any]:
        """From the side, beside the pelvis."""
        place = float(self.angles(("pelvis_tx",))[0])
        return {"view": "side", "centre": (place, 0.85), "width": 2.0, "ground": True}
