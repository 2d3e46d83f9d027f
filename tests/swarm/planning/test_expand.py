"""YAML x environments x demonstrations x trials x seeds: the runs, their names, and what is refused."""

from __future__ import annotations

import time
from itertools import product
from math import prod
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.algorithms import OTHER_OWNERS, SCHEMA
from agents.imitation.config import ImitationSettings
from agents.on_policy.config import PPOConfig
from helpers.config.schema import Schema
from helpers.config.settings import settings_of
from swarm import plan as plans
from swarm.planning.sweep import draw, trials_of
from swarm.scripts.render import render_job
from tests.swarm.plans import HERE, LAUNCH, ROOT, expanded, planned, refused

LISTS = {"p_lr": [1e-4, 3e-4, 1e-3], "gamma": [0.99, 0.995]}


class Imitator(ImitationSettings, PPOConfig):
    """An algorithm that reads demonstrations."""


WITH_DEMOS = Schema({"ppo": Imitator}, other_owners=OTHER_OWNERS)


def setting_of(run: plans.Run, key: str) -> object:
    return run.config.model_dump()[key]


# The product


def test_environments_times_seeds_in_order():
    found = expanded(env_ids=("Hopper-v5", "Ant-v5"), num_seeds=3)
    told = [(run.config.env_id, run.config.seed) for run in found.runs]
    assert told == list(product(["Hopper-v5", "Ant-v5"], [0, 1, 2]))
    assert found.total_line == "experiment_total = 6 (2 environments x 1 trial x 3 seeds)"
    assert found.warnings == ()


def test_all_factors_multiply():
    found = expanded(
        schema=WITH_DEMOS,
        settings=LISTS,
        env_ids=("Hopper-v5", "Ant-v5"),
        num_demos=(1, 4, 16),
        num_seeds=2,
        sweep=True,
        num_trials=5,
    )
    assert len(found.runs) == len({run.name for run in found.runs}) == 2 * 3 * 5 * 2
    assert "60 (2 environments x 3 numbers of demonstrations x 5 trials x 2" in found.total_line
    assert {setting_of(run, "num_demos") for run in found.runs} == {1, 4, 16}
    assert {run.trial for run in found.runs} == set(range(5))


def test_without_a_bundle_the_file_names_the_environment():
    (run,) = expanded(settings={"env_id": "Walker2d", "seed": 7}).runs
    assert (run.config.env_id, run.config.seed) == ("Walker2d-v5", 7)


def test_seeds_are_counted_up_from_that_of_the_file():
    assert [run.config.seed for run in expanded(settings={"seed": 5}, num_seeds=3).runs] == [
        5,
        6,
        7,
    ]


def test_what_goes_over_and_under_the_file():
    settings = {"wandb_project": "mine", "execution_time": "60"}
    beside = {
        "under": {"execution_time": "99", "eval_frequency": 7},
        "over": {"wandb_project": "w"},
    }
    (run,) = expanded(settings=settings, **beside).runs
    config = run.config
    assert (config.wandb_project, config.execution_time, config.eval_frequency) == ("w", "60", 7)


# Names


def test_seeds_share_their_group_and_differ_in_their_names():
    runs = expanded(num_seeds=3, prefix="try").runs
    assert len({run.group for run in runs}) == 1
    assert [run.name.rpartition(".")[2] for run in runs] == ["seed00", "seed01", "seed02"]
    assert all(run.name == run.config.uuid == run.folder.name for run in runs)
    assert all(run.name.startswith("try.") and ".gitSHA_1234567." in run.name for run in runs)
    assert runs[0].folder == HERE / "data" / "runs" / runs[0].name


def test_settings_that_differ_make_words_that_differ():
    runs = expanded(settings=LISTS, sweep=True, sweep_mode="grid").runs
    assert len({run.name.partition(".")[0] for run in runs}) == 6
    assert len({run.group for run in runs}) == 6


def test_neither_tracking_nor_prefix_changes_the_words():
    plain = expanded().runs[0].name
    assert expanded(over={"wandb_project": "x"}).runs[0].name == plain
    assert expanded(prefix="p").runs[0].name == f"p.{plain}"


