"""The real wandb client against a stand-in server on loopback: online, offline, resumed, cut off, killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.errors import DONE, STOPPED_EARLY
from helpers.trackers import feeder as feeding
from helpers.trackers.base import make_trackers
from helpers.trackers.wandb.download import download_run
from helpers.trackers.wandb.tracker import LONGEST_ID, run_id
from tests.patience import patience, promptly
from tests.standins.wandb_server import KEY, WandbServer

REPOSITORY = Path(__file__).parents[3]
NAME = "brisk-otter.ppo.Hopper-v5.seed01"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No key, no settings, no server: of this test's own making only."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server(monkeypatch):
    with WandbServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def folder(tmp_path):
    """A run folder with a configuration and a best checkpoint."""
    folder = tmp_path / "runs" / NAME
    checkpoint = folder / "checkpoints" / "iter_000003"
    checkpoint.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 1\n")
    (checkpoint / "manifest.json").write_text('{"iteration": 3}')
    (checkpoint / "shared.safetensors").write_bytes(os.urandom(100_000))
    (folder / "checkpoints" / "best").symlink_to("iter_000003")
    return folder


def session(folder, mode, iterations, *, resume_after=None):
    """Open the trackers and log; the trackers, and what was said."""
    values = {
        "tensorboard": False,
        "mlflow": False,
        "wandb_mode": mode,
        "wandb_project": "p",
        "wandb_entity": None,
    }
    values |= {"seed": 1, "service_token": "hush", "tracking_interval": 0}
    values |= {"experiment_directory": None, "experiment_name": None}
    trackers = make_trackers(
        SimpleNamespace(**values, model_dump=lambda: values),
        folder,
        is_root=True,
        resume_after=resume_after,
        run_name=NAME,
        group="brisk-otter.ppo.Hopper-v5",
        print=(said := []).append,
    )
    for i in iterations:
        row = {"iteration": i, "step": 100 * i, "eval/return_mean": i / 3, "note": None}
        trackers.log(row)
    return trackers, said


def wait_for_word(trackers, said):
    """Until the feeder has said how it works."""
    end = time.monotonic() + patience(20)
    while not said and time.monotonic() < end:
        trackers._others[0].log({})
        time.sleep(0.02)
    return said


def children_of(pid):
    """Processes that wandb's service runs as for a feeder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(pid).encode() in arguments and any(b"wandb-core" in word for word in arguments):
            found.append(process.name)
    return found


def are_gone(feeder):
    """Whether nothing of a feeder is left, 3 s after it ended."""
    end = time.monotonic() + promptly(3)
    while children_of(feeder) and time.monotonic() < end:
        time.sleep(0.02)
    return not children_of(feeder)


def test_an_online_run_resumes_and_comes_back_as_it_was(server, folder, tmp_path):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    hooks = (sys.excepthook, sys.exit)

    trackers, said = session(folder, "online", range(1, 6))
    feeder = trackers._others[0]._feeder.process.pid
    assert os.getsid(feeder) != os.getsid(0)  # a terminal's Ctrl-C does not reach it
    trackers.upload(folder, ["config.yaml", "checkpoints/best"])
    trackers.close(STOPPED_EARLY)
    run = server.runs[f"lab/p/{NAME}"]
    assert said == [f"wandb: {server.url}/lab/p/runs/{NAME}"]
    assert (run.display_name, run.group) == (NAME, "brisk-otter.ppo.Hopper-v5")
    assert (run.state, run.exit_code) == ("preempted", STOPPED_EARLY)
    assert are_gone(feeder)

    # from the checkpoint of iteration 3: rows 4 and 5 come again, and are not sent again
    trackers, _ = session(folder, "online", range(4, 8), resume_after=3)
    trackers.upload(folder, ["config.yaml", "checkpoints/best"])
    trackers.close(DONE)
    assert [(row["_step"], row["step"], row["eval/return_mean"]) for row in run.history] == [
        (i, 100 * i, i / 3) for i in range(1, 8)
    ]
    assert run.state == "finished" and "hush" not in run.config and '"seed"' in run.config

    local = download_run(
        f"lab/p/{NAME}",
        iter_num="best",
        replace=False,
        root_folder=tmp_path / "w",
    )
    for name in (
        "config.yaml",
        "checkpoints/best/manifest.json",
        "checkpoints/best/shared.safetensors",
    ):
        assert (local / name).read_bytes() == (folder / name).read_bytes()

    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert hooks == (sys.excepthook, sys.exit)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert KEY.encode() not in path.read_bytes(), path
        assert b"hush" not in path.read_bytes(), path


