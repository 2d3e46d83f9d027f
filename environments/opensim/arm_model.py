"""An arm that moves in a plane: two bodies, two pin joints, six muscles, built here without a file.

Its sizes, masses and moment arms are those of a grown person's arm, rounded. The muscles are the usual six of planar
arm models: a pair over the shoulder, a pair over the elbow, a pair over both. Their moment arms are constant, so that a
muscle's length is a linear function of the two angles and no path is wrapped around anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from environments.opensim.simulator import import_opensim

UPPER_ARM, FOREARM = 0.31, 0.34  # metres, the latter from the elbow to the middle of the hand
JOINTS = ("shoulder", "elbow")
LIMITS = {"shoulder": (-30.0, 120.0), "elbow": (0.0, 150.0)}  # degrees
_REST = {
    "shoulder": math.radians(45),
    "elbow": math.radians(75),
}  # where fibers have their optimal length
_TENDON = 0.1  # metres


@dataclass(frozen=True)
class Muscle:
    """A muscle of the arm.

    Attributes:
        name: of the muscle.
        shoulder, elbow: moment arms in metres, more than 0 where it flexes.
        force: the largest isometric one, in newtons.
        fiber: optimal length, in metres.
        line: where a picture shows it, as points (body, x, y) with x along the body, in metres.
    """

    name: str
    shoulder: float
    elbow: float
    force: float
    fiber: float
    line: tuple[tuple[str, float, float], ...]


MUSCLES = (
    Muscle(
        "shoulder_flexor",
        0.04,
        0.0,
        1000.0,
        0.12,
        (("ground", -0.08, 0.05), ("upper_arm", 0.02, 0.045), ("upper_arm", 0.14, 0.02)),
    ),
    Muscle(
        "shoulder_extensor",
        -0.04,
        0.0,
        1000.0,
        0.12,
        (("ground", -0.08, -0.05), ("upper_arm", 0.02, -0.045), ("upper_arm", 0.14, -0.02)),
    ),
    Muscle(
        "elbow_flexor",
        0.0,
        0.025,
        700.0,
        0.11,
        (("upper_arm", 0.12, 0.025), ("upper_arm", 0.29, 0.03), ("forearm", 0.09, 0.02)),
    ),
    Muscle(
        "elbow_extensor",
        0.0,
        -0.025,
        700.0,
        0.11,
        (("upper_arm", 0.12, -0.025), ("upper_arm", 0.31, -0.03), ("forearm", 0.09, -0.02)),
    ),
    Muscle(
        "both_flexor",
        0.028,
        0.028,
        400.0,
        0.15,
        (
            ("ground", -0.05, 0.08),
            ("upper_arm", 0.03, 0.06),
            ("upper_arm", 0.28, 0.05),
            ("forearm", 0.12, 0.03),
        ),
    ),
    Muscle(
        "both_extensor",
        -0.028,
        -0.035,
        400.0,
        0.15,
        (
            ("ground", -0.05, -0.08),
            ("upper_arm", 0.03, -0.06),
            ("upper_arm", 0.31, -0.05),
            ("forearm", 0.12, -0.03),
        ),
    ),
)


def build_arm(muscle_model: str = "degroote") -> Any:
    """The arm, in a horizontal plane: x to the front, y to the left, no gravity.

    Args:
        muscle_model: "degroote" (De Groote et al. 2016) or "millard" (Millard et al. 2013), both with stiff tendons: a
            muscle's only state is its activation.
    """
    osim = import_opensim()
    model = osim.Model()
    model.setName("arm")
    model.setGravity(osim.Vec3(0.0))
    parent, at = model.getGround(), 0.0
    for joint, body, mass, length in (
        ("shoulder", "upper_arm", 1.9, UPPER_ARM),
        ("elbow", "forearm", 1.6, FOREARM),
    ):
        # a rod, and a tenth of its inertia across it
        inertia = mass * length * length / 12
        part = osim.Body(
            body,
            mass,
            osim.Vec3(length / 2, 0, 0),
            osim.Inertia(inertia / 10, inertia, inertia),
        )
        zero = osim.Vec3(0)
        pin = osim.PinJoint(joint, parent, osim.Vec3(at, 0, 0), zero, part, zero, zero)
        coordinate = pin.updCoordinate()
        coordinate.setName(joint)
        low, high = LIMITS[joint]
        coordinate.setRangeMin(math.radians(low))
        coordinate.setRangeMax(math.radians(high))
        coordinate.setDefaultValue(_REST[joint])
        model.addBody(part)
        model.addJoint(pin)
        # N m a degree beyond the limit, over 5 degrees; N m s a degree of damping there
        limit = osim.CoordinateLimitForce(joint, high, 2.0, low, 2.0, 0.02, 5.0)
        limit.setName(f"{joint}_limit")
        model.addForce(limit)
        parent, at = part, length
    for each in MUSCLES:
        model.addForce(_muscle(each, muscle_model))
    model.finalizeConnections()
    return model


def _muscle(each: Muscle, muscle_model: str) -> Any:
    osim = import_opensim()
    kinds = {
        "degroote": osim.DeGrooteFregly2016Muscle,
        "millard": osim.Millard2012EquilibriumMuscle,
    }
    muscle = kinds[muscle_model]()
    muscle.setName(each.name)
    muscle.set_max_isometric_force(each.force)
    muscle.set_optimal_fiber_length(each.fiber)
    muscle.set_tendon_slack_length(_TENDON)
    muscle.set_pennation_angle_at_optimal(0.0)
    muscle.set_ignore_tendon_compliance(True)
    path = osim.FunctionBasedPath()
    arms = {"shoulder": each.shoulder, "elbow": each.elbow}
    used = [joint for joint in JOINTS if arms[joint]]
    for joint in used:
        path.appendCoordinatePath(f"/jointset/{joint}/{joint}")
    at_rest = each.fiber + _TENDON + sum(arms[joint] * _REST[joint] for joint in used)
    path.setLengthFunction(_linear(at_rest, [-arms[joint] for joint in used]))
    muscle.set_path(path)
    return muscle


def _linear(constant: float, slopes: list[float]) -> Any:
    """constant + slopes[0] * x0 + slopes[1] * x1; OpenSim's coefficients have the last variable first."""
    osim = import_opensim()
    coefficients = osim.Vector(1 + len(slopes), 0.0)
    for index, value in enumerate([constant, *reversed(slopes)]):
        coefficients.set(index, value)
    return osim.MultivariatePolynomialFunction(coefficients, len(slopes), 1)
