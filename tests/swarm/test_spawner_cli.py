"""The command line of spawner.py: every flag of the seed, what is shown, written and refused, and no key anywhere."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import spawner
from helpers.machine import processor
from swarm.flags import hidden_key
from swarm.flags.parser import parse
from swarm.plan import load
from swarm.planning import preflight
from tests.swarm.plans import ROOT, refused

KEY = "canary0123456789canary"
CONFIG = str(ROOT / "tasks" / "train_classic_ppo.yaml")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to spawn in, without a user's own files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def spawned(*argv: str) -> int:
    return spawner.main(["--config", CONFIG, *argv])


def the_swarm(here: Path) -> Path:
    (folder,) = (here / "data" / "swarms").iterdir()
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in folder.rglob("*") if path.is_file()}


# What is shown and written


def test_a_dry_run_shows_all_and_writes_nothing(here, capsys):
    assert spawned("--env_bundle", "suite", "--num_seeds", "5", "--dry_run") == 0
    out = capsys.readouterr().out
    assert "experiment_total = 25 (5 environments x 1 trial x 5 seeds)" in out
    assert "without a time limit" in out and "#!/usr/bin/env bash" in out
    assert (
        sum(
            line.split("  ")[-1].endswith(f"seed0{n}")
            for n in range(5)
            for line in out.splitlines()
        )
        >= 25
    )
    assert list(here.iterdir()) == []


def test_the_cost_is_told(here, capsys):
    spawned("--deployment=slurm", "--caliber=long", "--num_seeds=3", "--num_workers=4", "--dry_run")
    assert (
        "300,000 environment steps on 12 cores, for at most 12 h each start: 144 core-hours"
        in capsys.readouterr().out
    )


def test_long_tables_are_cut_but_not_in_a_dry_run(here, capsys):
    spawned("--num_seeds=30")
    assert "and 10 more" in capsys.readouterr().out
    spawned("--num_seeds=30", "--dry_run")
    assert "more" not in capsys.readouterr().out.split("experiment_total")[0]


def test_what_trials_differ_in_is_shown(here, capsys):
    config = ROOT / "tasks" / "train_mujoco_ppo_hps.yaml"
    argv = [
        "--config",
        str(config),
        "--sweep",
        "--num_trials",
        "10",
        "--num_seeds",
        "3",
        "--dry_run",
    ]
    assert spawner.main(argv) == 0
    out = capsys.readouterr().out
    assert "experiment_total = 30 (1 environment x 10 trials x 3 seeds)" in out
    assert "p_perception_stack" in out.splitlines()[1]


def test_files_are_written_and_spawning_again_writes_the_same(here, capsys):
    assert spawned("--num_seeds=2", "--args_method=yaml") == 0
    assert "--deploy_now" in capsys.readouterr().out
    folder = the_swarm(here)
    first = contents(folder)
    assert spawned("--num_seeds=2", "--args_method=yaml") == 0
    assert contents(folder) == first
    plan = load(folder)
    assert [run.config.seed for run in plan.runs] == [0, 1]
    for run in plan.runs:
        assert os.access(plan.launch_script(run), os.X_OK)
        assert plan.config_file(run).exists()
    assert plan.session_file.exists() and not plan.array_script.exists()
    assert not list(folder.rglob(".tmp*"))


def test_another_number_of_workers_is_refused(here, capsys):
    assert spawned("--num_workers=2") == 0
    before = contents(the_swarm(here))
    assert spawned("--num_workers=4") == 2
    assert "--num_workers=2" in capsys.readouterr().err
    assert contents(the_swarm(here)) == before
    assert spawned("--num_workers=4", "--prefix=other") == 0


@pytest.mark.parametrize("by", ["flag", "environment", "file"])
def test_a_data_root_holds_swarms_and_runs_and_the_runs_know_it(here, monkeypatch, capsys, by):
    root = here / "scratch"
    flags = ["--num_seeds=2", "--deployment=slurm"]
    if by == "environment":
        monkeypatch.setenv("MILOZERO_DATA", str(root))
    elif by == "flag":
        flags.append("--data_root=scratch")  # relative to where the spawner is
    else:
        text = Path(CONFIG).read_text() + f"data_root: {root}\n"
        monkeypatch.setattr(sys.modules[__name__], "CONFIG", str(here / "task.yaml"))
        Path(CONFIG).write_text(text)
    assert spawned(*flags) == 0
    (folder,) = (root / "swarms").iterdir()
    plan = load(folder)
    assert [run.folder for run in plan.runs] == [root / "runs" / run.name for run in plan.runs]
    assert f"--data_root={root}" in plan.launch_script(plan.runs[0]).read_text()
    assert not (here / "data").exists()


def test_deploying_and_clearing(here, monkeypatch, capsys):
    seen = []

    class Outcome:
        submitted = ["one"]
        already = ["two", "three"]

    def deploy(plan):
        seen.append(plan)
        assert plan.launch_script(plan.runs[0]).exists()
        return Outcome

    monkeypatch.setattr("swarm.deploy.deploy", deploy)
    assert (
        spawned("--deploy_now", "--clear", "--deployment=slurm", "--array", "--max_parallel=2") == 0
    )
    (plan,) = seen
    out = capsys.readouterr().out
    assert "submitted 1, already there 2" in out and f"reporter.py watch {plan.name}" in out
    assert not plan.launch_folder.exists()
    assert (plan.folder / "plan.json").exists() and plan.ledger_folder.exists()
    assert (
        spawned("--deployment=slurm", "--clear") == 0
    )  # without --deploy_now there is nothing to clear
    assert plan.launch_folder.exists()


def test_wandb_is_upgraded_once_and_only_if_asked(here, monkeypatch, capsys):
    commands = []

    def run(command, **keywords):
        commands.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(spawner.subprocess, "run", run)
    spawned("--num_seeds=3")
    assert commands == []
    spawned("--num_seeds=3", "--wandb_upgrade", "--dry_run")
    assert commands == []
    assert spawned("--num_seeds=3", "--wandb_upgrade") == 0
    assert commands == [[sys.executable, "-m", "pip", "install", "--upgrade", "wandb"]]
    assert "not upgraded" in capsys.readouterr().err
    assert not any("pip" in text for text in contents(the_swarm(here)).values())


@pytest.mark.parametrize(
    ("argv", "project"),
    [
        ([], None),
        (["--wandb_entity=me"], "milozero"),
        (["--wandb_base_url=https://x"], "milozero"),
        (["--wandb_api_key", KEY], "milozero"),
        (["--wandb_project=p", "--wandb_entity=me"], "p"),
    ],
)
def test_the_project_of_wandb(here, argv, project):
    assert spawned(*argv) == 0
    assert load(the_swarm(here)).runs[0].config.wandb_project == project


@pytest.mark.parametrize(
    ("argv", "limit"),
    [
        ([], None),
        (["--caliber=debug"], "600"),
        (["--caliber=debug", "--deployment=slurm"], None),
    ],
)
def test_a_caliber_bounds_a_run_where_no_scheduler_does(here, argv, limit):
    assert spawned(*argv) == 0
    plan = load(the_swarm(here))
    assert plan.runs[0].config.execution_time == limit
    assert plan.launch.caliber.seconds == (600 if argv else None)


# Keys


def test_a_key_goes_into_one_file_that_only_its_owner_reads(here, capsys):
    assert spawned("--wandb_api_key", KEY, "--num_seeds=2", "--args_method=yaml") == 0
    captured = capsys.readouterr()
    assert KEY not in captured.out + captured.err and "warning: --wandb_api_key" in captured.err
    folder = the_swarm(here)
    holding = [path for path, text in contents(here).items() if KEY in text]
    assert holding == [str(folder / "secrets.env")]
    assert stat.S_IMODE((folder / "secrets.env").stat().st_mode) == 0o600
    assert load(folder).launch.secrets_file == folder / "secrets.env"
    assert spawned("--num_seeds=2", "--args_method=yaml", "--wandb_project=milozero") == 0
    assert load(folder).launch.secrets_file == folder / "secrets.env", "the key was given once"


def test_refusals_do_not_show_a_key():
    for argv in (
        ["--wandb_api_key", KEY, "--num_seeds=x"],
        [f"--wandb_api_key={KEY}", "--nonsense"],
    ):
        assert KEY not in " ".join(refused(parse, argv))


def test_the_key_leaves_the_process_list(tmp_path):
    """The program starts anew without it: what is left of it there is the time Python needs to begin."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from swarm.flags.hidden_key import hide_key\n"
        "key = hide_key(sys.argv)\n"
        "print(key, sys.argv[1:], flush=True)\n"
        "time.sleep(60)\n",
    )
    argv = [sys.executable, str(program), "a b", "--wandb_api_key", KEY, "--last"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == f"{KEY} ['a b', '--last']\n"
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert KEY.encode() not in shown and b"a b\0--last" in shown
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("argv", [["--wandb_api_key", KEY], [f"--wandb-api-key={KEY}"]])
def test_the_key_is_split_off(argv):
    assert hidden_key.split_key(["-x", *argv, "y"]) == (["-x", "y"], KEY)
    assert hidden_key.split_key(["--wandb_api_key"]) == ([], "")


# Bad input: two lines, and nothing is written


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--config none.yaml", "none.yaml cannot be read"),
        ("--env_bundle nothing", "no bundle nothing"),
        ("--caliber nothing", "no caliber nothing"),
        ("--deployment slurm --cluster nothing", "no cluster nothing"),
        ("--calibers_file none.yaml --caliber short", "none.yaml cannot be read"),
        ("--bundles_file none.yaml --env_bundle debug", "none.yaml cannot be read"),
        ("--pin --deployment slurm", "--pin is for this machine"),
        (
            "--pin --num_workers 1 --max_parallel 4000",
            "4000 runs of 1 workers need 4000 processors",
        ),
        ("--num_trials 3", "without --sweep"),
        ("--sweep --num_trials 1", "nothing to search"),
        ("--docker --docker_image none.sif", "no image"),
        ("--deployment slurm --docker --docker_image none.sif", "no image"),
        ("--num_workers 9", "num_envs=8 is less than the 9 workers"),
        ("--conda_env x", "no program conda"),
        ("--docker --docker_image x/y:z", "no program docker"),
        ("--swarms_dir 'a\\b'", "backslash"),
    ],
)
def test_bad_input(here, monkeypatch, capsys, argv, words):
    monkeypatch.setenv("PATH", str(here))
    monkeypatch.delenv("CONDA_EXE", raising=False)
    assert (
        spawner.main([*([] if "--config" in argv else ["--config", CONFIG]), *shlex.split(argv)])
        == 2
    )
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 2 and "remedy" in err
    assert list(here.iterdir()) == []


