"""Runs of an MLflow experiment, ranked, and the checkpoint of the best one: what Plato's document fetches by one call.

from registry.top_runs import get_top_run, list_experiments
experiment = list_experiments()[-1].name
path = get_top_run(experiment, "model_checkpoints", rank_metric="metrics.episode_reward_max")
policy = load_policy(path)
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.durable import replace_link
from helpers.errors import CheckpointError, ConfigurationError
from helpers.trackers.mlflow.server import check_answers, quiet, tracking_uri
from registry.manager.calls import pages, refusals

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run

PARENT = "mlflow.parentRunId"
BEST_CHECKPOINT = "best_checkpoint"  # tag: the name of the artifact
_CHECKPOINT = re.compile(r"checkpoint_(\d+)")
_RANK = re.compile(r"(?:metrics\.)?(.+)")


def list_experiments(path: str | None = None) -> list[Experiment]:
    """All experiments of a server, the newest last.

    Args:
        path: the server's address; unset: MLFLOW_TRACKING_URI.

    Raises:
        ConfigurationError: there is no address, or nobody answers.
    """
    uri, client = _client(path)
    with refusals(uri):
        found = list(
            pages(lambda page_token=None: client.search_experiments(page_token=page_token)),
        )
    return sorted(found, key=lambda each: (each.creation_time or 0, int(each.experiment_id)))


def ranked_runs(
    experiment_name: str,
    path: str | None = None,
    rank_metric: str = "metrics.episode_reward_mean",
    *,
    ascending: bool = False,
    where: str = "",
) -> list[Run]:
    """The runs of an experiment that have the metric, the best first; of equal ones the one that began first.

    Parents of other runs, runs that failed and values that are not finite are left out; deleted runs are not seen.

    Args:
        experiment_name: of MLflow.
        path: as for `list_experiments`.
        rank_metric: "metrics.NAME", or the name alone.
        ascending: whether less is better.
        where: a filter of MLflow's, "metrics.timesteps_total > 1e6".

    Raises:
        ConfigurationError: there is no such experiment, or the filter is none.
    """
    match = _RANK.fullmatch(rank_metric)
    name = match[1] if match else rank_metric
    runs = find_runs(experiment_name, path, where=where)
    everyone = find_runs(experiment_name, path) if where else runs
    parents = {run.data.tags[PARENT] for run in everyone if PARENT in run.data.tags}
    kept = [
        run
        for run in runs
        if run.info.run_id not in parents
        and run.info.status != "FAILED"
        and math.isfinite(run.data.metrics.get(name, math.nan))
    ]
    sign = 1.0 if ascending else -1.0
    return sorted(kept, key=lambda run: (sign * run.data.metrics[name], run.info.start_time))


def find_runs(
    experiment_name: str,
    path: str | None = None,
    *,
    where: str = "",
    sort: str = "",
) -> list[Run]:
    """All runs of an experiment that are not deleted.

    Args:
        experiment_name: of MLflow.
        path: as for `list_experiments`.
        where: a filter of MLflow's: "metrics.episode_reward_mean > 300 and attributes.status = 'FINISHED'".
        sort: an order of MLflow's: "metrics.time_total_s DESC".

    Raises:
        ConfigurationError: there is no such experiment, or filter or order are none.
    """
    uri, client = _client(path)
    with refusals(uri):
        experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        known = ", ".join(each.name for each in list_experiments(path)[-5:])
        raise ConfigurationError(
            f"There is no experiment {experiment_name}.",
            f"The newest ones are: {known}.",
        )

    def search(page_token: str | None = None) -> Any:
        order = [sort] if sort else []
        return client.search_runs(
            [experiment.experiment_id],
            where,
            order_by=order,
            page_token=page_token,
        )

    with refusals(uri):
        return list(pages(search))


def get_top_run(
    experiment_name: str,
    save_path: str,
    path: str | None = None,
    rank_metric: str = "metrics.episode_reward_mean",
    *,
    ascending: bool = False,
) -> str:
    """Download the best checkpoint of the best run of an experiment.

    Args:
        experiment_name: of MLflow.
        save_path: the folder to download into, made where it is missing.
        path: as for `list_experiments`.
        rank_metric: what runs are ranked by.
        ascending: whether less is better.

    Returns:
        A folder like that of a run, which `load_policy` and `--task=eval --model_path` take.

    Raises:
        ConfigurationError: there is no such experiment, or no run of it has the metric.
        CheckpointError: the run has no checkpoint among its artifacts.
    """
    runs = ranked_runs(experiment_name, path, rank_metric, ascending=ascending)
    if not runs:
        raise ConfigurationError(
            f"No run of {experiment_name} has a finite {rank_metric}.",
            f"See what there is: python -m registry runs {experiment_name} --json",
        )
    top = runs[0]
    uri, client = _client(path)
    with refusals(uri):
        names = [each.path for each in client.list_artifacts(top.info.run_id)]
    place = _best_checkpoint(top.data.tags, names)
    if place is None:
        raise CheckpointError(
            f"The run {top.info.run_name} has no checkpoint in MLflow.",
            "tuner.py stores them; of other runs, register the model: python -m registry register.",
        )
    Path(save_path).mkdir(parents=True, exist_ok=True)
    with refusals(uri):
        found = Path(client.download_artifacts(top.info.run_id, place, save_path))
    checkpoints = found / "checkpoints"
    for each in sorted(checkpoints.glob("iter_*")) if checkpoints.is_dir() else ():
        for link in ("latest", "best"):
            replace_link(checkpoints / link, each.name)
    return str(found)


def _best_checkpoint(tags: Mapping[str, str], names: list[str]) -> str | None:
    if tags.get(BEST_CHECKPOINT) in names:
        return tags[BEST_CHECKPOINT]
    numbered = [(int(match[1]), name) for name in names if (match := _CHECKPOINT.fullmatch(name))]
    return max(numbered)[1] if numbered else None


def _client(path: str | None) -> tuple[str, Any]:
    uri = tracking_uri(path)
    check_answers(uri)
    quiet()
    from mlflow import MlflowClient

    with refusals(uri):
        return uri, MlflowClient(uri)
