"""The best run of an experiment, whatever else is in it, and the filters of Plato's document."""

import json

import pytest
from mlflow import MlflowClient

from helpers.errors import BAD_CONFIGURATION, CheckpointError, ConfigurationError
from registry.cli import main as registry
from registry.top_runs import find_runs, get_top_run, list_experiments, ranked_runs

METRIC = "episode_reward_mean"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """(address, run ids by name) of a search with everything that leads astray in it."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment(
        "pbt_ppo",
        artifact_location=(folder / "artifacts").as_uri(),
    )
    client.create_experiment("later", artifact_location=(folder / "artifacts").as_uri())
    ids = {}

    def add(name, value, *, status="FINISHED", parent=None, steps=1000.0, start):
        tags = {"mlflow.parentRunId": ids[parent]} if parent else {}
        run = client.create_run(experiment, start_time=start, run_name=name, tags=tags)
        ids[name] = run.info.run_id
        if value is not None:
            client.log_metric(run.info.run_id, METRIC, value)
        client.log_metric(run.info.run_id, "agent_timesteps_total", steps)
        for number in (2, 10):
            for file in ("config.yaml", f"checkpoints/iter_{number:06d}/manifest.json"):
                path = folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(name)
                inside = f"checkpoint_{number:06d}/{file}".rpartition("/")[0]
                client.log_artifact(run.info.run_id, str(path), inside)
        client.set_terminated(run.info.run_id, status)

    add("parent", 999.0, start=1)
    add("good", 300.0, parent="parent", steps=5000.0, start=3)
    add("equal", 300.0, parent="parent", start=4)
    add("nan", float("nan"), parent="parent", start=5)
    add("none", None, parent="parent", start=6)
    add("failed", 500.0, status="FAILED", parent="parent", start=7)
    add("deleted", 600.0, parent="parent", start=8)
    add("low", 10.0, parent="parent", start=2)
    client.delete_run(ids["deleted"])
    client.set_tag(ids["low"], "best_checkpoint", "checkpoint_000002")
    return uri, ids


def test_the_top_run_is_none_of_those_that_lead_astray(store):
    uri, _ = store
    assert [run.info.run_name for run in ranked_runs("pbt_ppo", uri)] == ["good", "equal", "low"]
    found = ranked_runs("pbt_ppo", uri, f"metrics.{METRIC}", ascending=True)
    assert [run.info.run_name for run in found] == ["low", "good", "equal"]


def test_the_best_checkpoint_is_downloaded_not_the_first_artifact(store, tmp_path):
    uri, _ = store
    path = get_top_run(
        "pbt_ppo",
        str(tmp_path / "max"),
        uri,
        rank_metric="metrics.episode_reward_mean",
    )
    assert path.endswith("checkpoint_000010")
    assert (tmp_path / "max/checkpoint_000010/config.yaml").read_text() == "good"
    assert (tmp_path / "max/checkpoint_000010/checkpoints/best").resolve().name == "iter_000010"
    path = get_top_run("pbt_ppo", str(tmp_path / "min"), uri, METRIC, ascending=True)
    assert path.endswith("checkpoint_000002")  # the run says which is its best


def test_the_newest_experiment_is_the_last(store):
    names = [each.name for each in list_experiments(store[0])]
    assert names == ["Default", "pbt_ppo", "later"]


def test_what_is_not_there(store, tmp_path):
    uri, _ = store
    with pytest.raises(ConfigurationError, match="There is no experiment nonsense"):
        get_top_run("nonsense", str(tmp_path), uri)
    with pytest.raises(ConfigurationError, match="No run of pbt_ppo has a finite nonsense"):
        get_top_run("pbt_ppo", str(tmp_path), uri, "nonsense")
    client = MlflowClient(uri)
    later = client.get_experiment_by_name("later")
    assert later is not None
    experiment = later.experiment_id
    bare = client.create_run(experiment, run_name="bare").info.run_id
    client.log_metric(bare, METRIC, 1.0)
    with pytest.raises(CheckpointError, match="The run bare has no checkpoint in MLflow"):
        get_top_run("later", str(tmp_path), uri)
    assert not any(tmp_path.iterdir())


def test_the_document_s_filters(store, capsys):
    uri, _ = store
    assert len(find_runs("pbt_ppo", uri)) == 7
    where = f"metrics.{METRIC} > 200 and attributes.status = 'FINISHED'"
    words = ["runs", "pbt_ppo", f"--tracking_uri={uri}", "--where", where]
    assert registry([*words, "--sort", "metrics.agent_timesteps_total DESC", "--json"]) == 0
    names = [each["name"] for each in json.loads(capsys.readouterr().out)]
    assert names[0] == "good" and set(names) == {"parent", "good", "equal"}
    assert registry(words) == 0
    assert "good  finished  episode_reward_mean 300" in capsys.readouterr().out
    assert (
        registry(["runs", "pbt_ppo", f"--tracking_uri={uri}", "--where", "nonsense"])
        == BAD_CONFIGURATION
    )
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_the_command(store, tmp_path, capsys):
    uri, _ = store
    words = [
        "top",
        "pbt_ppo",
        "--rank_metric",
        f"metrics.{METRIC}",
        f"--tracking_uri={uri}",
        "--folder",
    ]
    assert registry([*words, str(tmp_path)]) == 0
    assert f"checkpoint: {tmp_path}/checkpoint_000010" in capsys.readouterr().out
