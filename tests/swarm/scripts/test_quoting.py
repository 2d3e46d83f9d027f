"""Hostile values: YAML -> plan -> script -> bash -> argv, byte for byte, and nothing is executed on the way.

They are the settings of runs with many free texts each. The scripts are run for real by bash, with stand-ins for
mpiexec, srun, docker and apptainer that hand on what they get, up to a recorder of arguments.
"""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import create_model

from agents.algorithms import OTHER_OWNERS
from agents.on_policy.config import PPOConfig
from helpers.config.schema import Schema
from helpers.config.settings import setting
from helpers.config.yaml_files import read_yaml, yaml_text
from swarm.backends.tmux import render_session
from swarm.scripts.render import render_job, render_settings
from tests.patience import patience
from tests.swarm.plans import LAUNCH, SHORT, planned
from tests.swarm.stage import Stage

VALUES = 10_000
TEXTS = 250  # of one run
KEYS = [f"text_{number:03d}" for number in range(TEXTS)]
FIELDS: Any = {
    key: (str | None, setting(None, "any text", group="test", identity=False)) for key in KEYS
}
Hostile = create_model("Hostile", __base__=PPOConfig, **FIELDS)
SCHEMA = Schema({"ppo": Hostile}, other_owners=OTHER_OWNERS)

PIECES = [
    "$(touch canary)", "`touch canary`", "; touch canary #", "\n", "'", '"', "\\", "-", "--", "$HOME", "${x}", "&&",
    "|", "> canary", "<(touch canary)", "*", "~", "!", "!!", "%", "%j", "{{ x }}", "{% x %}", "{#", "\t", "\r", " ",
    "\x01", "\x1b[2J", "\x7f", "\x85", "\u2028", "\ufeff", "é", "日本", "😀", "#SBATCH --wrap=x", "\n#SBATCH -J x\n",
    "=", ":", ",", "null", "~", "yes", "1e3", "[1, 2]", "- a", "a: b", "!!python/object", "&a", "*a", "EOF", "\\n",
]  # fmt: skip
ANY_TEXT = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"),
    max_size=8,
)
HOSTILE = st.one_of(ANY_TEXT, st.lists(st.sampled_from(PIECES), max_size=4).map("".join)).filter(
    len,
)

# What hands on leaves out its own words, and records them.
HAND_ON = {
    "mpiexec": 'shift 2; exec "$@"',
    "srun": 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"',
    "docker": 'while [ "$1" != the/image ]; do shift; done; shift; exec "$@"',
    "apptainer": 'while [ "${1##*/}" != image.sif ]; do shift; done; shift; exec "$@"',
    "python": 'exec "$STAGE/bin/actor" "$@"',
}
LAUNCHES = {
    "local": LAUNCH,
    "tmux and docker": replace(LAUNCH, deployment="tmux", image="the/image"),
    "sbatch and apptainer": replace(
        LAUNCH,
        deployment="slurm",
        caliber=SHORT,
        image="the/image",
        launcher="srun",
    ),
}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """A stage a way to launch, used again for each example."""
    found = {}
    for name, launch in LAUNCHES.items():
        stage = Stage(tmp_path_factory.mktemp("stage"), launch)
        for program, then in HAND_ON.items():
            (stage.bin / program).write_text(f"#!/bin/dash\n{then}\n")
            (stage.bin / program).chmod(0o755)
        stage.program("actor")
        (stage.bin / "actor").write_text('#!/bin/dash\nprintf "%s\\0" "$@" >"$STAGE/argv"\n')
        stage.program("squeue", "exit 1")
        found[name] = stage
    return found


def generated() -> list[str]:
    """`VALUES` different texts, the same ones every time: what Hypothesis gives, and pairs of that."""
    atoms: dict[str, None] = {}

    @settings(
        max_examples=100,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(HOSTILE, min_size=20, max_size=20))
    def gather(texts: list[str]) -> None:
        atoms.update(dict.fromkeys(texts))

    gather()
    pool = [*PIECES, *atoms]
    found = dict.fromkeys(pool)
    draw = Random(0)
    while len(found) < VALUES:
        found["".join(draw.choices(pool, k=2))] = None
    return list(found)[:VALUES]


