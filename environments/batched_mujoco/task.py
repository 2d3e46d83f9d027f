"""What a task is: a model, the state an episode begins in, observations, rewards, the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import mujoco
import numpy as np

# The arrays of MjData that a task reads, by the names they have there, each (N, ...).
Arrays = Any
CameraConfig = Mapping[str, Any] | None
Range = tuple[float, float]


@dataclass(frozen=True)
class World:
    """The loaded model, the same for all N simulations.

    Attributes:
        model: MuJoCo's.
        dt: seconds between two actions.
        init_qpos, init_qvel: of the model file, (nq,) and (nv,).
        bodies: the number of each named body.
    """

    model: mujoco.MjModel
    dt: float
    init_qpos: np.ndarray
    init_qvel: np.ndarray
    bodies: Mapping[str, int]


class Outcome(NamedTuple):
    """What a step brought to N environments.

    Attributes:
        rewards: (N,).
        terminated: (N,) bool.
        terms: arrays (N, ...) by name, for `infos`.
    """

    rewards: np.ndarray
    terminated: np.ndarray
    terms: dict[str, np.ndarray]


class Start(NamedTuple):
    """The state that an episode begins in; what is None stays as the model has it.

    Attributes:
        qpos, qvel: (nq,) and (nv,).
        ctrl, act: controls (nu,) until the first action, and activations (na,).
        mocap_pos, mocap_quat: of the mocap bodies, (nmocap, 3) and (nmocap, 4): a goal that is not simulated.
        userdata: (nuserdata,), numbers that a task keeps for the episode.
    """

    qpos: np.ndarray | None
    qvel: np.ndarray | None
    ctrl: np.ndarray | None = None
    act: np.ndarray | None = None
    mocap_pos: np.ndarray | None = None
    mocap_quat: np.ndarray | None = None
    userdata: np.ndarray | None = None


class Task(Protocol):
    """A task: its options are attributes, its methods pure functions of the batch.

    All state of an episode lies in MjData, so that it is saved; a task keeps none. No method may
    change the arrays it is given, and those it returns are new.

    Attributes:
        xml_file: of the model; a bare name is one of Gymnasium's own.
        frame_skip: MuJoCo steps for each action.
        default_camera_config: attributes of the camera that pictures are drawn from.
        max_episode_steps: after how many steps an episode is truncated.
        reads: the arrays of MjData that the methods below look at. With `cfrc_ext`, `cfrc_int` or
            `cacc` among them, MuJoCo computes contact forces after each step.
    """

    @property
    def xml_file(self) -> str: ...
    @property
    def frame_skip(self) -> int: ...
    @property
    def default_camera_config(self) -> CameraConfig: ...
    @property
    def max_episode_steps(self) -> int: ...
    @property
    def reads(self) -> tuple[str, ...]: ...

    def start(
        self,
        world: World,
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray] | Start:
        """(qpos, qvel) that one episode begins in, or more of it, drawn from its environment's generator."""

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """Observations (N, obs_dim), float64."""

    def evaluate(
        self,
        world: World,
        before: Arrays,
        now: Arrays,
        actions: np.ndarray,
    ) -> Outcome:
        """What the step from `before` to `now` brought; actions (N, act_dim) float32, in bounds."""

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Further terms (N, ...) for `infos`, known also when an episode begins."""


def uniform_start(
    world: World,
    generator: np.random.Generator,
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The model's own state, with uniform noise on positions and velocities."""
    qpos = world.init_qpos + generator.uniform(-scale, scale, world.model.nq)
    qvel = world.init_qvel + generator.uniform(-scale, scale, world.model.nv)
    return qpos, qvel


def uniform_gaussian_start(
    world: World,
    generator: np.random.Generator,
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The model's own state, with uniform noise on positions and Gaussian noise on velocities."""
    qpos = world.init_qpos + generator.uniform(-scale, scale, world.model.nq)
    qvel = world.init_qvel + scale * generator.standard_normal(world.model.nv)
    return qpos, qvel


# Gymnasium computes for one environment what is computed here for N. Floating-point sums depend on
# their order, so each function below says which of NumPy's it must equal bit for bit.


def square_sums(rows: np.ndarray) -> np.ndarray:
    """(N,): np.sum(np.square(row)) of each row, whatever its shape, in the rows' dtype."""
    if rows.ndim > 2:
        rows = rows.reshape(len(rows), -1)
    return np.add.reduce(np.square(rows), axis=1)


def lengths(vectors: np.ndarray) -> np.ndarray:
    """(N,): np.linalg.norm(vector) of each; both go through BLAS."""
    return np.sqrt(np.vecdot(vectors, vectors))


def inside(values: np.ndarray, bounds: Range) -> np.ndarray:
    """Whether each value lies strictly between the bounds."""
    low, high = bounds
    return (low < values) & (values < high)


def are_finite(now: Arrays) -> np.ndarray:
    """(N,): whether all positions and velocities are finite."""
    state = np.concatenate((now.qpos, now.qvel), axis=1)
    return np.logical_and.reduce(np.isfinite(state), axis=1)


def never(now: Arrays) -> np.ndarray:
    """(N,) False, for tasks that only time ends."""
    return np.zeros(len(now.qpos), dtype=np.bool_)
