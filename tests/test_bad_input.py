"""What cannot work is refused in two lines, with an exit code, before anything is overwritten."""

import os
import shlex
import subprocess
import time

import pytest

from helpers import errors
from tests import launch
from tests.patience import patience

SMALL = {
    "task": "train",
    "env_id": "CartPole-v1",
    "num_envs": 4,
    "rollout_len": 64,
    "batch_size": 32,
    "num_timesteps": 256,
    "save_frequency": 1,
    "eval_frequency": 0,
    "p_perception_stack": "mlp_8",
    "v_perception_stack": "mlp_8",
}


def flags(folder, **settings):
    named = SMALL | {"runs_dir": folder, "uuid": "bad.seed00"} | settings
    return [f"--{key}={value}" for key, value in named.items()]


def refused(arguments, code, *words, workers=1):
    started = time.monotonic()
    done = launch.run(arguments, workers=workers, fresh=True)
    assert done.returncode == code, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("milozero: ") and lines[1].startswith("  remedy: ")
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return time.monotonic() - started


def contents(folder):
    """Every file below a folder and its bytes, links as links."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"env_id": "Hoper-v5"}, ["Hoper-v5", "Hopper"]),
        ({"env_id": "Hopper-v3"}, ["Hopper-v3", "Hopper-v5", "compar"]),
        ({"env_id": "Cheetah-Rum-Feat-v0"}, ["Cheetah-Run"]),
        ({"config": "no/such.yaml"}, ["no/such.yaml"]),
        ({"p_lr": "fast"}, ["p_lr", "fast"]),
        ({"gamma": "1.5"}, ["gamma", "1.5"]),
        ({"batch_size": "33"}, ["batch_size=33", "This works"]),
        ({"p_lrr": "1"}, ["p_lrr", "--p_lr"]),
        ({"p_perception_stack": "conv_100"}, ["mlp_100"]),
        ({"uuid": "no_seed_here"}, ["uuid", "seed"]),
        ({"seed": "-1"}, ["seed"]),
    ],
    ids=lambda value: next(iter(value.items()))[0] if isinstance(value, dict) else "",
)
def test_settings_that_cannot_be_used(tmp_path, settings, words):
    refused(flags(tmp_path / "runs", **settings), errors.BAD_CONFIGURATION, *words)
    assert not (tmp_path / "runs" / "bad.seed00" / "checkpoints").exists()


def test_an_instruction_set_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("MILOZERO_MARCH", "avx2")
    words = ["MILOZERO_MARCH=avx2", "Unset it", "native"]
    refused(flags(tmp_path / "runs"), errors.BAD_CONFIGURATION, *words, workers=2)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("text", ["- a\\n- b\\n", "just words", "p_lr: 1\\np_lr: 2\\n", "{", ""])
def test_a_task_file_that_is_no_mapping(tmp_path, text):
    path = tmp_path / "task.yaml"
    path.write_text(text.replace("\\\\n", "\\n"))
    if not text:
        path = tmp_path  # a folder
    refused(
        flags(tmp_path / "runs", config=path),
        errors.BAD_CONFIGURATION,
        "task.yaml" if text else str(path),
    )


def test_two_workers_refuse_once(tmp_path):
    refused(flags(tmp_path, p_lr="fast"), errors.BAD_CONFIGURATION, "p_lr", workers=2)


def test_more_workers_than_environments(tmp_path):
    arguments = flags(tmp_path, num_envs=1)
    refused(arguments, errors.BAD_CONFIGURATION, "num_envs=1", "--num_envs=2", workers=2)


@pytest.fixture()
def trained(tmp_path):
    done = launch.run(flags(tmp_path))
    assert done.returncode == 0, done.stderr
    return tmp_path / "bad.seed00"


def test_a_run_folder_of_another_configuration(trained):
    before = contents(trained)
    refused(flags(trained.parent, gamma=0.9), errors.BAD_CONFIGURATION, "gamma", "0.9", "0.99")
    refused(flags(trained.parent, seed=4), errors.BAD_CONFIGURATION, "seed")
    assert contents(trained) == before


def test_a_checkpoint_of_another_world_size(trained):
    longer = flags(trained.parent)
    before = contents(trained / "checkpoints")
    refused(longer, errors.BAD_CHECKPOINT, "world_size", "without mpiexec", workers=2)
    assert contents(trained / "checkpoints") == before


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(trained, damage):
    undisturbed = launch.fingerprint(trained)
    latest = (trained / "checkpoints" / "latest").resolve()
    victim = latest / "shared.safetensors"
    data = victim.read_bytes()
    if damage == "truncated":
        victim.write_bytes(data[: len(data) // 2])
    elif damage == "altered":
        victim.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    else:
        victim.unlink()
    done = launch.run(flags(trained.parent))
    assert done.returncode == 0, done.stderr
    assert f"{latest.name} is refused" in done.stdout
    assert launch.fingerprint(trained) == undisturbed


def test_no_checkpoint_that_can_be_trusted(trained):
    for manifest in (trained / "checkpoints").glob("iter_*/manifest.json"):
        manifest.write_bytes(manifest.read_bytes()[:-30])
    before = contents(trained / "checkpoints")
    refused(flags(trained.parent), errors.BAD_CHECKPOINT, "No checkpoint", "is intact")
    assert contents(trained / "checkpoints") == before


def test_a_checkpoint_of_another_architecture(trained):
    config = trained / "config.yaml"
    config.write_text(
        config.read_text().replace("p_perception_stack: mlp_8", "p_perception_stack: mlp_9"),
    )
    arguments = ["--task=eval", f"--model_path={trained}", "--iter_num=latest"]
    refused(arguments, errors.BAD_CHECKPOINT, "another architecture", "p_perception_stack")


def test_a_full_disk_ends_the_run_and_keeps_the_previous_checkpoint(tmp_path):
    """On a small tmpfs in a mount namespace of its own, which needs no root."""
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.mkdir()
    long = {"num_timesteps": 64 * 200}
    train = shlex.join(launch.command(flags(disk, keep_checkpoints=0, **long)))
    script = (
        f"mount -t tmpfs -o size=400k tmpfs {disk} && {train}; "
        f"code=$?; cp -a {disk} {saved}; exit $code"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=launch.ROOT,
        capture_output=True,
        text=True,
        timeout=patience(launch.LONGEST),
    )
    assert done.returncode == errors.STORAGE, done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert "No space left" in done.stderr
    rows = len(launch.rows(saved / "bad.seed00"))
    more = launch.run(flags(saved, keep_checkpoints=2, save_frequency=50, **long))
    assert more.returncode == 0, more.stderr
    assert 0 < rows < len(launch.rows(saved / "bad.seed00")) == 200


def test_numbers_that_are_no_numbers_end_the_run_on_all_workers(tmp_path):
    arguments = flags(tmp_path, env_id="Pendulum-v1", p_lr="1e30", clip_norm=0)
    refused(arguments, errors.NUMERICAL, "became nan", "last checkpoint is intact", workers=2)
    checkpoint = launch.fingerprint(tmp_path / "bad.seed00")
    assert int(checkpoint["iteration"]) < 4
