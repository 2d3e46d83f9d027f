"""The verbs of `python -m registry` that talk to a model registry service: models, versions, put, get, watch, rm.

python -m registry models --endpoint grpc://localhost:9002
python -m registry put walker data/runs/NAME/packages/iter_000100 --archived
python -m registry get walker policy/
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import DONE, ConfigurationError, StorageError

if TYPE_CHECKING:
    from registry.client import RegistryClient, VersionInfo

ENDPOINT_VARIABLE, DEFAULT = "MILOZERO_REGISTRY_ENDPOINT", "grpc://localhost:9002"
_BAR, _SECONDS = 24, 0.2
_HIDDEN = (
    "format",
    "env_id",
    "algorithm",
    "run",
    "policy_sha256",
    "checkpoint_sha256",
)  # --json has them
Adder = Callable[..., argparse.ArgumentParser]


def add_verbs(add: Adder) -> None:
    """Add the verbs to a command line; `add(name, help, *positional)` makes one."""
    name, number = (
        ("name", "of the model"),
        (
            "version",
            "its number; -1, the default, is the newest",
        ),
    )
    models = add("models", "models of a registry service")
    versions = add("versions", "versions of a model of a registry service", name)
    put = add("put", "send a version to a registry service", name)
    put.add_argument("file", metavar="FILE", help="a file, or the folder of a policy package")
    put.add_argument("--archived", action="store_true", help="keep it on the registry's disk")
    put.add_argument(
        "--user_data",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="kept with the version; more than one may be given",
    )
    get = add("get", "fetch a version from a registry service", name)
    get.add_argument("target", metavar="TARGET", help="a file; of a policy package, a folder")
    get.add_argument("--version", type=int, default=-1, metavar="NUMBER", help=number[1])
    watch = add("watch", "a line for each new version of a model, until Ctrl-C", name)
    remove = add("rm", "delete a model and all its versions from a registry service", name)
    remove.add_argument("--yes", action="store_true", help="do not ask")
    for each in (models, versions, put, get, watch, remove):
        each.add_argument(
            "--endpoint",
            metavar="ADDRESS",
            default=os.environ.get(ENDPOINT_VARIABLE, DEFAULT),
            help=f"grpc://HOST:PORT, grpcs:// with TLS, cogment://discover; else {ENDPOINT_VARIABLE}, else {DEFAULT}",
        )


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says; the exit code."""
    from registry.client import RegistryClient

    with RegistryClient(arguments.endpoint) as client:
        return VERBS[arguments.verb](client, arguments)


def _models(client: RegistryClient, arguments: argparse.Namespace) -> int:
    found = list(client.models())
    if arguments.json:
        print(json.dumps([vars(each) for each in found], indent=1))
        return DONE
    for each in found:
        facts = ", ".join(f"{name}={value}" for name, value in sorted(each.user_data.items()))
        print(f"{each.model_id}{f'  ({facts})' if facts else ''}")
    if not found:
        print("no model is there")
        print(f"next: python -m registry put NAME FILE {_endpoint(arguments)}".rstrip())
    else:
        print(
            f"next: python -m registry versions {shlex.quote(found[0].model_id)} {_endpoint(arguments)}".rstrip(),
        )
    return DONE


def _versions(client: RegistryClient, arguments: argparse.Namespace) -> int:
    found = list(client.versions(arguments.name))
    if arguments.json:
        print(json.dumps([vars(each) for each in found], indent=1))
        return DONE
    for each in found:
        print(_line(each))
    if not found:
        print(f"{arguments.name} has no version")
    else:
        print(
            f"next: python -m registry get {shlex.quote(arguments.name)} TARGET {_endpoint(arguments)}".rstrip(),
        )
    return DONE


def _put(client: RegistryClient, arguments: argparse.Namespace) -> int:
    from registry.client import RegistryError

    user_data = {}
    for each in arguments.user_data:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise ConfigurationError(
                f"--user_data {each!r} has no value.",
                "Give --user_data NAME=VALUE.",
            )
        user_data[key] = value
    path = Path(arguments.file).expanduser()
    data: bytes | Path = path
    if path.is_dir():
        from registry.package import contract, packed

        contract.read_contract(path)
        data, user_data = packed.pack(path), {"format": packed.KIND} | user_data
    try:
        client.model(arguments.name)
    except RegistryError as error:
        if error.code != "NOT_FOUND":
            raise
        client.put_model(arguments.name)
    with Bar("sent", quiet=arguments.json) as bar:
        info = client.put(
            arguments.name,
            data,
            archived=arguments.archived,
            user_data=user_data,
            progress=bar.show,
        )
    if arguments.json:
        print(json.dumps(vars(info), indent=1))
        return DONE
    print(_line(info))
    print(
        f"next: python -m registry get {shlex.quote(info.model_id)} TARGET {_endpoint(arguments)}".rstrip(),
    )
    return DONE


