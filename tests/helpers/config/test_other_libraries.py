"""Names of other libraries: each is told what it is here, and all that are wrong at once."""

import re
import shlex

import pytest

from agents.algorithms import SCHEMA
from helpers.config.other_libraries import NAMES, counterpart
from helpers.errors import ConfigurationError
from swarm.flags.parser import parse
from swarm.tune.task_file import read_search
from tests.helpers.refusals import refused


def test_every_name_leads_to_settings_that_exist_and_hides_none_of_ours():
    assert len(NAMES) >= 100
    for name, words in NAMES.items():
        assert SCHEMA.vocabulary.key(name) is None, f"{name} is ours: nobody is ever told {words!r}"
        for key in re.findall(r"\{(\w+)\}", words):
            assert SCHEMA.vocabulary.key(key), f"{name}: there is no setting {key}"


# Command lines as the documentation of the libraries has them, without the program; what must be said of each flag.
LINES = {
    "CleanRL": (
        "--env-id HalfCheetah-v4 --total-timesteps 50000 --learning-rate=1e-3 --num-steps 2048 --cuda False --track",
        [
            "--num_timesteps",
            "--p_lr and --v_lr",
            "times --num_envs",
            "processor",
            "--wandb_project",
        ],
    ),
    "RL Zoo": (
        "--algo ppo --env CartPole-v1 -n 50000 -optimize --n-trials 1000 --n-jobs 2 --sampler tpe -f logs/",
        [
            "--env: here --env_id",
            "-n: here --num_timesteps",
            "tuner.py",
            "mpiexec",
            "-f: here --runs_dir",
        ],
    ),
    "spinup": (
        'ppo --hid "[32,32]" --env Walker2d-v2 --exp_name installtest --steps_per_epoch 4000 --pi_lr -1',
        [
            "ppo: --algo=ppo",
            "mlp_64_64",
            "--experiment_name",
            "--rollout_len",
            "--pi_lr: here --p_lr",
        ],
    ),
    "rl_games": (
        "task=train headless=True max_iterations=500 num_envs=64",
        ["--task=train", "shows no window", "--num_timesteps", "--num_envs=64"],
    ),
    "rsl_rl": (
        "--task train --headless --num_steps_per_env 24 --num_mini_batches 4 --entropy_coef 0.01 --resume",
        [
            "shows no window",
            "--rollout_len",
            "--batch_size",
            "--p_ent_reg_scale",
            "the same command",
        ],
    ),
    "skrl": (
        "--rollouts 16 --learning_epochs 8 --mini_batches 2 --discount_factor 0.99 --grad_norm_clip 0.5 --seed 3",
        ["--rollout_len", "--optim_epochs_per_iter", "--gamma", "--clip_norm"],
    ),
}


@pytest.mark.parametrize("library", LINES)
def test_all_flags_of_a_command_line_are_told_at_once(library):
    line, words = LINES[library]
    problem, remedy = refused(*shlex.split(line))
    told = [
        flag
        for flag in re.findall(r"(?<!\S)(-[-\w]+|\w+=\w+)", line)
        if flag.lstrip("-").split("=")[0] not in ("env-id", "algo", "seed", "1", "task", "num_envs")
    ]  # ours, and a value
    missing = [flag for flag in told if flag.split("=")[0] not in problem]
    assert not missing, problem
    assert not [each for each in words if each not in remedy], remedy


def test_the_same_is_told_of_a_file(tmp_path):
    path = tmp_path / "sb3.yaml"
    path.write_text(
        "learning_rate: !!float 3e-4\nn_steps: 512\np_lrr: 1\ngamma: 0.99\nent_coef: 0.01\n",
    )
    problem, remedy = refused(f"--config={path}")
    assert problem == (
        f"Unknown keys learning_rate (line 1), n_steps (line 2), p_lrr (line 3), ent_coef (line 5) in {path}."
    )
    assert "learning_rate: here p_lr and v_lr" in remedy and "p_lrr: did you mean p_lr?" in remedy
    assert "--" not in remedy.split("`")[0]


def test_names_within_sections_are_told_too(tmp_path):
    path = tmp_path / "rl_games.yaml"
    path.write_text(
        "params:\n  network:\n    mlp:\n      units: [256, 128]\n  config: {e_clip: 0.2, horizon_length: 16}\n",
    )
    problem, remedy = refused(f"--config={path}")
    assert "Unknown key params (line 1)" in problem
    for words in (
        "at the top level",
        "units: here p_perception_stack",
        "e_clip: here clip_ratio",
        "horizon_length",
    ):
        assert words in remedy


def test_a_file_of_rl_zoo_is_recognised(tmp_path):
    path = tmp_path / "ppo.yml"
    path.write_text(
        "Hopper-v4: &x\n  policy: 'MlpPolicy'\n  n_timesteps: !!float 1e6\nAnt-v4:\n  <<: *x\n",
    )
    problem, remedy = refused(f"--config={path}")
    assert "as RL Zoo writes them: Hopper-v4" in problem
    assert f"python -m agents.zoo {path} --env_id=" in remedy


def test_spawner_and_tuner_tell_the_same(tmp_path):
    argv = ["--learning_rate=1e-3", "--n_steps=5", "--gamma=0.9"]
    for program in (lambda: parse(argv), lambda: read_search(argv, SCHEMA)):
        with pytest.raises(ConfigurationError) as caught:
            program()
        assert "--learning_rate, --n_steps, --gamma" in caught.value.problem
        for words in (
            "here p_lr and v_lr",
            "here rollout_len",
            "as gamma: VALUE",
            "YAML file of --config",
        ):
            assert words in caught.value.remedy, caught.value.remedy


def test_values_of_unknown_flags_are_no_flags_and_never_shown():
    problem, _ = refused("--hidden", "64", "-64", "--zz", "CANARY", "--wandb_token_x", "CANARY")
    assert "CANARY" not in problem and "'64'" not in problem


def test_dashes_and_capitals_do_not_matter():
    assert counterpart("Learning-Rate", dashes="--") == counterpart("learning_rate", dashes="--")
    assert counterpart("nothing_like_it", dashes="") is None
