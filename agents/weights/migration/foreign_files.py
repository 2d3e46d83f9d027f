"""Weights of other programs, read from their files without unpickling anything: tensors, text and nothing else.

Stable-Baselines3   a .zip with policy.pth (a state_dict) and data (JSON beside pickles, which stay unread)
rl_games            a .pth whose key "model" is a state_dict, its running moments among the weights
CleanRL             a .cleanrl_model: one state_dict, or several (cleanrl.py)
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agents.weights.migration import cleanrl
from agents.weights.migration.moments import Moments
from helpers.checkpoints.policy_files import read_torch_content
from helpers.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

RL_GAMES_EPSILON, RL_GAMES_CLIP = 1e-5, 5.0  # what it adds to a variance, and where it cuts
_LARGEST = 2**31  # bytes that a part of an archive may unpack to
_ALGORITHMS = {
    "stable_baselines3.common.policies": ("ppo",),
    "stable_baselines3.sac.policies": ("sac",),
    "stable_baselines3.td3.policies": ("td3", "ddpg"),
    "stable_baselines3.dqn.policies": ("dqn",),
}


@dataclass(frozen=True)
class Foreign:
    """What another program's file holds.

    Attributes:
        path: the file.
        program: who wrote it.
        weights: its networks' parameters by name.
        algorithms: which of ours it may be of; empty where it does not say.
        activation: between its layers, in lower case; None where it does not say.
        activation_is_said: on the command line, since the file does not say it.
        observations, values: their moments, where there are any.
        bounds: (center, half) of its actions (A,), where it holds them.
        temperature: SAC's, where it is there.
    """

    path: Path
    program: Literal["Stable-Baselines3", "rl_games", "CleanRL", "another program"]
    weights: Mapping[str, Tensor]
    algorithms: tuple[str, ...]
    activation: str | None = None
    observations: Moments | None = None
    values: Moments | None = None
    activation_is_said: bool = False
    temperature: float | None = None
    bounds: tuple[Tensor, Tensor] | None = None


def read_foreign(path: Path) -> Foreign:
    """The weights in a file of Stable-Baselines3 or rl_games.

    Raises:
        CheckpointError: it is missing, damaged, or neither.
    """
    if path.suffix in (".pkl", ".pickle"):
        raise CheckpointError(
            f"{path} is a pickle: of these, only a VecNormalize's numbers are read.",
            f"Give it beside the model: --migrate_from=model.zip --migrate_moments={path}",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "policy.pth" in names:
                return _stable_baselines(path, archive)
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path} is truncated, or no .zip of Stable-Baselines3, .pth of rl_games or {cleanrl.SUFFIX}.",
            "Download it again, or save it again with torch 1.6 or later.",
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror or error}.",
            f"Give a .zip of Stable-Baselines3, a .pth of rl_games or a {cleanrl.SUFFIX}.",
        ) from error
    if not any(name.endswith("data.pkl") for name in names):
        raise CheckpointError(
            f"{path} has no policy.pth: it is not a model of Stable-Baselines3.",
            "Give the .zip that model.save() wrote, or a .pth of rl_games.",
        )
    content = read_torch_content(path)
    parts = cleanrl.parts_of(content)
    return _rl_games(path, content) if parts is None else _cleanrl(path, parts)


# Stable-Baselines3


def _stable_baselines(path: Path, archive: zipfile.ZipFile) -> Foreign:
    stored = _json(path, archive)
    if stored.get("use_sde") is True:
        raise CheckpointError(
            f"{path} uses gSDE (use_sde=True), which is not supported.",
            "Train it with use_sde=False, or another algorithm.",
        )
    described = stored.get("policy_class")
    module = described.get("__module__", "") if isinstance(described, Mapping) else ""
    algorithms = _ALGORITHMS.get(module, ())
    temperature = None
    if "pytorch_variables.pth" in archive.namelist():
        variables = _tensors(path, archive, "pytorch_variables.pth")
        if "log_ent_coef" in variables:
            temperature = math.exp(float(variables["log_ent_coef"]))
        elif "ent_coef_tensor" in variables:
            temperature = float(variables["ent_coef_tensor"])
    weights = _tensors(path, archive, "policy.pth")
    if len(algorithms) > 1:  # TD3's policy class, with one critic or two
        algorithms = algorithms[:1] if "critic.qf1.0.weight" in weights else algorithms[1:]
    return Foreign(
        path=path,
        program="Stable-Baselines3",
        weights=weights,
        algorithms=algorithms,
        activation=_activation(stored, algorithms),
        temperature=temperature,
    )


def default_activation(algorithms: tuple[str, ...]) -> str:
    """Of Stable-Baselines3's policies and of CleanRL's scripts, as well as ours."""
    return "tanh" if algorithms == ("ppo",) else "relu"


def _activation(stored: Mapping[str, Any], algorithms: tuple[str, ...]) -> str | None:
    """The activation as text beside the pickle says it; the library's own where none is named."""
    arguments = stored.get("policy_kwargs", {})
    if not isinstance(arguments, Mapping):
        return None
    named = arguments.get("activation_fn")
    if named is None and algorithms:
        return default_activation(algorithms)
    match = re.fullmatch(r"<class 'torch\.nn\.modules\.activation\.(\w+)'>", str(named))
    return match[1].lower() if match else None


