"""A training publishes its policy, a follower evaluates each version, and the archived best is the checkpoint's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.checkpoints.manifests import read_manifest
from helpers.parallel.launch import mpiexec
from policy import load_policy
from registry.client import RegistryClient
from registry.package import contract, packed
from registry.publishing import process
from tests.patience import patience
from tests.registry.service.running import ROOT, service

SETTINGS = {
    "env_id": "CartPole-v1",
    "num_envs": "8",
    "rollout_len": "64",
    "batch_size": "64",
    "p_perception_stack": "mlp_16",
    "v_perception_stack": "mlp_16",
    "eval_frequency": "10",
    "eval_episodes": "2",
    "progress": "plain",
}


def command(folder: Path, endpoint: str, *more: str, steps: int, workers: int = 1) -> list[str]:
    flags = [f"--{name}={value}" for name, value in SETTINGS.items()]
    launcher = [str(mpiexec()), "-n", str(workers)] if workers > 1 else []
    return [
        *launcher,
        sys.executable,
        "main.py",
        "--task=train",
        "--algo=ppo",
        *flags,
        f"--num_timesteps={steps}",
        f"--runs_dir={folder}",
        "--uuid=published.seed00",
        f"--registry_endpoint={endpoint}",
        *more,
    ]


def train(words: list[str]) -> str:
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=patience(120.0),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_publish_follow_and_archive(tmp_path: Path) -> None:
    with service("model_registry", tmp_path / "served", "--log_level=warning") as registry:
        follow = [
            sys.executable,
            "main.py",
            "--task=eval",
            f"--follow={registry.endpoint}/hopper",
            "--num_trajs=2",
        ]
        following = subprocess.Popen(follow, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            more = ("--registry_model=hopper", "--publish_frequency=2")
            words = command(tmp_path, registry.endpoint, *more, steps=65_536, workers=2)
            said = train(words)
            heard, _ = following.communicate(timeout=patience(60.0))
        finally:
            following.kill()
        evaluated = re.findall(
            r"^version (\d+)(?: \(\w+\))?: iteration (\d+), .* return \d",
            heard,
            re.MULTILINE,
        )
        assert len(evaluated) >= 5, heard
        assert [int(number) for number, _ in evaluated] == sorted(
            {int(number) for number, _ in evaluated},
        )
        assert "the training has ended" in heard
        assert "best policy archived" in said and "last policy archived" in said
        check_best(tmp_path / "published.seed00", registry.endpoint, tmp_path)
        assert process.Publishing(
            tmp_path / "published.seed00",
            print,
        ).archive()  # again: nothing is there twice
        with RegistryClient(registry.endpoint) as client:
            assert sum(each.archived for each in client.versions("hopper")) == 2


def check_best(run: Path, endpoint: str, scratch: Path) -> None:
    """The archived best is the policy of the run's best checkpoint, and acts as it does."""
    with RegistryClient(endpoint) as client:
        kinds = [each.user_data["kind"] for each in client.versions("hopper") if each.archived]
        assert kinds == ["best", "last"]
        best = next(each for each in client.versions("hopper") if each.user_data["kind"] == "best")
        folder = packed.unpack(client.get("hopper", best.number), scratch / "package")
        newest = next(
            each for each in client.versions("hopper") if each.user_data["kind"] == "training"
        )
        light = packed.unpack(client.get("hopper", newest.number), scratch / "light")
    manifest = read_manifest((run / "checkpoints" / "best").resolve())
    told = contract.read_contract(folder)
    assert told["policy"]["sha256"] == manifest["files"]["shared.safetensors"]["sha256"]
    assert best.user_data["checkpoint_sha256"] == told["policy"]["sha256"]
    assert best.user_data["policy_sha256"] == contract.sha256_of(folder / contract.WEIGHTS)
    observations = np.random.default_rng(0).normal(size=(64, 4))
    mine = load_policy(run)(observations)
    assert (load_policy(f"{endpoint}/hopper@best")(observations) == mine).all()
    onnx, torch = load_policy(light), load_policy(light, backend="torch")
    assert (onnx(observations) == torch(observations)).all()


def test_a_registry_that_is_away_costs_a_warning(tmp_path: Path) -> None:
    said = train(command(tmp_path, "grpc://localhost:1", steps=4096))
    assert said.count("Training continues") == 1
    later = re.search(r"later: python -m registry\.publishing\.process (\S+)", said)
    assert later is not None
    run = Path(later[1])
    with service("model_registry", tmp_path / "served") as registry:
        config = run / "config.yaml"
        config.write_text(config.read_text().replace("grpc://localhost:1", registry.endpoint))
        assert process.main([str(run)]) == 0
        with RegistryClient(registry.endpoint) as client:
            (model,) = client.models()
            assert model.model_id == "published_seed00"
            assert [each.user_data["kind"] for each in client.versions(model.model_id)] == [
                "best",
                "last",
            ]
    archived = json.loads((run / "publishing" / "archived.json").read_text())
    assert sorted(archived) == ["best", "last"]


@pytest.mark.parametrize("endpoint", ["localhost:9002", "grpc://localhost", "cogment://elsewhere"])
def test_an_address_that_is_none_is_refused_before_the_run_starts(
    endpoint: str,
    tmp_path: Path,
) -> None:
    words = command(tmp_path, endpoint, steps=4096)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=patience(30.0))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 2, done.stderr
    assert not (tmp_path / "published.seed00").exists()
