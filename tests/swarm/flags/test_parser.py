"""The flags of spawner.py: every one of the seed's, their help, and what is refused."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from helpers.config.settings import settings_of
from swarm.flags.parser import help_text, parse
from swarm.flags.spawn_settings import CALIBERS, SpawnSettings
from tests.swarm.plans import ROOT, refused

KEY = "canary0123456789canary"

# The example of the page that this project grew from, its remarks left out.
EXAMPLE = """
  --config tasks/train_mujoco_ppo.yaml
  --env_bundle debug
  --wandb_upgrade
  --no-sweep
  --clear
  --deploy_now
  --caliber short
  --num_workers 2
  --num_seeds 3
  --deployment tmux
  --conda_env pytorch
  --wandb_base_url https://wandb.example.org
  --wandb_api_key canary0123456789canary
  --wandb_entity someone
  --docker
  --docker_image docker_user/milozero:mujoco
"""
SEED_FLAGS = """
  prefix config conda_env env_bundle args_method demo_dir num_workers num_trials deployment num_seeds caliber deploy_now
  no-deploy_now sweep no-sweep clear no-clear wandb_upgrade no-wandb_upgrade num_demos list wandb_base_url wandb_api_key
  wandb_entity wandb_project docker no-docker docker_image
""".split()
OUR_FLAGS = (
    "dry_run sweep_mode sweep_seed max_parallel array bundles_file calibers_file cluster".split()
)


@pytest.mark.parametrize("flag", [*SEED_FLAGS, *OUR_FLAGS])
def test_the_help_names_every_flag(flag):
    assert re.search(rf"--{flag}(?![\w-])", help_text(100))


def test_the_help_names_every_choice():
    text = re.sub(r"\s+", " ", help_text(100))
    assert all(name in text for name in CALIBERS)
    for choices in ("{tmux,slurm,pbs,local}", "{full,yaml,minimal}", "{random,grid,zip}"):
        assert choices in text
    assert max(map(len, help_text(80).splitlines())) <= 110


def test_help_comes_at_once():
    took = []
    for _ in range(5):
        started = os.times()
        done = subprocess.run(
            [sys.executable, "spawner.py", "-h"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        ended = os.times()
        took.append(
            ended.children_user
            - started.children_user
            + ended.children_system
            - started.children_system,
        )
    assert done.stdout.startswith("usage: python spawner.py")
    assert min(took) < 0.5


def test_the_example_means_what_it_says():
    command = parse(shlex.split(EXAMPLE))
    read = command.settings
    assert (read.config, read.env_bundle) == ("tasks/train_mujoco_ppo.yaml", "debug")
    assert (read.wandb_upgrade, read.sweep, read.clear, read.deploy_now) == (
        True,
        False,
        True,
        True,
    )
    assert (read.caliber, read.num_workers, read.num_seeds) == ("short", 2, 3)
    assert (read.deployment, read.conda_env) == ("tmux", "pytorch")
    assert (read.docker, read.docker_image) == (True, "docker_user/milozero:mujoco")
    assert command.wandb_api_key == KEY and KEY not in repr(command) + str(read)


def test_defaults_do_nothing_that_was_not_asked():
    read = parse(["--config=x.yaml"]).settings
    assert not any((read.deploy_now, read.sweep, read.clear, read.docker, read.wandb_upgrade))


@pytest.mark.parametrize(
    ("argv", "numbers"),
    [
        (["--num_demos", "1", "4", "16"], (1, 4, 16)),
        (["--list", "1", "4", "16", "--docker", "--docker_image", "x"], (1, 4, 16)),
        (["--num_demos=1,4"], (1, 4)),
        (["--num_demos=1", "4"], (1, 4)),
        (["--list=16"], (16,)),
        (["--num-demos", "16", "--num_seeds", "2"], (16,)),
        ([], ()),
    ],
)
def test_lists_of_numbers(argv, numbers):
    assert parse(["--config=x.yaml", *argv]).num_demos == numbers


def test_declared_examples_are_valid():
    for each in settings_of(SpawnSettings).values():
        assert each.read(each.working_value) is not None
        assert not each.pattern or each.form


@pytest.mark.parametrize(
    ("argv", "problem", "remedy"),
    [
        ("", "No --config", "--config"),
        ("--num_worker=2", "Unknown flag --num_worker.", "Did you mean --num_workers?"),
        (
            "--p_lr=1e-3 --n_steps=9",
            "flags --p_lr, --n_steps.",
            "p_lr: VALUE; --n_steps: here rollout_len",
        ),
        ("--wandb_api_keys=x", "is not accepted", "WANDB_API_KEY"),
        ("--num_seeds=0", "--num_seeds=0 is not a whole number >= 1", "num_seeds"),
        ("--num_workers=two", "--num_workers=two is not", "works"),
        ("--deployment=lsf", "is not one of tmux, slurm, pbs, local", "works"),
        ("--num_demos", "--num_demos needs a value", "VALUE"),
        ("--num_demos 1 x", "is not of the form", "1 4 16"),
        ("--prefix=a.b", "--prefix=a.b is not of the form letters", "first_try"),
        ("--prefix=-x", "is not of the form", "first_try"),
        ("--docker --config x", "without an image", "--docker_image"),
        ("--docker_image=x --config x", "without --docker", "--docker"),
        ("--docker --docker_image=--rm", "is not of the form", "works"),
        ("--array --config x", "--array is for Slurm", "--deployment slurm"),
        ("--deployment slurm --max_parallel 3 --config x", "limits an array", "--array"),
        ("--array --config x", "--array is for Slurm or PBS", "or --deployment pbs"),
        ("--launcher srun --config x", "is for Slurm", "--deployment slurm"),
        ("--launcher srun --deployment pbs --config x", "is for Slurm", "--deployment slurm;"),
        ("--wandb_api_key --config x", "has no value", "WANDB_API_KEY"),
        ("--config a --config b", "given twice", "Delete"),
        ("--docker maybe", "not true or false", "--no-docker"),
        ("stray", "Unexpected 'stray'", "--flag=value"),
    ],
)
def test_flags_that_are_refused(argv, problem, remedy):
    told = refused(parse, shlex.split(argv))
    assert problem in told[0] and remedy in told[1]


# The page


def test_the_commands_of_the_page_are_understood():
    page = (ROOT / "docs" / "spawner.md").read_text()
    commands = re.findall(r"^python spawner\.py (?:.*\\\n)*.*$", page, re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        argv = shlex.split(command.replace("\\\n", " "))[2:]
        read = parse(argv).settings
        assert read.deploy_now and (ROOT / str(read.config)).exists()
    named = set(re.findall(r"--([a-z_]+)", page))
    theirs = {"nv", "upgrade"}  # of apptainer and pip
    theirs |= {
        "algo",
        "account",
        "comment",
        "job",
        "ntasks",
        "open",
        "output",
        "qos",
        "signal",
    }  # of main.py, of sbatch
    assert named <= {*SEED_FLAGS, *settings_of(SpawnSettings), *theirs, "no"}
