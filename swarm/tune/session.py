"""One search from its start to its report: Ray, its Tuner, what follows it, and resuming after an interruption."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers import errors
from helpers.config.schema import Schema
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError, StorageError
from helpers.locks import take_lock
from helpers.trackers.mlflow.server import FILE_STORE, check_answers, tracking_uri
from swarm.tune.report.report import write_report
from swarm.tune.results import ResultFiles, read_results
from swarm.tune.table import Display, show, shown
from swarm.tune.task_file import DOCUMENT_NAMES, Search, accepts
from swarm.tune.trial.names import run_of, shown_number, trial_number

RAY, SEARCH_FILE, LOCK = "ray", "search.json", ".tuner.lock"
_ANSWER_SECONDS = 5.0
_STORE_BYTES = 80 * 2**20  # Ray's least is 75 MiB; what is kept there is small
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # results.py writes them, where they outlast Ray's session
    "TUNE_MAX_PENDING_TRIALS_PG": "16",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
}


def run(search: Search, schema: Schema, *, repository: Path) -> int:
    """Search to the end, or until something asks to stop; the same command resumes it.

    Raises:
        UserError: Ray is not there, its cluster does not answer, another tuner is at work on this search ...
    """
    check_ray(search)
    folder = search.folder
    uri = _mlflow_uri(search)
    if uri is not None and not search.settings.file_store:
        check_answers(uri)
    folder.mkdir(parents=True, exist_ok=True)
    with only_tuner(folder):
        keep(search)
        try:
            return _search(search, schema, repository=repository, uri=uri)
        except OSError as error:
            raise StorageError(
                f"{error.filename or folder} cannot be written: {error.strerror or error}.",
                "Free space there, then start the same command again: it continues.",
            ) from error


def check_ray(search: Search) -> None:
    """Refuse to begin without Ray, or without the cluster that is asked for.

    Raises:
        ConfigurationError: it is not there.
    """
    try:
        import ray.tune  # noqa: F401

        if search.settings.scheduler == "tpe":
            import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"{'Optuna' if error.name == 'optuna' else 'Ray'} is not installed.",
            "pip install -r requirements-tune.txt, or `make tune`, which does it.",
        ) from None
    address = search.settings.ray_address
    if address is None or address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"--ray_address={address} does not answer: {error}.",
            "Start it (ray start --head --port=6379), or leave the flag out: Ray then runs on this machine.",
        ) from None


def _mlflow_uri(search: Search) -> str | None:
    settings, folder = search.settings, search.folder
    if settings.mlflow:
        return tracking_uri()
    if not settings.test_local:
        return None
    if settings.file_store:
        os.environ[FILE_STORE] = "true"
        return (folder / "mlruns").as_uri()
    return f"sqlite:///{folder}/mlflow.db"


@contextmanager
def only_tuner(folder: Path) -> Iterator[None]:
    """One tuner a search.

    Raises:
        ConfigurationError: there is another.
    """
    lock = take_lock(folder / LOCK)
    if lock is None:
        raise ConfigurationError(
            f"Another tuner is at work on {folder}.",
            "Wait for it, or give this search another --name.",
        )
    with lock:
        yield


def keep(search: Search) -> None:
    """Keep what is searched, or refuse to resume with something else.

    Raises:
        ConfigurationError: the folder is of another search.
    """
    settings = search.settings
    of_search = (
        "scheduler",
        "num_samples",
        "metric",
        "mode",
        "search_seed",
        "num_workers",
        "smoke_test",
    )
    mine: dict[str, Any] = {key: getattr(settings, key) for key in of_search}
    mine |= {"iterations_per_report": settings.iterations_per_report, "algo": search.config.algo}
    mine["fixed"] = dict(search.space.fixed)
    mine["search"] = {each.name: {each.kind: list(each.values)} for each in search.space.dimensions}
    mine["constraints"] = [each.text for each in search.space.constraints]
    mine = json.loads(json.dumps(mine))
    path = search.folder / SEARCH_FILE
    if not path.exists():
        write_atomically(path, json.dumps(mine, indent=1) + "\n")
        return
    there = json.loads(path.read_text(encoding="utf-8"))
    for key in mine.keys() | there.keys():
        if mine.get(key) != there.get(key):
            raise ConfigurationError(
                f"{search.folder} is another search: {key} is {there.get(key)} there, {mine.get(key)} here.",
                "Give this one another --name, or the settings of that one.",
            )


def _search(search: Search, schema: Schema, *, repository: Path, uri: str | None) -> int:
    from swarm.tune.tuner import fit

    settings, folder = search.settings, search.folder

    def accepted(values: Mapping[str, Any]) -> str:
        return accepts(schema, values)

    display = Display(
        settings.progress,
        name=search.name,
        metric=settings.metric,
        better=settings.mode,
        steps=_steps(search),
        count=1 if settings.smoke_test else settings.num_samples,
    )
    for line in search.notes:
        display.say(line)
    continues = (folder / RAY / "tuner.pkl").exists()
    display.say(f"{'resumes' if continues else 'begins'}: {folder}")
    board = Board(search, display, _tree(search, uri, display.say))
    with ray_cluster(settings.ray_address, cores=settings.max_concurrent * settings.num_workers):
        whole = fit(search, board, accepted, repository=repository, continues=continues)
    board.close(finished=whole)
    show(folder, metric=settings.metric, mode=settings.mode)
    return _closing_words(search, uri, whole=whole)


def _steps(search: Search) -> int:
    """Of a trial, at most."""
    limit = search.stop.get("timesteps_total")
    return int(min(search.config.num_timesteps, limit or search.config.num_timesteps))


def _tree(search: Search, uri: str | None, say: Callable[[str], None]) -> Any:
    if uri is None:
        return None
    from swarm.tune.mlflow_tree import MlflowTree

    settings = search.settings
    params = {
        key: getattr(settings, key)
        for key in ("scheduler", "num_samples", "metric", "mode", "num_workers")
    }
    params |= {"algo": search.config.algo, "env": search.config.env_id}
    params |= {
        f"search.{each.name}": f"{each.kind} {list(each.values)}"
        for each in search.space.dimensions
    }
    experiment = settings.experiment_name or search.name
    tree = MlflowTree(
        uri,
        search.folder,
        name=search.name,
        experiment=experiment,
        params=params,
        say=say,
    )
    tree.start()
    return tree


def _closing_words(search: Search, uri: str | None, *, whole: bool) -> int:
    folder, settings = search.folder, search.settings
    files = write_report(folder, metric=settings.metric, mode=settings.mode, space=search.space)
    if whole and not files:
        raise ConfigurationError(
            f"No trial has a finite {settings.metric} in its last report.",
            f"See what they report: {folder}/results/trial_000/result.json; and {folder}/runs/output.log.",
        )
    for name, path in files.items():
        print(f"{name}: {path}")
    if uri is not None and settings.test_local:
        store = f"--backend-store-uri {shlex.quote(uri)}"
        allow = f"{FILE_STORE}=true " if settings.file_store else ""
        print(f"MLflow: {allow}mlflow ui {store}")
    failed = [each for each in read_results(folder) if each.state == "ERROR"]
    if failed:
        print(f"failed: {len(failed)} trials; their last words: {folder}/runs/output.log")
    if not whole:
        print("stopped before its end; the same command resumes it")
        return errors.STOPPED_EARLY
    if "best settings" in files:
        settings_file, run = (
            shlex.quote(str(files[f"best {each}"])) for each in ("settings", "run")
        )
        print(f"next: python main.py --config={settings_file}")
        print(f"      python main.py --task=eval --model_path={run} --iter_num=latest")
    return errors.DONE if len(failed) < len(read_results(folder)) else errors.BUG


@contextmanager
def ray_cluster(address: str | None, *, cores: int) -> Iterator[None]:
    """Ray, of its own on this machine or one that is there, as long as this lasts."""
    os.environ.update({key: each for key, each in _QUIET.items() if key not in os.environ})
    import ray

    own: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    temporary = None
    if address is None:
        temporary = tempfile.mkdtemp(
            prefix="ray-",
        )  # for this user alone; paths of sockets are short
        own |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
        own |= {"_temp_dir": temporary}
    logging.getLogger("ray.tune").setLevel(
        logging.CRITICAL,
    )  # the board reports deaths, one line each
    try:
        ray.init(address=address, **own)
        yield
    finally:
        ray.shutdown()
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


class Board:
    """What follows the trials of a search: their files, the table, MLflow."""

    def __init__(self, search: Search, display: Display, tree: Any) -> None:
        self.search, self.display, self.tree = search, display, tree
        self._files: dict[str, ResultFiles] = {}
        self._generations: dict[str, int] = {}
        for trial in read_results(search.folder) if tree is not None else ():  # of earlier sessions
            own = {
                "name": trial.run.name,
                "results": trial.folder,
                "run": trial.run,
                "config": trial.params,
            }
            tree.add(trial.trial_id, **own)
            tree.end(trial.trial_id, trial.state)

    def begin(self, trial_id: str, values: Mapping[str, Any]) -> ResultFiles:
        """A trial that begins, or is resumed."""
        if trial_id in self._files:
            return self._files[trial_id]
        folder, space = self.search.folder, self.search.space
        number = trial_number(folder, trial_id)
        seed, run = run_of(folder, trial_id, space.first_seed)
        settings = space.settings(space.settle(values)) | {"seed": seed}
        config = self.search.config.model_dump() | settings | document_params(settings, self.search)
        files = ResultFiles(folder, number, run, config, trial_id)
        self._files[trial_id] = files
        if self.tree is not None:
            self.tree.add(
                trial_id,
                name=run.name,
                results=files.folder,
                run=run,
                config=config,
            )
        return files

    def hear(self, trial_id: str, values: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        """A report."""
        files = self.begin(trial_id, values)
        files.add(report)
        generation = report.get("generation", 0)
        if generation > self._generations.setdefault(trial_id, generation):
            self._generations[trial_id] = generation
            self._tell_take_over(files)
        if self.display.is_due():
            self.display.update(read_results(self.search.folder))

    def _tell_take_over(self, files: ResultFiles) -> None:
        trials = {each.folder: each for each in read_results(self.search.folder)}
        taken = trials[files.folder].taken if files.folder in trials else []
        if taken:
            row = taken[-1]
            donor = shown_number(row["donor_folder"])
            was = row["before"]
            described = (
                f"{key} {shown(was[key])} -> {shown(each)}" for key, each in row["after"].items()
            )
            where = f"{files.folder.name} takes over trial_{donor} at iteration {row['iteration']}"
            self.display.say(f"{where}: {', '.join(described)}")

    def note(self, trial_id: str, values: Mapping[str, Any], state: str) -> None:
        """How a trial stands."""
        files = self.begin(trial_id, values)
        files.note(state)
        if state in ("TERMINATED", "ERROR"):
            files.close()
            if self.tree is not None:
                self.tree.end(trial_id, state)

    def tell_death(
        self,
        trial_id: str,
        values: Mapping[str, Any],
        error: str,
        *,
        is_last: bool = False,
    ) -> None:
        """A trial that died: the last line of why, and what comes of it."""
        files = self.begin(trial_id, values)
        lines = [line for line in error.splitlines() if line.strip()]
        why = (
            lines[-1].removeprefix("swarm.tune.trial.trainable.TrialError: ")
            if lines
            else "its actor died"
        )
        after = "given up" if is_last else "resumed from its last checkpoint"
        self.display.say(f"{files.folder.name}: {after}: {why}")

    def close(self, *, finished: bool) -> None:
        """The end of the search, or of this session."""
        self.display.close()
        for files in self._files.values():
            files.close()
        if self.tree is not None:
            self.tree.close(finished=finished)


def document_params(settings: Mapping[str, Any], search: Search) -> dict[str, Any]:
    """Parameters under the names of Plato's document, beside ours."""
    config = search.config.model_dump() | dict(settings)
    found = {name: config[keys[0]] for name, keys in DOCUMENT_NAMES.items() if keys[0] in config}
    workers = search.settings.num_workers
    return found | {
        "env": config["env_id"],
        "num_workers": workers,
        "num_cpus": workers,
        "num_gpus": 0,
    }
