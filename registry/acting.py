"""Acting with a trained policy: from a run folder, a checkpoint, a policy package or a registry."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from helpers.checkpoints.manifests import SHARED, read_manifest
from helpers.checkpoints.resolve import resolve_checkpoint
from helpers.durable import UnprovenError
from helpers.errors import CheckpointError, ConfigurationError
from registry.package import contract
from registry.package.observation_parts import flatten_parts

Run = Callable[[Sequence[np.ndarray]], np.ndarray]
_URI = re.compile(r"[a-z][a-z0-9+.-]*:/.*")


class Policy:
    """Chooses actions for raw observations.

    Attributes:
        observation_size: numbers of an observation.
        parts: of an observation, where the environment gives it in parts or in another form than a vector.
        dtype: that it computes in.
        deterministic: whether it takes the most probable action, or samples.
        contract: of its package; None where it comes from a run folder.
        source: where it comes from.
    """

    def __init__(
        self,
        run: Run,
        *,
        observation_size: int,
        dtype: str,
        noise: tuple[str, int] | None,
        parts: Sequence[Mapping[str, Any]] | None = None,
        action_shape: Sequence[int] | None = None,
        contract: dict[str, Any] | None,
        source: str,
        seed: int,
    ) -> None:
        self._run, self._noise, self.parts = run, noise, parts
        self._action_shape = None if action_shape is None else tuple(action_shape)
        self.observation_size, self.dtype = observation_size, np.dtype(dtype)
        self.deterministic = noise is None
        self.contract, self.source = contract, source
        self._generator = np.random.default_rng(seed)

    def __call__(self, observation: Any) -> Any:
        """The action (A,), or an int, for one observation (obs_dim,); actions (B, A) or (B,) for (B, obs_dim).

        An observation in parts is taken as the environment gives it: a dictionary, a tuple, an array of its shape, or
        a batch of each part. Actions have the environment's shape.

        Raises:
            ValueError: the observation is of another length, or a part is missing or of another shape.
        """
        given = self._vectors(observation)
        if given.ndim not in (1, 2) or given.shape[-1] != self.observation_size:
            size = self.observation_size
            raise ValueError(f"observation {given.shape}, expected ({size},) or (batch, {size})")
        batch = np.ascontiguousarray(given[None] if given.ndim == 1 else given)
        inputs = [batch]
        if self._noise is not None:
            kind, size = self._noise
            noise = contract.draw_noise(kind, (len(batch), size), self._generator)
            inputs.append(noise.astype(self.dtype))
        actions = self._run(inputs)
        if self._action_shape is not None:
            actions = actions.reshape(len(actions), *self._action_shape)
        if given.ndim == 2:
            return actions
        return int(actions[0]) if actions.ndim == 1 else actions[0]

    def _vectors(self, observation: Any) -> np.ndarray:
        """(obs_dim,) or (B, obs_dim) as the networks take them."""
        if self.parts is None:
            return np.asarray(observation, dtype=self.dtype)
        shape = np.shape(observation) if isinstance(observation, np.ndarray) else ()
        is_own = len(self.parts) == 1 and shape == tuple(self.parts[0]["shape"])
        if shape[-1:] == (self.observation_size,) and not is_own:
            return np.asarray(observation, dtype=self.dtype)  # vectors already
        return flatten_parts(self.parts, observation, self.dtype)

    def __repr__(self) -> str:
        kind = "deterministic" if self.deterministic else "sampled"
        return f"Policy({self.source!r}, {self.observation_size} numbers, {kind} actions)"


def load_policy(
    source: str | Path,
    *,
    iter_num: str = "best",
    deterministic: bool = True,
    seed: int = 0,
    backend: str = "onnxruntime",
) -> Policy:
    """A trained policy, without MPI, simulator and trackers.

    Args:
        source: a run folder, its checkpoints folder, one checkpoint, a policy package, or a model in MLflow:
            "models:/name@alias", "models:/name/3", read from MLFLOW_TRACKING_URI; or one of a registry service:
            "grpc://host:port/name", the newest version, ".../name/3", ".../name@best".
        iter_num: of a run folder: best, latest or an iteration.
        deterministic: of a run folder: the most probable action, or a sample. A package does as it was exported.
        seed: of sampled actions.
        backend: of a package: "onnxruntime", or "torch", which reads policy.safetensors and architecture.json.

    Raises:
        ConfigurationError, CheckpointError: there is no such policy, or it was altered.
    """
    text = str(source)
    if _URI.fullmatch(text) and not Path(text).exists():
        return _from_registry(text, seed=seed, backend=backend)
    path = Path(source).expanduser()
    if (path / contract.CONTRACT).exists():
        return _from_package(path, source=text, seed=seed, backend=backend)
    checkpoint = resolve_checkpoint(path, iter_num)
    exported = _exported(checkpoint) if deterministic else None
    if exported is not None:  # the same actions, without torch
        return _from_package(exported, source=text, seed=seed, backend=backend)
    return _from_run(checkpoint, text, deterministic=deterministic, seed=seed)


def _exported(checkpoint: Path) -> Path | None:
    """The package that --task=export has written of a checkpoint, beside its run; None where there is none."""
    package = checkpoint.resolve().parent.parent / contract.PACKAGES / checkpoint.resolve().name
    if not (package / contract.CONTRACT).exists():
        return None
    try:
        mine = read_manifest(checkpoint)["files"][SHARED]["sha256"]
        fields = contract.read_contract(package)
    except (UnprovenError, CheckpointError, KeyError):
        return None  # the checkpoint itself is asked, which says what is wrong with it
    return package if fields["policy"]["sha256"] == mine and fields["noise"] is None else None


def _from_package(path: Path, *, source: str, seed: int, backend: str) -> Policy:
    fields = contract.read_contract(path)
    if backend not in ("onnxruntime", "torch"):
        raise ConfigurationError(
            f"backend={backend!r} is not known.",
            'Give backend="onnxruntime" or backend="torch".',
        )
    noise = fields["noise"]
    return Policy(
        _onnx_of(path) if backend == "onnxruntime" else _torch_of(path),
        observation_size=fields["observation"]["shape"][0],
        dtype=fields["observation"]["dtype"],
        noise=noise and (noise["distribution"], noise["shape"][0]),
        parts=fields["observation"].get("parts"),
        action_shape=fields["action"].get("shape_of_environment"),
        contract=fields,
        source=source,
        seed=seed,
    )


def _onnx_of(path: Path) -> Run:
    from registry.package.onnx_file import OnnxModel

    return OnnxModel(path / contract.POLICY)


def _torch_of(path: Path) -> Run:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from agents.weights.architecture import Architecture, Network

    file = path / contract.ARCHITECTURE
    try:
        tensors = load_file(path / contract.WEIGHTS)
        layers = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.", contract.AGAIN) from error
    return _runner(Network(Architecture.from_json(layers, tensors, source=str(file))))


def _runner(network: Any) -> Run:
    import torch

    def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            result: np.ndarray = network(*map(torch.from_numpy, inputs)).numpy()
        return result

    return run


def _from_run(checkpoint: Path, source: str, *, deterministic: bool, seed: int) -> Policy:
    from agents.weights.architecture import NOISE, Network
    from agents.weights.describe import describe
    from agents.weights.load import load_policy_model
    from environments.sizes import own_action_shape, spaces_of

    of_environment: dict[str, Any] = {}

    def space_of(env_id: str, options: Mapping[str, Any]) -> Any:
        spaces = spaces_of(env_id, options)
        if spaces is None:
            return None
        of_environment["parts"] = getattr(spaces[0], "parts", None)
        of_environment["action_shape"] = own_action_shape(env_id, options)
        return spaces[1]

    model, size, bounds = load_policy_model(checkpoint, space_of=space_of)
    layers = describe(model, observations=size, bounds=bounds, sampled=not deterministic)
    return Policy(
        _runner(Network(layers)),
        observation_size=size,
        dtype=layers.dtype,
        noise=(layers.noise, layers.sizes[NOISE]) if layers.noise else None,
        **of_environment,
        contract=None,
        source=source,
        seed=seed,
    )


def _from_registry(uri: str, *, seed: int, backend: str) -> Policy:
    with tempfile.TemporaryDirectory() as folder:
        if uri.startswith("models:/"):
            from registry.model_manager import MlflowModelManager

            package = MlflowModelManager().download_uri(uri, Path(folder))
        elif uri.startswith(("grpc://", "grpcs://")):
            from registry.package.fetched import fetch_package

            package = fetch_package(uri, Path(folder) / "package")
        else:
            raise ConfigurationError(
                f"{uri} is no address of a policy.",
                "Give a folder, a model in MLflow (models:/NAME@ALIAS) or one of a registry (grpc://HOST:PORT/NAME).",
            )
        return _from_package(package, source=uri, seed=seed, backend=backend)
