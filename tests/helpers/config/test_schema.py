"""Configuration: flags and YAML to frozen objects and back, and what is said where that fails."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.algorithms import SCHEMA
from agents.common_settings import hidden_sizes
from agents.on_policy.config import PPOConfig, batch_problem
from helpers.config.help import help_wanted
from helpers.config.run import RunConfig
from helpers.config.run_basics import seconds_of
from helpers.config.schema import config_text, dump_config, identity_of, to_flags
from helpers.config.settings import read_float, read_integer, settings_of
from helpers.errors import ConfigurationError
from tests.helpers.refusals import refused

ROOT = Path(__file__).resolve().parents[3]
README_COMMAND = """--wandb_project=test-name-project --wandb_entity=wandb_username --task=train
    --algo=ppo --execution_time=4-00:00:00 --save_frequency=50 --p_perception_stack=mlp_100
    --v_perception_stack=mlp_100 --d_perception_stack=mlp_100 --batch_norm_all --p_lr=0.0001
    --v_lr=0.0001 --clip_norm=0.5 --rollout_len=2048 --batch_size=64 --num_demos=16
    --uuid=some_name.seed02 --env_id=Hopper --expert_path=data/demos/Hopper-v3 --seed=2""".split()


def parse(line: str) -> PPOConfig:
    config = SCHEMA.parse_command_line(line.split()).config
    assert isinstance(config, PPOConfig)
    return config


# The seed README


def test_readme_training_command():
    parsed = SCHEMA.parse_command_line(README_COMMAND)
    config = parsed.config
    assert isinstance(config, PPOConfig)
    assert (config.env_id, config.seed, config.uuid) == ("Hopper", 2, "some_name.seed02")
    assert (config.p_lr, config.p_perception_stack) == (1e-4, "mlp_100")
    assert config.execution_seconds == 4 * 86_400
    assert config.p_batch_norm and config.v_batch_norm
    assert config.wandb_project and config.wandb_mode is None
    assert parsed.warnings == (
        "--d_perception_stack, --num_demos and --expert_path belong to the imitation algorithms; "
        "ppo does not use them.",
    )
    assert {"seed", "num_demos"} <= parsed.given and "num_envs" not in parsed.given


@pytest.mark.parametrize(
    "line",
    [
        "--task=eval --wandb_project=SOME_NAME --wandb_run_path=user/project/name "
        "--wandb_download_replace --iter_num=best --num_trajs=16",
        "--task=eval --wandb_project=SOME_NAME --model_path=path/checkpoints/experiment_name "
        "--iter_num=620 --num_trajs=1 --render --save_traj",
    ],
)
def test_readme_evaluation_commands(line):
    parsed = SCHEMA.parse_command_line(line.split())
    assert parsed.config.task == "eval" and parsed.warnings == ()
    assert type(parsed.config) is RunConfig


# Flags


@pytest.mark.parametrize(
    "line",
    [
        "--p_lr=0.001 --render",
        "--p_lr 0.001 --render true",
        "--p-lr=1e-3 --render=yes",
        "--p_lr .001 --render 1",
    ],
)
def test_spellings_of_a_flag(line):
    config = parse(line)
    assert (config.p_lr, config.render) == (0.001, True)


@pytest.mark.parametrize(
    "flag",
    ["--no-deterministic", "--no_deterministic", "--deterministic=false", "--deterministic 0"],
)
def test_spellings_of_a_negation(flag):
    assert parse(flag).deterministic is False


@pytest.mark.parametrize("text", ["2e3", "2000", "2000.0", "+2E3", 2000, 2000.0])
def test_whole_numbers(text):
    assert read_integer(text) == 2000 and type(read_integer(text)) is int


@pytest.mark.parametrize(
    "text",
    ["2.5", "1e999999999", "1e19", "nan", "inf", "", "0x10", True, [], 2.5],
)
def test_no_whole_numbers(text):
    with pytest.raises(ValueError):
        read_integer(text)


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "x", "", True, None])
def test_no_numbers(text):
    with pytest.raises((ValueError, TypeError)):
        read_float(text)


def test_alias_and_negative_value():
    config = parse("--eps=0.1 --clip_norm -1")
    assert (config.clip_ratio, config.clip_norm) == (0.1, -1.0)
    assert parse("--expert_path=-x --clip_norm=-2e0").clip_norm == -2.0


def test_same_value_twice_is_accepted_and_another_refused():
    assert parse("--seed=3 --seed 3").seed == 3
    problem, _ = refused("--eps=0.1", "--clip_ratio=0.2")
    assert "--eps=0.1" in problem and "--clip_ratio=0.2" in problem


def test_help_is_recognised():
    assert (
        help_wanted(["--seed=1", "-h"])
        and help_wanted(["--help"])
        and not help_wanted(["--seed=1"])
    )


@pytest.mark.parametrize(
    ("argv", "problem", "remedy"),
    [
        (
            ["--p_lrr=1"],
            "Unknown flag --p_lrr.",
            "Did you mean --p_lr? `python main.py --help_all`",
        ),
        (["--no-rendr"], "Unknown flag --no-rendr.", "Did you mean --render?"),
        (["--zzqq"], "Unknown flag --zzqq.", "`python main.py --help_all` lists all settings."),
        (["--p_lr"], "Flag --p_lr needs a value.", "--p_lr=VALUE"),
        (["--p_lr", "--v_lr=1"], "Flag --p_lr needs a value.", "--p_lr=VALUE"),
        (["--no-p_lr"], "p_lr is not a switch", "--p_lr=0.0003"),
        (["--no-render=1"], "negation with a value", "--no-render"),
        (["--render", "maybe"], "--render maybe is not true or false", "--no-render"),
        (["train"], "Unexpected 'train'", "--flag=value"),
        (["-x"], "Unknown flag -x.", "--flag=value"),
        (["--p_lr=-1"], "--p_lr=-1 is not a number > 0.", "A value that works: 0.0003."),
        (["--p_lr=fast"], "--p_lr=fast is not a number > 0.", "learning rate of the policy"),
        (["--num_envs=2.5"], "--num_envs=2.5 is not a whole number >= 1.", "over all workers"),
        (["--gamma=1.01"], "--gamma=1.01 is not a number >= 0 and <= 1.", "0.99"),
        (["--task=tarin"], "is not one of train, eval, export, verify_resume, ", "train"),
        (["--algo=pp"], "--algo=pp is not an algorithm.", "ppo"),
        (["--p_perception_stack=conv_64"], "is not of the form mlp_100 (two", "mlp_64"),
        (
            ["--uuid=a/b.seed1"],
            "--uuid=a/b.seed1 is not of the form name.seed02",
            "some_name.seed02",
        ),
        (["--uuid=name"], "is not of the form name.seed02", "some_name.seed02"),
        (["--execution_time=0"], "more than 0", "0-06:00:00"),
        (["--num_demos=x"], "--num_demos=x is not a whole number >= 0.", "16"),
        (["--batch_norm_all=maybe"], "--batch_norm_all=maybe is not true or false.", "true"),
        (["--env_id="], "--env_id= is not of the form", "Hopper-v5"),
        (["--runs_dir=\udcff"], "is not a text", "data/runs"),
        (["--wandb_api_key=CANARY"], "Flag --wandb_api_key is not accepted", "WANDB_API_KEY"),
    ],
)
def test_bad_flags_in_two_lines(argv, problem, remedy):
    found = refused(*argv)
    assert problem in found[0] and remedy in found[1]
    assert "CANARY" not in "".join(found)


def test_a_message_is_one_short_line_whatever_the_value():
    problem, _ = refused("--env_id=a\nb\x1b[31m" + "c" * 10_000)
    assert "--env_id=a\\nb\\x1b[31mccc" in problem and len(problem) < 400


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("4-00:00:00", 345_600), ("12:30:00", 45_000), ("90:00", 5400), ("5:07", 307), ("17", 17)],
)
def test_durations(duration, seconds):
    assert (
        seconds_of(duration) == seconds == parse(f"--execution_time={duration}").execution_seconds
    )


@pytest.mark.parametrize("duration", ["1:2:3:4", "1-5", "5:60", "-1", "1.5", "1-00:00"])
def test_no_durations(duration):
    assert "d-HH:MM:SS" in refused(f"--execution_time={duration}")[0]


def test_perception_stacks():
    assert hidden_sizes("mlp_100") == (100, 100)
    assert hidden_sizes("mlp_240_160") == (240, 160)
    with pytest.raises(ValueError, match="no perception stack"):
        hidden_sizes("mlp")


# batch_norm_all


def test_batch_norm_all_sets_every_one(tmp_path):
    off = PPOConfig(batch_norm_all=False)
    assert (off.p_batch_norm, off.v_batch_norm, off.batch_norm_all) == (False, False, None)
    assert parse("--no-batch_norm_all --p_batch_norm").p_batch_norm is True
    path = tmp_path / "x.yaml"
    path.write_text("p_batch_norm: false\n")
    assert parse(f"--config={path} --batch_norm_all").p_batch_norm is True
    path.write_text("batch_norm_all: true\n")
    config = parse(f"--config={path} --no-p_batch_norm")
    assert (config.p_batch_norm, config.v_batch_norm) == (False, True)
    assert identity_of(parse("--batch_norm_all")) == identity_of(PPOConfig())


# Batches


@pytest.mark.parametrize(
    ("num_envs", "rollout_len", "batch_size"),
    [(12, 2048, 64), (16, 2048, 24), (16, 2048, 48), (16, 2048, 96), (7, 100, 9), (16, 10, 64)],
)
def test_batch_remedies_work(num_envs, rollout_len, batch_size):
    problem, remedy = refused(
        f"--num_envs={num_envs}",
        f"--rollout_len={rollout_len}",
        f"--batch_size={batch_size}",
    )
    assert "is not a multiple of" in problem
    sizes = {"num_envs": num_envs, "rollout_len": rollout_len, "batch_size": batch_size}
    for choice in remedy.removeprefix("This works: ").removesuffix(".").split(" or "):
        changes = dict(flag.removeprefix("--").split("=") for flag in choice.split())
        mended = {**sizes, **{key: int(value) for key, value in changes.items()}}
        assert batch_problem(**mended) is None, choice


def test_batches_are_no_matter_of_evaluation():
    assert parse("--task=eval --algo=ppo --num_envs=7").num_envs == 7


# Round trips

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
CONFIGS = st.builds(
    PPOConfig,
    seed=st.integers(0, 2**62),
    p_lr=st.floats(1e-12, 1e3),
    clip_norm=st.floats(-1e9, 1e9),
    runs_dir=TEXT,
    wandb_project=st.none()
    | TEXT.filter(lambda text: len(text) < 129 and not set(text) & set("/\\#?%:")),
    wandb_mode=st.sampled_from([None, "offline"]),
    uuid=st.sampled_from([None, "a.seed0", "null.seed1"]),
    record=st.booleans(),
    deterministic=st.booleans(),
    num_envs=st.sampled_from([1, 2, 64]),
)


@settings(max_examples=60, deadline=None)
@given(config=CONFIGS)
def test_round_trips(config, tmp_path_factory):
    for method in ("full", "minimal"):
        assert SCHEMA.parse_command_line(to_flags(config, method)).config == config
    path = tmp_path_factory.mktemp("saved") / "config.yaml"
    dump_config(config, path)
    assert SCHEMA.load_config(path) == config
    assert SCHEMA.parse_command_line([f"--config={path}"]).config == config


def test_saved_text():
    text = config_text(PPOConfig(p_lr=1e-5))
    assert "p_lr: 1.0e-05  # initial learning rate" in text
    assert 'runs_dir: "a\\nb"  # folder' in config_text(PPOConfig(runs_dir="a\nb"))
    assert "\n\n# checkpoints\nsave_frequency: 50  # interval" in text
    assert to_flags(PPOConfig(), "minimal") == ["--algo=ppo"]
    assert "--no-render" in to_flags(PPOConfig(), "full")


def test_load_refuses_what_no_run_saved(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("seed: 1\n")
    with pytest.raises(ConfigurationError, match="does not contain its algorithm"):
        SCHEMA.load_config(path)


@settings(max_examples=300, deadline=None)
@given(
    argv=st.lists(
        st.sampled_from(
            ["--p_lr", "--render", "--no-render", "--config", "--seed=", "--uuid=", "1"],
        )
        | st.text(max_size=6)
        | st.builds(
            "--{}={}".format,
            st.sampled_from(list(settings_of(PPOConfig))),
            st.text(max_size=8),
        ),
        max_size=4,
    ),
)
def test_any_command_line_is_accepted_or_refused(argv):
    try:
        parsed = SCHEMA.parse_command_line(argv)
    except ConfigurationError as error:
        assert error.problem and error.remedy
    else:
        assert SCHEMA.parse_command_line(to_flags(parsed.config, "full")).config == parsed.config


# A saved run


def test_adopt_takes_identity_from_the_run_and_the_rest_from_the_command_line():
    saved = PPOConfig(
        p_lr=0.01,
        seed=7,
        env_id="Walker2d-v5",
        wandb_project="old",
        batch_norm_all=False,
    )
    parsed = SCHEMA.parse_command_line(["--task=eval", "--num_trajs=3", "--num_envs=5"])
    config = SCHEMA.adopt(saved, parsed).config
    assert isinstance(config, PPOConfig)
    assert (config.p_lr, config.seed, config.env_id) == (0.01, 7, "Walker2d-v5")
    assert (config.p_batch_norm, config.num_trajs, config.num_envs) == (False, 3, 5)
    assert (config.task, config.wandb_project) == ("eval", None)
    again = SCHEMA.parse_command_line(["--task=eval", "--seed=9"])
    assert SCHEMA.adopt(saved, again).config.seed == 9


def test_adopt_refuses_another_algorithm():
    with pytest.raises(ConfigurationError) as caught:
        SCHEMA.adopt(
            RunConfig(algo="sac"),
            SCHEMA.parse_command_line(["--task=eval", "--algo=ppo"]),
        )
    assert "--algo=ppo does not fit: the run was trained by sac." in caught.value.problem


def test_identity():
    names = identity_of(PPOConfig()).keys()
    assert {"seed", "env_id", "p_lr", "num_envs", "precision"} <= names
    assert not {"task", "uuid", "execution_time", "wandb_project", "progress"} & names


# Speed


def test_imports_are_light():
    code = (
        "import time, sys; start = time.process_time(); "
        "import helpers.config.schema, helpers.run_folder.experiment, agents.algorithms; "
        "spent = time.process_time() - start; "
        "heavy = {'torch', 'mpi4py', 'wandb', 'mujoco', 'gymnasium'} & set(sys.modules); "
        "print(spent, sorted(heavy))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split(maxsplit=1)
    assert answer[1].strip() == "[]"
    assert float(answer[0]) < 0.5  # 0.15 s on a quiet machine


def test_five_hundred_configurations_in_a_second():
    argv = [[*README_COMMAND[:-1], f"--seed={seed}"] for seed in range(500)]
    started = time.process_time()
    configs = {SCHEMA.parse_command_line(each).config.seed for each in argv}
    assert len(configs) == 500
    assert time.process_time() - started < 1.0
