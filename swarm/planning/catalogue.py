"""Bundles of environments and calibers of clusters: data in YAML, ours under the user's own.

`tasks/bundles.yaml` and `tasks/calibers.yaml` are ours. Over them goes what
`~/.config/milozero/bundles.yaml` and `calibers.yaml` say, and over these the file of
`--bundles_file` or `--calibers_file`, entry by entry.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.config.run_basics import DURATION_PATTERN, seconds_of
from helpers.config.settings import Settings, setting, settings_of
from helpers.config.vocabulary import brief
from helpers.config.yaml_files import read_yaml
from helpers.errors import ConfigurationError
from swarm.backends.base import Backend
from swarm.flags.declared import validate
from swarm.plan import Caliber

Layer = Mapping[str, Any]  # what one file says of one caliber
Bundles = Mapping[str, Mapping[str, tuple[str, ...]]]  # environment ids by benchmark and bundle

DEFAULT_CLUSTER = "default_cluster"
FOR_ALL = "all"  # the entry of a cluster whose values hold for each of its calibers
_CONSTRAINT = r"""[!#-&(-\[\]-~]+"""  # printable, without spaces, quotes and backslashes


class CaliberSettings(Settings):
    """One caliber of a cluster, as `calibers.yaml` declares it."""

    time: str | None = setting(
        None,
        "the longest time of one start of a run; unset is no limit",
        group="caliber",
        form="d-HH:MM:SS, HH:MM:SS, MM:SS or seconds, more than 0",
        pattern=rf"(?=.*[1-9])({DURATION_PATTERN})",
        example="0-06:00:00",
    )
    memory: str | None = setting(
        None,
        "memory of each node",
        group="caliber",
        form="a number and K, M, G or T",
        pattern=r"\d+[KMGT]?",
        example="16G",
    )
    cpu_partition: str | None = setting(
        None,
        "partitions to wait for, without --gpu",
        group="caliber",
        form="names between commas",
        pattern=r"[\w.+,-]+",
        example="shared-cpu",
    )
    gpu_partition: str | None = setting(
        None,
        "partitions to wait for, with --gpu",
        group="caliber",
        form="names between commas",
        pattern=r"[\w.+,-]+",
        example="shared-gpu",
    )
    cpu_constraint: str | None = setting(
        None,
        "features of a node, without --gpu",
        group="caliber",
        form="a constraint as your cluster writes it, without spaces and quotes",
        pattern=_CONSTRAINT,
        example="V5|V6",
    )
    gpu_constraint: str | None = setting(
        None,
        "features of a node, with --gpu",
        group="caliber",
        form="a constraint as your cluster writes it, without spaces and quotes",
        pattern=_CONSTRAINT,
        example="COMPUTE_CAPABILITY_8_0",
    )
    gpu_gres: str | None = setting(
        "gpu:1",
        "what --gpu asks for; null is nothing, where the options do",
        group="caliber",
        form="gpu:NUMBER, or another resource of your cluster",
        pattern=r"[\w:.,-]+",
    )
    modules: str | None = setting(
        None,
        "modules to load, in this order",
        group="caliber",
        form="names between spaces",
        pattern=r"[\w.+/:-]+( +[\w.+/:-]+)*",
        example="GCC/13.3.0 OpenMPI/5.0.3",
    )
    setup: str | None = setting(
        None,
        "shell lines that each job runs before the program, after the modules",
        group="caliber",
        form="lines as in a job script of your cluster",
        pattern=r"[^\x00]*\S[^\x00]*",
        example="source /opt/site/profile.sh",
    )
    options: str | None = setting(
        None,
        "further options of a job; those of all layers add up, later ones win one by one, null takes all away",
        group="caliber",
        form="options as in a shell, of printable characters: --account=lab --qos=normal",
        pattern=r"-[!-~][ -~]*",
        example="--account=lab",
    )


def user_file(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Where a user keeps bundles or calibers of their own."""
    home = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "milozero" / name


def sources(name: str, given: str | None, *, shipped: Path) -> list[Path]:
    """The files to read, later ones over earlier ones.

    Args:
        name: "bundles.yaml" or "calibers.yaml".
        given: the file of the flag.
        shipped: the folder of ours.
    """
    own = user_file(name)
    return [
        shipped / name,
        *([own] if own.exists() else []),
        *([Path(given).expanduser()] if given is not None else []),
    ]


def read_bundles(paths: Iterable[Path]) -> Bundles:
    """All bundles of some files.

    Raises:
        ConfigurationError: a file cannot be read, or is not `benchmark: {bundle: [ids]}`.
    """
    bundles: dict[str, dict[str, tuple[str, ...]]] = {}
    for path in paths:
        for benchmark, entries in read_yaml(path).values.items():
            for name, env_ids in _mapping(path, benchmark, entries).items():
                if not _is_list_of_texts(env_ids):
                    raise ConfigurationError(
                        f"{path}: {brief(benchmark)}/{brief(name)} is not a list of environments.",
                        f"Write it as {name}: [Hopper-v5, Walker2d-v5].",
                    )
                bundles.setdefault(benchmark, {})[name] = tuple(env_ids)
    return bundles


def find_bundle(name: str, bundles: Bundles, *, benchmark: str) -> tuple[str, tuple[str, ...]]:
    """("benchmark/bundle", environment ids) of what a user calls a bundle.

    `dmc/debug` says all. A bare name is the bundle of the benchmark that the configured environment
    belongs to; where that benchmark has none of the name, it is the only other one that has.

    Args:
        name: as in --env_bundle.
        bundles: all there are.
        benchmark: of the configured environment, as `environments.ids.benchmark_of` names it.

    Raises:
        ConfigurationError: there is no such bundle, or there are several.
    """
    chosen, slash, bare = name.rpartition("/")
    if slash:
        found = [chosen] if bare in bundles.get(chosen, {}) else []
    else:
        having = [each for each in bundles if bare in bundles[each]]
        found = [benchmark] if benchmark in having else having
    if len(found) == 1:
        return f"{found[0]}/{bare}", bundles[found[0]][bare]
    if found:
        choices = " or ".join(f"--env_bundle={each}/{bare}" for each in found)
        raise ConfigurationError(
            f"Several benchmarks have a bundle {brief(bare)}.",
            f"Write {choices}.",
        )
    every = [f"{each}/{bundle}" for each in bundles for bundle in bundles[each]]
    raise ConfigurationError(
        f"There is no bundle {brief(name)}.",
        f"{_near(name, every)}There are {', '.join(every)}; docs/spawner.md describes how to add yours.",
    )


def find_caliber(
    name: str,
    paths: Iterable[Path],
    backend: Backend,
    *,
    cluster: str | None,
    gpu: bool,
) -> Caliber:
    """A caliber of a cluster.

    Args:
        name: as in --caliber.
        paths: of the files to read, later ones over earlier ones.
        backend: reads the options.
        cluster: whose calibers; the files' `default_cluster` if None.
        gpu: whether a GPU is asked for.

    Raises:
        ConfigurationError: no such cluster or caliber, or a file that cannot be read.
    """
    clusters, default = _read_clusters(paths)
    cluster = cluster or default
    if cluster not in clusters:
        raise ConfigurationError(
            f"There is no cluster {brief(cluster)} among the calibers.",
            f"Choose one of {', '.join(clusters)}; docs/cluster.md describes how to add yours.",
        )
    entries = clusters[cluster]
    names = [each for each in entries if each != FOR_ALL]
    if name not in names:
        raise ConfigurationError(
            f"The cluster {brief(cluster)} has no caliber {brief(name)}.",
            f"{_near(name, names)}Choose one of {', '.join(names)}.",
        )
    layers = [*entries.get(FOR_ALL, []), *entries[name]]
    return _caliber(name, layers, cluster, backend, gpu=gpu)


def _read_clusters(paths: Iterable[Path]) -> tuple[dict[str, dict[str, list[Layer]]], str]:
    """(of each cluster and caliber what the files say, in their order; the default cluster)."""
    clusters: dict[str, dict[str, list[Layer]]] = {}
    default = ""
    for path in paths:
        for cluster, entries in read_yaml(path).values.items():
            if cluster == DEFAULT_CLUSTER:
                default = str(entries)
                continue
            for name, values in _mapping(path, cluster, entries).items():
                where = f"{cluster}: {name}"
                for key in _mapping(path, where, values):
                    _refuse_unknown(path, where, key)
                clusters.setdefault(cluster, {}).setdefault(name, []).append(values)
    return clusters, default


def _refuse_unknown(path: Path, where: str, key: str) -> None:
    known = settings_of(CaliberSettings)
    if key not in known:
        raise ConfigurationError(
            f"{path}: {brief(where)} has the unknown key {brief(key)}.",
            f"{_near(key, list(known))}Keys of a caliber: {', '.join(known)}.",
        )


def _caliber(
    name: str,
    layers: Sequence[Layer],
    cluster: str,
    backend: Backend,
    *,
    gpu: bool,
) -> Caliber:
    values = {key: value for layer in layers for key, value in layer.items()}
    given = [layer["options"] for layer in layers if "options" in layer]

    def read_as(values: Mapping[str, Any]) -> CaliberSettings:
        where = f"(caliber {name} of the cluster {cluster})"
        return validate(CaliberSettings, values, shown=lambda key: f"{key}: {values[key]} {where}")

    for each in given:
        read_as({"options": each})
    read = read_as(values)
    options = backend.options(given, where=f"caliber {name} of {cluster}")
    return Caliber(
        name=name,
        seconds=None if read.time is None else seconds_of(read.time),
        partition=read.gpu_partition if gpu else read.cpu_partition,
        memory=read.memory,
        constraint=read.gpu_constraint if gpu else read.cpu_constraint,
        gres=read.gpu_gres if gpu else None,
        modules=tuple((read.modules or "").split()),
        options=options,
        setup=(read.setup or "").strip(),
    )


def _mapping(path: Path, key: str, value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ConfigurationError(
        f"{path}: {brief(key)} is not a mapping of names.",
        "Write it like tasks/bundles.yaml and tasks/calibers.yaml.",
    )


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _near(name: str, known: Sequence[str]) -> str:
    bare = {re.sub(r".*/", "", each): each for each in known}
    near = difflib.get_close_matches(name, [*known, *bare], n=1)
    return f"Did you mean {bare.get(near[0], near[0])}? " if near else ""
