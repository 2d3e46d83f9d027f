"""A training's end of publishing: it hands copies of the policy to a process of its own, and never waits.

    RUN/publishing/base.json          what all versions have in common
                   000010/            the policy of iteration 10, until it is published

--registry_endpoint names the registry, --publish_frequency how often. The process (process.py) makes a policy package
of the newest copy and sends it as a transient version; at the end of the run it archives the best and the last policy.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agents.weights.describe import describe
from helpers.config.run import RunConfig
from helpers.errors import BUG, DONE
from helpers.trackers.feeder import Feeder
from registry.package import contract
from registry.package.evaluation import about_environment
from registry.package.export import origin_of, policy_model, write_tensors
from registry.package.interface import interface_of
from registry.training import clean_environment

FOLDER, BASE = "publishing", "base.json"
ARCHIVE_SECONDS = 600.0  # how long a run waits at its end for a registry that answers
_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


def model_name(config: RunConfig, run_name: str) -> str:
    """The model of a run in the registry: --registry_model, or the run's name in letters that a model may have."""
    if config.registry_model:
        return config.registry_model
    name = _NAME.sub("_", run_name)
    return (name if name[:1].isalpha() else f"run_{name}")[:200]


class Publisher:
    """Publishes the policy of a run, on its root worker.

    Args:
        config: of the run.
        folder: the run folder.
        environment: of the training; its spaces and its facts.
        say: prints a line for the user.

    Raises:
        OSError: the process cannot be started, or the folder cannot be written.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        environment: Any,
        *,
        say: Callable[[str], None],
    ) -> None:
        self._config, self._folder, self._say = config, folder / FOLDER, say
        self._size = environment.single_observation_space.shape[0]
        space = environment.single_action_space
        self._bounds = (space.low, space.high) if hasattr(space, "low") else None
        self._environment = environment
        self._folder.mkdir(exist_ok=True)
        for left in self._folder.glob("[0-9]*"):  # of a session that died
            shutil.rmtree(left, ignore_errors=True)
        self.model = model_name(config, folder.name)
        self._feeder = Feeder(
            "registry",
            "registry.publishing.process",
            self._folder,
            job={"run_folder": str(folder.resolve())},
            environment=clean_environment() | {"OMP_NUM_THREADS": "1"},
            say=say,
            longest=ARCHIVE_SECONDS,
        )
        self._base: dict[str, Any] | None = None
        self._run = folder

    def publish_if_due(self, row: Mapping[str, Any], agent: Any) -> None:
        """Hand over the policy where its iteration is due; a disk that is full costs the version."""
        self._feeder.listen()
        frequency = self._config.publish_frequency
        if not frequency or row["iteration"] % frequency:
            return
        name = f"{row['iteration']:06d}"
        try:
            self._write(self._folder / name, agent, row)
        except OSError as error:
            self._say(f"registry: iteration {row['iteration']} is not published: {error.strerror}")
            return
        self._feeder.send({"publish": name})

    def _write(self, folder: Path, agent: Any, row: Mapping[str, Any]) -> None:
        described = describe(policy_model(agent), observations=self._size, bounds=self._bounds)
        if self._base is None:
            environment = self._environment
            options = self._config.environment_options
            about = about_environment(environment, self._config.env_id, options)
            action_shape = about.pop("action_shape")
            self._base = {
                "environment": about,
                **interface_of(
                    described,
                    seen=environment.single_observation_space,
                    space=environment.single_action_space,
                    names=environment.names,
                    action_shape=action_shape,
                ),
                "run": origin_of(self._run, self._config),
            }
        folder.mkdir(exist_ok=True)
        write_tensors(folder, described, weights=contract.WEIGHTS)
        policy = {
            "algorithm": self._config.algo,
            "actions": "deterministic",
            "iteration": row["iteration"],
            "step": row["step"],
            "step_unit": self._config.settings["num_timesteps"].unit,
        }
        (folder / BASE).write_text(json.dumps({**self._base, "policy": policy}), encoding="utf-8")

    def close(self, reason: str | None) -> None:
        """Let the process publish what it has, and archive where the run has come to its end (`reason` is None)."""
        self._feeder.close(BUG if reason else DONE)
        for left in self._folder.glob("[0-9]*"):
            with contextlib.suppress(OSError):
                shutil.rmtree(left)
