"""Runs that begin with another one's weights, go on to more steps, or go on under other settings."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from helpers.checkpoints.resolve import read_shared
from tests import launch
from tests.resume_cases import ALGORITHMS, SETTINGS

SMALL = SETTINGS | {
    "env_id": "CartPole-v1",
    "num_timesteps": 96 * 4,
    "save_frequency": 1,
    "keep_checkpoints": 0,
    "eval_frequency": 2,
    "eval_episodes": 2,
    "lr_schedule": "constant",
    "compile": "false",
    "checkpoint_interval": 192,
}


def flags(folder, name, algo="ppo", **settings):
    every = SMALL | ALGORITHMS[algo] | {"lr_schedule": "constant"} | settings
    return [f"--{key}={value}" for key, value in every.items()] + [
        f"--runs_dir={folder}",
        f"--uuid={name}.seed00",
    ]


def ran(arguments, workers=1):
    done = launch.run(arguments, workers=workers)
    assert done.returncode == 0, done.stderr
    return done


def capsule(folder):
    return json.loads((folder / "capsule.json").read_text())


def policy(folder, iteration):
    _, shared, _ = read_shared(folder / "checkpoints" / f"iter_{iteration:06d}")
    return {n: t for n, t in shared["agent"]["parameters"].items() if n.startswith("policy")}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of PPO, one of its policy files, and a package of its last checkpoint."""
    folder = tmp_path_factory.mktemp("source")
    ran(flags(folder, "source"))
    run = folder / "source.seed00"
    export = ["--task=export", f"--model_path={run}", "--iter_num=latest", "--num_trajs=1"]
    ran([*export, f"--export_dir={folder}/package"])
    return {
        "run": run,
        "checkpoint": run / "checkpoints" / "latest",
        "file": run / "checkpoints" / "384_policy.pt",
        "package": folder / "package",
    }


@pytest.mark.parametrize("kind", ["run", "checkpoint", "file", "package"])
def test_each_kind_of_source_is_begun_with_and_recorded(tmp_path, source, kind):
    done = ran(
        flags(tmp_path, "mine", init_from=source[kind], init_iter_num="latest", num_timesteps=96),
    )
    assert "begins with" in done.stdout and "largest difference of actions: " in done.stdout
    mine = tmp_path / "mine.seed00"
    there, here = policy(source["run"], 4), policy(mine, 0)
    assert all(torch.equal(there[name], here[name]) for name in there)
    lineage = capsule(mine)["lineage"]
    assert lineage["run"] == "source.seed00" and len(lineage["sha256"]) == 64
    if kind != "file":
        assert (lineage["algo"], lineage["iteration"], lineage["step"]) == ("ppo", 4, 384)
    (entry,) = [each for each in capsule(mine)["inputs"] if each["role"] == "init_from"]
    assert entry["sha256"] == lineage["sha256"]


def test_a_warm_started_run_resumes_bit_for_bit_without_its_source(tmp_path, source):
    copy = tmp_path / "copy"
    shutil.copytree(source["run"], copy, symlinks=True)
    steps = {"init_from": copy, "init_iter_num": "latest", "num_timesteps": 96 * 60}
    steps |= {"save_frequency": 4, "keep_checkpoints": 3, "eval_frequency": 0}
    ran(flags(tmp_path, "whole", **steps), workers=2)
    killed = flags(tmp_path, "killed", **steps)
    process = launch.start(killed, workers=2)
    launch.wait_for_rows(tmp_path / "killed.seed00", 5, process)
    launch.interrupt(process, "kill all")
    shutil.rmtree(copy)
    done = ran(killed, workers=2)
    assert "resumed after" in done.stdout and "begins with" not in done.stdout
    whole, again = tmp_path / "whole.seed00", tmp_path / "killed.seed00"
    assert launch.fingerprint(again) == launch.fingerprint(whole)
    assert launch.rows(again) == launch.rows(whole)


def test_what_does_not_fit_leaves_no_folder(tmp_path, source):
    for settings, word in (
        ({"p_perception_stack": "mlp_8", "init_from": source["run"]}, "does not fit"),
        ({"init_from": tmp_path / "nowhere"}, "does not exist"),
        ({"init_from": source["file"], "env_id": "Hopper-v5"}, "384_policy.pt"),
    ):
        refused = launch.run(flags(tmp_path, "refused", **settings), workers=2)
        assert refused.returncode in (2, 4), refused.stderr
        assert refused.stderr.count("milozero: ") == 1 and word in refused.stderr
        assert "--init_from" in refused.stderr
        assert not (tmp_path / "refused.seed00").exists()


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_more_steps_equal_a_run_that_had_them_from_the_start(tmp_path, algo):
    settings = {"env_id": "Pendulum-v1"} if algo == "sac" else {}
    few, many = 96 * 4, 96 * 8
    ran(flags(tmp_path, "extended", algo, **settings, num_timesteps=few))
    done = ran(flags(tmp_path, "extended", algo, **settings, num_timesteps=many))
    assert "num_timesteps is 768 from here on; it was 384." in done.stdout
    ran(flags(tmp_path, "whole", algo, **settings, num_timesteps=many))
    extended, whole = tmp_path / "extended.seed00", tmp_path / "whole.seed00"
    assert launch.fingerprint(extended) == launch.fingerprint(whole)
    assert launch.rows(extended) == launch.rows(whole)
    (change,) = capsule(extended)["changes"]
    assert (change["name"], change["iteration"]) == ("num_timesteps", 4)


def test_more_steps_are_refused_where_a_schedule_ends_with_them(tmp_path):
    ran(flags(tmp_path, "linear", lr_schedule="linear"))
    refused = launch.run(flags(tmp_path, "linear", lr_schedule="linear", num_timesteps=768))
    assert refused.returncode == 2
    assert "lr_schedule=linear ends with num_timesteps" in refused.stderr
    assert "--override='num_timesteps=768'" in refused.stderr


def test_another_learning_rate_for_the_rest_is_recorded_and_told(tmp_path):
    folder = tmp_path / "mine.seed00"
    ran(flags(tmp_path, "mine"))
    more = flags(tmp_path, "mine", num_timesteps=768)
    ran([*more, "--override=p_lr=1e-4,v_lr=1e-4"])
    assert launch.rows(folder)[-1]["update/policy_step_size"] == pytest.approx(1e-4)
    assert {each["name"] for each in capsule(folder)["changes"]} == {
        "num_timesteps",
        "p_lr",
        "v_lr",
    }
    verified = ran(["--task=verify_resume", f"--model_path={folder}"])
    assert "bitwise identical" in verified.stdout
    assert (
        "changed after iteration 4: num_timesteps 384 -> 768, p_lr 0.0003 -> 0.0001"
        in verified.stdout
    )
    again = ran([*more, "--override=p_lr=1e-4,v_lr=1e-4"])
    assert "from here on" not in again.stdout
    for text, word in (
        ("p_lr=-1", "p_lr"),
        ("p_rl=1e-4", "Did you mean"),
        ("num_envs=3", "keeps its num_envs"),
        ("save_frequency=3", "may change whenever"),
        ("q_lr=1e-4", "does not use"),
    ):
        refused = launch.run([*more, f"--override={text}"])
        assert refused.returncode == 2 and word in refused.stderr, refused.stderr
