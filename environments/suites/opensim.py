"""OpenSim's musculoskeletal models (environments/opensim): ids `Opensim-Arm-Reach-v0`; case and `-v0` may differ."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from environments.opensim import catalogue
from environments.opensim.arm import ArmReach
from environments.opensim.gait import GaitWalk
from environments.opensim.l2m2019 import L2M2019
from environments.opensim.models import require_model, require_models_of
from environments.opensim.simulator import require_opensim
from environments.suites.pictures import refuse_preprocessing
from environments.suites.suite import Files, Options, Spaces, Suite, Wanted
from helpers.errors import ConfigurationError


class OpenSim(Suite):
    """An arm, a walker and the L2M2019 challenge."""

    name, backends, packages, simulator = "opensim", ("OpenSim",), ("opensim",), "OpenSim"

    def ids(self) -> tuple[str, ...]:
        """All there are."""
        return catalogue.IDS

    def resolve(self, env_id: str) -> str | None:
        """The canonical id; whatever begins with Opensim- is one or refused."""
        found = super().resolve(env_id)
        if found is None and env_id.lower().startswith("opensim-"):
            raise ConfigurationError(
                f"env_id={env_id} is not one of the OpenSim tasks.",
                f"There are {', '.join(catalogue.IDS)}.",
            )
        return found

    def require_packages(self, env_id: str) -> None:
        """OpenSim itself."""
        require_opensim()

    def require_parts(self, env_id: str, options: Options) -> None:
        """The file of the model."""
        require_models_of(options, env_id=env_id)

    def check_options(self, env_id: str, options: Options) -> None:
        """By the catalogue."""
        refuse_preprocessing(env_id, options)
        catalogue.complete_options(env_id, options)

    def spaces(self, env_id: str, options: Options) -> Spaces:
        """Muscles are excited from 0 to 1."""
        size, muscles = catalogue.sizes_of(env_id, options)
        return (
            gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64),
            gymnasium.spaces.Box(0.0, 1.0, (muscles,), np.float32),
        )

    def groups(self, env_id: str, options: Options) -> dict[str, list[int]]:
        """Joints, muscles, ground forces ..."""
        return catalogue.groups_of(env_id, options)

    def max_episode_steps(self, env_id: str, options: Options) -> int:
        """By the seconds of an episode and the steps of an action."""
        return catalogue.max_episode_steps(env_id, options)

    def simulator_version(self) -> str:
        """The one that the models are made for, whether or not it is installed."""
        return catalogue.VERSION

    def files(self, env_id: str, options: Options) -> Files:
        """The model's file."""
        model = catalogue.complete_options(env_id, options).get("model")
        return Files(others=[require_model(model)] if model else [])

    def make_env(self, env_id: str, wanted: Wanted) -> gymnasium.Env:
        """One environment.

        Raises:
            ConfigurationError: OpenSim or a model file is missing, or an option is not one.
        """
        chosen = catalogue.complete_options(env_id, wanted.options)
        kinds: dict[str, Any] = {
            catalogue.ARM: ArmReach,
            catalogue.GAIT: GaitWalk,
            catalogue.L2M: L2M2019,
        }
        env: gymnasium.Env = kinds[env_id](env_id, chosen, render_mode=wanted.render_mode)
        return TimeLimit(env, wanted.limit or self.max_episode_steps(env_id, wanted.options))

    def is_exact(self, env_id: str) -> bool:
        """All that there is of a simulation is saved."""
        return True


SUITE = OpenSim()
