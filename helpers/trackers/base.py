"""The trackers of a run behind one object; workers other than the root hold one that does nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from helpers.config.run import RunConfig
from helpers.errors import ConfigurationError
from helpers.trackers.experiment_folder import event_file, experiment_folder
from helpers.trackers.jsonl import MetricsLog, Row


class Tracker(Protocol):
    """Something beside metrics.jsonl that shows a run. It may fail; the run does not."""

    name: str

    def log(self, row: Row) -> None:
        """Show a row: "iteration", "step" (global environment steps) and the metrics."""

    def upload(self, run_folder: Path, files: Sequence[str]) -> None:
        """Keep these files and folders of the run folder, where the tracker keeps files."""

    def close(self, exit_code: int) -> None:
        """Say how the run ended (an exit code of `helpers.errors`) and let go."""


@dataclass(frozen=True)
class Session:
    """A start of a run, as its trackers see it.

    Attributes:
        run_folder: where trackers keep their files.
        run_name: the run's name.
        group: the name without the seed.
        resume_step: the global environment step that the run continues from; None for a fresh run.
        print: prints a line for the user.
    """

    run_folder: Path
    run_name: str
    group: str
    resume_step: int | None
    print: Callable[[str], None]


# What makes each tracker: a function (RunConfig, Session) -> Tracker, or None where the configuration asks for none.
TRACKERS: Mapping[str, str] = {
    "tensorboard": "helpers.trackers.tensorboard.make_tracker",
    "tensorboard of --experiment_directory": "helpers.trackers.tensorboard.make_table",
    "wandb": "helpers.trackers.wandb.tracker.make_tracker",
    "mlflow": "helpers.trackers.mlflow.tracker.make_tracker",
}


@runtime_checkable
class TakesScalars(Tracker, Protocol):
    """A tracker that also takes skrl's metrics."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Show values by their tags at a global environment step."""


class Trackers:
    """Metrics to metrics.jsonl first, then to every tracker that still works.

    Args:
        metrics: the run's truth; None on workers other than the root.
        others: further trackers. One that fails is dropped with one line.
        table: the one of these that takes skrl's metrics, if any.
        print: prints a line for the user.
    """

    def __init__(
        self,
        metrics: MetricsLog | None = None,
        others: Sequence[Tracker] = (),
        *,
        table: TakesScalars | None = None,
        print: Callable[[str], None] = print,
    ) -> None:
        self._metrics = metrics
        self._others = list(others)
        self._table = table
        self._print = print

    @property
    def elapsed(self) -> float:
        """Seconds that earlier sessions of the run took, by its last row; 0 where nobody writes."""
        row = self._metrics.last_row if self._metrics is not None else None
        return float((row or {}).get("time/elapsed", 0.0))

    def log(self, row: Row) -> None:
        """Record a row.

        Raises:
            StorageError: metrics.jsonl cannot be written.
        """
        if self._metrics is not None:
            self._metrics.log(row)
            self._each(lambda tracker: tracker.log(row))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Show values by their tags at a global environment step, beside the rows."""
        if self._table is not None and self._table in self._others:
            table = self._table
            self._each(lambda tracker: table.scalars(values, step) if tracker is table else None)

    def sync(self) -> None:
        """Force metrics.jsonl to the disk: before a checkpoint is committed.

        Raises:
            StorageError: the disk is full or gone.
        """
        if self._metrics is not None:
            self._metrics.sync()

    def upload(self, run_folder: Path, files: Sequence[str]) -> None:
        """Store files with the run: at its end or stop, "checkpoints/best" and "config.yaml"."""
        self._each(lambda tracker: tracker.upload(run_folder, files))

    def close(self, exit_code: int) -> None:
        """Finish every tracker; a silent network delays this by 5 s at most."""
        self._each(lambda tracker: tracker.close(exit_code))
        self._others.clear()
        if self._metrics is not None:
            self._metrics.close()

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for tracker in tuple(self._others):
            if not run_guarded(tracker.name, lambda: action(tracker), self._print):  # noqa: B023
                self._others.remove(tracker)


def run_guarded(name: str, action: Callable[[], object], print: Callable[[str], None]) -> bool:
    """Do something with a tracker; where it fails, whatever the reason, say so and return False.

    The one broad except of the project: a tracker runs foreign code, and none of its failures,
    foreseen or not, is worth a training run. metrics.jsonl is never behind it.
    """
    try:
        action()
    except Exception as error:  # noqa: BLE001
        print(f"{name}: {error or type(error).__name__}; the run continues without it")
        return False
    return True


def make_trackers(
    config: RunConfig,
    run_folder: Path,
    *,
    is_root: bool,
    resume_after: int | None,
    run_name: str,
    group: str,
    print: Callable[[str], None] = print,
) -> Trackers:
    """The trackers that the configuration asks for; on workers other than the root, none.

    Args:
        config: the run's configuration.
        run_folder: where metrics.jsonl and the trackers' files go.
        is_root: whether this worker writes.
        resume_after: the iteration of the checkpoint that the run continues from; None when fresh.
        run_name: the run's name.
        group: the name without the seed.
        print: prints a line for the user.

    Raises:
        StorageError: metrics.jsonl cannot be written.
        ConfigurationError: the experiment's folder is another run's.
    """
    if not is_root:
        return Trackers()
    metrics = MetricsLog(run_folder / "metrics.jsonl", resume_after=resume_after)
    step = None if resume_after is None else int((metrics.last_row or {}).get("step", 0))
    session = Session(run_folder, run_name, group, step, print)
    check_experiment(config, session)
    others: list[Tracker] = []

    def make(path: str) -> None:
        module, _, function = path.rpartition(".")
        tracker = getattr(import_module(module), function)(config, session)
        others.extend([tracker] if tracker is not None else [])

    for name, path in TRACKERS.items():
        run_guarded(name, partial(make, path), print)
    tables = [each for each in others if isinstance(each, TakesScalars)]
    return Trackers(metrics, others, table=tables[-1] if tables else None, print=print)


def check_experiment(config: RunConfig, session: Session) -> None:
    """Refuse an experiment's folder that holds another run's event file: TensorBoard would draw them as one.

    Raises:
        ConfigurationError: there is one.
    """
    folder = experiment_folder(config, session.run_folder)
    for path in sorted(folder.glob("*tfevents*")) if folder is not None else ():
        if path.name != event_file(session.run_name):
            raise ConfigurationError(
                f"{folder} contains {path.name} of another run.",
                "Choose another --experiment_name or --experiment_directory, or move that folder away.",
            )
