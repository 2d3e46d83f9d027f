"""Ray's Tuner for a search: made, or restored where an earlier session was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune import Callback

from helpers.errors import ConfigurationError
from swarm.tune.schedulers import make_scheduler, make_searcher, param_space
from swarm.tune.space import Accepts
from swarm.tune.task_file import Search
from swarm.tune.trial.trainable import Trial

if TYPE_CHECKING:
    from swarm.tune.session import Board

_BOARDS: dict[
    str,
    Any,
] = {}  # by the search's folder: Ray keeps its callbacks in files, and boards hold threads


class Follower(Callback):
    """Passes on to the board of its search what Ray says of trials."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @property
    def _board(self) -> Board:
        board: Board = _BOARDS[self._folder]
        return board

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ray starts a trial, or resumes it."""
        self._board.note(trial.trial_id, trial.config, "RUNNING")

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Any],
        trial: Any,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """A trial reports."""
        if "report" in result:
            self._board.hear(trial.trial_id, trial.config, result)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """States that no other call reports: paused, and pending."""
        for trial in trials:
            if trial.status in ("PAUSED",):
                self._board.note(trial.trial_id, trial.config, trial.status)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended."""
        self._board.note(trial.trial_id, trial.config, "TERMINATED")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has died, and is started again."""
        self._board.tell_death(trial.trial_id, trial.config, str(trial.get_error() or ""))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has failed for good."""
        self._board.tell_death(
            trial.trial_id,
            trial.config,
            str(trial.get_error() or ""),
            is_last=True,
        )
        self._board.note(trial.trial_id, trial.config, "ERROR")


def fit(
    search: Search,
    board: Board,
    accepts: Accepts,
    *,
    repository: Path,
    continues: bool,
) -> bool:
    """Run the trials; whether all of them have come to an end.

    Raises:
        ConfigurationError: no draw of the space can be run, or a trial does not report the metric.
    """
    settings, folder = search.settings, search.folder
    _BOARDS[str(folder)] = board
    job = {
        "folder": str(folder),
        "repository": str(repository),
        "space": search.space,
        "workers": settings.num_workers,
        "iterations": settings.iterations_per_report,
        "metric": settings.metric,
        "mode": settings.mode,
        "checkpoint_frequency": settings.checkpoint_frequency,
        "stop": stop_of(search),
    }
    bundle = tune.PlacementGroupFactory([{"CPU": settings.num_workers}])
    trainable = tune.with_resources(tune.with_parameters(Trial, job=job), bundle)
    if continues:
        tuner = tune.Tuner.restore(
            str(folder / "ray"),
            trainable,
            resume_unfinished=True,
            restart_errored=True,
            param_space=dict(param_space(search.space)),  # of trials that are not made yet
        )
    else:
        tuner = _new_tuner(search, trainable, accepts)
    try:
        results = tuner.fit()
    except ValueError as error:
        if "did not include the specified metric" in str(error):
            raise ConfigurationError(
                f"--metric {settings.metric}: the trials report no such metric.",
                f"See what they report: {folder}/results/trial_000/result.json. Give --metric one of these.",
            ) from None
        raise
    finally:
        _BOARDS.pop(str(folder), None)
    ended = ("TERMINATED", "ERROR")
    return all(each.status in ended for each in results._experiment_analysis.trials)


def stop_of(search: Search) -> dict[str, float]:
    """A trial ends at the first of these."""
    stop = dict(search.stop)
    if search.settings.smoke_test:
        stop["training_iteration"] = min(10, stop.get("training_iteration", 10))
    return stop


def _new_tuner(search: Search, trainable: Any, accepts: Accepts) -> tune.Tuner:
    settings = search.settings
    searcher, count = make_searcher(settings, search.space, accepts)
    return tune.Tuner(
        trainable,
        param_space=dict(param_space(search.space)),
        tune_config=tune.TuneConfig(
            metric=settings.metric,
            mode=settings.mode,
            scheduler=make_scheduler(settings, search.space),
            search_alg=searcher,
            num_samples=count,
            max_concurrent_trials=settings.max_concurrent,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(search.folder),
            stop=stop_of(search),
            callbacks=[Follower(str(search.folder))],
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=settings.checkpoint_frequency,
                checkpoint_at_end=True,
            ),
            failure_config=tune.FailureConfig(max_failures=settings.max_failures),
            verbose=0,
        ),
    )
