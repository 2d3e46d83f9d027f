"""What `--init_from` may name: a run, a checkpoint, a policy file (.pt) or a policy package, and what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from agents.algorithms import REGISTRY, SCHEMA
from agents.base import Agent
from agents.cloning.config import CloningConfig
from agents.imitation.config import ImitationConfig
from agents.nn.normalizer import VARIANCE_EPSILON
from agents.weights.architecture import OBSERVATION, Architecture
from agents.weights.describe import describe
from agents.weights.load import load_agent
from helpers.checkpoints.manifests import SHARED
from helpers.checkpoints.policy_files import POLICIES, read_state
from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
from helpers.config.run import RunConfig
from helpers.errors import CheckpointError
from helpers.run_folder.experiment import CONFIG_FILE

_PACKAGE, _LAYERS, _TENSORS = "contract.json", "architecture.json", "policy.safetensors"
_VALUES = "q_network"
_COUNT = (
    10_000.0  # observations that a package's moments count as: it does not say of how many they are
)
SpaceOf = Callable[[str], gymnasium.Space | None]


@dataclass(frozen=True)
class Source:
    """Weights, and where they come from.

    Attributes:
        file: that holds them.
        origin: for the run's lineage: run, algorithm, environment, iteration, step, as far as that is known.
        policy: its layers; None of a bare policy file, whose activations nobody has written down.
        observations: moments that the policy standardises by; None where it takes observations raw.
        tensors: of a bare policy file, by name.
        agent, state, config: of a run; None and empty of anything else.
    """

    file: Path
    origin: Mapping[str, Any]
    policy: Architecture | None = None
    observations: Mapping[str, Any] | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    agent: Agent | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    config: RunConfig | None = None

    @property
    def algo(self) -> str:
        """The algorithm that learned it; "a file" where that is not known."""
        return str(self.origin.get("algo", "a file"))

    @property
    def has_values(self) -> bool:
        """Whether its network acts by values of actions."""
        known = REGISTRY.get(self.algo)
        return _VALUES in (known.models if known else ()) or self.file.stem.endswith(_VALUES)


def find_file(path: str, iter_num: str) -> Path:
    """The file of weights that `--init_from` names; nothing of it is read.

    Raises:
        CheckpointError: there is none.
    """
    given = Path(path).expanduser()
    if given.is_file():
        return given
    if (given / _PACKAGE).exists():
        return given / _TENSORS
    try:
        return resolve_checkpoint(given, iter_num).resolve() / SHARED
    except CheckpointError as error:
        remedy = error.remedy.replace("iter_num", "--init_iter_num")
        raise CheckpointError(f"--init_from: {error.problem}", remedy) from error


def open_source(
    path: str,
    iter_num: str,
    *,
    space: gymnasium.Space,
    space_of: SpaceOf,
) -> Source:
    """Read what `--init_from` names.

    Args:
        path, iter_num: the settings.
        space: of this run's actions.
        space_of: of the actions of an environment, where that is known.

    Raises:
        CheckpointError, ConfigurationError: it is missing, damaged, or something else.
    """
    file = find_file(path, iter_num)
    if file.name == SHARED:
        return _run(file, space, space_of)
    if file.name == _TENSORS:
        return _package(file)
    return _policy_file(file)


def _run(file: Path, space: gymnasium.Space, space_of: SpaceOf) -> Source:
    checkpoint = file.parent
    folder = checkpoint.parent.parent
    config: RunConfig = SCHEMA.load_config(folder / CONFIG_FILE)
    iteration, shared, _ = read_shared(checkpoint)
    state = shared["agent"]
    learner = state.get("learner", state)
    theirs = space_of(config.env_id)
    if theirs is None and not learner.get("actions") and isinstance(config, CloningConfig):
        theirs = space  # clones' checkpoints do not tell the bounds
    agent: Any = load_agent(checkpoint, action_space=theirs)
    models = agent.models()
    model = next(models[name] for name in POLICIES if name in models)
    size = len(learner["observations"]["mean"])
    origin = {
        "run": folder.name,
        "algo": config.algo,
        "env_id": config.env_id,
        "iteration": iteration,
        "step": shared.get("steps"),
    }
    moments = learner["observations"] if model.standardised else None
    return Source(
        file,
        origin,
        describe(model, observations=size),
        moments,
        {},
        agent,
        state,
        config,
    )


def _package(file: Path) -> Source:
    try:
        layers = json.loads((file.parent / _LAYERS).read_text(encoding="utf-8"))
        interface = json.loads((file.parent / _PACKAGE).read_text(encoding="utf-8"))
        policy = Architecture.from_json(layers, load_file(file), source=str(file.parent / _LAYERS))
        run, step = interface["run"], interface["policy"]
        origin = {
            "run": run.get("name"),
            "algo": step["algorithm"],
            "env_id": interface["environment"]["id"],
            "iteration": step["iteration"],
            "step": step["step"],
        }
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"--init_from={file.parent} cannot be read: {error!r}.",
            "Export the package again: python main.py --task=export.",
        ) from error
    moments = None
    for layer in policy.prefixes[OBSERVATION]:
        scale = policy.tensors[layer["scale"]].double().numpy()
        variance = np.maximum(1.0 / scale**2 - VARIANCE_EPSILON, 0.0)
        mean = policy.tensors[layer["offset"]].double().numpy()
        moments = {"count": _COUNT, "mean": mean, "m2": variance * _COUNT}
    return Source(file, origin, policy, moments)


def _policy_file(file: Path) -> Source:
    tensors = read_state(file)
    moments = None
    if "observation_mean" in tensors:
        count = float(tensors["observation_count"])
        mean, variance = (
            tensors[f"observation_{name}"].double().numpy() for name in ("mean", "variance")
        )
        moments = {"count": count, "mean": mean, "m2": variance * count}
    origin: dict[str, Any] = {}
    saved = file.parent.parent / CONFIG_FILE
    if saved.exists():
        config = SCHEMA.load_config(saved)
        origin = {"run": saved.parent.name, "algo": config.algo, "env_id": config.env_id}
    return Source(file, origin, None, moments, tensors)


def family(config: RunConfig) -> str:
    """What learns, whichever reward it learns from."""
    algo = config.learner_config.algo if isinstance(config, ImitationConfig) else config.algo
    return "a clone" if isinstance(config, CloningConfig) else str(algo)
