"""--task=eval --follow=grpc://HOST:PORT/NAME: each new version of a policy is evaluated when it comes."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from environments.factory import make_vector_env
from helpers.episodes import run_episodes, summary
from helpers.errors import DONE, CheckpointError, ConfigurationError
from helpers.seeding import Streams
from registry.acting import Policy, load_policy
from registry.client import RegistryClient, RegistryError, VersionInfo
from registry.package import packed
from registry.service import endpoints


class Acting:
    """A policy as `run_episodes` asks it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Actions (N, ...) for raw observations (N, obs_dim)."""
        return self._policy(observations), {}


def follow(config: Any, say: Callable[[str], None]) -> int:
    """Evaluate each version, the newest first, until the training has archived its last policy; the exit code.

    Args:
        config: `follow`, `num_trajs` and `seed` are read.
        say: prints a line.

    Raises:
        ConfigurationError: the address is none, or a version is no policy package.
        RegistryError: the registry is away.
    """
    address = endpoints.parse_model(config.follow)
    streams = Streams(config.seed)
    seeds = [streams.integer("trajectories", i) for i in range(config.num_trajs)]
    environment, env_id, count = None, "", 0
    with RegistryClient(address.endpoint, patience=60.0) as client:
        say(f"following {config.follow}; Ctrl-C ends it")
        _await_model(client, address.model_id, say)
        for info in client.watch(address.model_id):
            try:
                if client.version(address.model_id).number > info.number:
                    continue  # a newer one is on its way
                policy = _policy_of(client, info)
            except RegistryError as error:
                if error.code != "NOT_FOUND":
                    raise
                continue  # it was evicted
            fields = policy.contract or {}
            if environment is None or fields["environment"]["id"] != env_id:
                env_id = fields["environment"]["id"]
                environment = make_vector_env(
                    env_id,
                    seeds=seeds,
                    options=fields["environment"].get("options"),
                )
            episodes = run_episodes(environment, Acting(policy), seeds=seeds)
            figures = summary([e.return_ for e in episodes], [e.length for e in episodes])
            count += 1
            say(_line(info, fields, figures))
            if info.user_data.get("kind") == "last":
                say(f"{count} versions were evaluated: the training has ended")
                say(
                    f"next: python -m registry versions {shlex.quote(info.model_id)} --endpoint {address.endpoint}",
                )
                return DONE
    return DONE


def _await_model(client: RegistryClient, model_id: str, say: Callable[[str], None]) -> None:
    """Return when the model is there: a training makes it with its first version."""
    is_told = False
    while True:
        try:
            client.model(model_id)
        except RegistryError as error:
            if error.code != "NOT_FOUND":
                raise
        else:
            return
        if not is_told:
            say(f"waiting for {model_id}, which is not there yet")
        is_told = True
        time.sleep(1.0)


def _policy_of(client: RegistryClient, info: VersionInfo) -> Policy:
    if info.user_data.get("format") != packed.KIND:
        raise ConfigurationError(
            f"{info.model_id} version {info.number} is no policy package.",
            "Follow a model that a training publishes: --registry_endpoint.",
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = packed.unpack(client.get(info.model_id, info.number), Path(scratch) / "package")
        try:
            return load_policy(folder)
        except CheckpointError as error:
            raise CheckpointError(
                f"{info.model_id} version {info.number}: {error.problem}",
                error.remedy,
            ) from error


def _line(info: VersionInfo, fields: Mapping[str, Any], figures: Mapping[str, float]) -> str:
    policy = fields["policy"]
    kind = "" if info.user_data.get("kind") == "training" else f" ({info.user_data.get('kind')})"
    return (
        f"version {info.number}{kind}: iteration {policy['iteration']}, {policy['step']:,} {policy['step_unit']}, "
        f"return {figures['return_mean']:,.2f} +- {figures['return_sd']:,.2f}, {figures['episodes']} episodes"
    )
