"""A trained policy that is asked what to do: found and checked before a simulator starts, loaded later.

Nothing here imports torch until a policy is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from agents.cloning.config import DaggerConfig
from helpers.checkpoints.manifests import SHARED, read_manifest
from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
from helpers.config.run import RunConfig
from helpers.durable import UnprovenError
from helpers.episodes import clip_actions
from helpers.errors import CheckpointError, ConfigurationError
from helpers.run_folder.experiment import CONFIG_FILE

if TYPE_CHECKING:
    from agents.base import Agent


@dataclass(frozen=True)
class ExpertSource:
    """A saved policy, not loaded yet.

    Attributes:
        checkpoint: its folder.
        config: of the run that it belongs to.
        fingerprint: sha256 of what the checkpoint holds.
    """

    checkpoint: Path
    config: RunConfig
    fingerprint: str

    def check_sizes(self, spaces: tuple[gymnasium.Space, gymnasium.Space]) -> None:
        """That its observations are as long as those of the environment.

        Raises:
            ConfigurationError: they are not.
        """
        wanted = int(np.prod(spaces[0].shape or ()))
        for size in _observation_sizes(self.checkpoint / SHARED):
            if size != wanted:
                raise ConfigurationError(
                    f"The expert {self.checkpoint} takes observations of length {size}, not {wanted}.",
                    "Give an expert of this environment: --expert_policy.",
                )


def find_expert(config: DaggerConfig, load_config: Callable[[Path], Any]) -> ExpertSource:
    """The expert that `expert_policy` and `expert_iter_num` name.

    Raises:
        ConfigurationError: none is named, or it is of another environment.
        CheckpointError: there is no such checkpoint, or it cannot be trusted.
    """
    if not config.expert_policy:
        raise ConfigurationError(
            "algo=dagger needs an expert, and expert_policy is not given.",
            "Give a trained run: --expert_policy=data/runs/NAME.",
        )
    path = Path(config.expert_policy).expanduser()
    try:
        checkpoint = resolve_checkpoint(path, config.expert_iter_num).resolve()
    except CheckpointError as error:
        remedy = error.remedy.replace("iter_num", "--expert_iter_num")
        raise CheckpointError(f"The expert: {error.problem}", remedy) from error
    theirs: Any = load_config(checkpoint.parent.parent / CONFIG_FILE)
    if theirs.env_id != config.env_id:
        raise ConfigurationError(
            f"The expert {path} was trained in {theirs.env_id}, not in {config.env_id}.",
            f"Give an expert of {config.env_id} by --expert_policy, or use --env_id={theirs.env_id}.",
        )
    return ExpertSource(checkpoint, theirs, _proof_of(checkpoint))


def _proof_of(checkpoint: Path) -> str:
    try:
        return str(read_manifest(checkpoint)["files"][SHARED]["sha256"])
    except UnprovenError as error:
        raise CheckpointError(
            f"The expert {checkpoint} is damaged: {error}.",
            "Choose another one by --expert_iter_num, or restore it from a copy.",
        ) from error


def _observation_sizes(path: Path) -> Iterator[int]:
    """Lengths of the moments of observations in a safetensors file, by its header."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    for name, entry in header.items():
        if name.endswith("observations/mean"):
            yield int(np.prod(entry["shape"]))


class Expert:
    """A trained policy, asked for its deterministic actions as the environment executes them."""

    def __init__(self, source: ExpertSource, agent: Agent, action_space: gymnasium.Space) -> None:
        """Load its parameters into the agent, as an evaluation does.

        Raises:
            CheckpointError: it is damaged, or of another environment's sizes.
        """
        self.agent, self.action_space, self.fingerprint = agent, action_space, source.fingerprint
        _, shared, _ = read_shared(source.checkpoint)
        try:
            self.agent.load_state_dict(shared["agent"])
        except CheckpointError as error:
            raise CheckpointError(
                f"The expert {source.checkpoint} does not fit this environment: {error.problem}.",
                "Give an expert of this environment: --expert_policy.",
            ) from error

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Actions (B, A) or choices (B,) for raw observations (B, obs_dim)."""
        actions, _ = self.agent.predict(observations, explore=False)
        return clip_actions(actions, self.action_space)
