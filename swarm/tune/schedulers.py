"""Ray Tune's schedulers and searchers, as the settings ask for them. None of them is ours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ray import tune
from ray.tune import schedulers
from ray.tune.search import Searcher
from ray.tune.search.basic_variant import BasicVariantGenerator

from swarm.tune.settings import TuneSettings
from swarm.tune.space import Accepts, Dimension, Space

_LARGEST = 10**9


def domain_of(each: Dimension) -> Any:
    """A dimension as Ray draws from it."""
    if each.kind == "choice":
        return tune.choice(list(each.values))
    low, high = each.values
    if each.kind == "randint":
        return tune.randint(low, high + 1)
    return (tune.loguniform if each.kind == "loguniform" else tune.uniform)(low, high)


def make_scheduler(settings: TuneSettings, space: Space) -> Any:
    """What decides which trials go on, and with which settings."""
    after: dict[str, Any] = {"time_attr": settings.time_attr}
    if settings.scheduler == "pbt":
        return schedulers.PopulationBasedTraining(
            **after,
            perturbation_interval=settings.perturbation_interval,
            hyperparam_mutations={each.name: domain_of(each) for each in space.dimensions},
            quantile_fraction=settings.quantile_fraction,
            resample_probability=settings.resample_probability,
            custom_explore_fn=partial(explore, space),
            # Without it a population that takes turns on fewer slots starves: who is sent back to a donor's time is
            # chosen again before the donor, and may be sent back for ever.
            synch=True,
        )
    if settings.scheduler == "asha":
        return schedulers.ASHAScheduler(
            **after,
            max_t=_LARGEST,
            grace_period=settings.grace_period,
            reduction_factor=settings.reduction_factor,
        )
    if settings.scheduler == "median":
        return schedulers.MedianStoppingRule(
            **after,
            grace_period=settings.grace_period,
            min_samples_required=settings.min_samples_required,
        )
    return schedulers.FIFOScheduler()


def explore(space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """PBT's explore rule, after Ray has perturbed: bounds and constraints hold again (Plato's `explore`)."""
    return space.settle(config)


def make_searcher(settings: TuneSettings, space: Space, accepts: Accepts) -> tuple[Any, int]:
    """(what the settings of trials come from, how many trials there are).

    Raises:
        ConfigurationError: no draw can be run.
    """
    count = 1 if settings.smoke_test else settings.num_samples
    if settings.scheduler == "tpe":
        return _optuna(settings, count), count
    if settings.scheduler == "grid":
        points = space.grid(accepts=accepts)[: 1 if settings.smoke_test else None]
    else:
        points = space.draws(count, seed=settings.search_seed, accepts=accepts)
    return BasicVariantGenerator(points_to_evaluate=points), len(points)


def _optuna(settings: TuneSettings, count: int) -> Searcher:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    first = max(2, min(10, count // 2))  # trials that are drawn before there is a model
    sampler = optuna.samplers.TPESampler(seed=settings.search_seed, n_startup_trials=first)
    found: Searcher = OptunaSearch(sampler=sampler, metric=settings.metric, mode=settings.mode)
    return found


def param_space(space: Space) -> Mapping[str, Any]:
    """All dimensions, as Ray's searchers take them."""
    return {each.name: domain_of(each) for each in space.dimensions}