def _json(path: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    if "data" not in archive.namelist():
        return {}
    try:
        stored = json.loads(_part(path, archive, "data"))
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged: its part data is not JSON.",
            "Download the file again.",
        ) from error
    return stored if isinstance(stored, dict) else {}


def _part(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """A part of the archive, its checksum proven."""
    if archive.getinfo(name).file_size > _LARGEST:
        raise CheckpointError(
            f"{path} is not a policy: its part {name} is too large.",
            "Give another file.",
        )
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged: {name} in it ({error}).",
            "Download the file again.",
        ) from error


def _tensors(path: Path, archive: zipfile.ZipFile, name: str) -> dict[str, Tensor]:
    import torch

    refusal = torch.serialization.pickle.UnpicklingError
    content = _part(path, archive, name)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, AttributeError, TypeError, KeyError, EOFError, refusal) as error:
        raise CheckpointError(
            f"{path}: {name} in it contains more than tensors ({type(error).__name__}).",
            "Save the model again with a current Stable-Baselines3.",
        ) from error
    return _only_tensors(path, state)


def _only_tensors(path: Path, state: Any) -> dict[str, Tensor]:
    import torch

    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise CheckpointError(
            f"{path} has no state_dict of weights.",
            f"Give a .zip of Stable-Baselines3, a .pth of rl_games or a {cleanrl.SUFFIX}.",
        )
    return {str(name): tensor.detach() for name, tensor in state.items()}


# CleanRL


def _cleanrl(path: Path, parts: dict[str, Any]) -> Foreign:
    weights = _only_tensors(path, parts)
    algorithms = cleanrl.algorithms_of(weights)
    center, half = (weights.pop(f"actor.action_{name}", None) for name in ("bias", "scale"))
    if "actor_logstd" in weights:
        weights["actor_logstd"] = weights["actor_logstd"].flatten()  # (1, A)
    return Foreign(
        path=path,
        program="CleanRL",
        weights=weights,
        algorithms=algorithms,
        activation=default_activation(algorithms) if algorithms else None,
        bounds=None if center is None or half is None else (center.flatten(), half.flatten()),
    )


# rl_games


def _rl_games(path: Path, content: Any) -> Foreign:
    if not isinstance(content, Mapping) or "model" not in content:
        found = ", ".join(map(str, list(content)[:4])) if isinstance(content, Mapping) else "none"
        raise CheckpointError(
            f"{path} has no key 'model', so it is not a checkpoint of rl_games (keys: {found} ...).",
            'Save a state_dict that you trust as torch.save({"model": state_dict}, "weights.pth").',
        )
    weights = _only_tensors(path, content["model"])
    for key in ("running_mean_std", "value_mean_std"):  # where old versions had them
        for name, tensor in dict(content.get(key) or {}).items():
            weights[f"{key}.{name}"] = tensor
    observations, values = (
        _pop_moments(path, weights, prefix) for prefix in ("running_mean_std.", "value_mean_std.")
    )
    is_a2c = any(name.startswith("a2c_network.") for name in weights)
    return Foreign(
        path=path,
        program="rl_games" if is_a2c else "another program",
        weights=weights,
        algorithms=("ppo",) if is_a2c else (),
        observations=observations,
        values=values,
    )


def _pop_moments(path: Path, weights: dict[str, Tensor], prefix: str) -> Moments | None:
    """The moments of this name, taken out of the weights."""
    found = {name: weights.pop(name) for name in list(weights) if name.startswith(prefix)}
    if not found:
        return None
    wanted = [f"{prefix}{name}" for name in ("running_mean", "running_var", "count")]
    if sorted(found) != sorted(wanted):
        raise CheckpointError(
            f"{path} has other statistics than {', '.join(wanted)}: {', '.join(found)}.",
            "Only one vector of observations is supported, not a dictionary of them.",
        )
    mean, variance, count = (found[name].double().numpy() for name in wanted)
    if prefix.startswith("value"):
        mean, variance = mean.squeeze(), variance.squeeze()
    return Moments(mean, variance, float(count), RL_GAMES_EPSILON, RL_GAMES_CLIP)
