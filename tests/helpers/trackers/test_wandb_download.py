"""Fetching a checkpoint with the real wandb client from a stand-in server on loopback."""

import os

import pytest

from helpers.errors import CheckpointError, ConfigurationError
from helpers.trackers.wandb import download as wandb_runs
from helpers.trackers.wandb.download import download_run
from tests.standins.wandb_server import WandbServer

RUN = "lab/project/run.seed01"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server(monkeypatch):
    with WandbServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.run(*RUN.split("/")).files.update(
            {
                "config.yaml": b"wandb's own",
                "run/config.yaml": b"seed: 1\n",
                "media/images/a.png": b"picture",
                "checkpoints/best/manifest.json": b"{}",
                "checkpoints/best/shared.safetensors": os.urandom(300_000),
                "checkpoints/iter_000620/manifest.json": b"{}",
            },
        )
        yield server


def fetch(tmp_path, iter_num="best", *, run_path=RUN, replace=False):
    return download_run(
        run_path,
        iter_num=iter_num,
        replace=replace,
        root_folder=tmp_path / "wandb",
    )


def test_a_checkpoint_comes_whole_is_kept_and_replaced_on_demand(server, tmp_path):
    files = server.runs[RUN].files
    folder = fetch(tmp_path)
    assert folder == tmp_path / "wandb" / RUN
    best = folder / "checkpoints" / "best" / "shared.safetensors"
    assert best.read_bytes() == files["checkpoints/best/shared.safetensors"]
    assert (folder / "config.yaml").read_bytes() == b"seed: 1\n"

    files["checkpoints/best/shared.safetensors"] = b"newer"
    requests = len(server.operations)
    fetch(tmp_path)
    assert len(best.read_bytes()) == 300_000 and len(server.operations) == requests
    fetch(tmp_path, replace=True)
    assert best.read_bytes() == b"newer"

    fetch(tmp_path, "620")
    assert sorted(path.name for path in best.parents[1].iterdir()) == ["best", "iter_000620"]
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "config.yaml"]
    assert [path.name for path in (tmp_path / "wandb").iterdir()] == ["lab"]


def test_an_absent_checkpoint_names_those_there_are(server, tmp_path):
    with pytest.raises(CheckpointError, match="'latest'") as raised:
        fetch(tmp_path, "latest")
    assert raised.value.remedy == "Choose --iter_num among: best, iter_000620."
    assert not (tmp_path / "wandb" / "lab").exists()


def test_an_absent_run_and_a_refused_key_are_told_apart(server, tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="no run lab/project/other"):
        fetch(tmp_path, run_path="lab/project/other")
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    with pytest.raises(ConfigurationError, match="needs a valid key"):
        fetch(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(ConfigurationError, match="No API key") as raised:
        fetch(tmp_path)
    assert "wandb login" in raised.value.remedy


@pytest.mark.parametrize(
    "path",
    ["run", "a/b", "a/b/c/d", "a//c", "../b/c", "a/b/c?", "https://a/b"],
)
def test_a_path_of_another_form_is_refused_before_any_network(path, tmp_path):
    with pytest.raises(ConfigurationError, match="not of the form entity/project/run"):
        fetch(tmp_path, run_path=path)


def test_without_a_server_two_lines_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="http://127.0.0.1:9 does not answer"):
        fetch(tmp_path)


def test_a_download_that_stalls_leaves_what_was_there(server, tmp_path, monkeypatch):
    folder = fetch(tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(wandb_runs, "STALL_SECONDS", 2.0)
    server.withholding.set()
    with pytest.raises(ConfigurationError, match="nothing for 2 s"):
        fetch(tmp_path, replace=True)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert [path.name for path in (tmp_path / "wandb").iterdir()] == ["lab"]
