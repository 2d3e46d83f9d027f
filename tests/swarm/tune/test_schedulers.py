"""Population-based training after a restart: every trial continues, and perturbations keep their distance."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.tune import CheckpointConfig
from ray.tune.experiment.trial import Trial

from swarm.tune.schedulers import Population


class Controller:
    """What the scheduler asks Ray's controller."""

    search_alg = None

    def __init__(self, trials: list[SimpleNamespace]) -> None:
        self._trials = trials

    def get_trials(self) -> list[SimpleNamespace]:
        return self._trials

    def get_live_trials(self) -> list[SimpleNamespace]:
        return [each for each in self._trials if each.status != Trial.TERMINATED]


class FakeTrial(SimpleNamespace):
    """A trial at some iteration; compared and hashed as itself."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other

    def is_finished(self) -> bool:
        return self.status == Trial.TERMINATED


def restored(*times: int, interval: int) -> tuple[Population, Controller]:
    scheduler = Population(
        time_attr="training_iteration",
        metric="return",
        mode="max",
        perturbation_interval=interval,
        hyperparam_mutations={"lr": [0.1, 0.2]},
        synch=True,
    )
    trials = [
        FakeTrial(
            status=Trial.PAUSED,
            last_result={"training_iteration": time} if time else {},
            config={"lr": 0.1},
            evaluated_params={},
            experiment_tag=str(index),
            run_metadata=SimpleNamespace(
                checkpoint_manager=SimpleNamespace(checkpoint_config=CheckpointConfig()),
            ),
        )
        for index, time in enumerate(times)
    ]
    controller = Controller(trials)
    for each in trials:
        scheduler.on_trial_add(controller, each)
    return scheduler, controller


@pytest.mark.parametrize("times", [(29,) * 6, (29, 29, 25), (28, 28), (0, 0), (3, 0, 17)])
def test_somebody_is_always_chosen(times: tuple[int, ...]) -> None:
    scheduler, controller = restored(*times, interval=4)
    assert scheduler.choose_trial_to_run(controller) is not None
    for state in scheduler._trial_state.values():  # all report once more, and are paused
        state.last_train_time = max(times) + 1
    assert scheduler.choose_trial_to_run(controller) is not None


def test_a_restart_is_no_perturbation() -> None:
    scheduler, controller = restored(29, 29, 29, interval=4)
    first = controller.get_trials()[0]
    answer = scheduler.on_trial_result(controller, first, {"training_iteration": 30, "return": 1.0})
    assert answer == "CONTINUE"


def test_nobody_is_chosen_while_one_runs() -> None:
    scheduler, controller = restored(28, 28, interval=4)
    for state in scheduler._trial_state.values():
        state.last_train_time = 32
    controller.get_trials()[0].status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(controller) is None
