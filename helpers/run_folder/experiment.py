"""An experiment: its name, its folder, and the decision whether it begins or is resumed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.config.override import may_change
from helpers.config.run import RunConfig
from helpers.config.schema import dump_config, flag_of, former_names_of, identity_of
from helpers.config.settings import Scalar, settings_of, show
from helpers.config.yaml_files import read_yaml
from helpers.data_root import place
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError, StorageError, UserError
from helpers.run_folder import run_lock
from helpers.run_folder.capsule import capsule_of, describe_native_change, short_commit, start_of
from helpers.run_folder.changes import Start, changed_keys, changed_settings, record
from helpers.run_folder.discarding import discard
from helpers.seeding import Streams

if TYPE_CHECKING:
    from helpers.parallel.workers import Workers

CONFIG_FILE = "config.yaml"
CAPSULE_FILE = "capsule.json"
_NAME_VERSION = 1
_NUM_WORDS = 4
_LONGEST_ENV_ID = 100
_MOST_DIFFERENCES = 4
# what may lie in a folder before its run has begun: launch files, and what a failed start leaves
_NOT_A_RUN_YET = (
    "stop",
    CAPSULE_FILE,
    run_lock.LOCK_FILE,
    ".job_*",  # what `job_swarm.json` stands for where there are no hard links
    ".tmp-*",
    f".{run_lock.LOCK_FILE}.*",
    f".{CONFIG_FILE}.*",
    f".{CAPSULE_FILE}.*",
    "crash_worker_*.txt",
    "job*",
    "*.log",
    "*.out",
    "*.err",
)
_NOTHING = Start()
_ERRORS: Mapping[str, type[UserError]] = {
    kind.__name__: kind for kind in (ConfigurationError, StorageError)
}


def run_name(config: RunConfig) -> str:
    """`uuid` as it is, else `words.algo.gitSHA_1234567.env_id.seed02`.

    The words are drawn from a hash of the identity settings that are not at their default, so that
    the same settings have the same words for every seed and on every machine.
    """
    if config.uuid is not None:
        return config.uuid
    # one path component, whose only dots are those between segments
    env_id = re.sub(r"[^\w-]", "_", config.env_id, flags=re.ASCII)[:_LONGEST_ENV_ID]
    words = _words_of(config)
    return f"{words}.{config.algo}.gitSHA_{short_commit()}.{env_id}.seed{config.seed:02d}"


def group_of(name: str) -> str:
    """What the seeds of one experiment share: the name up to the segment that begins with "seed".

    Raises:
        ConfigurationError: there is no such segment, or nothing before it.
    """
    segments = name.split(".")
    places = [place for place, text in enumerate(segments) if place and text.startswith("seed")]
    if not places:
        raise ConfigurationError(
            f"The run name {name} has no part for its seed.",
            "Name it as in --uuid=some_name.seed02.",
        )
    return ".".join(segments[: places[-1]])


class ExperimentInitializer:
    """Opens a run folder, collectively: the root touches the disk, all workers learn the outcome.

    Attributes:
        config: the configuration; one without `checkpoint_interval` keeps that of the resumed run.
        name: of the run, and of its folder.
        group: the name without its seed.
        folder: holds `config.yaml` and `capsule.json` from now on.
        is_new: whether the folder held no run before; else the run is resumed.
        changed: settings in which its checkpoints differ, as it has changed them on its way.
        streams: every random number of the run.
        warnings: one line each, on every worker alike.
        choices: by name, the routes that this worker took before (helpers/machine/choices.py).
    """

    def __init__(
        self,
        config: RunConfig,
        workers: Workers,
        *,
        argv: Sequence[str] = (),
        name: str | None = None,
        start: Start = _NOTHING,
    ) -> None:
        """
        Args:
            config: what to run; its environment id is resolved already.
            workers: all of the run.
            argv: the command line, for the capsule.
            name: of the run; None: as the configuration has it.
            start: the files that it reads, and what it has overridden; the root's counts.

        Raises:
            ConfigurationError: the folder belongs to another configuration, or to something else, or the run was
                trained with other files.
            StorageError: it cannot be made or written.
        """
        name = name or run_name(config)
        outcome = None
        if workers.is_root:
            outcome = _open_as_json(config, name, start, world_size=workers.size, argv=argv)
        outcome = workers.broadcast_json(outcome)
        if "error" in outcome:
            kind = _ERRORS[outcome["error"]]
            raise kind(outcome["problem"], outcome["remedy"], detail=outcome["detail"])
        self.config = config.model_copy(update=outcome["kept"])
        self.name: str = outcome["name"]
        self.group = group_of(self.name)
        self.folder = Path(outcome["folder"])
        self.is_new: bool = outcome["is_new"]
        self._before = frozenset(outcome["before"])
        self.changed = frozenset(outcome["changed"])
        self.streams = Streams(config.seed)
        self.warnings: tuple[str, ...] = tuple(outcome["warnings"])
        self._workers = workers
        self._choices: list[dict[str, str]] = outcome["choices"]
        self.choices = dict(_of_worker(self._choices, workers.rank))

    def discard(self, even_begun: bool) -> bool:
        """Remove what this process made of a refused run, even one that has begun and learned nothing; whether so."""
        return self.is_new and discard(self.folder, but=self._before, even_begun=even_begun)

    def keep_choices(self, made: Mapping[str, str]) -> None:
        """Record in the capsule which routes each worker takes, so that a resume takes them again; collective."""
        found = self._workers.gather_json(dict(made))
        if found is None or found == self._choices or not any(found):
            return
        path = self.folder / CAPSULE_FILE
        try:
            capsule = json.loads(path.read_text(encoding="utf-8")) | {"choices": found}
            write_atomically(path, json.dumps(capsule, indent=1) + "\n")
        except (OSError, ValueError) as error:
            raise StorageError(
                f"{path} cannot be written: {error}.",
                "Free space or fix permissions there, or choose another --runs_dir.",
            ) from error
        self._choices = found


def choices_of(folder: Path, rank: int) -> dict[str, str]:
    """The routes that a worker of a run takes, by name (helpers/machine/choices.py); none where it recorded none."""
    try:
        capsule = json.loads((folder / CAPSULE_FILE).read_text(encoding="utf-8"))
        return dict(_of_worker(capsule.get("choices", []), rank))
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _of_worker(choices: Sequence[Mapping[str, str]], rank: int) -> Mapping[str, str]:
    return choices[rank] if rank < len(choices) else {}


def _open_as_json(
    config: RunConfig,
    name: str,
    brought: Start,
    *,
    world_size: int,
    argv: Sequence[str],
) -> dict[str, Any]:
    """The outcome as JSON values, so that an error of the root becomes one of every worker."""
    folder = place(config.runs_dir, config.data_root) / name
    try:
        before = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        group_of(name)
        start = start_of(argv=argv, world_size=world_size)
        kept = _saved_settings(config, folder)
        config = config.model_copy(update=kept)
        is_new, warnings = _open_folder(config, name, folder, start, brought)
    except UserError as error:
        return {
            "error": type(error).__name__,
            "problem": error.problem,
            "remedy": error.remedy,
            "detail": error.detail,
        }
    except OSError as error:
        return {
            "error": StorageError.__name__,
            "problem": f"The run folder {folder} cannot be written: {error.strerror or error}.",
            "remedy": "Free space or fix permissions there, or choose another --runs_dir.",
            "detail": "",
        }
    choices = [choices_of(folder, rank) for rank in range(world_size)]
    return {
        "name": name,
        "folder": str(folder),
        "is_new": is_new,
        "before": before,
        "warnings": warnings,
        "kept": kept,
        "choices": choices,
        "changed": sorted(changed_keys(folder)),
    }


def _saved_settings(config: RunConfig, folder: Path) -> dict[str, Scalar]:
    """What a resumed run keeps of its saved settings: it leaves the same files to its end."""
    key, path = "checkpoint_interval", folder / CONFIG_FILE
    if getattr(config, key) is not None or not path.exists():
        return {}
    try:
        saved = config.settings[key].read(read_yaml(path).values.get(key))
    except (ConfigurationError, ValueError) as error:
        raise _damage_error(path, error) from error
    return {key: saved}


def _open_folder(
    config: RunConfig,
    name: str,
    folder: Path,
    start: Mapping[str, Any],
    brought: Start,
) -> tuple[bool, list[str]]:
    """(is new, warnings); writes `config.yaml` and `capsule.json`, once nothing is refused any more."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(
            f"{folder} is a file with the name of the run folder.",
            "Choose another --uuid or --runs_dir, or move the file away.",
        )
    is_new = not (folder / CONFIG_FILE).exists()
    changed: dict[str, tuple[Scalar, Scalar]] = {}
    if not is_new:
        changed = _refuse_another(config, folder, brought.overridden)
    elif brought.overridden:
        raise ConfigurationError(
            f"--override={config.override} changes a resumed run, and there is none in {folder}.",
            f"Give the values themselves: {' '.join(f'--{each}' for each in (config.override or '').split(','))}.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    if is_new:
        _refuse_foreign(folder)
    run_lock.take(folder)
    try:
        capsule, warnings = _continue_capsule(folder, start)
        if is_new or capsule is None:
            capsule = capsule_of(name=name, group=group_of(name), start=start)
        accepts = config.accept_changes
        warnings += record(capsule, brought, changed, accepts=accepts, where=folder)
    except UserError:
        run_lock.release(folder)
        raise
    write_atomically(folder / CAPSULE_FILE, json.dumps(capsule, indent=1) + "\n")
    dump_config(
        config,
        folder / CONFIG_FILE,
    )  # last: what has changed is recorded before it is in force
    return is_new, [] if is_new else warnings


def _refuse_foreign(folder: Path) -> None:
    """A folder that somebody filled with something else is not written into."""
    entries = sorted(path.name for path in folder.iterdir())
    strangers = [
        entry for entry in entries if not any(fnmatch(entry, each) for each in _NOT_A_RUN_YET)
    ]
    if strangers:
        raise ConfigurationError(
            f"{folder} contains {strangers[0]} but no {CONFIG_FILE}: it is not a run folder.",
            "Choose another --uuid or --runs_dir, or move that folder away.",
        )


def _refuse_another(
    config: RunConfig,
    folder: Path,
    overridden: frozenset[str],
) -> dict[str, tuple[Scalar, Scalar]]:
    """A run is resumed only with the settings that identify it; (before, after) of those that may change."""
    here = identity_of(config)
    there = _saved_identity(config, folder / CONFIG_FILE)
    keys, why = changed_settings(config, there, here, overridden)
    if not keys:
        return {key: (there[key], here[key]) for key in there if there[key] != here[key]}
    differences = [f"{key} is {show(there[key])} there, {show(here[key])} here" for key in keys]
    more = f"; and {len(keys) - _MOST_DIFFERENCES} more" if len(keys) > _MOST_DIFFERENCES else ""
    old = " ".join(flag_of(key, there[key]) for key in keys)
    new = ",".join(f"{key}={show(here[key])}" for key in keys)
    change = (
        f" New values for the rest of the run: {old} --override='{new}'."
        if may_change(keys)
        else ""
    )
    raise ConfigurationError(
        f"{folder} belongs to another configuration: {'; '.join(differences[:_MOST_DIFFERENCES])}{more}.{why}",
        f"Choose another --uuid, or resume with the old settings: {old}.{change}",
    )


def _saved_identity(config: RunConfig, path: Path) -> dict[str, Scalar]:
    """The saved values of this configuration's identity; a key that is not there has its default.

    Of a run of another algorithm, only what every run has is compared.

    Raises:
        ConfigurationError: the file is damaged.
    """
    settings = config.settings
    try:
        former = former_names_of(config)
        values = {former.get(key, key): each for key, each in read_yaml(path).values.items()}
        keys = identity_of(config).keys() - {"algo"}
        algo = values.get("algo", config.algo)
        if algo != config.algo:
            keys &= settings_of(RunConfig).keys()
        saved = {key: settings[key].read(values.get(key, settings[key].default)) for key in keys}
    except (ConfigurationError, ValueError) as error:
        raise _damage_error(path, error) from error
    return {"algo": algo, **{key: saved[key] for key in settings if key in saved}}


def _damage_error(path: Path, error: Exception) -> ConfigurationError:
    detail = error.problem if isinstance(error, ConfigurationError) else f"{error}."
    return ConfigurationError(
        f"The {CONFIG_FILE} of an existing run is damaged: {path}: {detail}",
        "Restore it, or choose another --uuid.",
    )


def _continue_capsule(
    folder: Path,
    start: Mapping[str, Any],
) -> tuple[dict[str, Any] | None, list[str]]:
    """(the run's capsule with this start, warnings); None where there is no run to resume."""
    path = folder / CAPSULE_FILE
    try:
        capsule = json.loads(path.read_text(encoding="utf-8"))
        begun = capsule["starts"][0]
        was = (begun["commit"], begun["diff_sha256"])
        warnings = list(filter(None, [describe_native_change(capsule["starts"][-1])]))
        capsule["starts"].append(dict(start))
    except FileNotFoundError:
        return None, []
    except (ValueError, LookupError, TypeError, AttributeError):
        return None, [f"{path} was damaged and is written anew."]
    if was == (start["commit"], start["diff_sha256"]):
        return capsule, warnings
    change = f"commit {str(was[0])[:7]} -> {str(start['commit'])[:7]}"
    line = f"The code has changed since this run began ({change}, or uncommitted edits)."
    return capsule, [line, *warnings]


def native_change_since(folder: Path) -> str | None:
    """A line where this machine makes other native code than the one that a run was last on."""
    try:
        last = json.loads((folder / CAPSULE_FILE).read_text(encoding="utf-8"))["starts"][-1]
        return describe_native_change(last)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _words_of(config: RunConfig) -> str:
    """Four words, of 256 each, for the identity settings that are not at their default."""
    settings = config.settings
    chosen = {
        key: value
        for key, value in identity_of(config).items()
        if settings[key].identity and value != settings[key].default
    }
    text = json.dumps({"name_version": _NAME_VERSION, **chosen}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).digest()
    return "_".join(_words()[byte] for byte in digest[:_NUM_WORDS])


@cache
def _words() -> tuple[str, ...]:
    text = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
    return tuple(text.split())
