"""What a user's own files do wrong is told as his, with the file and the line; a refused run leaves nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers import errors
from tests import launch

TASK = """
from dataclasses import dataclass
import numpy as np
from docs.examples.cart import Cart

@dataclass(frozen=True, kw_only=True)
class Mine(Cart):
    {body}
"""
EVALUATE = """def evaluate(self, world, before, now, actions):
        {line}
        return super().evaluate(world, before, now, actions)
"""
ENV = """import gymnasium
import numpy as np
class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, ({size},), np.float32)
    def reset(self, seed=None, options=None):
        return np.zeros(3, np.float32), {{}}
    def step(self, action):
        {line}
"""
MODEL = "<mujoco><worldbody><body><joint type='slide'/><geom size='1'/></body></worldbody>{more}</mujoco>"
SMALL = ["--num_envs=2", "--rollout_len=64", "--batch_size=32", "--num_timesteps=128"]
FAULTS = {  # what the file holds, status, words of the problem, words of the remedy
    "syntax": ("def broken(:\n", 2, "SyntaxError", "mine.py, line 1: def broken(:"),
    "import": ("import nonesuch_package\n", 2, "nonesuch_package", "mine.py, line 1: import"),
    "reward": (
        TASK.format(body=EVALUATE.format(line="raise ValueError('no reward today')")),
        2,
        "ValueError: no reward today",
        "mine.py, line 9: raise ValueError",
    ),
    "later": (
        TASK.format(
            body=EVALUATE.format(line="raise KeyError('late') if before.qvel.any() else None"),
        ).replace("raise KeyError('late') if before.qvel.any() else None", "self.late(before)")
        + "\n    def late(self, before):\n        if before.qvel.any():\n            raise KeyError('late')\n",
        2,
        "KeyError: 'late'",
        "raise KeyError('late')",
    ),
    "reset": (
        TASK.format(body="def start(self, world, generator):\n        return world.nonesuch"),
        2,
        "AttributeError",
        "mine.py, line 9: return world.nonesuch",
    ),
    "nan": (
        TASK.format(
            body="def observe(self, world, now):\n"
            "        seen = super().observe(world, now)\n"
            "        return np.log(seen - seen - 1 * (now.qvel != 0))",
        ),
        errors.NUMERICAL,
        "nan as number 0 of an observation",
        "mine.py, line 10: return np.log(seen - seen",
    ),
    "reward of nan": (
        TASK.format(
            body=EVALUATE.format(line="pass").replace("return ", "found = ")
            + "        return found._replace(rewards=np.sqrt(-1 - now.qvel[:, 0] ** 2))",
        ),
        errors.NUMERICAL,
        "gives nan as a reward",
        "mine.py, line 11: return found._replace(rewards=np.sqrt(",
    ),
    "other shapes later": (
        TASK.format(
            body="def observe(self, world, now):\n"
            "        seen = super().observe(world, now)\n"
            "        return seen[:, :1].copy() if now.qvel.any() else seen",
        ),
        2,
        "returns other arrays than at its first state: observations float64(2, 1)",
        "mine.py, line 6: Mine",
    ),
    "start of another shape": (  # NumPy would spread it
        TASK.format(body="def start(self, world, generator):\n        return 0.0, np.zeros(1)"),
        2,
        "start returns qpos of shape (), and the model has (1,)",
        "mine.py, line 8",
    ),
    "exit": ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3", "mine.py, line 2: sys.exit(3)"),
    "hidden module": (
        "import helpers\n",
        2,
        "not {folder}/helpers.py",
        "Rename {folder}/helpers.py",
    ),
    "no spaces": ("import gymnasium\nclass Mine(gymnasium.Env): pass\n", 2, "action_space", "Mine"),
    "no numbers": (ENV.format(size=0, line="pass"), 2, "of no numbers", "at least one"),
    "step raises": (
        ENV.format(size=1, line="raise KeyError('late')"),
        2,
        "step: KeyError: 'late'",
        "mine.py, line 9: raise KeyError('late')",
    ),
    "step of another shape": (
        ENV.format(size=1, line="return np.zeros(5), 0.0, False, False, {}"),
        2,
        "step: it returned an observation of shape (5,), and its space has (3,)",
        "mine.py, line 8: Mine.step",
    ),
    "nan of an environment": (
        ENV.format(size=1, line="return np.full(3, np.nan), 0.0, False, False, {}"),
        errors.NUMERICAL,
        "gave nan as number 0 of an observation in iteration 1",
        "bound it",
    ),
    "raised in a process": (
        ENV.format(size=1, line="raise KeyError('late')"),
        2,
        "step: KeyError: 'late'",
        "mine.py, line 9: raise KeyError('late')",
    ),
    "step as gym had it": (
        ENV.format(size=1, line="return np.zeros(3), 0.0, False, {}"),
        2,
        "expected 5, got 4",
        "mine.py, line 8: Mine.step",
    ),
    "model": (
        TASK.format(body="xml_file: str = '{folder}/broken.xml'"),
        2,
        "MuJoCo cannot read the model",
        "Mend it there",
    ),
    "mesh": (
        TASK.format(body="xml_file: str = '{folder}/mesh.xml'"),
        2,
        "nonesuch.stl",
        "a mesh or a texture is looked for",
    ),
    "no actuator": (
        TASK.format(body="xml_file: str = '{folder}/idle.xml'"),
        2,
        "has no actuator",
        "Add one to",
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "helpers.py").write_text("WEIGHT = 1\n")
    (tmp_path / "broken.xml").write_text("<mujoco><worldbody><bodi/></worldbody></mujoco>")
    asset = "<asset><mesh file='nonesuch.stl'/></asset>"
    (tmp_path / "mesh.xml").write_text(MODEL.format(more=asset))
    (tmp_path / "idle.xml").write_text(MODEL.format(more="<actuator/>"))
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS)
def test_a_users_mistake_is_his_and_leaves_no_run(folder: Path, fault: str) -> None:
    text, status, problem, remedy = FAULTS[fault]
    path = folder / "mine.py"
    path.write_text(text.replace("{folder}", str(folder)))
    runs = [f"--runs_dir={folder}/runs", "--uuid=mine.seed00", "--progress=none"]
    workers = 2 if fault == "reward" else 1
    algo = ["--algo=ppo", "--eval_frequency=0", f"--env_processes={int('process' in fault)}"]
    done = launch.run([f"--env_id={path}:Mine", *algo, *SMALL, *runs], workers=workers)
    assert done.returncode == status, done.stderr
    lines = [
        line for line in done.stderr.splitlines() if line.startswith(("milozero:", "  remedy:"))
    ]
    assert len(lines) == 2, done.stderr
    problem, remedy = (each.replace("{folder}", str(folder)) for each in (problem, remedy))
    assert problem in lines[0] and remedy in lines[1], done.stderr
    assert "defect of the program" not in done.stderr and "Traceback" not in done.stderr
    if kept := re.search(r"All of it: (\S+\.txt)", lines[1]):
        trace = launch.ROOT / kept[1]
        assert "mine.py" in trace.read_text()
        trace.unlink()
    assert "crashed" not in done.stderr + done.stdout  # whose mistake it is, is not tried again
    assert not (folder / "runs" / "mine.seed00").exists()  # nothing was learned


def test_observations_outside_their_space_are_told_once(folder: Path) -> None:
    """Nothing here needs the bounds: a run of hours does not end for 1.0001."""
    path = folder / "mine.py"
    path.write_text(
        ENV.format(size=1, line="return np.full(3, 1.5, np.float32), 0.0, False, False, {}"),
    )
    runs = [f"--runs_dir={folder}/runs", "--uuid=mine.seed00", "--eval_frequency=0"]
    done = launch.run([f"--env_id={path}:Mine", "--compile=false", *SMALL, *runs], workers=2)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if "left its space" in line]
    assert len(told) == 1 and "number 0 was 1.5, its space is -1 to 1" in told[0], done.stdout
    assert "  remedy: Widen the bounds of observation_space" in done.stdout


@pytest.mark.parametrize("processes", [0, 1])
def test_a_fault_after_some_learning_keeps_the_run(folder: Path, processes: int) -> None:
    path = folder / "mine.py"
    path.write_text(
        TASK.format(
            body=EVALUATE.format(line="if (folder / 'now').exists(): raise KeyError('late')"),
        )
        + f"\nfrom pathlib import Path\nfolder = Path({str(folder)!r})\n",
    )
    runs = [f"--runs_dir={folder}/runs", "--uuid=mine.seed00", "--progress=none"]
    flags = [f"--env_id={path}:Mine", "--eval_frequency=0", f"--env_processes={processes}"]
    flags.append("--lr_schedule=constant")
    assert launch.run([*flags, *SMALL, *runs]).returncode == 0
    (folder / "now").touch()
    longer = [*SMALL[:-1], "--num_timesteps=1024"]
    done = launch.run([*flags, *longer, *runs, "--accept_changes"])
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("  remedy: Mend")]
    assert len(lines) == 1 and "mine.py, line 9: if (folder" in lines[0], done.stderr
    run = folder / "runs" / "mine.seed00"
    assert (run / "crash_worker_000.txt").read_text().count("KeyError: 'late'")
    assert (run / "checkpoints" / "latest").exists()


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--wandb_project=lab/hopper", "wandb_project=lab/hopper is not"),
        ("--wandb_entity=a:b", "wandb_entity=a:b is not"),
        ("--experiment_directory={folder}/broken.xml", "broken.xml is a file"),
        ("--experiment_directory={folder}/broken.xml/deeper", "broken.xml is a file"),
    ],
)
def test_a_tracker_that_cannot_write_is_refused_at_the_start(
    folder: Path,
    flag: str,
    words: str,
) -> None:
    runs = [f"--runs_dir={folder}/runs", "--uuid=mine.seed00", "--wandb_mode=offline"]
    done = launch.run(["--env_id=CartPole-v1", flag.format(folder=folder), *SMALL, *runs])
    assert done.returncode in (errors.BAD_CONFIGURATION, errors.STORAGE), done.stderr
    assert words in done.stderr and len(done.stderr.splitlines()) == 2, done.stderr
    assert not (folder / "runs").exists()


def test_files_beside_a_task_can_be_imported(folder: Path) -> None:
    (folder / "beside.py").write_text("WEIGHT = 0.25\n")
    (folder / "helpers.py").write_text(
        "raise SystemExit('hides the project')\n",
    )  # nobody imports it
    path = folder / "mine.py"
    path.write_text("import beside\n" + TASK.format(body="ctrl_cost_weight: float = beside.WEIGHT"))
    runs = [f"--runs_dir={folder}/runs", "--uuid=mine.seed00", "--progress=none"]
    flags = [f"--env_id={path}:Mine", "--eval_frequency=0", "--env_processes=1", *SMALL, *runs]
    done = launch.run(flags)
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "mine.seed00"
    for line in done.stdout.splitlines():  # there is no best without an evaluation
        assert "--iter_num=best" not in line
    first = [line for line in done.stdout.splitlines() if line.startswith("next: ")][0]
    words = first.removeprefix("next: python main.py ").split()
    done = launch.run([*(word for word in words if word != "--record"), "--num_trajs=2"])
    assert done.returncode == 0, done.stderr
    for flags, name in (
        ([], "evaluation_latest.json"),
        (["--no-deterministic"], "evaluation_latest_sampled.json"),
        (["--seed=5"], "evaluation_latest_seed5.json"),
        (["--num_trajs=3"], "evaluation_latest_3_trajectories.json"),
    ):
        given = ["--task=eval", f"--model_path={run}", "--iter_num=latest", "--num_trajs=2"]
        given = [each for each in given if not flags or each.partition("=")[0] not in flags[0]]
        done = launch.run([*given, *flags])
        assert done.returncode == 0, done.stderr
        assert len(json.loads((run / name).read_text())["returns"]) in (2, 3)
    assert len(list(run.glob("evaluation_*.json"))) == 4