def test_the_instruction_set_is_that_of_the_runs(here, monkeypatch, capsys):
    """Here, one of this machine; on a cluster, any: its nodes may have more than who spawns."""
    monkeypatch.setattr(processor, "levels", lambda: ["x86-64-v2"])
    monkeypatch.setenv("MILOZERO_MARCH", "x86-64-v2")
    assert spawned("--dry_run") == 0
    assert "  export MILOZERO_MARCH=x86-64-v2\n" in capsys.readouterr().out
    monkeypatch.setenv("MILOZERO_MARCH", "x86-64-v4")
    assert spawned("--dry_run", "--deployment", "slurm") == 0
    assert "  export MILOZERO_MARCH=x86-64-v4\n" in capsys.readouterr().out
    assert spawned("--dry_run") == 2
    assert "needs AVX-512" in capsys.readouterr().err
    monkeypatch.setenv("MILOZERO_MARCH", "avx")
    assert spawned("--dry_run", "--deployment", "slurm") == 2
    err = capsys.readouterr().err
    assert "MILOZERO_MARCH=avx is not an instruction set of x86-64." in err and err.count("\n") == 2
    monkeypatch.delenv("MILOZERO_MARCH")
    assert spawned("--dry_run") == 0
    assert "export MILOZERO_MARCH" not in capsys.readouterr().out