def _get(client: RegistryClient, arguments: argparse.Namespace) -> int:
    from registry.package import packed

    target = Path(arguments.target).expanduser()
    info = client.version(arguments.name, arguments.version)
    is_package = info.user_data.get("format") == packed.KIND and target.suffix != ".zip"
    if target.exists():
        raise ConfigurationError(
            f"{target} exists already.",
            "Give another target, or move it away.",
        )
    with Bar("received", quiet=arguments.json) as bar:
        if is_package:
            data = client.get(info.model_id, info.number, progress=bar.show)
        else:
            client.download(info.model_id, target, info.number, progress=bar.show)
    if is_package:
        try:
            packed.unpack(data, target)
        except OSError as error:
            raise StorageError(
                f"{target} cannot be written: {error.strerror}.",
                "Free space or fix permissions there, or give another target.",
            ) from error
    if arguments.json:
        print(json.dumps(vars(info) | {"path": str(target)}, indent=1))
        return DONE
    print(f"{_line(info)}\n{'package' if is_package else 'file'}: {target}")
    if is_package:
        program = f"from policy import load_policy; print(load_policy({str(target)!r}))"
        print(f"next: python -c {shlex.quote(program)}")
    return DONE


def _watch(client: RegistryClient, arguments: argparse.Namespace) -> int:
    for info in client.watch(arguments.name):
        print(json.dumps(vars(info)) if arguments.json else _line(info), flush=True)
    return DONE


def _remove(client: RegistryClient, arguments: argparse.Namespace) -> int:
    count = sum(1 for _ in client.versions(arguments.name))
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise ConfigurationError(
                f"{arguments.name} has {count} versions, and nobody is here to be asked.",
                "Give --yes to delete them.",
            )
        given = input(f"delete {arguments.name} and its {count} versions? Type its name: ")
        if given != arguments.name:
            print("nothing is deleted")
            return DONE
    client.delete_model(arguments.name)
    if arguments.json:
        print(json.dumps({"deleted": arguments.name, "versions": count}))
    else:
        print(f"deleted: {arguments.name}, {count} versions")
    return DONE


VERBS = {
    "models": _models,
    "versions": _versions,
    "put": _put,
    "get": _get,
    "watch": _watch,
    "rm": _remove,
}


class Bar:
    """How far a transfer is, on a terminal, where it takes long."""

    def __init__(self, verb: str, *, quiet: bool) -> None:
        self._verb, self._is_on = verb, not quiet and sys.stderr.isatty()
        self._started = self._shown = time.monotonic()
        self._has_line = False

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_line:
            print("\r" + " " * 78 + "\r", end="", file=sys.stderr, flush=True)

    def show(self, done: int, total: int) -> None:
        """`done` of `total` bytes."""
        now = time.monotonic()
        if not self._is_on or now - self._shown < _SECONDS:
            return
        self._shown = now
        speed = done / max(now - self._started, 1e-9)
        filled = int(_BAR * done / max(total, 1))
        left = (total - done) / max(speed, 1.0)
        text = f"{self._verb} [{'#' * filled}{'.' * (_BAR - filled)}] {size_of(done)} of {size_of(total)}"
        print(f"\r{text}, {left:.0f} s left ", end="", file=sys.stderr, flush=True)
        self._has_line = True


def size_of(count: float) -> str:
    """Bytes for a reader."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"


def _line(info: VersionInfo) -> str:
    when = f"{datetime.fromtimestamp(info.created / 1e9, UTC):%Y-%m-%d %H:%M:%S}"
    kind = "archived" if info.archived else "transient"
    facts = [f"{info.model_id} version {info.number}", when, size_of(info.size), kind]
    facts += [
        f"{name}={value}" for name, value in sorted(info.user_data.items()) if name not in _HIDDEN
    ]
    return "  ".join(facts)


def _endpoint(arguments: argparse.Namespace) -> str:
    """The flag, where it is needed."""
    default: Any = os.environ.get(ENDPOINT_VARIABLE, DEFAULT)
    return "" if arguments.endpoint == default else f"--endpoint {shlex.quote(arguments.endpoint)}"
