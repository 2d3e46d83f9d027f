"""What Humanoid and HumanoidStandup have in common."""

from __future__ import annotations

import numpy as np

from environments.batched_mujoco.task import Arrays

READS = (
    "qpos",
    "qvel",
    "ctrl",
    "xipos",
    "cinert",
    "cvel",
    "qfrc_actuator",
    "cfrc_ext",
    "ten_length",
    "ten_velocity",
)


def observe_body(
    now: Arrays,
    *,
    exclude_current_positions: bool,
    include_cinert: bool,
    include_cvel: bool,
    include_qfrc_actuator: bool,
    include_cfrc_ext: bool,
) -> np.ndarray:
    """Positions (without x and y), velocities, then what is included of each body's dynamics."""
    count = len(now.qpos)
    parts = [now.qpos[:, 2:] if exclude_current_positions else now.qpos, now.qvel]
    if include_cinert:
        parts.append(now.cinert[:, 1:].reshape(count, -1))
    if include_cvel:
        parts.append(now.cvel[:, 1:].reshape(count, -1))
    if include_qfrc_actuator:
        parts.append(now.qfrc_actuator[:, 6:])
    if include_cfrc_ext:
        parts.append(now.cfrc_ext[:, 1:].reshape(count, -1))
    return np.concatenate(parts, axis=1)
