"""Reaching: an arm in a plane moves its hand to a target and holds it there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from environments.opensim.arm_model import FOREARM, LIMITS, MUSCLES, UPPER_ARM, build_arm
from environments.opensim.task import ACTIVATION, OpensimEnv

_JOINTS = ("shoulder", "elbow")
_START = (math.radians(45.0), math.radians(75.0))
_NEAR = 0.03  # metres: the hand is at the target
# Targets are where the hand is at angles (degrees, from and to) of shoulder and elbow, so that each can be reached.
_TARGETS = {
    "anywhere": ((-10.0, 100.0), (20.0, 130.0)),
    "near": ((20.0, 80.0), (100.0, 130.0)),
    "far": ((0.0, 90.0), (20.0, 50.0)),
    "front": ((-10.0, 20.0), (20.0, 60.0)),
    "side": ((70.0, 100.0), (20.0, 60.0)),
}


def hand_at(angles: np.ndarray) -> np.ndarray:
    """Where the hand is, (2,) in metres from the shoulder, at angles of shoulder and elbow."""
    shoulder, both = angles[0], angles[0] + angles[1]
    return np.array(
        [
            UPPER_ARM * math.cos(shoulder) + FOREARM * math.cos(both),
            UPPER_ARM * math.sin(shoulder) + FOREARM * math.sin(both),
        ],
    )


class ArmReach(OpensimEnv):
    """Six muscles move a hand to a target that stays where it is for an episode of 2 s.

    The reward of an action is exp(-(d / 3 cm)^2) - d / 0.5 m - 0.05 mean(a^2), with d the distance from hand to target
    and a the activations; `infos` has these terms and the distance.
    """

    target = np.zeros(2)

    def make_model(self) -> Any:
        """Two bodies and six muscles."""
        return build_arm(self.options["muscle_model"])

    def begin(self) -> None:
        """A pose about the middle, and a target."""
        spread, draw = self.options["pose_spread"], self.np_random
        angles = {}
        for name, middle in zip(_JOINTS, _START, strict=True):
            low, high = (math.radians(each) for each in LIMITS[name])
            angles[name] = float(np.clip(middle + spread * draw.standard_normal(), low, high))
        shoulder, elbow = _TARGETS[self.options["target"]]
        self.target = hand_at(np.radians([draw.uniform(*shoulder), draw.uniform(*elbow)]))
        self.simulation.reset(angles, {}, activation=ACTIVATION)

    def move(self, action: np.ndarray) -> tuple[float, bool, dict[str, float]]:
        """One action."""
        self.simulation.excite(action)
        self.advance(self.frame_skip)
        distance = math.dist(hand_at(self.angles(_JOINTS)), self.target)
        activations = self.simulation.read_muscles().activations
        terms = {
            "reward_near": math.exp(-((distance / _NEAR) ** 2)),
            "reward_distance": -distance / 0.5,
            "reward_effort": -0.05 * float(activations @ activations) / len(activations),
        }
        return sum(terms.values()), False, {**terms, "distance": distance}

    def observe(self) -> np.ndarray:
        """Joints (4), hand (2), target and the way to it (4), muscles (18)."""
        angles = self.angles(_JOINTS)
        hand = hand_at(angles)
        muscles = self.simulation.read_muscles()
        parts = [angles, self.speeds(_JOINTS), hand, self.target, self.target - hand]
        return np.concatenate([*parts, muscles.activations, muscles.lengths, muscles.velocities])

    def scene(self) -> dict[str, Any]:
        """From above; the muscles have no paths in the model."""
        return {
            "view": "top",
            "target": self.target,
            "muscle_lines": {each.name: each.line for each in MUSCLES},
            "centre": (0.2, 0.25),
            "width": 1.3,
            "tip": {"forearm": FOREARM},
        }
