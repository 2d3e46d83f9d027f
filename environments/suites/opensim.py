"""OpenSim's musculoskeletal models (environments/opensim): ids `Opensim-Arm-Reach-v0`; case and `-v0` may differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from environments.opensim import catalogue
from environments.opensim.simulator import require_opensim
from environments.suites.suite import Files, Options, Spaces, Suite
from helpers.errors import ConfigurationError

if TYPE_CHECKING:
    import gymnasium


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
        """Refuse to go on without OpenSim."""
        require_opensim()

    def require_parts(self, env_id: str, options: Options) -> None:
        """Refuse to go on without the model's file."""
        from environments.opensim.models import require_models_of

        require_models_of(options, env_id=env_id)

    def check_options(self, env_id: str, options: Options) -> None:
        """By the catalogue."""
        from environments.suites.pictures import refuse_preprocessing

        refuse_preprocessing(env_id, options)
        catalogue.complete_options(env_id, options)

    def spaces(self, env_id: str, options: Options) -> Spaces:
        """Muscles are excited from 0 to 1."""
        import gymnasium
        import numpy as np

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
        from environments.opensim.models import require_model

        model = catalogue.complete_options(env_id, options).get("model")
        return Files(others=[require_model(model)] if model else [])

    def make_env(
        self,
        env_id: str,
        *,
        render_mode: str | None,
        options: Options,
        limit: int | None = None,
    ) -> gymnasium.Env:
        """One environment.

        Raises:
            ConfigurationError: OpenSim or a model file is missing, or an option is not one.
        """
        from gymnasium.wrappers import TimeLimit

        from environments.opensim.arm import ArmReach
        from environments.opensim.gait import GaitWalk
        from environments.opensim.l2m2019 import L2M2019

        chosen = catalogue.complete_options(env_id, options)
        kinds: dict[str, Any] = {
            catalogue.ARM: ArmReach,
            catalogue.GAIT: GaitWalk,
            catalogue.L2M: L2M2019,
        }
        env: gymnasium.Env = kinds[env_id](env_id, chosen, render_mode=render_mode)
        return TimeLimit(env, limit or self.max_episode_steps(env_id, options))

    def is_exact(self, env_id: str) -> bool:
        """All that there is of a simulation is saved."""
        return True


SUITE = OpenSim()
