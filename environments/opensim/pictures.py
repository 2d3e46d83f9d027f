"""Pictures of a musculoskeletal model: bones between joints, muscles along their paths, coloured by activation."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from environments.opensim.simulator import import_opensim

_INCHES, _DPI = 4.8, 100
_BONE, _JOINT, _GROUND, _TARGET = "#c9c4b8", "#8a8577", "#b9d3a5", "#d62728"
_TILT = math.radians(18.0)  # of the oblique view
_COLOURS = colormaps["coolwarm"]  # blue at rest, red at full activation


class Pictures:
    """Draws a simulation, offscreen or in a window.

    Args:
        simulation: an `environments.opensim.simulation.Simulation`.
        window_interval: seconds from picture to picture in a window, which is not faster; None: pictures are returned.
    """

    def __init__(self, simulation: Any, *, window_interval: float | None = None) -> None:
        self._simulation, self._window = simulation, None
        if window_interval is not None:
            from matplotlib import pyplot

            pyplot.ion()
            self._window = pyplot
            self._interval, self._next_time = window_interval, 0.0
            self._figure = pyplot.figure(figsize=(_INCHES, _INCHES), dpi=_DPI)
        else:
            self._figure = Figure(figsize=(_INCHES, _INCHES), dpi=_DPI)
            self._canvas = FigureCanvasAgg(self._figure)
        axes = self._figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_aspect("equal", adjustable="box")
        self._axes = axes
        self._ground = axes.axhspan(-50, 0, color=_GROUND, visible=False, zorder=0)
        self._posts = LineCollection([], colors="#9dbb87", linewidths=1.0, zorder=0.5)
        self._bones = LineCollection([], colors=_BONE, linewidths=9, capstyle="round", zorder=1)
        self._muscles = LineCollection([], linewidths=2.6, capstyle="round", zorder=3)
        self._arrow = LineCollection([], colors=_TARGET, linewidths=2.5, zorder=4)
        for collection in (self._posts, self._bones, self._muscles, self._arrow):
            axes.add_collection(collection)
        (self._joints,) = axes.plot([], [], "o", color=_JOINT, markersize=6, zorder=2)
        (self._target,) = axes.plot([], [], "o", color=_TARGET, markersize=11, zorder=4)
        self._skeleton = _skeleton(simulation.model)

    def draw(
        self,
        *,
        view: str,
        centre: Sequence[float],
        width: float,
        ground: bool = False,
        target: np.ndarray | None = None,
        muscle_lines: Mapping[str, Any] | None = None,
        tip: Mapping[str, float] | None = None,
        arrow: tuple[float, float] | None = None,
    ) -> np.ndarray | None:
        """A picture (480, 480, 3) uint8; None where it is shown in a window.

        Args:
            view: "top" and "side" show x and y, "oblique" looks down a little.
            centre: of the picture, in metres.
            width: of the picture, in metres.
            ground: whether there is one, at y = 0.
            target: a point (2,) to reach.
            muscle_lines: points (body, x, y) of muscles that have no path in the model.
            tip: of bodies without a further joint, how long they are along x.
            arrow: a velocity (x, z) on the ground, in metres a second.
        """
        simulation = self._simulation
        state = simulation.state()
        simulation.model.realizeVelocity(state)
        place = _projection(view)
        joints, bones = self._bones_now(state, tip or {})
        self._bones.set_segments([place(bone) for bone in bones])
        points = place(np.array(joints))
        self._joints.set_data(points[:, 0], points[:, 1])
        lines = [
            place(self._muscle_line(muscle, state, (muscle_lines or {}).get(muscle.getName())))
            for muscle in simulation.muscles
        ]
        self._muscles.set_segments(lines)
        activations = [muscle.getActivation(state) for muscle in simulation.muscles]
        self._muscles.set_color(_COLOURS(np.array(activations)))
        middle = place(np.array([[*centre, *([0.0] * (3 - len(centre)))]]))[0]
        half = width / 2
        self._axes.set_xlim(middle[0] - half, middle[0] + half)
        self._axes.set_ylim(middle[1] - half, middle[1] + half)
        self._ground.set_visible(ground)
        if ground:  # posts, a metre apart, show that it moves
            marks = np.arange(math.floor(middle[0] - half), math.ceil(middle[0] + half) + 1)
            self._posts.set_segments([[(mark, -0.12), (mark, 0.0)] for mark in marks])
        if target is not None:
            self._target.set_data([target[0]], [target[1]])
        if arrow is not None:
            self._arrow.set_segments(_arrow(place, centre, arrow))
        if self._window is not None:
            self._figure.canvas.draw_idle()
            now = time.monotonic()
            self._window.pause(max(self._next_time - now, 0.001))
            self._next_time = max(self._next_time, now) + self._interval
            return None
        self._canvas.draw()
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()

    def _bones_now(
        self,
        state: Any,
        tip: Mapping[str, float],
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        joints, bones = [], []
        for body, frame, children in self._skeleton:
            start = _vector(frame.getPositionInGround(state))
            joints.append(start)
            for child in children:
                bones.append(np.array([start, _vector(child.getPositionInGround(state))]))
            length = tip.get(body.getName())
            if length is not None:
                bones.append(np.array([start, _station(body, state, length, 0.0)]))
            elif not children:
                centre = body.getMassCenter()
                end = body.findStationLocationInGround(state, centre)
                bones.append(np.array([start, _vector(end)]))
        return joints, bones

    def _muscle_line(self, muscle: Any, state: Any, line: Any) -> np.ndarray:
        if line is None:
            path = muscle.getGeometryPath().getCurrentPath(state)
            return np.array(
                [_vector(path.get(i).getLocationInGround(state)) for i in range(path.getSize())],
            )
        bodies = self._simulation.model.getBodySet()
        return np.array(
            [
                (x, y, 0.0) if name == "ground" else _station(bodies.get(name), state, x, y)
                for name, x, y in line
            ],
        )

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close(self._figure)


def _skeleton(model: Any) -> list[tuple[Any, Any, list[Any]]]:
    """Of each body: itself, where its joint is, and where the joints of those that hang on it are."""
    joints = [model.getJointSet().get(index) for index in range(model.getJointSet().getSize())]
    found = []
    for joint in joints:
        body = joint.getChildFrame().findBaseFrame()
        name = body.getName()
        children = [
            each.getChildFrame()
            for each in joints
            if each.getParentFrame().findBaseFrame().getName() == name
        ]
        body = model.getBodySet().get(name)
        found.append((body, joint.getChildFrame(), children))
    return found


def _vector(found: Any) -> np.ndarray:
    return np.array([found.get(0), found.get(1), found.get(2)])


def _station(body: Any, state: Any, x: float, y: float) -> np.ndarray:
    return _vector(body.findStationLocationInGround(state, import_opensim().Vec3(x, y, 0.0)))


def _projection(view: str) -> Any:
    """From points (n, 3) to a picture's (n, 2)."""
    if view != "oblique":
        return lambda points: np.asarray(points)[:, :2]
    cosine, sine = math.cos(_TILT), math.sin(_TILT)

    def oblique(points: np.ndarray) -> np.ndarray:
        x, y, z = np.asarray(points, dtype=float).T
        return np.stack([x + 0.35 * z, cosine * y - sine * z], axis=1)

    return oblique


def _arrow(place: Any, centre: Sequence[float], velocity: tuple[float, float]) -> list[np.ndarray]:
    """A line on the ground along a velocity, and its head."""
    start = np.array([centre[0], 0.0, centre[2] if len(centre) > 2 else 0.0])
    way = np.array([velocity[0], 0.0, velocity[1]]) * 0.5
    end = start + way
    aside = np.array([-way[2], 0.0, way[0]])
    head = [end - 0.25 * way + 0.15 * aside, end, end - 0.25 * way - 0.15 * aside]
    return [place(np.array([start, end])), place(np.array(head))]