def test_the_number_of_demonstrations_stands_in_the_name():
    runs = expanded(schema=WITH_DEMOS, num_demos=(4,), num_seeds=2, demo_dir="data/demos/").runs
    assert [run.name.split(".")[-2:] for run in runs] == [
        ["demos004", s] for s in ("seed00", "seed01")
    ]
    assert {setting_of(run, "expert_path") for run in runs} == {"data/demos/Hopper-v5"}
    assert {run.group for run in runs} == {runs[0].name.rpartition(".")[0]}


def test_demonstrations_for_an_algorithm_that_reads_none():
    found = expanded(num_demos=(1, 4), demo_dir="data/demos")
    assert len(found.runs) == 2
    assert any("made 2 times" in line for line in found.warnings)
    assert any("num_demos" in line and "does not use" in line for line in found.warnings)


def test_the_name_of_a_swarm_follows_from_its_runs():
    one, same, other = planned(num_seeds=3), planned(num_seeds=3), planned(num_seeds=4)
    assert one.name == same.name != other.name
    assert planned(label="a b/c.d:e").name.startswith("a_b_c_d_e-")
    assert planned(label="...").name.startswith("swarm-")


def test_a_plan_is_read_back_as_it_was_written(tmp_path):
    launch = plans.Launch(
        "slurm",
        tmp_path,
        Path("/p"),
        caliber=plans.Caliber("x", 60, modules=("a",)),
    )
    plan = planned(launch=launch, settings=LISTS, sweep=True, num_trials=3, num_seeds=2)
    plans.save(plan)
    assert plans.load(plan.folder) == plan
    (plan.folder / "plan.json").write_text("{}")
    assert "damaged" in refused(plans.load, plan.folder)[0]
    assert "not a swarm" in refused(plans.load, tmp_path)[0]


# Sweeps


def test_a_list_without_a_sweep_is_refused_with_the_remedy():
    problem, remedy = refused(expanded, settings={"p_lr": [1e-4, 3e-4]})
    assert "is a list" in problem and "--sweep" in remedy


@pytest.mark.parametrize("mode", ["random", "grid"])
@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**40),
)
def test_trials_are_distinct_and_repeat_themselves(mode, lengths, share, seed):
    lists = {f"k{place}": list(range(length)) for place, length in enumerate(lengths)}
    total = prod(lengths)
    count = max(1, round(share * total))
    trials = trials_of(lists, mode, num_trials=count, seed=seed)
    assert len({tuple(trial.values()) for trial in trials}) == count
    assert all(list(trial) == list(lists) for trial in trials)
    assert trials == trials_of(lists, mode, num_trials=count, seed=seed)
    assert trials_of(lists, mode, num_trials=total, seed=seed)[:count] == trials


def test_draws_stay_what_they_are():
    """Runs are continued by drawing them again: other draws would orphan them."""
    lists = {"a": list(range(10)), "b": list(range(7))}
    drawn = [(trial["a"], trial["b"]) for trial in draw(lists, "random", count=4, seed=3)]
    assert drawn == [(8, 5), (1, 3), (8, 0), (1, 4)]


def test_seeds_of_a_sweep_give_other_draws():
    draws = [trials_of(LISTS, "random", num_trials=3, seed=seed) for seed in range(8)]
    assert len({str(trials) for trials in draws}) > 1


def test_a_grid_takes_every_combination_once():
    found = expanded(settings=LISTS, sweep=True, sweep_mode="grid").runs
    told = [(setting_of(run, "p_lr"), setting_of(run, "gamma")) for run in found]
    assert told == list(product(*LISTS.values()))


def test_zip_takes_lists_in_step_repetitions_included():
    lists = {"rollout_len": [1024, 1024, 2048], "batch_size": [32, 64, 64]}
    runs = expanded(settings=lists, sweep=True, sweep_mode="zip").runs
    dumps = [run.config.model_dump() for run in runs]
    assert [(dump["rollout_len"], dump["batch_size"]) for dump in dumps] == [
        (1024, 32),
        (1024, 64),
        (2048, 64),
    ]
    problem, _ = refused(
        expanded,
        settings={"p_lr": [1, 2], "v_lr": [1, 2, 3]},
        sweep=True,
        sweep_mode="zip",
    )
    assert "p_lr has 2, v_lr has 3" in problem