def test_ten_thousand_values_arrive_as_they_were_written(stages):
    texts = generated()
    assert len(set(texts)) == VALUES
    for start in range(0, VALUES, TEXTS):
        arrive(stages, texts[start : start + TEXTS], submission=start)


def arrive(stages: dict[str, Stage], texts: list[str], *, submission: int) -> None:
    """Send texts every way, as the settings of one run."""
    lines = [f"{key}: {yaml_text(text)}\n" for key, text in zip(KEYS, texts, strict=True)]
    begun = {}
    for name, stage in stages.items():
        path = stage.folder / "hostile.yaml"
        path.write_text("env_id: CartPole-v1\n" + "".join(lines))
        plan = planned(schema=SCHEMA, launch=stage.plan.launch, settings=SCHEMA.read_file(path))
        script = render_job(plan, plan.runs[0])
        assert not any(line.startswith("#SBATCH -J x") for line in _read_by_sbatch(script))
        (stage.folder / "job.sh").write_text(script)
        (plan.folder / "logs").mkdir(parents=True, exist_ok=True)
        begun[name] = (stage, plan.runs[0], _begun(stage, submission))
    expected = [text.encode() for text in texts]
    for name, (stage, run, process) in begun.items():
        _, said = process.communicate(timeout=patience(60))
        assert (process.returncode, said) == (0, b""), name
        argv = (stage.folder / "argv").read_bytes().split(b"\0")[:-1]
        values = dict(each.partition(b"=")[::2] for each in argv)
        assert [values[f"--{key}".encode()] for key in KEYS] == expected, name
        assert SCHEMA.parse_command_line([each.decode() for each in argv[1:]]).config == run.config
        assert not list(stage.folder.rglob("*canary*")), name
    reread = stage.folder / "config.yaml"
    reread.write_text(render_settings(run))
    assert SCHEMA.load_config(reread) == run.config


def _begun(stage: Stage, submission: int) -> subprocess.Popen:
    return subprocess.Popen(
        ["bash", "-c", f'bash -n "$STAGE/job.sh" && bash "$STAGE/job.sh" {submission}'],
        env={**stage.environment, "SLURM_JOB_ID": str(submission)},
        cwd=stage.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _read_by_sbatch(script: str) -> list[str]:
    """The lines before the first command, where sbatch looks for its options."""
    lines = script.split("\n")
    end = next(place for place, line in enumerate(lines) if line and not line.startswith("#"))
    return lines[:end]


@given(text=HOSTILE)
def test_a_text_of_a_yaml_file_is_the_text(text):
    assert yaml.safe_load(f"key: {yaml_text(text)}")["key"] == text


@settings(max_examples=200, deadline=None)
@given(folder=HOSTILE.filter(lambda text: "\0" not in text and "/" not in text))
def test_a_folder_of_any_name_reaches_tmux(folder):
    launch = replace(LAUNCH, deployment="tmux", working_folder=Path("/") / folder)
    plan = planned(launch=launch)
    (window,) = yaml.safe_load(render_session(plan))["windows"]
    words = shlex.split(window["window_shell"])
    assert words == ["exec", "bash", str(plan.launch_script(plan.runs[0])), "001"]


@pytest.mark.parametrize("text", ["$(touch canary)", "a b", "-n x", "'", "日本;", "x\ny"])
def test_names_of_conda_environments_and_images(tmp_path, text):
    launch = replace(LAUNCH, conda_env=text, image=f"/{text}.sif")
    stage = Stage(tmp_path, launch)
    stage.program("conda", 'shift 4; exec "$@"')
    stage.program("apptainer")
    assert stage.play("0") == 0
    assert stage.recorded("conda")[3] == text
    assert f"/{text}.sif" in stage.recorded("apptainer")
    assert not list(tmp_path.rglob("*canary")) or text in str(list(tmp_path.rglob("*canary")))


def test_what_no_setting_takes_is_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text('wandb_project: "a\\0b"\n')
    assert read_yaml(path).values["wandb_project"] == "a\0b"
    with pytest.raises(Exception, match="wandb_project"):
        planned(settings=SCHEMA.read_file(path))
