"""Whole searches on Ray: the document's population, its tree in MLflow, the report, and the same command again."""

import csv
import json
import subprocess
import sys
from typing import Any

import pytest
from mlflow import MlflowClient

from agents.algorithms import SCHEMA
from policy import load_policy
from registry.top_runs import get_top_run, list_experiments
from swarm.tune.results import best_of, read_results
from swarm.tune.trial.run_folder import Reference
from tests.launch import ROOT
from tests.patience import patience

TASK = """
algo: ppo
env_id: CartPole-v1
num_timesteps: 6144
num_envs: 4
rollout_len: 512
batch_size: 128
p_perception_stack: mlp_16
v_perception_stack: mlp_16
lr_schedule: constant
eval_frequency: 0
search:
  lr: {loguniform: [1.0e-4, 1.0e-2]}
  clip_param: {uniform: [0.1, 0.4]}
constraints: [clip_param >= 0.12]
tune: {num_samples: 4, perturbation_interval: 3, max_concurrent: 2, checkpoint_frequency: 3}
"""
# Plato's list, all of it.
DOCUMENT = """
agent_timesteps_total done episode_len_mean episode_reward_max episode_reward_mean episode_reward_min episodes_this_iter
episodes_total iterations_since_restore num_agent_steps_sampled num_agent_steps_trained num_env_steps_sampled
num_env_steps_sampled_this_iter num_env_steps_trained num_env_steps_trained_this_iter num_faulty_episodes
num_healthy_workers num_in_flight_async_reqs num_remote_worker_restarts num_steps_trained_this_iter pid
time_since_restore time_this_iter_s time_total_s timestamp timesteps_since_restore timesteps_total training_iteration
warmup_time
""".split()


def search(folder, *flags):
    (folder / "task.yaml").write_text(TASK)
    words = [
        sys.executable,
        "tuner.py",
        "--config",
        str(folder / "task.yaml"),
        f"--tune_dir={folder}",
        *flags,
    ]
    return subprocess.run(
        words,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(150),
    )


@pytest.mark.timeout(600)
def test_the_document_s_population(tmp_path):
    """One test, for one search: it takes half a minute."""
    done = search(tmp_path, "--name=pbt", "--test-local")
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / "pbt"
    it_takes_over_and_changes(folder, done.stdout)
    mlflow_has_one_tree_with_the_document_s_metrics(folder, tmp_path / "top")
    there_is_a_report_with_the_best_settings(folder, done.stdout)
    the_same_command_again_does_nothing_again(folder)


def it_takes_over_and_changes(folder, said):
    trials = read_results(folder)
    assert [each.state for each in trials] == ["TERMINATED"] * 4
    taken = [(trial, row) for trial in trials for row in trial.taken]
    assert taken and "takes over" in said
    for trial, row in taken:
        donor = Reference(
            row["donor"],
            row["donor_folder"],
            row["donor_generation"],
            row["iteration"],
        )
        manifest = json.loads((donor.checkpoint / "manifest.json").read_text())
        assert manifest["files"]["shared.safetensors"]["sha256"] == row["shared_sha256"]
        assert row["before"] != row["after"] and row["after"]["p_lr"] == row["after"]["v_lr"]
        assert trial.reports[-1]["generation"] == len(trial.taken)
    for trial in trials:
        assert [each["report"] for each in trial.reports] == list(range(1, len(trial.reports) + 1))
        config: Any = SCHEMA.load_config(trial.run / "config.yaml")
        assert (
            config.p_lr == trial.settings()["lr"]
            and config.clip_ratio == trial.settings()["clip_ratio"]
        )
        assert trial.last["timesteps_total"] == 6144


def mlflow_has_one_tree_with_the_document_s_metrics(folder, downloads):
    uri = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(uri)
    (experiment,) = (each for each in client.search_experiments() if each.name == "pbt")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run is not parent]
    trials = read_results(folder)
    assert len(children) == len(trials) == 4
    for trial in trials:
        (run,) = (each for each in children if each.info.run_name == trial.run.name)
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["trial_name"] == trial.trial_id and run.info.status == "FINISHED"
        assert set(DOCUMENT) <= set(run.data.metrics)
        history = client.get_metric_history(run.info.run_id, "episode_reward_mean")
        wanted = [(each["timesteps_total"], each["episode_reward_mean"]) for each in trial.reports]
        assert sorted((each.step, each.value) for each in history) == sorted(wanted)
        files = {each.path for each in client.list_artifacts(run.info.run_id)}
        assert {"params.json", "progress.csv", "result.json"} <= files
        assert {
            "clip_param",
            "env",
            "lambda",
            "lr",
            "num_cpus",
            "num_sgd_iter",
            "num_workers",
        } <= set(run.data.params)
    best: Any = best_of(trials, "episode_reward_mean", "max")
    assert list_experiments(uri)[-1].name == "pbt"
    path = get_top_run("pbt", str(downloads), uri)
    theirs, ours = load_policy(path), load_policy(best.run, iter_num="latest")
    observations = [[0.1, -0.2, 0.03, 0.4], [0.0, 1.0, -0.1, -1.0]]
    assert (theirs(observations) == ours(observations)).all()


def there_is_a_report_with_the_best_settings(folder, said):
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 2 and "http" not in page.split("</style>")[1]
    assert "Lineage" in (folder / "report.md").read_text()
    best: Any = best_of(read_results(folder), "episode_reward_mean", "max")
    config: Any = SCHEMA.resolve(SCHEMA.read_file(folder / "best.yaml")).config
    assert config.p_lr == config.v_lr == best.settings()["lr"]
    assert f"next: python main.py --config={folder / 'best.yaml'}" in said
    with (folder / "results" / "trial_000" / "progress.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 12
    shown = subprocess.run(
        [sys.executable, "tuner.py", "show", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{best.number:03d}*" in shown.stdout and "report.html" in shown.stdout


def the_same_command_again_does_nothing_again(folder):
    before = {each.number: each.reports for each in read_results(folder)}
    done = search(folder.parent, "--name=pbt", "--test-local")
    assert done.returncode == 0 and "resume" in done.stdout, done.stderr[-2000:]
    assert {each.number: each.reports for each in read_results(folder)} == before
