"""A policy package from a model registry service."""

from __future__ import annotations

from pathlib import Path

from registry.client import RegistryClient, RegistryError, VersionInfo
from registry.package import packed
from registry.service import endpoints


def fetch_package(uri: str, folder: Path) -> Path:
    """Write the package of grpc://HOST:PORT/NAME[/VERSION|@best|@last] into a folder, which is made.

    Raises:
        ConfigurationError: it is no such address.
        RegistryError: there is no such version, or the registry is away.
        CheckpointError: the version is no policy package.
    """
    address = endpoints.parse_model(uri)
    with RegistryClient(address.endpoint) as client:
        info = _version_of(client, address)
        return packed.unpack(client.get(info.model_id, info.number), folder)


def _version_of(client: RegistryClient, address: endpoints.ModelAddress) -> VersionInfo:
    if address.kind is None:
        try:
            return client.version(address.model_id, address.number)
        except RegistryError as error:
            there = list(client.versions(address.model_id)) if error.code == "NOT_FOUND" else []
            if address.number != -1 or not there:
                raise
            return there[-1]  # the newest number was evicted
    found = [
        each
        for each in client.versions(address.model_id)
        if each.archived and each.user_data.get("kind") == address.kind
    ]
    if not found:
        raise RegistryError(
            f"{address.model_id} has no version that is the {address.kind} of a training.",
            f"It comes when the training ends; until then: {address.endpoint}/{address.model_id}",
            "NOT_FOUND",
        )
    return found[-1]
