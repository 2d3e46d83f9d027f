"""A musculoskeletal model in motion: excitations in, a state that is plain numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from environments.opensim.simulator import Integrator, import_opensim

STEP = 0.01  # seconds; an action lasts a whole number of these
# An integrator that cannot keep its accuracy halves its steps for ever. At this size it continues anyway, and an action
# that took too many steps counts as failed. So an action takes a bounded time, and the same one on every machine.
SMALLEST_STEP = 1e-5  # seconds
MOST_STEPS = 500  # in STEP
_FASTEST, _STRONGEST = (
    50.0,
    3.0,
)  # optimal lengths a second, largest forces: the bounds of the L2M2019 challenge


class SimulationFailed(RuntimeError):
    """The simulator raised, its state is not finite, or the integrator needs too many steps."""


@dataclass(frozen=True)
class Muscles:
    """What is read of M muscles, arrays (M,).

    Attributes:
        activations: from 0 to 1.
        lengths: of fibers, in optimal lengths.
        velocities: of fibers, in optimal lengths a second, from -50 to 50.
        forces: of fibers, in largest isometric forces, up to 3.
    """

    activations: np.ndarray
    lengths: np.ndarray
    velocities: np.ndarray
    forces: np.ndarray


class Simulation:
    """One model, stepped by its own integrator.

    All that the next action depends on is in `time`, `values`, `next_step`; they are attributes of plain numbers, which
    is saved with an environment and restored with it.

    Args:
        model: of which every muscle is to be excited; it is changed.
        muscles: names of the muscles in the order of excitations; the model's order if None.
        accuracy: of the integrator; smaller is slower.
        integrator: one of `catalogue.INTEGRATORS`.

    Attributes:
        time: seconds since the episode began.
        values: OpenSim's state Y (coordinates, speeds, then the muscles'), float64.
        next_step: seconds that the integrator would step next; 0 before the first action.
        excitations: the last ones, (M,).
    """

    def __init__(
        self,
        model: Any,
        *,
        muscles: tuple[str, ...] | None = None,
        accuracy: float,
        integrator: str,
    ) -> None:
        osim = import_opensim()
        self._osim, self.model = osim, model
        model.initSystem()
        every = model.getMuscles()
        names = muscles or tuple(every.get(index).getName() for index in range(every.getSize()))
        controller = osim.PrescribedController()
        for name in names:
            muscle = every.get(name)
            controller.addActuator(muscle)
            controller.prescribeControlForActuator(
                muscle.getAbsolutePathString(),
                osim.Constant(0.0),
            )
        model.addController(controller)  # after the actuators: adding an empty one throws
        self._state = model.initSystem()
        self.muscle_names = names
        self.muscles = [every.get(name) for name in names]
        functions = osim.PrescribedController.safeDownCast(
            model.getControllerSet().get(0),
        ).get_ControlFunctions()
        self._constants = [
            osim.Constant.safeDownCast(functions.get(index)) for index in range(len(names))
        ]
        self._optimal_lengths = np.array([each.getOptimalFiberLength() for each in self.muscles])
        self._largest_forces = np.array([each.getMaxIsometricForce() for each in self.muscles])
        self.manager = make_manager(model, accuracy=accuracy, integrator=integrator)
        self.manager.setIntegratorMinimumStepSize(SMALLEST_STEP)
        self._integrator = Integrator(self.manager)
        self.time, self.next_step = 0.0, 0.0
        self.excitations = np.zeros(len(names))
        self.values = np.array(self._state.getY().to_numpy())
        # Whose numbers OpenSim's state and the manager's are; those that were set from outside are another array.
        self._shown: np.ndarray | None = None
        self._integrated: np.ndarray | None = None
        self._muscles: tuple[np.ndarray, bool, Muscles] | None = (
            None  # that were read of which numbers
        )
        self._velocity_stage = osim.Stage(osim.Stage.Velocity)

    def reset(
        self,
        coordinates: Mapping[str, float],
        speeds: Mapping[str, float],
        *,
        activation: float,
    ) -> None:
        """Put the model into a pose, its muscles in equilibrium.

        Args:
            coordinates: radians and metres by name; others keep the model's defaults.
            speeds: likewise, a second; others are 0.
            activation: of every muscle.

        Raises:
            SimulationFailed: there is no equilibrium.
        """
        state = self.model.initializeState()
        every = self.model.getCoordinateSet()
        self.excite(np.full(len(self.muscles), activation))
        try:
            for name, value in coordinates.items():
                every.get(name).setValue(state, value, False)
            for name, value in speeds.items():
                every.get(name).setSpeedValue(state, value)
            for muscle in self.muscles:
                muscle.setActivation(state, activation)
            self.model.equilibrateMuscles(state)
        except RuntimeError as error:
            raise SimulationFailed(_first_line(error)) from error
        state.setTime(0.0)
        self.time = self.next_step = 0.0
        self._take(state)

    def excite(self, excitations: np.ndarray) -> None:
        """Excitations (M,) of the muscles from now on."""
        self.excitations = excitations

    def advance(self, end: float) -> None:
        """Integrate to a time.

        Raises:
            SimulationFailed: the state stays what it was.
        """
        for constant, value in zip(self._constants, self.excitations.tolist(), strict=True):
            constant.setValue(value)
        integrator, span = self._integrator, end - self.time
        try:
            if self._integrated is self.values:  # the manager stands where this does
                # It knows nothing of excitations that changed: what follows from them is computed anew.
                self._state.invalidateAllCacheAtOrAbove(self._velocity_stage)
            else:
                integrator.begin_with(self.next_step or STEP / 10)
                self.manager.initialize(self.state())
                # That moved the state onto the model's constraints, by some last bits; it was there already.
                self._show(self.manager.getState())
            before = integrator.steps_taken
            after = self.manager.integrate(end)
        except RuntimeError as error:
            self._shown = self._integrated = None
            raise SimulationFailed(_first_line(error)) from error
        steps = integrator.steps_taken - before
        values = after.getY().to_numpy()
        if not np.isfinite(values).all():
            self._shown = self._integrated = None
            raise SimulationFailed("the state is not finite")
        if steps > MOST_STEPS * max(1.0, span / STEP):
            self._shown = self._integrated = None
            raise SimulationFailed(f"the integrator took {steps} steps in {span:g} s")
        self.time, self.next_step = after.getTime(), integrator.next_step
        self._take(after)
        self._integrated = self.values

    def _take(self, state: Any) -> None:
        """Let a state of OpenSim's be the present one."""
        self._state = state
        self.values = self._shown = np.array(state.getY().to_numpy())

    def state(self) -> Any:
        """OpenSim's state that stands for `time` and `values`."""
        if self._shown is not self.values:  # they were set from outside
            self._show(self.model.initializeState())
        return self._state

    def _show(self, state: Any) -> None:
        """Let a state of OpenSim's have the present numbers."""
        state.setTime(self.time)
        state.setY(self._osim.Vector.createFromMat(self.values))
        self._state, self._shown = state, self.values

    def read_muscles(self, *, forces: bool = False) -> Muscles:
        """What the muscles do; forces, where they are asked for, else zeros."""
        if self._muscles is not None:
            of, with_forces, found = self._muscles
            if of is self.values and with_forces == forces:
                return found
        state = self.state()
        if forces:
            self.model.realizeDynamics(state)
        else:
            self.model.realizeVelocity(state)
        read = [
            (each.getActivation(state), each.getFiberLength(state), each.getFiberVelocity(state))
            for each in self.muscles
        ]
        activations, lengths, velocities = np.array(read).T
        force = np.zeros(len(self.muscles))
        if forces:
            force = np.array([each.getFiberForce(state) for each in self.muscles])
        found = Muscles(
            activations,
            lengths / self._optimal_lengths,
            # A muscle in equilibrium with little activation, far from its optimal length, has velocities of millions.
            np.clip(velocities / self._optimal_lengths, -_FASTEST, _FASTEST),
            np.minimum(force / self._largest_forces, _STRONGEST),
        )
        self._muscles = self.values, forces, found
        return found


def make_manager(model: Any, *, accuracy: float, integrator: str) -> Any:
    """An `opensim.Manager` that keeps no history.

    Args:
        model: what it integrates.
        accuracy, integrator: as `Simulation` takes them.
    """
    manager = import_opensim().Manager(model)
    manager.setWriteToStorage(False)
    manager.setPerformAnalyses(False)
    methods = {
        "runge_kutta_merson": manager.IntegratorMethod_RungeKuttaMerson,
        "semi_explicit_euler_2": manager.IntegratorMethod_SemiExplicitEuler2,
        "runge_kutta_3": manager.IntegratorMethod_RungeKutta3,
    }
    manager.setIntegratorMethod(methods[integrator])
    manager.setIntegratorAccuracy(accuracy)
    return manager


def _first_line(error: Exception) -> str:
    """What a C++ exception says, without the place in OpenSim's sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
