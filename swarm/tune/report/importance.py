"""Which settings mattered: Optuna's fANOVA over the trials (Hutter et al. 2014)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from swarm.tune.results import TrialResults
from swarm.tune.space import Dimension, Space

LEAST = 4  # results, the least from which importance is computed


def importances(
    trials: Sequence[TrialResults],
    metric: str,
    space: Space,
) -> list[tuple[str, float]]:
    """Shares of the result's variance that each setting explains, the largest first; empty if results are too few.

    A result is the last report of a trial under one set of settings: one a trial, one more for each take-over.
    """
    try:
        import optuna
        import sklearn  # noqa: F401  # what fANOVA's forest is made with
    except ImportError:
        return []
    found = [pair for trial in trials for pair in _results(trial, metric, space)]
    if len(found) < LEAST or len({value for _, value in found}) < 2:
        return []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions: dict[str, Any] = {
        each.name: _distribution(each, found) for each in space.dimensions
    }
    for values, value in found:
        shown = {each.name: values[each.name] for each in space.dimensions}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.add_trial(
                optuna.trial.create_trial(params=shown, distributions=distributions, value=value),
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares = optuna.importance.get_param_importances(
            study,
            evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
        )
    return sorted(shares.items(), key=lambda pair: -pair[1])


def _results(
    trial: TrialResults,
    metric: str,
    space: Space,
) -> list[tuple[dict[str, object], float]]:
    """(settings, last value) of each generation of a trial."""
    last = {}
    for report in trial.reports:
        value = report.get(metric)
        if isinstance(value, int | float) and math.isfinite(value):
            last[report.get("generation", 0)] = report
    return [
        (
            {each.name: report[f"setting/{each.name}"] for each in space.dimensions},
            float(report[metric]),
        )
        for report in last.values()
        if all(f"setting/{each.name}" in report for each in space.dimensions)
    ]


def _distribution(each: Dimension, found: Sequence[tuple[dict[str, object], float]]) -> object:
    """Of Optuna; wide enough for what PBT has made of a choice by its factors."""
    from optuna import distributions

    values: list[Any] = [settings[each.name] for settings, _ in found]
    if each.kind == "choice":
        return distributions.CategoricalDistribution(tuple(dict.fromkeys([*each.values, *values])))
    low, high = each.values
    if each.kind == "randint":
        return distributions.IntDistribution(low, high)
    return distributions.FloatDistribution(low, high, log=each.kind == "loguniform")
