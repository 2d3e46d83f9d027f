"""Walking about: the task of the "Learn to Move: Walk Around" challenge at NeurIPS 2019.

After L2M2019Env of osim-rl 3.0 (Song et al. 2021, "Deep reinforcement learning for modeling human locomotion control in
neuromechanical simulation", J. NeuroEng. Rehabil. 18), written anew: the same model, order of muscles, numbers of an
observation, initial pose and rewards. What differs: docs/opensim.md.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from environments.opensim.gait import foot_forces
from environments.opensim.simulation import STEP
from environments.opensim.task import ACTIVATION, OpensimEnv
from environments.opensim.velocity_field import VelocityField

FALLEN = 0.6  # metres, of the pelvis
_MASS, _GRAVITY = 75.1646, 9.80665
_CONTACT = 0.05  # of the weight: a foot is on the ground
_ALIVE, _FOOTSTEP = 0.1, 10.0  # a step of 10 ms; a second of a footstep
_ENOUGH_FOOTSTEPS = 5
_START_HEIGHT = 0.94
_LEG_JOINTS = (
    ("hip_adduction", -1.0),
    ("hip_flexion", -1.0),
    ("knee_angle", 1.0),
    ("ankle_angle", -1.0),
)
_SIDES = ("r", "l")


class L2M2019(OpensimEnv):
    """22 muscles walk where a field of velocities leads; an episode ends where the pelvis is lower than 0.6 m.

    Attributes:
        field: of target velocities.
        footsteps: since the episode began.
    """

    footsteps = 0
    _contacts: tuple[bool, ...] = (True, True)
    _is_new_footstep = _is_found = False
    _effort = _duration = 0.0  # of the footstep under way
    _deviation = np.zeros(2)

    def __init__(self, env_id: str, options: Any, *, render_mode: str | None = None) -> None:
        super().__init__(env_id, options, render_mode=render_mode)
        self.difficulty = int(options["difficulty"])
        self.limit = 2500 if self.difficulty == 3 else 1000  # steps of 10 ms
        self.field = VelocityField(self.difficulty)
        # Difficulty 3 is the challenge's second round.
        self._velocity_weight = 3.0 if self.difficulty == 3 else 1.0

    @property
    def stateful_parts(self) -> dict[str, Any]:
        """The field, too."""
        return {**super().stateful_parts, "field": self.field}

    def begin(self) -> None:
        """Upright, at rest, at the middle of the field."""
        draw, spread = self.np_random, self.options["pose_spread"]
        names = [f"{joint}_{side}" for side in _SIDES for joint, _ in _LEG_JOINTS]
        angles = {name: spread * float(draw.standard_normal()) if spread else 0.0 for name in names}
        angles["pelvis_ty"] = _START_HEIGHT
        known = {name: value for name, value in angles.items() if name in self._coordinates}
        self.simulation.reset(known, {}, activation=ACTIVATION)
        self.footsteps, self._contacts = 0, (True, True)
        self._is_new_footstep = self._is_found = False
        self._restart_footstep()
        self.field.reset(np.zeros(2), draw)

    def _restart_footstep(self) -> None:
        self._effort = self._duration = 0.0
        self._deviation = np.zeros(2)

    def move(self, action: np.ndarray) -> tuple[float, bool, dict[str, float]]:
        """`count` steps of 10 ms with one action, until a fall or the time limit."""
        terms = dict.fromkeys(
            ("reward_alive", "reward_footstep", "reward_velocity", "reward_effort", "reward_task"),
            0.0,
        )
        self.simulation.excite(action)
        fallen = False
        for _ in range(self.frame_skip):
            self.advance(1)
            fallen = bool(self.angles(("pelvis_ty",))[0] < FALLEN)
            for name, value in self._reward(fallen).items():
                terms[name] += value
            self._look_around()
            if fallen or self._steps >= self.limit:
                break
        figures = {"footsteps": float(self.footsteps), "targets": float(self.field.found)}
        return sum(terms.values()), fallen, terms | figures

    def _place(self) -> np.ndarray:
        forward, right = self.angles(("pelvis_tx", "pelvis_tz"))
        return np.array([forward, -right])

    def _reward(self, fallen: bool) -> dict[str, float]:
        """Of a step of 10 ms.

        A footstep, and a target that was held, count a step after they were seen, as in the challenge.
        """
        forward, right = self.speeds(("pelvis_tx", "pelvis_tz"))
        place = self._place()
        effort = float(np.sum(self.simulation.read_muscles(forces=True).activations ** 2)) * STEP
        self._effort += effort
        self._duration += STEP
        self._deviation = self._deviation + STEP * (
            np.array([forward, -right]) - self.field.at(place)
        )
        is_over = self._steps >= self.limit and not fallen
        is_second = self.difficulty == 3
        terms = {"reward_alive": _ALIVE}
        counts = self._is_new_footstep or (
            is_second and is_over and self.footsteps > _ENOUGH_FOOTSTEPS
        )
        footstep = _FOOTSTEP * self._duration
        if counts:
            terms["reward_footstep"] = footstep
            terms["reward_velocity"] = -self._velocity_weight * float(
                np.linalg.norm(self._deviation),
            )
            terms["reward_effort"] = -self._effort
            self._restart_footstep()
        if is_second and self._is_found:
            terms["reward_task"] = 500.0
        elif not is_second and is_over:
            terms["reward_task"] = 10.0 + (0.0 if counts else footstep)
        return terms

    def _look_around(self) -> None:
        """Count footsteps, and look whether a target was held."""
        upward = foot_forces(self.simulation, ("foot_r", "foot_l"))[:, 1]
        contacts = tuple(bool(each > _CONTACT * _MASS * _GRAVITY) for each in upward)
        pairs = zip(contacts, self._contacts, strict=True)
        self._is_new_footstep = any(now and not before for now, before in pairs)
        self.footsteps += self._is_new_footstep
        self._contacts = contacts
        self._is_found = self.field.update(self._place(), STEP, self.np_random)

    def observe(self) -> np.ndarray:
        """The field (242), the pelvis (9), and of each leg ground forces (3), joints (8), muscles (33)."""
        tilt, roll, yaw = self.angles(("pelvis_tilt", "pelvis_list", "pelvis_rotation"))
        height = self.angles(("pelvis_ty",))
        turning = self.speeds(("pelvis_tilt", "pelvis_list", "pelvis_rotation"))
        x, upward, z = self.speeds(("pelvis_tx", "pelvis_ty", "pelvis_tz"))
        forward, right = _turn(x, z, yaw)
        pelvis = [*height, -tilt, roll, forward, -right, upward, -turning[0], *turning[1:]]
        forces = foot_forces(self.simulation, ("foot_r", "foot_l")) / (_MASS * _GRAVITY)
        muscles = self.simulation.read_muscles(forces=True)
        each_muscle = np.stack([muscles.forces, muscles.lengths, muscles.velocities], axis=1)
        parts = [self.field.around(self._place(), yaw).ravel(), np.array(pelvis)]
        signs = np.array([sign for _, sign in _LEG_JOINTS])
        for index, side in enumerate(_SIDES):
            names = tuple(f"{joint}_{side}" for joint, _ in _LEG_JOINTS)
            front, outward = _turn(forces[index, 0], forces[index, 2], yaw)
            parts.append(np.array([front, outward if side == "r" else -outward, forces[index, 1]]))
            parts += [signs * self.angles(names), signs * self.speeds(names)]
            parts.append(each_muscle[11 * index : 11 * (index + 1)].ravel())
        return np.concatenate(parts)

    def scene(self) -> dict[str, Any]:
        """From the side and somewhat from above, with the way that the field shows."""
        place = self._place()
        velocity = self.field.at(place)
        return {
            "view": "oblique",
            "centre": (float(place[0]), 0.85, float(-place[1])),
            "width": 2.4,
            "ground": True,
            "arrow": (float(velocity[0]), float(-velocity[1])),
        }


def _turn(x: float, z: float, yaw: float) -> tuple[float, float]:
    """(x, z) in directions of who is turned by `yaw`."""
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return cosine * x - sine * z, sine * x + cosine * z
