"""Plans -> scripts: golden files, and what has to hold for every one of them.

`python -m tests.swarm.scripts.test_render` writes the golden files anew; look at the difference before you keep it.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agents.algorithms import SCHEMA
from swarm.backends.base import warning_seconds
from swarm.backends.slurm import SLURM as SLURM_JOBS
from swarm.backends.slurm_script import sbatch_word
from swarm.backends.tmux import render_session
from swarm.plan import Caliber, Launch, Plan
from swarm.planning.catalogue import find_caliber
from swarm.scripts import render
from tests.swarm.plans import LAUNCH, ROOT, SHORT, planned

GOLDEN = ROOT / "tests" / "golden" / "swarm"
BAOBAB = find_caliber(
    "daylong",
    [ROOT / "tasks" / "calibers.yaml"],
    SLURM_JOBS,
    cluster="baobab",
    gpu=True,
)
ASKING = Caliber(
    "asking",
    seconds=90_061,
    partition="a,b",
    memory="8G",
    constraint="V5|V6",
    modules=("GCC/13.3.0", "OpenMPI/5.0.3"),
    options=("--account=lab", "--comment=two words"),
)
SLURM = replace(LAUNCH, deployment="slurm", caliber=SHORT)
IMAGE = "docker_user/milozero:mujoco"

LAUNCHES: dict[str, Launch] = {
    "local": LAUNCH,
    "tmux_docker_conda_secrets": replace(
        LAUNCH,
        deployment="tmux",
        image=IMAGE,
        conda_env="pytorch",
        secrets_file=Path("secrets.env"),
        wandb_base_url="https://wandb.example.org/?a=b&c",
        args_method="minimal",
    ),
    "tmux_gpu_sif": replace(LAUNCH, deployment="tmux", image="/images/milo zero.sif", gpu=True),
    "slurm_mpiexec": SLURM,
    "slurm_srun_modules": replace(SLURM, caliber=ASKING, launcher="srun", mpi="pmix"),
    "slurm_apptainer_gpu": replace(
        SLURM,
        caliber=BAOBAB,
        launcher="srun",
        image=IMAGE,
        gpu=True,
        num_workers=8,
        args_method="yaml",
    ),
    "slurm_array": replace(SLURM, array=True, max_parallel=4, args_method="minimal"),
    "pbs_array": replace(
        SLURM,
        deployment="pbs",
        array=True,
        max_parallel=4,
        args_method="minimal",
        caliber=replace(
            ASKING,
            partition="short",
            constraint="cpu_type=rome",
            options=("-A lab", '-W "umask=0 2"'),
        ),
    ),
}


def plan_with(launch: Launch, **request) -> Plan:
    settings = {"env_id": "CartPole-v1", "p_lr": 1e-3, "wandb_entity": "it's $HOME"}
    return planned(launch=launch, settings=settings, prefix="try", **request)


def rendered(name: str) -> dict[str, str]:
    """All texts of a launch, by the name of their golden file."""
    plan = plan_with(LAUNCHES[name], num_seeds=2)
    texts = {f"{name}.sh": render.render_job(plan, plan.runs[0])}
    if plan.launch.deployment == "tmux":
        texts[f"{name}.session.yaml"] = render_session(plan)
    if plan.launch.array:
        texts[f"{name}.array.sh"] = render.render_array(plan)
    return texts


@pytest.mark.parametrize("name", LAUNCHES)
def test_golden(name):
    for file, text in rendered(name).items():
        path = GOLDEN / file
        assert path.exists(), "python -m tests.swarm.scripts.test_render"
        assert text == path.read_text(), f"{file}: python -m tests.swarm.scripts.test_render"


@pytest.mark.parametrize("name", LAUNCHES)
def test_bash_reads_every_script(name):
    for file, text in rendered(name).items():
        if file.endswith(".sh"):
            done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
            assert (done.returncode, done.stderr) == (0, ""), file
            assert not re.search(
                r"[ \t]$",
                text,
                re.MULTILINE,
            ), f"{file}: spaces at the end of a line"
            assert text.endswith("\n") and "\n\n\n" not in text


@pytest.mark.parametrize("method", ["full", "yaml", "minimal"])
@pytest.mark.parametrize("settings", [{}, {"batch_norm_all": False, "clip_ratio": 0.3}])
def test_every_args_method_gives_the_same_configuration(method, settings, tmp_path, monkeypatch):
    launch = replace(LAUNCH, args_method=method, working_folder=tmp_path)
    plan = planned(launch=launch, settings=settings, num_seeds=2, over={"wandb_project": "a b"})
    monkeypatch.chdir(tmp_path)
    for run in plan.runs:
        plan.config_file(run).parent.mkdir(parents=True, exist_ok=True)
        plan.config_file(run).write_text(render.render_settings(run))
        words = shlex.split(command_of(render.render_job(plan, run)))
        program = words.index("main.py")
        assert words[: program + 1] == [launch.mpiexec, "-n", "2", str(launch.python), "main.py"]
        assert SCHEMA.parse_command_line(words[program + 1 :]).config == run.config


def command_of(script: str) -> str:
    """The words of the one array that is the command."""
    return script.split("local command=(\n")[1].split("\n  )\n")[0]


def directives_of(script: str) -> list[str]:
    """What sbatch reads: up to the first line that is no remark."""
    lines = []
    for line in script.splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("#SBATCH "):
            lines += shlex.split(line.removeprefix("#SBATCH "))
    return lines


def test_what_is_asked_of_slurm():
    plan = plan_with(replace(SLURM, caliber=ASKING))
    asked = directives_of(render.render_job(plan, plan.runs[0]))
    for word in (
        "--ntasks=2",
        "--time=1-01:01:01",
        "--signal=B:USR1@300",
        "--partition=a,b",
        "--mem=8G",
        "--constraint=V5|V6",
        "--requeue",
        "--open-mode=append",
        f"--output={plan.log_file(plan.runs[0])}",
        "--account=lab",
        "--comment=two words",
    ):
        assert word in asked


def test_no_cluster_is_built_in():
    plan = plan_with(replace(SLURM, caliber=SHORT))
    names = {
        word.partition("=")[0] for word in directives_of(render.render_job(plan, plan.runs[0]))
    }
    assert names.isdisjoint({"--partition", "--mem", "--constraint", "--gres", "--account"})
    unlimited = plan_with(replace(SLURM, caliber=Caliber("none")))
    asked = directives_of(render.render_job(unlimited, unlimited.runs[0]))
    assert not any(word.startswith(("--time", "--signal")) for word in asked)


@given(st.integers(60, 10**7))
def test_the_warning_leaves_most_of_the_time(seconds):
    warning = warning_seconds(seconds)
    assert 0 < warning <= min(300, seconds / 3)
    assert warning >= 60 or seconds < 180


@given(st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1))
def test_a_word_for_sbatch_is_one_word(text):
    """sbatch unquotes as a shell does, without its dollars; tried on Slurm 22.05."""
    word = sbatch_word(text)
    assert shlex.split(word) == [text] and "\n" not in word


def test_a_log_with_a_percent_sign_is_no_pattern():
    plan = plan_with(replace(SLURM, working_folder=Path("/home/100%j")))
    log = str(plan.log_file(plan.runs[0])).replace("%", "%%")
    assert f"--output={log}" in directives_of(render.render_job(plan, plan.runs[0]))


def test_the_array_names_each_run_at_its_index():
    plan = plan_with(replace(SLURM, array=True, max_parallel=3), num_seeds=5)
    script = render.render_array(plan)
    assert "--array=0-4%3" in directives_of(script)
    listed = script.split("scripts=(\n")[1].split("\n)\n")[0]
    assert shlex.split(listed) == [str(run.folder / "job.sh") for run in plan.runs]


@pytest.mark.parametrize("is_deployed", [True, False])
def test_a_task_of_the_array_is_its_run(tmp_path, is_deployed):
    """What is deployed has its script in its folder, for --clear removes the original."""
    plan = plan_with(replace(SLURM, array=True, working_folder=tmp_path / "a b"), num_seeds=3)
    for index, run in enumerate(plan.runs):
        script = run.job_script if is_deployed else plan.launch_script(run)
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(f'echo task {index} "$@"\n')
    (plan.folder / "logs").mkdir(exist_ok=True, parents=True)
    done = subprocess.run(
        ["bash", "-c", render.render_array(plan), "array.sh", "002"],
        env={"SLURM_ARRAY_TASK_ID": "1", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0
    assert plan.log_file(plan.runs[1]).read_text() == "task 1 002\n"


def test_the_session_has_a_window_a_run():
    plan = plan_with(
        replace(LAUNCH, deployment="tmux", working_folder=Path("/a b/$c")),
        num_seeds=3,
    )
    session = yaml.safe_load(render_session(plan))
    assert session["session_name"] == plan.name and not set(".:") & set(plan.name)
    for window, run in zip(session["windows"], plan.runs, strict=True):
        assert window["window_name"] == run.name
        words = shlex.split(window["window_shell"])
        assert words == ["exec", "bash", str(plan.launch_script(run)), "001"]


def test_what_a_template_does_not_get_is_an_error(monkeypatch, tmp_path):
    template = render._environment().from_string("{{ nothing_of_this_name }}")
    with pytest.raises(jinja2.UndefinedError):
        template.render()


@pytest.mark.parametrize("name", LAUNCHES)
def test_values_of_secrets_are_passed_on_by_name_only(name):
    for text in rendered(name).values():
        assert "WANDB_API_KEY=" not in text


def test_folders_outside_the_repository_are_bound_into_containers():
    inside = plan_with(LAUNCHES["slurm_apptainer_gpu"])
    assert render.bound_folders(inside, inside.runs[0]) == []
    launch = replace(LAUNCHES["slurm_apptainer_gpu"], args_method="full")
    plan = planned(launch=launch, settings={"runs_dir": "/scratch/my runs"})
    assert render.bound_folders(plan, plan.runs[0]) == ["/scratch/my runs"]
    assert "--bind '/scratch/my runs'" in render.render_job(plan, plan.runs[0])
    docker = planned(launch=LAUNCHES["tmux_docker_conda_secrets"], settings={"runs_dir": "/r"})
    assert "-v /r:/r" in render.render_job(docker, docker.runs[0])


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for each in LAUNCHES:
        for written, content in rendered(each).items():
            (GOLDEN / written).write_text(content)
