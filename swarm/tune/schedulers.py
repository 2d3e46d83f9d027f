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
    """What decides which trials continue, and with which settings."""
    after: dict[str, Any] = {"time_attr": settings.time_attr}
    if settings.scheduler == "pbt":
        return Population(
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


class Population(schedulers.PopulationBasedTraining):
    """Ray's population-based training, whose clock continues after a restart.

    Ray restores trials, and not what its scheduler knew of them. By its own count the trials are then ahead of all
    perturbations; once all are equally far, each is paused, and none is ever chosen again.
    """

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial is made, or restored."""
        super().on_trial_add(tune_controller, trial)
        time = (trial.last_result or {}).get(self._time_attr, 0)
        if time:
            state, interval = self._trial_state[trial], self._perturbation_interval
            state.last_perturbation_time = state.last_train_time = time - time % interval
            following = state.last_train_time + interval
            self._next_perturbation_sync = max(self._next_perturbation_sync, following)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The next trial; where all wait for one another, their next common time is moved on."""
        chosen = super().choose_trial_to_run(tune_controller)
        live = tune_controller.get_live_trials()
        if chosen is None and live and all(each.status == "PAUSED" for each in live):
            furthest = max(self._trial_state[each].last_train_time for each in live)
            self._next_perturbation_sync = furthest + self._perturbation_interval
            chosen = super().choose_trial_to_run(tune_controller)
        return chosen


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
