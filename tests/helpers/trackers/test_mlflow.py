"""The MLflow tracker: every row once, on a database in a file and on a server that is killed and started again."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from helpers.errors import DONE, STOPPED_EARLY
from helpers.trackers import feeder as feeding
from helpers.trackers.base import make_trackers
from tests.launch import ROOT
from tests.patience import patience, promptly
from tests.registry.servers import MlflowServer

NAME = "brisk-otter.ppo.Hopper-v5.seed02"
SETTINGS = {
    "tensorboard": False, "wandb_mode": "disabled", "wandb_project": None, "wandb_entity": None,
    "mlflow": True, "mlflow_experiment": None, "algo": "ppo", "env_id": "Hopper-v5", "seed": 2,
    "experiment_directory": None, "experiment_name": None, "p_lr": 3e-4, "my_api_key": "hush",
}  # fmt: skip


@pytest.fixture()
def folder(tmp_path):
    run = tmp_path / NAME
    run.mkdir()
    (run / "config.yaml").write_text("seed: 2\n")
    (run / "capsule.json").write_text(json.dumps({"starts": [{"commit": "abc"}]}))
    return run


def session(folder, iterations, resume_after=None):
    said = []
    trackers = make_trackers(
        SimpleNamespace(**SETTINGS, model_dump=lambda: SETTINGS),
        folder,
        is_root=True,
        resume_after=resume_after,
        run_name=NAME,
        group="brisk-otter.ppo.Hopper-v5",
        print=said.append,
    )
    log(trackers, iterations)
    return trackers, said


def log(trackers, iterations):
    for i in iterations:
        row = {
            "iteration": i,
            "step": 100 * i,
            "time/elapsed": i / 7,
            "note": None,
            "none": float("nan"),
        }
        trackers.log(row | ({"eval/return_mean": i / 3} if i % 2 else {}))


def stored(folder, uri):
    """(run, its metrics as rows by step) as MLflow has them."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    run = client.get_run(json.loads((folder / "mlflow" / "run.json").read_text())["run_id"])
    rows = {}
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            rows.setdefault(metric.step, []).append((name, metric.value))
    files = {each.path for each in client.list_artifacts(run.info.run_id)}
    return run, {step: sorted(values) for step, values in rows.items()}, files


def expected(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        row["step"]: sorted(
            (name, float(value))
            for name, value in row.items()
            if isinstance(value, int | float) and value == value
        )
        for row in rows
    }


def wait_for(condition):
    end = time.monotonic() + patience(60)
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_run_is_one_run_of_mlflow_however_often_it_goes_on(folder, tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    trackers, said = session(folder, range(1, 6))
    trackers.upload(folder, ["config.yaml"])
    trackers.close(STOPPED_EARLY)
    run, rows, files = stored(folder, uri)
    assert run.info.status == "KILLED" and rows == expected(folder)
    assert said == [f"mlflow: run {run.info.run_id} on {uri}"]
    # from the checkpoint of iteration 3: rows 4 and 5 come again, and are not sent again
    trackers, said = session(folder, range(4, 9), resume_after=3)
    trackers.upload(folder, ["config.yaml"])
    trackers.close(DONE)
    again, rows, files = stored(folder, uri)
    assert again.info.run_id == run.info.run_id and again.info.status == "FINISHED"
    assert rows == expected(folder) and said == []
    assert {"config.yaml", "capsule.json"} <= files
    assert again.data.params["p_lr"] == "0.0003" and "my_api_key" not in again.data.params
    assert again.data.tags["milozero.run"] == NAME and again.data.tags["commit"] == "abc"
    assert (
        again.data.tags["group"] == "brisk-otter.ppo.Hopper-v5" and again.data.tags["seed"] == "2"
    )
    assert not any(b"hush" in each.read_bytes() for each in folder.rglob("*") if each.is_file())


def test_a_server_that_is_killed_and_comes_back_has_every_row_once(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(feeding, "SILENCE_SECONDS", 2.0)
    with MlflowServer(tmp_path / "server") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        trackers, said = session(folder, range(1, 30))
        wait_for(lambda: (folder / "mlflow" / "run.json").exists())
        server.kill()
        started = time.monotonic()
        log(trackers, range(30, 60))
        assert time.monotonic() - started < promptly(1.0)  # training never waits for it
        server.start()
        log(trackers, range(60, 90))
        wait_for(lambda: stored(folder, server.uri)[1] == expected(folder))
        # away at the end: given up after some seconds, and sent by the command that is printed
        server.kill()
        log(trackers, range(90, 95))
        started = time.monotonic()
        trackers.close(DONE)
        assert time.monotonic() - started < patience(10)
        assert said[-1].startswith(
            "mlflow: the server is silent, given up; to send what it lacks: ",
        )
        server.start()
        command = said[-1].split("lacks: python ")[1].split()
        done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        run, rows, _ = stored(folder, server.uri)
        assert rows == expected(folder) and len(rows) == 94
        assert run.info.status == "FINISHED"
        server.kill()
        done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and "does not answer" in done.stderr


def test_a_folder_that_used_no_mlflow_is_refused(tmp_path):
    command = [sys.executable, "-m", "helpers.trackers.mlflow.feeder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout.count("\n") == 2