def test_a_bundle_goes_over_a_list_of_environments():
    lists = {"env_id": ["Hopper-v5", "Ant-v5"], **LISTS}
    grid = {"sweep": True, "sweep_mode": "grid"}
    assert len(expanded(settings=lists, **grid).runs) == 12
    runs = expanded(settings=lists, env_ids=("Walker2d-v5",), **grid).runs
    assert len(runs) == 6 and {run.config.env_id for run in runs} == {"Walker2d-v5"}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"settings": LISTS, "sweep": True, "num_trials": 7}, "more than the number of combinations: 6"),
        ({"settings": LISTS, "sweep": True}, "needs the number of trials"),
        ({"sweep": True, "num_trials": 1}, "nothing to search"),
        ({"num_trials": 2}, "without --sweep"),
        ({"settings": {"p_lr": [1e-4, "fast"]}, "sweep": True, "num_trials": 1}, "choice fast of p_lr"),
        ({"settings": {"p_lr": [-1.0]}, "sweep": True, "num_trials": 1}, "not a number > 0"),
        ({"settings": {"p_lr": []}, "sweep": True, "num_trials": 1}, "has no values"),
        ({"settings": {"p_lr": [[1, 2]]}, "sweep": True, "num_trials": 1}, "is a list"),
        ({"settings": {"seed": [1, 2]}, "sweep": True, "num_trials": 1}, "seeds are not part"),
        ({"settings": {"uuid": "a.seed00"}}, "would give all runs"),
        ({"settings": {"task": "eval"}}, "a swarm trains"),
        ({"settings": {"p_lrr": 1}}, "Unknown"),
        ({"env_ids": ("Hoper-v5",)}, "not a known environment"),
        ({"env_ids": ("Hopper-v5", "Hopper")}, "same name"),
        ({"num_demos": (4, 4)}, "same name"),
        ({"num_seeds": 10_001}, "at most 10000"),
        ({"settings": {k: list(range(1, 40)) for k in ("p_lr", "v_lr", "clip_norm")}, "sweep": True,
          "sweep_mode": "grid"}, "59319 trials = 59319 runs"),
    ],
)  # fmt: skip
def test_what_cannot_be_expanded(request_, words):
    assert words in refused(expanded, **request_)[0]


def test_a_choice_that_makes_no_other_run_is_refused_by_its_name():
    settings = {"save_frequency": [5, 10], "p_lr": 1e-4}
    problem, remedy = refused(expanded, settings=settings, sweep=True, num_trials=2)
    assert "same name" in problem and "differ in save_frequency only" in problem
    assert "save_frequency" in remedy


def test_an_invalid_combination_is_shown_with_its_trial():
    settings = {"batch_size": [64, 48], "p_lr": 1e-4}
    problem, remedy = refused(expanded, settings=settings, sweep=True, sweep_mode="grid")
    assert "not a multiple of batch_size=48" in problem and "(trial 1: batch_size=48)" in problem
    assert "This works" in remedy


# The shipped search


def test_the_shipped_search_has_no_invalid_combination():
    layer = SCHEMA.read_file(ROOT / "tasks" / "train_mujoco_ppo_hps.yaml")
    lists = SCHEMA.sweep_choices(layer)
    settings = settings_of(PPOConfig)
    sizes = {key: lists.pop(key) for key in ("rollout_len", "batch_size")}
    ends = {key: [choices[0], choices[-1]] for key, choices in lists.items()}
    assert all(settings[key].identity for key in lists)
    for trial in draw({**sizes, **ends}, "random", count=400, seed=0):
        SCHEMA.resolve(layer, SCHEMA.layer_of(trial))


# Speed


def test_five_hundred_runs_are_expanded_validated_and_rendered_at_once():
    started = time.process_time()
    plan = planned(
        launch=plans.Launch("slurm", HERE, LAUNCH.python),
        settings=LISTS,
        env_ids=("Hopper-v5", "Walker2d-v5", "HalfCheetah-v5", "Ant-v5", "Swimmer-v5"),
        sweep=True,
        num_trials=5,
        num_seeds=20,
    )
    texts = [render_job(plan, run) for run in plan.runs]
    assert len(set(texts)) == 500
    assert time.process_time() - started < 2.0  # 3 s are promised
