"""A search whose processes are killed at random instants: nothing is lost, nothing is there twice.

    python -m benchmarks.tune_kills [--kills 10] [--scheduler random pbt] [--workers 1 2] [--victims tuner ...]

What is killed with -9, in turn: a trial's process, one rank of a trial, Ray's worker process, the tuner itself, which
the same command then continues. With random search the reports must be those of an undisturbed search, number by
number; with PBT, whose decisions depend on who reports first, lineage and MLflow must be complete.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.machine.processor import cpu_model, instruction_set
from swarm.tune.results import read_results
from swarm.tune.trial.run_folder import Reference

ROOT = Path(__file__).resolve().parents[1]
TASK = """
algo: ppo
env_id: CartPole-v1
num_timesteps: 40960
num_envs: 4
rollout_len: 512
batch_size: 128
p_perception_stack: mlp_16
v_perception_stack: mlp_16
lr_schedule: constant
eval_frequency: 0
save_frequency: 100000
search:
  lr: {loguniform: [1.0e-4, 1.0e-2]}
  clip_ratio: {uniform: [0.1, 0.4]}
tune: {num_samples: 6, perturbation_interval: 4, checkpoint_frequency: 4, max_failures: -1}
"""
VICTIMS = ("tuner", "trial", "rank", "ray worker")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--scheduler", nargs="+", default=["random", "pbt"])
    parser.add_argument("--victims", nargs="+", default=VICTIMS, choices=VICTIMS)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    arguments = parser.parse_args(argv)
    print(f"{cpu_model()}, {instruction_set()}")
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        task = Path(folder) / "kills.yaml"
        task.write_text(TASK)
        for scheduler in arguments.scheduler:
            for workers in arguments.workers:
                whole = Path(folder) / f"whole_{scheduler}_{workers}"
                search(command(task, whole, scheduler, workers))
                killed = Path(folder) / f"killed_{scheduler}_{workers}"
                done = kill_often(
                    command(task, killed, scheduler, workers),
                    killed,
                    arguments.kills,
                    workers,
                    arguments.victims,
                )
                check(whole / "kills", killed / "kills", exactly=scheduler == "random")
                print(
                    f"{scheduler}, {workers} workers: killed {', '.join(done)}; all is there, once",
                    flush=True,
                )
                shutil.rmtree(whole)
                shutil.rmtree(killed)
    return 0


def command(task: Path, folder: Path, scheduler: str, workers: int) -> list[str]:
    words = [
        sys.executable,
        "tuner.py",
        "--config",
        str(task),
        f"--tune_dir={folder}",
        "--name=kills",
    ]
    return [
        *words,
        f"--scheduler={scheduler}",
        f"--num_workers={workers}",
        "--max_concurrent=2",
        "--test-local",
    ]


def search(words: list[str]) -> None:
    subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def kill_often(
    words: list[str],
    folder: Path,
    kills: int,
    workers: int,
    kinds: Sequence[str],
) -> list[str]:
    """Run it to its end, however often something is killed; what was."""
    generator = random.Random(0)
    done: list[str] = []
    while True:
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while process.poll() is None:
            wait = time.monotonic() + generator.uniform(2.0, 8.0)
            while process.poll() is None and time.monotonic() < wait:
                time.sleep(0.05)
            victim = kinds[len(done) % len(kinds)]
            if len(done) >= kills or process.poll() is not None:
                continue
            if victim == "tuner":
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                done.append(victim)
                break
            found = victims(victim, str(folder), workers)
            if found:
                os.kill(generator.choice(found), signal.SIGKILL)
                done.append(victim)
        else:
            if process.returncode:
                raise SystemExit(f"the search ended with status {process.returncode}")
            return done
        time.sleep(1.0)


def victims(kind: str, folder: str, workers: int) -> list[int]:
    """Processes of that kind, of this search."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            environment = (path / "environ").read_bytes()
        except OSError:
            continue
        is_trial = b"tuner.py" in b" ".join(words) and b"trial" in words
        is_rank = (
            is_trial
            and (b"PMI_RANK=" in environment or workers == 1)
            and b"mpiexec" not in words[0]
        )
        is_worker = words[0].startswith(b"ray::") and b"Trainable" in words[0]
        if is_worker if kind == "ray worker" else is_rank if kind == "rank" else is_trial:
            found.append(int(path.name))
    return found


def check(whole: Path, killed: Path, *, exactly: bool) -> None:
    """Stop where something is missing, double or other than it is to be."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{killed}/mlflow.db")
    kept = json.loads((killed / "mlflow.json").read_text())
    runs = client.search_runs([kept["experiment"]], max_results=1000)
    trials = read_results(killed)
    expect(len(runs), len(trials) + 1, "runs of MLflow")
    expect(len(trials), 6, "trials")
    for trial in trials:
        expect(trial.state, "TERMINATED", f"state of {trial.number}")
        expect(
            [each["report"] for each in trial.reports],
            list(range(1, len(trial.reports) + 1)),
            "reports",
        )
        (run,) = (each for each in runs if each.info.run_name == trial.run.name)
        sent = client.get_metric_history(run.info.run_id, "report")
        found, wanted = (
            [int(each.value) for each in sent],
            [each["report"] for each in trial.reports],
        )
        expect(
            len(found),
            len(set(found)),
            f"reports of trial {trial.number} that MLflow has, and without repetition",
        )
        expect(
            sorted(set(wanted) - set(found)),
            [],
            f"reports of trial {trial.number} that MLflow lacks",
        )
        expect(run.info.status, "FINISHED", "status in MLflow")
        for row in trial.taken:
            donor = Reference(
                row["donor"],
                row["donor_folder"],
                row["donor_generation"],
                row["iteration"],
            )
            manifest = json.loads((donor.checkpoint / "manifest.json").read_text())
            expect(
                manifest["files"]["shared.safetensors"]["sha256"],
                row["shared_sha256"],
                "weights of the donor",
            )
    if exactly:
        for mine, theirs in zip(trials, read_results(whole), strict=True):
            expect(len(mine.reports), len(theirs.reports), "number of reports")
            for one, other in zip(mine.reports, theirs.reports, strict=True):
                one, other = plain(one), plain(other)
                other_keys = {
                    name for name in one.keys() | other.keys() if one.get(name) != other.get(name)
                }
                expect(sorted(other_keys), [], f"what differs in trial {mine.number}")


def plain(report: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on when and where it ran."""
    of_machine = (
        "time",
        "pid",
        "warmup",
        "iterations_since",
        "timesteps_since",
        "num_remote",
        "hostname",
        "node_ip",
        "date",
        "trial_id",
    )
    return {name: each for name, each in report.items() if not name.startswith(of_machine)}


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: {str(found)[:300]} in place of {str(wanted)[:300]}")


if __name__ == "__main__":
    sys.exit(main())
