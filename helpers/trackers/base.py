"""The trackers of a run behind one object; workers other than the root hold one that does nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from helpers.errors import ConfigurationError
from helpers.trackers.experiment_folder import experiment_folder
from helpers.trackers.jsonl import MetricsLog, Row

if TYPE_CHECKING:
    from helpers.trackers.tensorboard import TensorBoardTracker


class Tracker(Protocol):
    """Something beside metrics.jsonl that shows a run. It may fail; the run does not."""

    name: str

    def log(self, row: Row) -> None:
        """Show a row: "iteration", "step" (global environment steps) and the metrics."""

    def upload(self, run_folder: Path, files: Sequence[str]) -> None:
        """Keep these files and folders of the run folder, where the tracker keeps files."""

    def close(self, exit_code: int) -> None:
        """Say how the run ended (an exit code of `helpers.errors`) and let go."""


class TrackerSettings(Protocol):
    """The part of the configuration that trackers read."""

    @property
    def tensorboard(self) -> bool: ...
    @property
    def wandb_mode(self) -> str | None: ...
    @property
    def wandb_project(self) -> str | None: ...
    @property
    def wandb_entity(self) -> str | None: ...
    @property
    def tracking_interval(self) -> int: ...
    @property
    def experiment_directory(self) -> str | None: ...
    @property
    def experiment_name(self) -> str | None: ...
    def model_dump(self) -> dict[str, Any]: ...


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
        table: TensorBoardTracker | None = None,
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
            if not guarded(tracker.name, lambda: action(tracker), self._print):  # noqa: B023
                self._others.remove(tracker)


def guarded(name: str, action: Callable[[], object], print: Callable[[str], None]) -> bool:
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
    config: TrackerSettings,
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
    others: list[Any] = []
    step = None if resume_after is None else int((metrics.last_row or {}).get("step", 0))
    if config.tensorboard:
        guarded("tensorboard", lambda: others.append(_tensorboard(run_folder, step)), print)
    table = others[-1] if others else None
    folder = experiment_folder(config, run_folder) if config.tracking_interval else None
    if folder is not None:
        file_name = _own_file(folder, run_name)
        label = "tensorboard of --experiment_directory"
        is_made = guarded(label, lambda: others.append(_table(folder, step, file_name)), print)
        table = others[-1] if is_made else None
    mode = wandb_mode(config)
    if mode != "disabled":
        guarded(
            "wandb",
            lambda: others.append(
                _wandb(config, run_folder, mode, run_name, group, resume_after is not None, print),
            ),
            print,
        )
    return Trackers(metrics, others, table=table, print=print)


def wandb_mode(config: TrackerSettings) -> str:
    """The wanted mode; where it is not set, online if a project or an entity is named."""
    if config.wandb_mode is not None:
        return config.wandb_mode
    return "online" if config.wandb_project or config.wandb_entity else "disabled"


def _tensorboard(run_folder: Path, resume_step: int | None) -> Tracker:
    from helpers.trackers.tensorboard import TensorBoardTracker

    return TensorBoardTracker(run_folder, resume_step=resume_step)


def _table(folder: Path, resume_step: int | None, file_name: str) -> Tracker:
    from helpers.trackers.tensorboard import TableTracker

    return TableTracker(folder, resume_step=resume_step, file_name=file_name)


def _own_file(folder: Path, run_name: str) -> str:
    """The run's event file in an experiment's folder.

    Raises:
        ConfigurationError: another run's lies there; TensorBoard would draw them as one.
    """
    own = f"events.out.tfevents.milozero.{run_name}"
    for path in sorted(folder.glob("*tfevents*")):
        if path.name != own:
            raise ConfigurationError(
                f"{folder} contains {path.name} of another run.",
                "Choose another --experiment_name or --experiment_directory, or move that folder away.",
            )
    return own


def _wandb(
    config: TrackerSettings,
    run_folder: Path,
    mode: str,
    run_name: str,
    group: str,
    continued: bool,
    print: Callable[[str], None],
) -> Tracker:
    from helpers.trackers.wandb import WandbTracker

    return WandbTracker(
        run_folder,
        mode=mode,
        run_name=run_name,
        group=group,
        project=config.wandb_project,
        entity=config.wandb_entity,
        settings=config.model_dump(),
        continued=continued,
        say=print,
    )
