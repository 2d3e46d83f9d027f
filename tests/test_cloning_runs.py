"""bc and dagger as programs: they end, stop early, go on bit for bit, evaluate, and refuse in two lines."""

from __future__ import annotations

import json
import resource
import shutil

import pytest

from helpers import errors
from helpers.checkpoints.manifests import list_checkpoints, read_manifest
from reports.series import read_series
from tests import launch
from tests.experts import hardly_trained
from tests.helpers.demos.cases import steps_of, write_plain
from tests.test_bad_input import refused

BC = {
    "algo": "bc",
    "num_timesteps": 800,
    "steps_per_iteration": 20,
    "patience": 0,
    "batch_size": 24,
    "num_envs": 3,
}
DAGGER = {
    "algo": "dagger",
    "num_timesteps": 96 * 40,
    "rollout_len": 96,
    "num_envs": 6,
    "updates_per_round": 10,
    "batch_size": 24,
    "beta_decay": 0.9,
    "num_demos": 1,
}
COMMON = {
    "task": "train",
    "p_perception_stack": "mlp_16",
    "save_frequency": 4,
    "eval_frequency": 20,
    "eval_episodes": 2,
    "sync_frequency": 3,
    "progress": "none",
    "compile": "false",
    "checkpoint_interval": 100,
}


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    """(run, demonstrations) by environment; made when they are asked for."""
    made = {}

    def of(env_id):
        if env_id not in made:
            made[env_id] = hardly_trained(env_id, tmp_path_factory.mktemp("expert"), demos=4)
        return made[env_id]

    return of


def flags_of(algo, env_id, folder, name, experts, **others):
    run, demos = experts(env_id)
    chosen = COMMON | (BC if algo == "bc" else DAGGER | {"expert_policy": run})
    chosen |= {"expert_path": demos, "expert_iter_num": "latest"} if algo == "dagger" else {}
    named = {"env_id": env_id, "runs_dir": folder, "uuid": name, "expert_path": demos}
    return [f"--{key}={value}" for key, value in (chosen | named | others).items()]


def train(*given, workers=1, **others):
    done = launch.run(flags_of(*given, **others), workers=workers)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("algo", "env_id", "workers", "how"),
    [
        ("bc", "Hopper-v5", 1, "USR1"),
        ("bc", "CartPole-v1", 2, "kill all"),
        ("dagger", "Hopper-v5", 2, "USR1"),
        ("dagger", "CartPole-v1", 1, "kill all"),
    ],
)
def test_an_interrupted_run_equals_a_whole_one(tmp_path, experts, algo, env_id, workers, how):
    train(algo, env_id, tmp_path, "whole.seed00", experts, workers=workers)
    flags = flags_of(algo, env_id, tmp_path, "cut.seed00", experts)
    process = launch.start(flags, workers=workers)
    launch.wait_for_rows(tmp_path / "cut.seed00", 13, process)
    code = launch.interrupt(process, how)
    assert code == 75 if how == "USR1" else code != 0
    assert 0 < len(launch.rows(tmp_path / "cut.seed00")) < 40
    done = launch.run(flags, workers=workers)
    assert done.returncode == 0, done.stderr
    whole, cut = tmp_path / "whole.seed00", tmp_path / "cut.seed00"
    assert launch.rows(cut) == launch.rows(whole) and len(launch.rows(whole)) == 40
    assert launch.fingerprint(cut) == launch.fingerprint(whole)
    if algo == "dagger":
        last, before = (
            read_manifest(path)["shards"] for _, path in list_checkpoints(whole / "checkpoints")[:2]
        )
        assert len(last) == 5 * workers and all(".visited." in name for name in last)
        assert sum(last[name] == before[name] for name in before) >= 3 * workers  # where they were


def test_a_run_that_stops_early_is_done_and_evaluates(tmp_path, experts):
    given = ("bc", "CartPole-v1", tmp_path, "early.seed00", experts)
    train(*given, num_timesteps=20_000, patience=2, p_lr=0.03)
    folder = tmp_path / "early.seed00"
    rows = launch.rows(folder)
    assert len(rows) < 1000
    held_out = [row["policy/held_out_loss"] for row in rows]
    assert held_out.index(min(held_out)) == len(rows) - 3
    assert rows[-1]["eval/episodes"] == 2 and rows[-1]["step"] == 20 * len(rows)
    assert rows[-1]["rollout/episodes"] == 0
    assert read_series(folder).state == "done"  # not unfinished, though steps are left
    before = launch.fingerprint(folder), rows
    train(*given, num_timesteps=20_000, patience=2, p_lr=0.03)
    assert (launch.fingerprint(folder), launch.rows(folder)) == before
    assert read_series(folder).state == "done"


