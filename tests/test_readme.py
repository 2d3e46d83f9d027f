"""What the README promises: its commands parse and run, its targets and exit codes exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agents.algorithms import SCHEMA
from helpers import errors
from helpers.parallel.launch import mpiexec
from tests.patience import patience

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = {"WANDB_RUN_PATH": "username/wandb_project/experiment_name", "PWD": "/somewhere"}
FOREIGN = ("d_perception_stack", "num_demos", "expert_path")  # of the imitation algorithms


def shell_lines(text: str) -> list[str]:
    """The commands in ```bash blocks, each with its continuation lines joined."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def words_of(line: str) -> list[str]:
    """A command as the shell splits it, with the variables that the page sets."""
    expanded = re.sub(r"\$\(pwd\)", "/somewhere", line)
    expanded = re.sub(r"\$(\w+)", lambda match: ENVIRONMENT[match[1]], expanded)
    return shlex.split(expanded, comments=True)


def arguments(line: str) -> list[str]:
    """What main.py is given, whatever launches it."""
    words = words_of(line)
    return words[words.index("main.py") + 1 :]


COMMANDS = [line for line in shell_lines(TEXT) if "main.py" in words_of(line)]
HERE = [line for line in COMMANDS if "docker" not in line and "--wandb_run_path" not in line]


def test_the_page_has_its_commands() -> None:
    tasks = [SCHEMA.parse_command_line(arguments(line)).config.task for line in COMMANDS]
    assert sorted(tasks) == [
        "eval",
        "eval",
        "export",
        "train",
        "train",
        "train",
        "verify_resume",
    ]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_parses(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    parsed = SCHEMA.parse_command_line(arguments(line))
    flags = [word[2:].partition("=")[0] for word in arguments(line) if word.startswith("--")]
    settings = [flag for flag in flags if flag not in ("config", *FOREIGN)]
    assert settings and parsed.given >= set(settings)
    is_foreign_named = any(flag in flags for flag in FOREIGN)
    assert len(parsed.warnings) == is_foreign_named, parsed.warnings


def test_a_block_is_read_as_the_shell_reads_it() -> None:
    text = "```bash\n# a remark\nmpiexec -n 3 python main.py \\\n  --seed=2 \\\n  --iter_num='best'\n```\n"
    (line,) = shell_lines(text)
    assert arguments(line) == ["--seed=2", "--iter_num=best"]


def shortened(line: str) -> list[str]:
    """The command with two iterations in place of its length, by the programs of this environment."""
    words, given = words_of(line), arguments(line)
    settings = SCHEMA.parse_command_line(given).config.model_dump()
    if settings["task"] == "train":
        given += [f"--num_timesteps={2 * settings['rollout_len']}", "--eval_episodes=2"]
    if any(word.startswith("--num_trajs") for word in given):
        given = [word for word in given if not word.startswith("--num_trajs")] + ["--num_trajs=2"]
    programs = {
        "python": sys.executable,
        "mpiexec": mpiexec(),
        "main.py": str(ROOT / "main.py"),
    }
    start = [programs.get(word, word) for word in words[: words.index("main.py") + 1]]
    return [*start, *given, "--progress=none"]


def test_the_commands_run_one_after_another(tmp_path: Path) -> None:
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    environment = {
        **os.environ,
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    in_order = sorted(HERE, key=lambda line: "--task=train" not in line)
    for line in in_order:
        done = subprocess.run(
            shortened(line),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=patience(120),
        )
        assert done.returncode == errors.DONE, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "data/runs/some_name.seed02/metrics.jsonl").exists()
    assert list((tmp_path / "data/demos").rglob("*.h5"))
    (program,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    acted = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=patience(60),
    )
    assert float(acted.stdout) > 0, acted.stderr


def test_every_page_of_the_documentation_is_linked() -> None:
    linked = set(re.findall(r"\]\(docs/([\w./-]+\.md)", TEXT))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= linked
    index = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    results = set(re.findall(r"\]\(results/([\w./-]+\.md)", index))
    of_kinds = {
        path.name for path in (ROOT / "docs/results").glob("*-zen*.md")
    }  # linked by speed.md
    assert {path.name for path in (ROOT / "docs/results").glob("*.md")} <= results | of_kinds


def make(*words: str) -> str:
    """What make prints, started as by hand and not as by the make that may run this test."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["make", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = TEXT + (ROOT / "docs" / "installation.md").read_text()
    lines = [*shell_lines(text), *re.findall(r"`([^`\n]*\bmake [^`\n]*)`", text)]
    named = set()
    for line in lines:
        words = shlex.split(line, comments=True)
        if "make" in words:
            named |= {word for word in words[words.index("make") + 1 :] if "=" not in word}
    assert {"train", "test", "venv"} <= named <= targets


def test_make_lists_every_documented_target() -> None:
    listed = make()
    for target in ("train", "test", "lint", "venv", "clean", "help"):
        assert f"make {target} " in listed


def test_make_train_gives_flags_that_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    variables = ["SEED=3", "ENV_ID=Walker2d-v5", "ARGS=--p_lr=1e-4 --wandb_project='a b'"]
    shown = make("--dry-run", "train", *variables)
    started = [line for line in shown.splitlines() if "main.py --task=" in line]
    train, evaluate = (line for line in started if not line.startswith("echo"))
    config = SCHEMA.parse_command_line(arguments(train)).config
    expected = {"env_id": "Walker2d-v5", "seed": 3, "p_lr": 1e-4, "wandb_project": "a b"}
    assert config.model_dump().items() >= expected.items()
    choice = re.search(r'"(\$\(.+?\))"', evaluate)  # the best, where there is one
    assert choice is not None
    said = subprocess.run(["sh", "-c", f"echo {choice[1]}"], capture_output=True, text=True)
    evaluate = evaluate.replace(choice[0], said.stdout.strip())
    looked_at = SCHEMA.parse_command_line(arguments(evaluate)).config
    assert looked_at.model_path == f"data/runs/{config.uuid}"
    assert looked_at.iter_num == "latest"  # there is none here
    assert looked_at.record


@pytest.mark.parametrize("target", ["train", "imitate", "tune", "registry", "test"])
def test_what_a_target_runs_is_whole_for_a_shell(target: str) -> None:
    """A comma ends an argument of make's functions, and what follows it is lost: an open quote was left."""
    lines = make("--dry-run", "--always-make", target).replace("\\\n", "")
    for line in lines.splitlines():
        done = subprocess.run(["sh", "-n"], input=line, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_table_of_exit_codes_is_complete() -> None:
    said = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    interrupted = 130  # the shell's own, for Ctrl-C
    assert said == {interrupted, *(each for each in vars(errors).values() if isinstance(each, int))}
