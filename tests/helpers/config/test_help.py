"""The pages of `--help` as a person asks for them, and completion as a shell does."""

from __future__ import annotations

import re
import subprocess

import pytest

from agents.algorithms import ALGORITHMS, SCHEMA
from helpers.config.help import MOST_USED, page, show

COMPLETE = """
source /dev/stdin <<< "$SCRIPT"
compopt() { :; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_milozero
printf '%s\\n' "${COMPREPLY[@]}"
"""


def flags_of(text: str) -> list[str]:
    return re.findall(r"^  --(?:\[no-\])?(\w+)", text, re.MULTILINE)


def test_help_alone_is_one_screen():
    text = page(SCHEMA, ["--help"], width=80)
    lines = text.splitlines()
    assert len(lines) <= 36 and max(map(len, lines)) <= 80
    for key in MOST_USED:
        assert f"--{key} " in text
    assert "examples" in text and "--help_all" in text


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_an_algorithms_page_has_what_it_reads_each_once(algo):
    text = page(SCHEMA, ["--help", f"--algo={algo}"], width=80)
    shown = flags_of(text)
    assert sorted(shown) == sorted({*ALGORITHMS[algo].settings_for({}), "config"})
    assert max(map(len, text.splitlines())) <= 80
    assert page(SCHEMA, ["--algo", algo, "-h"], width=80) == text


def test_all_settings_are_on_the_page_of_all():
    assert {*SCHEMA.vocabulary.settings} <= {*flags_of(page(SCHEMA, ["--help_all"]))}


def test_a_task_files_algorithm_counts_and_a_flags_more():
    given = ["--help", "--config=tasks/train_mujoco_sac.yaml"]
    assert "The settings of --algo=sac" in page(SCHEMA, given, width=110)
    assert "The settings of --algo=td3" in page(SCHEMA, [*given, "--algo=td3"], width=110)
    assert "model_path" in flags_of(page(SCHEMA, ["--help", "--task=eval"]))


@pytest.mark.parametrize(
    ("flag", "near"),
    [("--algo=sax", "sac or sam"), ("--task=evl", "eval"), ("--config=none.yaml", "existing")],
)
def test_a_misspelt_name_gets_two_lines(flag, near, capsys):
    assert show(SCHEMA, ["--help", flag]) == 2
    problem, remedy = capsys.readouterr().err.splitlines()
    assert flag.partition("=")[2] in problem and near in remedy


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["python", "main.py", "--al"], ["--algo="]),
        (["python", "main.py", "--algo", "=", "s"], ["sac", "sam"]),
        (["python", "main.py", "--algo=s"], ["--algo=sac", "--algo=sam"]),
        (
            ["mpiexec", "-n", "2", "milozero", "--no-rec"],
            ["--no-record", "--no-recompute_advantages"],
        ),
        (["python", "main.py", "--wandb_mode", ""], None),
        (["python", "other.py", "--al"], [""]),
    ],
)
def test_a_shell_completes_flags_and_values(words, expected):
    script = page(SCHEMA, ["--completion=bash"])
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", *words],
        env={"SCRIPT": script, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    choices = [*(SCHEMA.vocabulary.settings["wandb_mode"].choices or ())]
    assert done.stdout.splitlines() == (choices if expected is None else expected)
    assert not done.stderr


def test_every_page_fits_eighty_columns_and_keeps_its_choices_whole():
    from swarm.flags.parser import help_text

    for text in (page(SCHEMA, ["--help_all"], width=80), help_text(80)):
        assert max(map(len, text.splitlines())) <= 80
    joined = re.sub(r",\n +", ",", page(SCHEMA, ["--help_all"], width=80))
    assert "--algo {" + ",".join(ALGORITHMS) + "}" in joined
