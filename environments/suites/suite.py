"""The interface of a suite of environments. `table.py` lists the suites; CONTRIBUTING.md describes how to add one.

A suite's own module imports no simulator before one of its environments is made: a launcher resolves ids by it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import gymnasium

from environments.same_step import SameStepEnv
from environments.sync_vector import SerialVectorEnv
from helpers.errors import ConfigurationError

Options = Mapping[str, Any]
Spaces = tuple[gymnasium.Space, gymnasium.Space]


@dataclass(frozen=True)
class Files:
    """The files that an environment is made of, apart from those of installed packages.

    Attributes:
        modules: Python files.
        others: models and other files.
        folder: that their names are relative to; None: the working folder.
    """

    modules: Sequence[Path] = ()
    others: Sequence[Path] = ()
    folder: Path | None = None


@dataclass(frozen=True)
class Wanted:
    """How environments are to be made.

    Attributes:
        options: of their constructor.
        render_mode: "rgb_array" for pictures, "human" for windows, None for neither.
        limit: after how many steps an episode is truncated; None: the environment's own limit.
        seeds: one for each environment of a vector environment.
        backend: what steps a vector environment.
    """

    options: Options = field(default_factory=dict)
    render_mode: str | None = None
    limit: int | None = None
    seeds: Sequence[int] = ()
    backend: str = ""


class Suite(ABC):
    """A suite of environments. Ids are canonical, as `resolve` gives them; `options` are those of `--env_options`.

    Attributes:
        name: of the suite.
        backends: what can step its environments, the preferred one first.
        packages: the distributions that its numbers depend on, named as they are imported; the simulator is the last.
        install: how they are installed, for a remedy.
        simulator: what simulates it, for people to read, where recordings of another version differ; else "".
        benchmark: the bundles of tasks/bundles.yaml that belong to it; "": those of its name.
        states_are_raw: whether observations are quantities of a simulation, so that standardised ones are not its own.
        film_options: options of environments that are filmed.
    """

    name: ClassVar[str]
    backends: ClassVar[tuple[str, ...]]
    packages: ClassVar[tuple[str, ...]]
    install: ClassVar[str] = "make venv"
    simulator: ClassVar[str] = ""
    benchmark: ClassVar[str] = ""
    states_are_raw: ClassVar[bool] = False
    film_options: ClassVar[Options] = {}

    # Ids

    @abstractmethod
    def ids(self) -> Iterable[str]:
        """Canonical ids; the one nearest to a misspelt id is suggested."""

    def owns(self, env_id: str) -> bool:
        """Whether a canonical id is one of this suite."""
        return env_id in self.ids()

    def resolve(self, env_id: str) -> str | None:
        """The canonical id of a spelling; None where it is none of this suite. Case and `-v0` may differ.

        Raises:
            ConfigurationError: it is written as one of this suite and is none.
        """
        for canonical in self.ids():
            if env_id.lower() in (canonical.lower(), canonical.lower().removesuffix("-v0")):
                return canonical
        return None

    # What is known without starting a simulator

    def require_packages(self, env_id: str) -> None:
        """Refuse an environment whose packages are missing; nothing is imported.

        Raises:
            ConfigurationError: with the command that installs them.
        """
        missing = [each for each in self.packages if find_spec(each.replace("-", "_")) is None]
        if missing:
            raise ConfigurationError(
                f"env_id={env_id} needs the package {missing[0]}, which is not installed here.",
                f"Install it: {self.install}.",
            )

    def require_parts(self, env_id: str, options: Options) -> None:  # noqa: B027
        """Refuse an environment that lacks an option or a file.

        Raises:
            ConfigurationError: what is missing, and how it gets there.
        """

    @abstractmethod
    def check_options(self, env_id: str, options: Options) -> None:
        """Refuse options that an environment does not have, as far as that is known without making it.

        Raises:
            ConfigurationError: it has no such option, or the option does not take such a value.
        """

    def default_options(self, env_id: str) -> dict[str, Any]:
        """What options are where they are not given; empty where they are unknown."""
        return {}

    @abstractmethod
    def spaces(self, env_id: str, options: Options) -> Spaces | None:
        """Of observations and actions; None where only the environment itself knows."""

    def own_form(self, env_id: str, options: Options) -> tuple[bool, tuple[int, ...] | None]:
        """(whether its own observations are vectors, the shape of an action as it takes it; None: as here)."""
        return True, None

    def groups(self, env_id: str, options: Options) -> dict[str, list[int]]:
        """The numbers of an observation by the groups that they are in; empty where there are none."""
        return {}

    @abstractmethod
    def max_episode_steps(self, env_id: str, options: Options) -> int:
        """After how many steps an episode is truncated."""

    def known_limit(self, env_id: str, options: Options) -> int | None:
        """`max_episode_steps`; None where it is unknown without executing a user's file."""
        return self.max_episode_steps(env_id, options)

    def has_own_limit(self, env_id: str) -> bool:
        """Whether that is the environment's own limit rather than ours for those without."""
        return True

    def entry_point(self, env_id: str) -> str:
        """What Gymnasium makes an environment from; empty of those that it does not make."""
        return ""

    def packages_of(self, env_id: str) -> list[str]:
        """The installed packages that the numbers of one environment depend on; what simulates it is the last."""
        return list(self.packages)

    def simulator_version(self) -> str | None:
        """Of `simulator`; None where there is none."""
        return version(self.packages[-1]) if self.simulator else None

    def files(self, env_id: str, options: Options) -> Files:
        """The files that an environment is made of.

        Raises:
            ConfigurationError: one is missing, or the user's code that names them fails.
        """
        return Files()

    def program(self, env_id: str) -> str | None:
        """A program that acts in one, with the fields of `registry/package/card.py`; None: through this project."""
        return None

    # Making and drawing

    @abstractmethod
    def make_env(self, env_id: str, wanted: Wanted) -> gymnasium.Env:
        """One environment with vector observations, and actions that are vectors, a choice or several choices.

        Raises:
            ConfigurationError: there is no such option, or something is missing.
        """

    def backends_of(self, env_id: str) -> tuple[str, ...]:
        """What can step one environment, the preferred one first."""
        return self.backends

    def make_vector(self, env_id: str, wanted: Wanted) -> SameStepEnv:
        """As many environments as there are seeds, stepped together; here one after another.

        Raises:
            ConfigurationError: as `make_env`.
        """
        limit = wanted.limit or self.max_episode_steps(env_id, wanted.options)
        return SerialVectorEnv(
            env_id,
            partial(self.make_env, env_id, replace(wanted, limit=limit)),
            seeds=wanted.seeds,
            max_episode_steps=limit,
            backend=wanted.backend,
            is_exact=self.is_exact(env_id),
        )

    def make_single(self, env_id: str, options: Options) -> gymnasium.Env | None:
        """One environment; None for tasks that only exist as a batch.

        Raises:
            ConfigurationError: as `make_env`.
        """
        return self.make_env(env_id, Wanted(options))

    def is_exact(self, env_id: str) -> bool | None:
        """Whether a saved state is known to resume bit for bit; None: tried when it is first asked for."""
        return None

    def needs_gl(self, env_id: str) -> bool:
        """Whether a picture is drawn by MuJoCo, through EGL or OSMesa."""
        return False

    def draws_observations(self, env_id: str) -> bool:
        """Whether observations are drawn, so that an environment is useless where nothing can be."""
        return False