def test_a_swarm_folder_that_cannot_be_written(here, capsys):
    (here / "data").write_text("")
    assert spawned() == 5
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("inspected", "pulled", "outcome"),
    [
        ("exit 0", "exit 1", "fine"),
        ("echo 'Error: No such image: x' >&2; exit 1", "exit 0", "was pulled"),
        (
            "echo 'Error: No such image: x' >&2; exit 1",
            "echo 'pull denied' >&2; exit 1",
            "pull denied",
        ),
        ("echo 'a stand-in that knows nothing' >&2; exit 1", "exit 1", "fine"),
    ],
)
def test_an_image_is_looked_for_once(here, monkeypatch, inspected, pulled, outcome):
    docker = here / "docker"
    docker.write_text(f"#!/bin/sh\ncase $1 in image) {inspected} ;; pull) {pulled} ;; esac\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}:/usr/bin:/bin")
    if outcome == "pull denied":
        problem, remedy = refused(preflight.fetch, "user/image:tag")
        assert outcome in problem and "docker build -t user/image:tag" in remedy
    else:
        told = preflight.fetch("user/image:tag")
        assert told == [] if outcome == "fine" else outcome in told[0]


def test_a_container_is_spawned_from_the_repository(here, monkeypatch, capsys):
    (here / "bin").mkdir()
    (here / "bin" / "docker").write_text("#!/bin/sh\n")
    (here / "bin" / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(here / "bin"))
    assert spawned("--docker", "--docker_image", "x") == 2
    assert f"cd {ROOT}" in capsys.readouterr().err


def test_five_hundred_runs_are_written_in_time(here, capsys):
    started = time.process_time()
    assert (
        spawned("--env_bundle", "suite", "--num_seeds", "100", "--deployment", "slurm", "--array")
        == 0
    )
    assert time.process_time() - started < 3
    assert "experiment_total = 500" in capsys.readouterr().out
    assert len(list(the_swarm(here).glob("launch/*.sh"))) == 501