def test_what_was_cloned_is_evaluated_without_its_sources(tmp_path, experts):
    for algo in ("bc", "dagger"):
        name = f"{algo}.seed00"
        given = (algo, "CartPole-v1", tmp_path, name, experts)
        steps = {"num_timesteps": 60 if algo == "bc" else 192}
        run, demos = experts("CartPole-v1")
        copies = {"expert_path": tmp_path / "demos", "expert_policy": tmp_path / "run"}
        if algo == "bc":
            del copies["expert_policy"]
        else:
            shutil.copytree(run, tmp_path / "run", symlinks=True)
        shutil.copytree(demos, tmp_path / "demos")
        train(*given, **steps, **copies)
        verified = launch.run(["--task=verify_resume", f"--model_path={tmp_path / name}"])
        assert verified.returncode == 0, verified.stdout + verified.stderr
        for each in copies.values():
            shutil.rmtree(each)
        flags = ["--task=eval", f"--model_path={tmp_path / name}", "--iter_num=latest"]
        done = launch.run([*flags, "--num_trajs=3"], workers=2)
        assert done.returncode == 0, done.stderr
        figures = json.loads((tmp_path / name / "evaluation_latest.json").read_text())
        assert len(figures["returns"]) == 3


# Refusals


@pytest.fixture()
def no_simulator(tmp_path, monkeypatch, experts):
    """MuJoCo is a trap: a run that comes as far as importing it ends with status 1."""
    experts("Hopper-v5")  # made before that
    trap = tmp_path / "trap" / "mujoco.py"
    trap.parent.mkdir()
    trap.write_text("raise SystemExit('a simulator was started')\n")
    monkeypatch.setenv("PYTHONPATH", str(trap.parent))


def refused_at_once(tmp_path, *words, code=errors.BAD_CONFIGURATION, workers=1, **settings):
    """In less than 3 s of a processor's time, with nothing left behind."""
    flags = [f"--{key}={value}" for key, value in settings.items()]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    refused([*flags, f"--runs_dir={tmp_path}/runs"], code, *words, workers=workers)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 3.0 * workers
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_demos": 0}, ["num_demos=0 gives none", "--num_demos=1"]),
        ({"num_demos": 2, "held_out_demos": 2}, ["held_out_demos=2 of 2", "--held_out_demos=1"]),
        ({"num_demos": 9}, ["holds 4 demonstrations", "--num_demos=4"]),
        ({"env_id": "Walker2d"}, ["shows Hopper-v5, not Walker2d-v5", "--env_id=Hopper-v5"]),
        ({"expert_state_only": "true"}, ["bc learns from actions", "--no-expert_state_only"]),
        ({"wrap_absorb": "true"}, ["absorbing states", "--no-wrap_absorb"]),
        ({"expert_path": "/nowhere"}, ["/nowhere is not a folder", "--save_traj"]),
        ({"expert_path": ""}, ["expert_path"]),
    ],
    ids=str,
)
def test_demonstrations_that_cloning_cannot_use(tmp_path, experts, no_simulator, changes, words):
    _, demos = experts("Hopper-v5")
    bc = {"algo": "bc", "env_id": "Hopper", "expert_path": demos}
    refused_at_once(tmp_path, *words, **bc | changes)


def test_a_minibatch_that_workers_cannot_share(tmp_path, experts, no_simulator):
    _, demos = experts("Hopper-v5")
    bc = {"algo": "bc", "env_id": "Hopper", "expert_path": demos, "batch_size": 255}
    words = ("255 demonstrated transitions", "--batch_size=256")
    refused_at_once(tmp_path, *words, workers=2, **bc)


def test_states_alone_are_refused(tmp_path, no_simulator):
    for i in range(2):
        write_plain(tmp_path / "demos" / f"d{i}.h5", steps_of(i, 40), acs=None)
    bc = {"algo": "bc", "env_id": "Hopper", "expert_path": tmp_path / "demos"}
    refused_at_once(tmp_path, "has no actions", "--expert_path", **bc)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"expert_policy": ""}, 2, ["needs an expert", "--expert_policy=data/runs/NAME"]),
        ({"expert_policy": "/nowhere"}, 4, ["/nowhere does not exist", "run folder"]),
        ({"expert_iter_num": "77"}, 4, ["77", "--expert_iter_num"]),
        ({"env_id": "Walker2d"}, 2, ["in Hopper-v5, not in Walker2d-v5", "--env_id=Hopper-v5"]),
        ({"rollout_len": 5001}, 2, ["not a multiple of num_envs=5", "--rollout_len=5000"]),
    ],
    ids=str,
)
def test_experts_that_dagger_cannot_ask(tmp_path, experts, no_simulator, changes, code, words):
    run, _ = experts("Hopper-v5")
    named = {"algo": "dagger", "env_id": "Hopper", "expert_policy": run}
    chosen = named | {"expert_iter_num": "latest"} | changes
    refused_at_once(tmp_path, *words, code=code, **chosen)


def test_an_expert_that_sees_more_or_less_is_refused(tmp_path, experts, no_simulator):
    run, _ = experts("Hopper-v5")
    other = tmp_path / "other.seed00"
    shutil.copytree(run, other, symlinks=True)
    text = (other / "config.yaml").read_text()
    assert "env_id: Hopper-v5" in text
    (other / "config.yaml").write_text(text.replace("env_id: Hopper-v5", "env_id: Walker2d-v5"))
    named = {"algo": "dagger", "env_id": "Walker2d", "expert_policy": other}
    words = ("takes observations of length 11, not 17", "--expert_policy")
    refused_at_once(tmp_path, *words, expert_iter_num="latest", **named)
