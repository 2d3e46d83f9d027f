"""Images for Apptainer: converted once, before the first job, whatever number of jobs there is."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.errors import ConfigurationError
from swarm import images
from swarm.planning import preflight
from swarm.scripts.render import bound_folders, render_job
from tests.swarm.plans import LAUNCH, SHORT, planned

IMAGE = "docker_user/milozero:mujoco"


def slurm_plan(folder: Path, **launch: object):
    how = replace(LAUNCH, deployment="slurm", working_folder=folder, image=IMAGE, **launch)
    return planned(launch=how)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apptainer that takes a while, and notes what it was asked for."""
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nsleep 0.3\n'
        f'[ ! -e {tmp_path}/broken ] || exit 255\necho image >"$2"\n',
    )
    program.chmod(0o755)
    monkeypatch.setattr(images, "_engine", lambda: str(program))
    return tmp_path / "asked"


def test_an_image_of_a_registry_is_converted_once_for_all_spawners_and_jobs(
    tmp_path: Path,
    engine: Path,
) -> None:
    plan = slurm_plan(tmp_path)
    plan.folder.mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(images.convert, [plan] * 4))
    [asked] = engine.read_text().splitlines()
    assert asked.startswith("build ") and asked.endswith(f" docker://{IMAGE}")
    assert plan.image_file.read_text() == "image\n"
    for run in plan.runs:
        script = render_job(plan, run)
        assert str(plan.image_file) in script and "docker://" not in script
    assert sorted(path.name for path in plan.folder.iterdir()) == ["image.lock", "image.sif"]


def test_what_cannot_be_converted_is_refused_with_the_command_that_does(
    tmp_path: Path,
    engine: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = slurm_plan(tmp_path)
    plan.folder.mkdir(parents=True)
    (tmp_path / "broken").touch()
    with pytest.raises(ConfigurationError, match=f"docker://{IMAGE} cannot be converted") as broken:
        images.convert(plan)
    assert f"apptainer build {plan.image_file} docker://{IMAGE}" in broken.value.remedy
    assert not plan.image_file.exists() and not list(plan.folder.glob("*.sif"))
    monkeypatch.setattr(images, "_engine", lambda: None)
    with pytest.raises(ConfigurationError, match="neither apptainer nor singularity") as missing:
        images.require_converter(plan)
    assert f"apptainer build NAME.sif docker://{IMAGE}" in missing.value.remedy


def test_a_folder_that_is_a_link_is_bound_where_it_leads(tmp_path: Path) -> None:
    """The kind: whatever a run writes or reads may lie behind a link of the repository."""
    scratch, home = tmp_path / "scratch", tmp_path / "home"
    for folder in (scratch / "runs", home, tmp_path / "demos"):
        folder.mkdir(parents=True)
    (home / "data").symlink_to(scratch)
    (home / "expert").symlink_to(tmp_path / "demos")
    how = replace(LAUNCH, working_folder=home, image=IMAGE)
    plan = planned(launch=how, settings={"algo": "bc", "expert_path": "expert/Hopper-v5"})
    bound = bound_folders(plan, plan.runs[0])
    assert str(scratch) in bound and str(tmp_path / "demos" / "Hopper-v5") in bound
    assert not any(each.startswith(str(home)) for each in bound)


def test_a_set_up_that_bash_cannot_read_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    how = replace(LAUNCH, working_folder=tmp_path, caliber=replace(SHORT, setup="echo 'open"))
    with pytest.raises(ConfigurationError, match="setup of the caliber short: .*(EOF|matching)"):
        preflight.check(planned(launch=how))
    assert subprocess.run(["find", str(tmp_path), "-type", "f"], capture_output=True).stdout == b""
