"""The OpenSim environments that tests step: every task, every model, every kind of muscles."""

from typing import Any

from environments.opensim.catalogue import ARM, GAIT, L2M

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "arm": (ARM, {}),
    "arm_millard": (ARM, {"muscle_model": "millard", "frame_skip": 1}),
    "gait": (GAIT, {}),
    "gait14": (GAIT, {"model": "gait14dof22musc", "frame_skip": 1}),
    "gait_degroote": (GAIT, {"muscle_model": "degroote", "frame_skip": 1}),
    "l2m": (L2M, {"accuracy": 1e-2, "difficulty": 2}),
    "l2m_planar": (
        L2M,
        {"model": "gait14dof22musc_planar", "integrator": "runge_kutta_3", "accuracy": 1e-2},
    ),
}
