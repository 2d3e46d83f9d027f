"""What imitations refuse in two lines, and what they accept with a line of doubt."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from agents.algorithms import SCHEMA
from agents.checks import check_demos, check_run
from environments.expected import expected_of
from helpers import errors
from helpers.demos.hdf5 import demo_path, write_demo
from helpers.demos.load import read_demos
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers
from tests.helpers.demos.cases import steps_of
from tests.helpers.refusals import refused
from tests.test_bad_input import refused as refused_run


def lines_of(*argv: str) -> tuple[str, ...]:
    return SCHEMA.parse_command_line(argv).warnings


def key_of(flag: str) -> str:
    return flag.partition("=")[0].removeprefix("--").removeprefix("no-")


# Settings


@pytest.mark.parametrize(
    ("flags", "words", "works"),
    [
        ("--algo=gail --state_only --state_state", "are both true", "--no-state_only"),
        ("--algo=airl --no-state_only --state_state", "the successor already", "--no-state_state"),
        ("--algo=sam --gamma=1", "a discount below 1, but gamma=1", "--gamma=0.99"),
        ("--algo=gail --expert_state_only", "the discriminator judges them", "--state_state"),
        (
            "--algo=airl --learner=td3 --d_log_prob=both",
            "a density, but learner=td3",
            "--learner=sac",
        ),
        (
            "--algo=gail --d_batch_size=250",
            "d_batch_size=250 is not a multiple",
            "--d_batch_size=2",
        ),
        ("--algo=sam --real_ls_type=random-uniform_1_0.5", "empty range", "random-uniform_0.5_1"),
        ("--algo=gail --fake_ls_type=disturb-label_2", "no probability", "disturb-label_0.1"),
        ("--algo=gail --fake_ls_type=soft-labels_2", "beyond the other", "soft-labels_0.1"),
        (
            "--algo=gail --use_purl --fake_ls_type=soft-labels_0.1",
            "without labels",
            "--no-use_purl",
        ),
        ("--algo=red --num_demos=0", "num_demos=0", "--num_demos=4"),
        ("--algo=red --d_moments=both", "d_moments=both", "--d_moments=demos"),
        ("--algo=maad --num_demos=0", "guided by demonstrations", "--num_demos=4"),
    ],
)
def test_settings_that_contradict_each_other(flags: str, words: str, works: str) -> None:
    """The remedy names a way that works."""
    problem, remedy = refused(*flags.split())
    assert words in problem
    assert works in remedy
    mended = next(flag for flag in re.findall(r"--[\w.=-]*[\w]", remedy) if works in flag)
    others = [flag for flag in flags.split() if key_of(flag) != key_of(mended)]
    SCHEMA.parse_command_line([*others, mended])


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--algo=gail --red_width=3", "--red_width: algo=gail does not use it."),
        ("--algo=dac --d_log_prob=none", None),  # as it is anyway
        ("--algo=sam --d_log_prob=both", "--d_log_prob: algo=sam does not use it."),
        ("--algo=airl --d_log_prob=discriminator", None),
        (
            "--algo=red --use_purl --d_steps=50",
            "--d_steps, --use_purl: algo=red does not use them.",
        ),
        ("--algo=red --red_epochs=9 --d_lr=0.1 --state_only --syn_rew_scale=2", None),
        ("--algo=gail --p_moments_from_demos", None),
        (
            "--algo=gail --p_moments_from_demos --no-p_batch_norm --no-v_batch_norm",
            "learner=ppo does not",
        ),
        (
            "--algo=sam --p_moments_from_demos",
            "learner=sac does not normalize them: give --p_batch_norm or --q_batch_norm",
        ),
        ("--algo=sam --p_moments_from_demos --q_batch_norm", None),
        ("--task=eval --model_path=x --algo=red --use_purl", None),
    ],
)
def test_settings_that_do_nothing_are_told(flags: str, line: str | None) -> None:
    found = lines_of(*flags.split())
    assert len(found) == (line is not None)
    assert line is None or line in found[0]


# Demonstrations


@pytest.fixture()
def chosen(tmp_path: Path) -> Path:
    """Demonstrations of CartPole with a choice that it does not have."""
    for index in range(4):
        steps = steps_of(index, 20, discrete=True)
        size = {name: steps[name][:, :4] for name in ("observations", "next_observations")}
        steps |= size | {"actions": np.minimum(steps["actions"], 1 + (index == 2))}
        made_by = {"env_id": "CartPole-v1", "run": "a rule"}
        write_demo(demo_path(tmp_path / "demos", "CartPole-v1", index), steps, made_by)
    return tmp_path / "demos"


@pytest.mark.parametrize("algo", ["gail", "bc"])
def test_a_choice_that_the_environment_does_not_have(
    tmp_path: Path,
    chosen: Path,
    algo: str,
) -> None:
    flags = [f"--algo={algo}", "--env_id=CartPole-v1", f"--expert_path={chosen}"]
    words = "demo002.h5 has action 2 in step", "actions from 0 to 1", "--env_id"
    refused_run([*flags, f"--runs_dir={tmp_path / 'runs'}"], errors.BAD_CONFIGURATION, *words)
    assert not (tmp_path / "runs").exists()


def config_of(*flags: str) -> object:
    return SCHEMA.parse_command_line(flags).config


def test_choices_for_a_learner_of_vectors_are_for_another_learner() -> None:
    config = config_of("--algo=gail", "--learner=sac", "--env_id=CartPole-v1")
    spaces = gymnasium.spaces.Box(-1, 1, (4,)), gymnasium.spaces.Discrete(2)
    with pytest.raises(ConfigurationError) as caught:
        check_run(config, spaces, workers=Workers.solo(), is_new=True)
    assert caught.value.problem.startswith("learner=sac takes continuous actions")
    assert "--learner=ppo" in caught.value.remedy and "--algo" not in caught.value.remedy


def test_maad_needs_a_step_within_the_task(tmp_path: Path) -> None:
    """Of episodes of one step, which end at once, only ends are left."""
    for index in range(2):
        steps = {name: array[-1:] for name, array in steps_of(index, 9).items()}
        made_by = {"env_id": "Hopper-v5", "run": "a rule"}
        write_demo(demo_path(tmp_path, "Hopper-v5", index), steps, made_by)
    flags = [
        "--algo=maad",
        "--env_id=Hopper",
        f"--expert_path={tmp_path}",
        "--no-expert_demo_subsample",
    ]
    demos = read_demos(config_of(*flags), expected_of("Hopper"))
    check_demos(config_of(*flags), demos)
    with pytest.raises(ConfigurationError, match="leads to another state of the task"):
        check_demos(config_of(*flags, "--wrap_absorb"), demos)
