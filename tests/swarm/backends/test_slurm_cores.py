"""Workers on a real Slurm with task/affinity: they have the job's processors, and start wherever they are started."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from environments.processes.child import _use_cores
from helpers.parallel.launch import LAUNCHED, mpiexec
from swarm.deploy import deploy
from swarm.plan import Launch
from swarm.scripts.render import render_job
from tests.patience import patience
from tests.slurm.cluster import PrivateSlurm
from tests.swarm.backends.test_slurm import make, quiet, states
from tests.swarm.plans import planned
from tests.swarm.swarms import REPOSITORY, wait_for

# in the place of main.py
WORKER = """
import os, sys, time
from helpers.parallel.launch import note_launch
from helpers.parallel.workers import Workers
workers = Workers.connect()
note_launch()
cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
print(f"worker of {workers.size} may use {cores}\\n", end="", flush=True)
time.sleep(float(os.environ.get("LASTS", "0")))
"""


def write_worker(folder: Path) -> Path:
    path = folder / "worker.py"
    path.write_text(WORKER)
    return path


@pytest.mark.parametrize(("launcher", "num_workers"), [("mpiexec", 2), ("mpiexec", 1), ("srun", 1)])
def test_the_workers_of_a_job_have_its_processors(
    tmp_path: Path,
    slurm: PrivateSlurm,
    monkeypatch: pytest.MonkeyPatch,
    launcher: str,
    num_workers: int,
) -> None:
    """Two runs at once on one node: each worker may use what Slurm gave to the script, and no run another's."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor: nothing can be told apart")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("LASTS", "3")
    how: dict[str, Any] = {"launcher": launcher, "num_workers": num_workers, "mpiexec": mpiexec()}
    count = 2 // num_workers
    plan = make(tmp_path, count=count, program=str(write_worker(tmp_path)), **how)
    for run in plan.runs:
        text = render_job(plan, run).replace("#SBATCH --requeue", "#SBATCH --nodelist=n1", 1)
        text = text.replace("\nsubmission=", "\ntaskset -cp $$\nsubmission=", 1)
        plan.launch_script(run).write_text(text)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"] * count)
    seen = []
    for run in plan.runs:
        log = plan.log_file(run).read_text()
        given = log.partition("affinity list: ")[2].partition("\n")[0]
        cores = sorted(core for part in given.split(",") for core in _numbers(part))
        told = f"worker of {num_workers} may use {','.join(map(str, cores))}\n"
        assert log.count(told) == num_workers, log
        assert len(cores) == num_workers, log
        seen += cores
    assert len(seen) == len(set(seen)), "two runs share a processor"


def test_workers_start_inside_an_allocation(tmp_path: Path, slurm: PrivateSlurm) -> None:
    """In salloc: a swarm of this machine, the command of `make train`, and a trial of the tuner; none may hang."""
    worker = write_worker(tmp_path)
    launch = Launch("local", tmp_path, Path(sys.executable), mpiexec=mpiexec(), program=worker.name)
    plan = planned(launch=launch)
    [run] = plan.runs
    for folder in (run.folder, plan.folder / "logs"):
        folder.mkdir(parents=True)
    run.job_script.write_text(render_job(plan, run))
    (tmp_path / "probe.mk").write_text(f"probe:\n\t$(MPIEXEC) -n $(NUM_WORKERS) $(PY) {worker}\n")
    makefiles = (
        f"make -s -C {shlex.quote(str(REPOSITORY))} -f Makefile -f {tmp_path}/probe.mk probe"
    )
    (tmp_path / "trial.py").write_text(
        "import os, subprocess, sys\n"
        "from helpers.parallel.launch import mpiexec, on_this_machine\n"
        f"command = [mpiexec(), '-n', '2', sys.executable, {str(worker)!r}]\n"
        "sys.exit(subprocess.call(command, env=on_this_machine(os.environ)))\n",
    )
    script = tmp_path / "all.sh"
    script.write_text(
        f"bash {shlex.quote(str(run.job_script))} 001\n{makefiles}\n{sys.executable} {tmp_path}/trial.py\n",
    )
    done = subprocess.run(
        ["salloc", "--quiet", "--ntasks=2", "bash", "-e", str(script)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
    assert done.stdout.count("worker of 2 ") == 6, done.stdout + done.stderr
    assert done.returncode == 0
    recipe = (REPOSITORY / "Makefile").read_text().partition("\ntrain:")[2].splitlines()[1]
    assert recipe.startswith(
        "\t$(MPIEXEC) -n $(NUM_WORKERS) $(PY) ",
    ), "the probe is another command"


def test_processes_of_an_environment_keep_to_what_a_run_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only where a launcher may have bound a worker by itself, which the scripts of swarms forbid."""
    set_to: list[object] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: set_to.append(cores))
    monkeypatch.setenv(LAUNCHED, "job_launched")
    _use_cores(4)
    assert set_to == []
    monkeypatch.delenv(LAUNCHED)
    _use_cores(4)
    assert set_to == [range(os.cpu_count() or 1)]


def _numbers(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)
