"""What the OpenSim tasks share: an episode of one simulation, as a Gymnasium environment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from environments.opensim import catalogue
from environments.opensim.models import require_model
from environments.opensim.simulation import STEP, Simulation, SimulationFailed
from environments.opensim.simulator import import_opensim
from helpers.errors import NumericalError

_LOG = logging.getLogger(__name__)
_RESETS = 20  # poses that are drawn before an episode cannot begin
ACTIVATION = 0.05  # of muscles at rest, when an episode begins


class OpensimEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A task on a musculoskeletal model: observations float64, actions the muscles' excitations in [0, 1].

    Where the simulator fails, the episode is truncated: reward 0, the last valid observation, and
    `infos["simulator_failed"]`.

    Args:
        env_id: canonical.
        options: complete (`catalogue.complete_options`).
        render_mode: None, "rgb_array" or "human".

    Attributes:
        simulation: the model in motion.
        failures: how often the simulator failed.
    """

    def __init__(
        self,
        env_id: str,
        options: Mapping[str, Any],
        *,
        render_mode: str | None = None,
    ) -> None:
        self.env_id, self.options, self.render_mode = env_id, dict(options), render_mode
        self.frame_skip = int(options["frame_skip"])
        self.dt = STEP * self.frame_skip
        self.metadata = {"render_modes": ["human", "rgb_array"], "render_fps": round(1 / self.dt)}
        model = self.make_model()
        names = catalogue.MUSCLES[options.get("model", "arm")]
        for name, factor in options["strength"].items():
            muscle = model.getMuscles().get(name)
            muscle.setMaxIsometricForce(muscle.getMaxIsometricForce() * factor)
        self.simulation = Simulation(
            model,
            muscles=names,
            accuracy=float(options["accuracy"]),
            integrator=options["integrator"],
        )
        size, actions = catalogue.sizes_of(env_id, options)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = gymnasium.spaces.Box(0.0, 1.0, (actions,), np.float32)
        self.failures = 0
        self._steps = 0  # of 10 ms, since the episode began
        self._observation = np.zeros(size)
        self._pictures: Any = None
        every = self.simulation.model.getCoordinateSet()
        self._coordinates = {
            every.get(index).getName(): every.get(index) for index in range(every.getSize())
        }

    # What a task says

    def make_model(self) -> Any:
        """The `opensim.Model`; by default the file that the option `model` names."""
        path = require_model(self.options["model"])
        if self.options["muscle_model"] == "thelen":
            return import_opensim().Model(str(path))
        osim = import_opensim()
        processor = osim.ModelProcessor(str(path))
        processor.append(osim.ModOpReplaceMusclesWithDeGrooteFregly2016())
        processor.append(osim.ModOpIgnoreTendonCompliance())
        return processor.process()

    def begin(self) -> None:
        """Draw an episode from `np_random`, and put the simulation at its start.

        Raises:
            SimulationFailed: what was drawn cannot be.
        """
        raise NotImplementedError

    def move(self, action: np.ndarray) -> tuple[float, bool, dict[str, float]]:
        """One action: (reward, whether the task ended the episode, the reward's terms and other figures).

        Raises:
            SimulationFailed: the simulator did.
        """
        raise NotImplementedError

    def observe(self) -> np.ndarray:
        """The observation, (obs_dim,) float64, a new array."""
        raise NotImplementedError

    # What there is for it

    def advance(self, steps: int) -> None:
        """Integrate this number of steps of 10 ms."""
        self._steps += steps
        self.simulation.advance(self._steps * STEP)

    def angles(self, names: tuple[str, ...]) -> np.ndarray:
        """Values of coordinates, in radians and metres."""
        state = self.simulation.state()
        return np.array([self._coordinates[name].getValue(state) for name in names])

    def speeds(self, names: tuple[str, ...]) -> np.ndarray:
        """Speeds of coordinates, in radians and metres a second."""
        state = self.simulation.state()
        return np.array([self._coordinates[name].getSpeedValue(state) for name in names])

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Of the model, in its order."""
        return tuple(self._coordinates)

    # Gymnasium

    def reset(
        self,
        *,
        seed: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode.

        Raises:
            NumericalError: the simulator fails at the start of every episode that is drawn.
        """
        super().reset(seed=seed, options=options)
        for _ in range(_RESETS):
            self._steps = 0
            try:
                self.begin()
                self._observation = self.observe()
            except (SimulationFailed, RuntimeError) as error:
                last = error
                continue
            if np.isfinite(self._observation).all():
                if self.render_mode == "human":
                    self.render()
                return self._observation, {}
        raise NumericalError(
            f"{self.env_id}: OpenSim failed at the start of {_RESETS} episodes in a row: {last}.",
            "Give a smaller pose_spread, or another accuracy, integrator or muscle_model: --env_options.",
        )

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One action of `frame_skip` times 10 ms."""
        excitations = np.clip(np.asarray(action, np.float64), 0.0, 1.0)
        try:
            reward, terminated, terms = self.move(excitations)
            observation = self.observe()
        except RuntimeError as error:  # SimulationFailed, or what C++ threw while it was read
            return self._fail(str(error))
        if not (np.isfinite(observation).all() and np.isfinite(reward)):
            return self._fail("an observation is not finite")
        self._observation = observation
        if self.render_mode == "human":
            self.render()
        return observation, reward, terminated, False, {**terms, "simulator_failed": False}

    def _fail(self, reason: str) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.failures += 1
        level = logging.WARNING if self.failures == 1 else logging.DEBUG
        _LOG.log(
            level,
            "%s: OpenSim failed (%s); the episode is truncated. More of these are counted in "
            "rollout/simulator_failures.",
            self.env_id,
            reason,
        )
        return self._observation, 0.0, False, True, {"simulator_failed": True}

    def render(self) -> np.ndarray | None:
        """A picture (480, 480, 3) uint8; None where that is a window."""
        if self._pictures is None:
            from environments.opensim.pictures import Pictures

            is_window = self.render_mode == "human"
            self._pictures = Pictures(
                self.simulation,
                window_interval=self.dt if is_window else None,
            )
        return self._pictures.draw(**self.scene())

    def scene(self) -> dict[str, Any]:
        """What a picture shows beside the model: arguments of `Pictures.draw`."""
        return {}

    def close(self) -> None:
        """Free what draws."""
        if self._pictures is not None:
            self._pictures.close()
            self._pictures = None

    # What those that save and describe environments ask for

    @property
    def stateful_parts(self) -> dict[str, Any]:
        """What holds state besides this object."""
        return {"simulation": self.simulation}

    @property
    def observation_names(self) -> list[str]:
        """Of each number of an observation, by the group that it is in."""
        return [
            f"{group}[{index}]"
            for group, count in catalogue.layout(self.env_id, self.options).items()
            for index in range(count)
        ]

    @property
    def action_names(self) -> list[str]:
        """The muscles."""
        return list(self.simulation.muscle_names)
