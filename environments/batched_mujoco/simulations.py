"""N simulations of one MuJoCo model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
from gymnasium.envs.mujoco.mujoco_env import expand_model_path

from environments.batched_mujoco.task import Start
from environments.mujoco_warnings import route_mujoco_warnings
from environments.state.simulation_state import SimulationSaver
from helpers.errors import ConfigurationError

# mj_step computes these only for force sensors; mj_rnePostConstraint does it for all bodies.
_POST_CONSTRAINT = frozenset(("cacc", "cfrc_int", "cfrc_ext"))


class Simulations:
    """One MjModel and N MjData, stepped in a loop, their arrays gathered into (N, ...).

    Args:
        xml_file: the model; a bare name is one of Gymnasium's, "." and "/" begin a path, "~" too.
        count: N.
        frame_skip: MuJoCo steps for each action.
        reads: names of the arrays of MjData to gather.
        frame_size: (width, height) in pixels of the largest picture to be drawn.

    Raises:
        ConfigurationError: there is no such model, or no such array.
    """

    def __init__(
        self,
        xml_file: str,
        *,
        count: int,
        frame_skip: int,
        reads: Sequence[str],
        frame_size: tuple[int, int],
    ) -> None:
        route_mujoco_warnings()
        self.model = _load(xml_file)
        view = self.model.vis.global_
        view.offwidth = max(view.offwidth, frame_size[0])
        view.offheight = max(view.offheight, frame_size[1])
        self.datas = [mujoco.MjData(self.model) for _ in range(count)]
        self._stepped = self.datas
        self._saver = SimulationSaver(self.model)
        self._frame_skip = frame_skip
        self._has_contact_forces = not _POST_CONSTRAINT.isdisjoint(reads)
        # Views into each MjData's own memory, bound once: looking them up costs more than a step's
        # whole arithmetic. Assigning row[...] = row is three times as fast as row[:] = row.
        self._arrays = [(name, *_views(self.datas, name)) for name in reads]
        self._controls = np.zeros((count, self.model.nu))
        views = [data.ctrl for data in self.datas]
        self._control_rows = list(zip(views, self._controls, strict=True))

    def step_only(self, indices: Sequence[int]) -> None:
        """From now on, `advance` leaves the others as they are."""
        self._stepped = [self.datas[index] for index in indices]

    def advance(self, controls: np.ndarray) -> None:
        """One action for each simulation, (N, nu)."""
        self._controls[...] = controls
        for view, row in self._control_rows:
            view[...] = row
        model, frame_skip, mj_step = self.model, self._frame_skip, mujoco.mj_step
        if not self._has_contact_forces:
            for data in self._stepped:
                mj_step(model, data, frame_skip)
            return
        mj_rne = mujoco.mj_rnePostConstraint
        for data in self._stepped:
            mj_step(model, data, frame_skip)
            mj_rne(model, data)

    def restart(self, index: int, *parts: np.ndarray | None) -> None:
        """Put one simulation at rest, then into a state.

        Args:
            index: of the simulation.
            parts: of a `task.Start`, in its order; what is None or left out stays as the model has it.
        """
        data = self.datas[index]
        mujoco.mj_resetData(self.model, data)
        for name, part in zip(Start._fields, parts, strict=False):
            if part is not None:
                getattr(data, name)[...] = part
        mujoco.mj_forward(self.model, data)

    def read(self) -> SimpleNamespace:
        """The arrays asked for, gathered into new ones (N, ...)."""
        return SimpleNamespace(
            **{name: np.concatenate(views).reshape(shape) for name, views, shape in self._arrays},
        )

    def read_again(self, gathered: SimpleNamespace, indices: Sequence[int]) -> SimpleNamespace:
        """What was gathered, in new arrays, and some simulations as they are now."""
        arrays = {}
        for name, views, shape in self._arrays:
            rows = getattr(gathered, name).reshape(shape[0], views[0].size).copy()
            for index in indices:
                rows[index] = views[index]
            arrays[name] = rows.reshape(shape)
        return SimpleNamespace(**arrays)

    def state_dict(self, index: int) -> dict[str, Any]:
        """The state of one simulation."""
        return self._saver.state_dict(self.model, self.datas[index])

    def load_state_dict(self, index: int, state: Mapping[str, Any]) -> None:
        """Put one simulation into a saved state."""
        self._saver.load_state_dict(self.model, self.datas[index], state)


def _load(xml_file: str) -> mujoco.MjModel:
    try:
        path = expand_model_path(xml_file)
    except OSError as error:
        raise ConfigurationError(
            f"There is no MuJoCo model {xml_file}.",
            "Give a path that begins with / or ./, or the name of one of Gymnasium's own models.",
        ) from error
    try:
        return mujoco.MjModel.from_xml_path(path)
    except (ValueError, mujoco.FatalError) as error:
        raise ConfigurationError(
            f"MuJoCo cannot read the model {path}: {' '.join(str(error).split())}.",
            "Mend it there; a mesh or a texture is looked for beside the model, or in its meshdir and texturedir.",
        ) from error


def _views(
    datas: Sequence[mujoco.MjData],
    name: str,
) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """Flat views of an array of each MjData, and the shape of all together.

    Arrays of contacts and constraints cannot be had: they move as these come and go. In untouched
    data they are NumPy's own or empty; the empty ones are known by their names.
    """
    array = getattr(datas[0], name, None)
    moves = isinstance(array, np.ndarray) and array.size and array.flags.owndata
    if not isinstance(array, np.ndarray) or moves or "efc_" in name:
        raise ConfigurationError(
            f"{name} is not an array of MjData that persists between steps.",
            "Read other arrays in the task: qpos, qvel, xpos, sensordata, cfrc_ext ...",
        )
    return [getattr(data, name).reshape(-1) for data in datas], (len(datas), *array.shape)
