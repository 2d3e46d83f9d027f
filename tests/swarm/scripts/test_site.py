"""What a site brings: its conda environments and its set-up, as the job script takes them over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.swarm.plans import LAUNCH, SHORT
from tests.swarm.stage import Stage

SLURM = replace(LAUNCH, deployment="slurm", caliber=SHORT)
ON_SLURM = {"SLURM_JOB_ID": "17"}


@pytest.mark.parametrize("program", ["python", "mpiexec"])
def test_a_program_that_is_not_the_conda_environment_s_is_refused(tmp_path, program):
    """Else the spawner's Python, or another MPI's launcher, would run instead."""
    stage = Stage(tmp_path, replace(LAUNCH, conda_env="pytorch"))
    own = tmp_path / "env"
    (own / "bin").mkdir(parents=True)
    (stage.bin / "python").symlink_to(stage.bin / "actor")
    for name in {"python", "mpiexec"} - {program}:
        (own / "bin" / name).symlink_to(stage.bin / name)
    stage.program("conda", f'shift 4; CONDA_PREFIX={own} PATH={own}/bin:$PATH "$@"')
    assert stage.play("0") == 6
    wrong = f"In the conda environment pytorch {program} is {stage.bin}/{program}, not {own}/bin/{program}."
    told = [line for line in stage.output.splitlines() if program in line]
    assert told[0] == wrong and told[1].startswith(
        f"Install {program} there (conda install -n pytorch",
    )
    assert not stage.recorded("argv")


def test_the_set_up_of_a_site_is_done_in_the_job_s_own_shell(tmp_path):
    odd = "export A='it''s \"x\"'\nif true; then\n  export B=$A-2  # é\nfi\nfalse"
    caliber = replace(SHORT, setup=odd)
    (tmp_path / "slurm").mkdir()
    stage = Stage(tmp_path / "slurm", replace(SLURM, caliber=caliber))
    stage.program("squeue", "exit 1")
    assert stage.play("0", **ON_SLURM) == 0
    assert (stage.seen()["A"], stage.seen()["B"]) == ('its "x"', 'its "x"-2')
    (tmp_path / "refusing").mkdir()
    caliber = replace(SHORT, setup="echo no licence; false || return 1")
    stage = Stage(tmp_path / "refusing", replace(SLURM, caliber=caliber))
    stage.program("squeue", "exit 1")
    assert stage.play("0", **ON_SLURM) == 6
    assert "no licence" in stage.output and not stage.recorded("argv")
