"""Every command that a program prints as the next one works as printed, in folders with a space in their names, too."""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests import launch, next_lines
from tests.sources import product_sources, shown, tree_of

SMALL = ["--num_envs=2", "--rollout_len=64", "--batch_size=32", "--num_timesteps=256"]
STACKS = ["--p_perception_stack=mlp_8", "--v_perception_stack=mlp_8", "--progress=none"]
# Where such lines are printed, and the test whose run prints them.
PRINTED = {
    "main.py": "here",
    "evaluator.py": "here",
    "helpers/demos/report.py": "here",
    "registry/package/export.py": "here",
    "environments/checking/report.py": "here",
    "agents/weights/migration/notes.py": "tests/migration/stage.py",
    "agents/zoo/__main__.py": "tests/agents/zoo/test_zoo.py",
    "registry/cli.py": "tests/registry/test_model_manager.py",
    "registry/service_cli.py": "tests/registry/service/test_client.py",
    "registry/publishing/follow.py": "tests/registry/service/test_publishing.py",
    "registry/service/services.py": "tests/registry/service/test_services.py",
    "swarm/tune/session.py": "tests/swarm/tune/test_search.py",
    "spawner.py": "tests/swarm/test_spawner_cli.py",
    "reports/verbs/stop.py": "tests/swarm/test_watch.py",
    "reports/verbs/curve.py": "tests/reports/test_curve.py",
    "reports/verbs/listing.py": "tests/reports/runs/test_list.py",
    "reports/verbs/prune.py": "tests/reports/runs/test_prune.py",
    "reports/verbs/report.py": "tests/reports/test_report.py",
    "reports/verbs/card.py": "tests/reports/test_card.py",
    "reports/verbs/compare.py": "tests/reports/test_compare.py",
    "reports/verbs/replay.py": "tests/reports/test_replay.py",
    "tuner.py": "tests/swarm/tune/test_search.py",
    "environments/opensim/models.py": "it has no variable",
}


def ran(folder: Path, *flags: str, workers: int = 1) -> str:
    """What a command prints; `launch.run` has tried the commands in it (tests/next_lines.py)."""
    done = launch.run(list(flags), workers=workers)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_run_and_those_after_it_print(tmp_path: Path) -> None:
    folder = tmp_path / "my runs"
    train = ["--env_id=Pendulum-v1", *SMALL, *STACKS, f"--runs_dir={folder}"]
    printed = ran(folder, *train, "--uuid=a.seed00")
    run = folder / "a.seed00"
    assert {words[2] for words in next_lines.commands_in(printed)} == {
        "--task=eval",
        "--task=export",
        "--task=verify_resume",
    }
    never = ran(folder, *train, "--uuid=never.seed00", "--eval_frequency=0")
    assert "--iter_num=latest" in never and "best" not in never
    for end in (["--iter_num=best"], ["--iter_num=latest", "--no-deterministic"]):
        saved = [f"--save_traj_dir={folder}/demos{len(end)}", "--save_traj", "--num_trajs=2"]
        printed = ran(folder, "--task=eval", f"--model_path={run}", *saved, *end)
        (words,) = next_lines.commands_in(printed)
        printed = ran(folder, *words[2:])
        (words,) = next_lines.commands_in(printed)
        assert words[2] == "--task=demos", words
    export = ["--task=export", f"--model_path={run}", "--iter_num=best"]
    printed = ran(folder, *export, f"--export_dir={folder}/package")
    assert [words[:2] for words in next_lines.commands_in(printed)] == [
        ["read", f"{folder}/package/README.md,"],
        ["python", "-m"],
    ]
    options = "--env_options=" + '{"g": 9.0}'
    printed = ran(folder, "--task=check_env", "--env_id=Pendulum-v1", options)
    (words,) = next_lines.commands_in(printed)
    assert words[-1] == options  # else another environment would be trained on


def test_a_run_that_was_stopped_before_its_first_evaluation(tmp_path: Path) -> None:
    runs = [f"--runs_dir={tmp_path}/my runs", "--uuid=early.seed00"]
    long = ["--num_timesteps=1_000_000", "--execution_time=0:03"]
    flags = ["--env_id=Pendulum-v1", *SMALL[:-1], *STACKS, *runs, *long, "--eval_frequency=1000"]
    done = launch.run(flags)
    assert done.returncode == 75, done.stderr
    commands = next_lines.commands_in(done.stdout)
    assert "--iter_num=latest" in commands[0], done.stdout


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        (
            "train",
            ["ENV_ID=Walker2d-v5", "CONFIG=tasks/train_mujoco_sac.yaml", "ARGS=--p_lr=1 --q"],
        ),
        (
            "imitate",
            ["ENV_ID=Walker2d-v5", "CONFIG=tasks/train_mujoco_bc.yaml", "ARGS=--p_lr=1 -q"],
        ),
    ],
)
def test_make_shows_the_same_choices_again(target: str, kept: list[str]) -> None:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["make", "--dry-run", target, *kept],
        cwd=launch.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    echoes = [
        shlex.split(line)[1] for line in done.stdout.splitlines() if f"  make {target}" in line
    ]
    one = next(line for line in echoes if "another seed" in line or "one demonstration" in line)
    assert set(kept) <= set(shlex.split(one)), one


def test_every_place_that_prints_such_a_line_is_tried() -> None:
    found = {
        shown(path)
        for path in product_sources()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(next_lines.HEAD)
    }
    assert found == set(PRINTED)
    for test in PRINTED.values():
        assert not test.endswith(".py") or (launch.ROOT / test).is_file(), test
