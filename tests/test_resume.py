"""An interrupted run, continued, equals one that nobody disturbed: bit for bit, however it was ended.

Each environment, each number of workers and each kind of interruption is met here; all combinations run in
benchmarks/resume.py.
"""

import json
import re
import subprocess
import sys

import pytest

from helpers.checkpoints.manifests import contents_of, read_manifest
from helpers.checkpoints.shards import packs
from tests import launch
from tests.patience import patience
from tests.resume_cases import REPLAY_CASES, check_interrupted_run, settings

CASES = [  # each environment, each number of workers, each kind of interruption; all in benchmarks/resume.py
    ("Hopper-v5", 1, "USR1"),
    ("Hopper-v5", 2, "kill all"),
    ("Hopper-v5", 3, "kill one"),
    ("CartPole-v1", 1, "kill all"),
    ("CartPole-v1", 3, "USR1"),
    ("Cheetah-Run-Feat-v0", 2, "USR1"),
]


@pytest.mark.parametrize(("env_id", "workers", "how"), CASES)
def test_an_interrupted_run_equals_an_undisturbed_one(tmp_path, env_id, workers, how):
    check_interrupted_run(tmp_path, env_id, workers, how)


@pytest.mark.parametrize(("algo", "env_id", "workers", "how"), REPLAY_CASES[::2])
def test_an_interrupted_run_goes_on_with_its_memory(tmp_path, algo, env_id, workers, how):
    check_interrupted_run(tmp_path, env_id, workers, how, algo=algo)
    latest = tmp_path / "undisturbed.seed00" / "checkpoints" / "latest"
    assert (
        sum(".memory.transitions." in name for name in contents_of(read_manifest(latest)))
        >= workers
    )
    assert len(packs(latest.parent)) == workers


def test_twenty_random_kills_lose_and_corrupt_nothing(tmp_path):
    long = {"num_timesteps": 96 * 600, "save_frequency": 20}  # so that it outlasts its kills
    flags = settings("CartPole-v1", tmp_path, "killed.seed00", **long)
    script = [sys.executable, "-m", "tests.kills", str(tmp_path), "20"]
    done = subprocess.run(
        script,
        cwd=launch.ROOT,
        input=json.dumps(flags),
        capture_output=True,
        text=True,
        timeout=patience(launch.LONGEST),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["kills"] == 20
    assert report["unreadable"] == 0
    assert report["lost"] == 0
    undisturbed = launch.run(settings("CartPole-v1", tmp_path, "undisturbed.seed00", **long))
    assert undisturbed.returncode == 0, undisturbed.stderr
    killed, whole = tmp_path / "killed.seed00", tmp_path / "undisturbed.seed00"
    assert launch.fingerprint(killed) == launch.fingerprint(whole)
    assert launch.rows(killed) == launch.rows(whole)


def test_a_run_that_was_killed_early_keeps_its_first_checkpoint(tmp_path):
    rare = {"save_frequency": 10_000, "eval_frequency": 0}
    flags = settings("CartPole-v1", tmp_path, "early.seed00", num_timesteps=96 * 10_000, **rare)
    folder, inodes = tmp_path / "early.seed00", []
    for rows, how in ((2, "kill all"), (200, "USR1")):
        process = launch.start(flags)
        launch.wait_for_rows(folder, rows, process)
        launch.interrupt(process, how)
        inodes.append((folder / "checkpoints" / "iter_000000").stat().st_ino)
    assert inodes[0] == inodes[1], "for a moment there was none"
    assert launch.fingerprint(folder)["iteration"] != "0"


def test_the_same_command_after_the_end_changes_nothing(tmp_path):
    flags = settings("CartPole-v1", tmp_path, "done.seed00")
    assert launch.run(flags).returncode == 0
    folder = tmp_path / "done.seed00"
    before = launch.fingerprint(folder), launch.rows(folder)
    again = launch.run(flags)
    assert again.returncode == 0, again.stderr
    assert (launch.fingerprint(folder), launch.rows(folder)) == before


def test_a_stop_file_stops_and_verify_resume_proves(tmp_path):
    flags = settings("Hopper-v5", tmp_path, "stopped.seed00")
    folder = tmp_path / "stopped.seed00"
    process = launch.start(flags, workers=2)
    launch.wait_for_rows(folder, 9, process)
    (folder / "stop").touch()
    assert process.wait(patience(launch.LONGEST)) == 75
    assert not (folder / "stop").exists()
    verified = launch.run(["--task=verify_resume", f"--model_path={folder}"], workers=2)
    assert verified.returncode == 0, verified.stderr
    assert "bitwise identical" in verified.stdout
    assert "Bits may differ" not in verified.stdout
    capsule = json.loads((folder / "capsule.json").read_text())
    capsule["starts"][-1]["instruction_set"] = "AVX-1024"
    (folder / "capsule.json").write_text(json.dumps(capsule))
    rows = (folder / "metrics.jsonl").read_text()
    last = rows.splitlines()[-1]
    (folder / "metrics.jsonl").write_text(
        rows.replace(last, last.replace("policy/std", "policy/st")),
    )
    altered = launch.run(["--task=verify_resume", f"--model_path={folder}"], workers=2)
    assert altered.returncode == 70
    assert "NOT identical" in altered.stdout
    assert re.search("Bits may differ .* with AVX-1024, ", altered.stdout)


def test_the_time_limit_stops_in_time_and_the_run_goes_on(tmp_path):
    flags = settings("CartPole-v1", tmp_path, "late.seed00", num_timesteps=960_000)
    late = launch.run([*flags, "--execution_time=0-00:00:04"], fresh=True)
    assert late.returncode == 75, late.stderr
    assert "time limit" in late.stdout
    rows = len(launch.rows(tmp_path / "late.seed00"))
    more = launch.run([*flags, "--execution_time=5"], fresh=True)
    assert more.returncode == 75, more.stderr
    assert len(launch.rows(tmp_path / "late.seed00")) > rows
