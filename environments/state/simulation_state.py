"""The state of a MuJoCo simulation, exactly: more than positions and velocities.

Three things are saved:

* the integration state (`mjSTATE_INTEGRATION`): time, positions, velocities, activations, controls,
  and the warm start of the constraint solver, without which the next step differs in its last bits;
* every array of `MjData` that persists between steps, because tasks read derived quantities
  (`xpos`, `cfrc_ext`, `qfrc_actuator`) that lag the state by a substep and so cannot be recomputed;
* the arrays of the model that differ from the freshly loaded ones: dm_control tasks move targets
  and draw terrains in the model. The constraint arrays in MuJoCo's arena follow from the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import mujoco
import numpy as np

from helpers.errors import CheckpointError

_INTEGRATION = mujoco.mjtState.mjSTATE_INTEGRATION.value
_DTYPES = ("float64", "int32", "bool")  # of the arrays of MjData; uint64 ones are addresses


class SimulationSaver:
    """Saves and restores simulations of one model.

    Args:
        model: as loaded, before any episode.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._loaded = {name: array.copy() for name, array in _arrays(model)}
        # In untouched data an array in the arena has no memory behind it: NumPy then owns what it
        # shows, or shows nothing. Arrays that persist are views into MjData's own buffer.
        self._persistent: dict[str, list[str]] = {dtype: [] for dtype in _DTYPES}
        for name, array in _arrays(mujoco.MjData(model)):
            if array.size and not array.flags.owndata and array.dtype.name in _DTYPES:
                self._persistent[array.dtype.name].append(name)

    def state_dict(self, model: mujoco.MjModel, data: mujoco.MjData) -> dict[str, Any]:
        """The state of a simulation: vectors of float64, int32 and bool, model arrays by name."""
        integration = np.empty(mujoco.mj_stateSize(model, _INTEGRATION))
        mujoco.mj_getState(model, data, integration, _INTEGRATION)
        derived = {
            dtype: np.concatenate([getattr(data, name).ravel() for name in names])
            for dtype, names in self._persistent.items()
            if names
        }
        changed = {
            name: array.copy()
            for name, array in _arrays(model)
            if array.tobytes() != self._loaded[name].tobytes()
        }
        return {
            "mujoco": mujoco.__version__,
            "integration": integration,
            "derived": derived,
            "model": changed,
        }

    def load_state_dict(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        state: Mapping[str, Any],
    ) -> None:
        """Put a simulation into a saved state.

        Raises:
            CheckpointError: it was saved by another MuJoCo, or with another model.
        """
        if state["mujoco"] != mujoco.__version__:
            raise CheckpointError(
                f"The simulation was saved by MuJoCo {state['mujoco']}, "
                f"this is {mujoco.__version__}.",
                f"pip install mujoco=={state['mujoco']}, or start a new run.",
            )
        if len(state["integration"]) != mujoco.mj_stateSize(model, _INTEGRATION):
            raise CheckpointError(
                "The saved simulation has another MuJoCo model than this environment.",
                "Continue with the package versions of the run (capsule.json), or start a new run.",
            )
        for name, array in _arrays(model):
            array[...] = state["model"].get(name, self._loaded[name])
        mujoco.mj_setState(model, data, state["integration"], _INTEGRATION)
        mujoco.mj_forward(model, data)  # rebuilds contacts and constraints in the arena
        for dtype, vector in state["derived"].items():
            start = 0
            for name in self._persistent[dtype]:
                array = getattr(data, name)
                array[...] = vector[start : start + array.size].reshape(array.shape)
                start += array.size


def _arrays(structure: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The public writable arrays of an MjModel or MjData, by name."""
    for name in dir(structure):
        if not name.startswith("_"):
            value = getattr(structure, name)
            if isinstance(value, np.ndarray) and value.flags.writeable:
                yield name, value