def test_without_a_key_it_is_offline_and_wandb_sync_brings_every_row_once(
    server,
    folder,
    monkeypatch,
):
    monkeypatch.delenv("WANDB_API_KEY")
    trackers, said = session(folder, "online", range(1, 4))
    trackers.upload(folder, ["checkpoints/best"])
    trackers.close(STOPPED_EARLY)
    assert "offline (" in said[0] and "wandb login" in said[0] and len(said) == 1
    trackers, _ = session(folder, "offline", range(3, 6), resume_after=2)
    trackers.close(DONE)
    assert server.runs == {}

    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    command = said[0].split("to upload later: ")[1]
    assert command.startswith("wandb sync ")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    subprocess.run(["sh", "-c", command], check=True, cwd=folder, env=environment)
    run = server.runs[f"lab/p/{NAME}"]
    assert [row["_step"] for row in run.history] == [1, 2, 3, 4, 5]
    shared = folder / "checkpoints" / "best" / "shared.safetensors"
    assert run.files["checkpoints/best/shared.safetensors"] == shared.read_bytes()


def test_a_dead_server_means_offline_and_a_live_one_gets_the_rows_later(
    server,
    folder,
    monkeypatch,
):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    trackers, said = session(folder, "online", range(1, 4))
    trackers.close(STOPPED_EARLY)
    assert said[0].startswith("wandb: offline (http://127.0.0.1:9 does not answer)")
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    trackers, _ = session(folder, "online", range(4, 6), resume_after=3)
    trackers.close(DONE)
    run = server.runs[f"lab/p/{NAME}"]
    assert [row["_step"] for row in run.history] == [1, 2, 3, 4, 5]
    assert list(folder.glob("wandb/offline-run-*/*.synced"))  # `wandb sync` would bring them twice


def test_a_black_hole_delays_nothing_and_what_it_swallowed_can_be_sent(
    server,
    folder,
    monkeypatch,
):
    assert feeding.SILENCE_SECONDS <= 5.0
    monkeypatch.setattr(feeding, "SILENCE_SECONDS", 2.0)
    trackers, said = session(folder, "online", [1])
    feeder = trackers._others[0]._feeder.process.pid
    wait_for_word(trackers, said)
    assert children_of(feeder)
    server.silent.set()
    started = time.monotonic()
    for i in range(2, 200):
        trackers.log({"iteration": i, "step": 100 * i})
    assert time.monotonic() - started < promptly(1)
    trackers.upload(folder, ["config.yaml", "checkpoints/best"])
    started = time.monotonic()
    trackers.close(DONE)
    assert time.monotonic() - started < promptly(4)
    assert "the server is silent" in said[-1] and len(said) == 2
    assert are_gone(feeder)

    server.silent.clear()
    command = said[-1].split("python ")[1].split()
    subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=True, stderr=subprocess.PIPE)
    run = server.runs[f"lab/p/{NAME}"]
    assert [row["_step"] for row in run.history] == list(range(1, 200))
    assert run.files["run/config.yaml"] == b"seed: 1\n"


def test_a_black_hole_from_the_start_means_offline(server, folder):
    server.silent.set()
    started = time.monotonic()
    trackers, said = session(folder, "online", range(1, 4))
    assert time.monotonic() - started < promptly(1)
    trackers.close(DONE)
    assert time.monotonic() - started < promptly(8)
    assert said[0].startswith(f"wandb: offline ({server.url} does not answer)")


def test_a_killed_run_is_fed_to_its_last_row(server, folder):
    code = (
        "import pathlib, time\n"
        "from tests.helpers.trackers.test_wandb import session, wait_for_word\n"
        f"trackers, said = session(pathlib.Path({str(folder)!r}), 'online', range(1, 50))\n"
        "print(trackers._others[0]._feeder.process.pid, wait_for_word(trackers, said), flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        feeder = int(process.stdout.readline().split()[0])
        process.kill()
    run = server.runs[f"lab/p/{NAME}"]
    end = time.monotonic() + patience(15)
    while run.state == "running" and time.monotonic() < end:
        time.sleep(0.05)
    assert (run.state, len(run.history)) == ("failed", 49)
    assert are_gone(feeder)


def test_a_crashed_feeder_costs_one_line(server, folder):
    trackers, said = session(folder, "online", [1])
    wait_for_word(trackers, said)
    os.kill(trackers._others[0]._feeder.process.pid, signal.SIGKILL)
    trackers._others[0]._feeder.process.wait()
    for i in range(2, 5):
        trackers.log({"iteration": i, "step": 100 * i})
    trackers.upload(folder, ["config.yaml"])
    trackers.close(DONE)
    assert len(said) == 2 and "the run continues without it" in said[1]
    assert len((folder / "metrics.jsonl").read_bytes().splitlines()) == 4


def test_a_name_is_its_own_id_if_wandb_takes_it():
    assert run_id(NAME) == NAME
    for name in ("a" * 200, "a/b", "a b", "é"):
        assert len(run_id(name)) <= LONGEST_ID and not set(run_id(name)) & set("/\\#?%: é")
    assert run_id("a/b") != run_id("a?b")
