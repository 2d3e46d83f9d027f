"""Another folder in the place of `data/`: what programs write goes there, caches included, without any link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.algorithms import SCHEMA
from environments.opensim.models import models_folder
from helpers import data_root
from helpers.checkpoints.resolve import resolve_checkpoint
from helpers.machine import native
from helpers.run_folder.changes import Start
from helpers.run_folder.experiment import _open_as_json, run_name


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILOZERO_DATA", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def test_what_is_below_data_is_below_the_root_and_nothing_else_moves(scratch: Path) -> None:
    assert data_root.place("data/runs") == scratch / "runs"
    assert data_root.place("data/runs", "/other") == Path("/other/runs")
    for path in ("runs", "/data/runs", "database/x", "./x"):
        assert data_root.place(path) == Path(path)


@pytest.mark.parametrize("by", ["environment", "flag"])
def test_a_run_s_folder_is_below_the_root(
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    flags = ["--env_id=CartPole-v1", "--uuid=some_name.seed00"]
    if by == "flag":
        monkeypatch.delenv("MILOZERO_DATA")
        flags.append(f"--data_root={scratch}")
    config = SCHEMA.parse_command_line(flags).config
    opened = _open_as_json(config, run_name(config), Start(), world_size=1, argv=flags)
    assert opened.get("folder") == str(scratch / "runs" / "some_name.seed00"), opened
    assert not Path("data").exists()


def test_caches_follow_the_root_unless_the_user_named_another(
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("MILOZERO_OPENSIM_MODELS", raising=False)
    assert native.cache_folder() == scratch / "cache" / "milozero" / "kernels"
    assert models_folder() == scratch / "cache" / "milozero" / "opensim"
    monkeypatch.setenv("XDG_CACHE_HOME", "/named")
    assert native.cache_folder() == Path("/named/milozero/kernels")


def test_a_path_as_the_documentation_writes_it_is_found_below_the_root(scratch: Path) -> None:
    folder = scratch / "runs" / "some_name.seed00" / "checkpoints" / "iter_000007"
    folder.mkdir(parents=True)
    os.symlink(folder.name, folder.parent / "latest")
    (folder / "manifest.json").write_text("{}")
    assert resolve_checkpoint("data/runs/some_name.seed00", "latest") == folder
