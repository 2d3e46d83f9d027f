"""--task=eval: where a policy is found, what is printed and written, and what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from evaluator import Evaluation
from helpers.demos.hdf5 import read_datasets
from helpers.parallel.workers import Workers
from tests import launch


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run on Hopper-v5 with several checkpoints."""
    folder = tmp_path_factory.mktemp("runs")
    flags = ["--env_id=Hopper", "--uuid=eval.seed03", "--seed=3", f"--runs_dir={folder}"]
    small = ["--num_envs=4", "--rollout_len=64", "--batch_size=32", "--num_timesteps=384"]
    done = launch.run([*flags, *small, "--save_frequency=2", "--eval_frequency=2"])
    assert done.returncode == 0, done.stderr
    return folder / "eval.seed03"


def evaluate(*flags, workers=1):
    done = launch.run(["--task=eval", "--num_trajs=3", *flags], workers=workers)
    assert done.returncode == 0, done.stderr
    return done.stdout


def figures(run, iter_num):
    return json.loads((run / f"evaluation_{iter_num}.json").read_text())


def test_what_was_the_best_before_is_kept_by_its_number(trained):
    evaluate(f"--model_path={trained}", "--iter_num=latest")
    then = figures(trained, "latest") | {"iteration": 2}
    (trained / "evaluation_latest.json").write_text(json.dumps(then))  # as an earlier one left it
    picture = trained / "evaluation_latest.png"
    drawn = picture.read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert f"picture: {picture}" in evaluate(f"--model_path={trained}", "--iter_num=latest")
    assert (trained / "evaluation_2.png").read_bytes() == drawn and picture.exists()
    assert figures(trained, "2") == then
    assert figures(trained, "latest")["iteration"] == 6


@pytest.mark.parametrize("part", ["", "checkpoints", "checkpoints/iter_000004"])
def test_a_run_its_checkpoints_and_one_of_them_are_found(trained, part):
    iter_num = "4" if part != "checkpoints" else "latest"
    printed = evaluate(f"--model_path={trained / part}", f"--iter_num={iter_num}")
    found = figures(trained, iter_num)
    assert found["iteration"] == (4 if iter_num == "4" else 6)
    assert "return" in printed and "length" in printed
    assert len(found["returns"]) == 3
    assert found["return_mean"] == pytest.approx(np.mean(found["returns"]))
    assert found["return_sd"] == pytest.approx(np.std(found["returns"], ddof=1))


def test_evaluation_is_deterministic_and_the_same_on_two_workers(trained):
    evaluate(f"--model_path={trained}", "--iter_num=latest")
    alone = figures(trained, "latest")
    evaluate(f"--model_path={trained}", "--iter_num=latest", workers=2)
    together = figures(trained, "latest")
    np.testing.assert_allclose(alone["returns"], together["returns"], rtol=1e-4)
    evaluate(f"--model_path={trained}", "--iter_num=latest")
    assert figures(trained, "latest") == alone
    evaluate(f"--model_path={trained}", "--iter_num=latest", "--no-deterministic")
    assert figures(trained, "latest_sampled")["returns"] != alone["returns"]
    evaluate(f"--model_path={trained}", "--iter_num=latest", "--seed=9")
    assert figures(trained, "latest_seed9")["returns"] != alone["returns"]
    assert figures(trained, "latest") == alone


def test_saved_trajectories_have_the_format_of_the_field(trained, tmp_path):
    evaluate(
        f"--model_path={trained}",
        "--iter_num=best",
        "--save_traj",
        f"--save_traj_dir={tmp_path}",
        workers=2,
    )
    folder = tmp_path / "Hopper-v5" / "eval.seed03"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"Hopper-v5_demo{i:03d}.h5" for i in range(3)]
    found = figures(trained, "best")
    for i, name in enumerate(names):
        demo, attributes = read_datasets(folder / name)
        steps = len(demo["obs0"])
        assert demo["obs0"].shape == demo["obs1"].shape == (steps, 11)
        assert demo["obs0"].dtype == np.float64 and demo["acs"].dtype == np.float32
        assert demo["acs"].shape == (steps, 3) and abs(demo["acs"]).max() <= 1.0
        np.testing.assert_array_equal(demo["obs0"][1:], demo["obs1"][:-1])
        assert demo["dones1"].tolist() == [False] * (steps - 1) + [True]
        assert demo["ep_lens"] == steps == found["lengths"][i]
        assert demo["ep_env_rets"] == pytest.approx(found["returns"][i])
        assert bool(demo["terminated"][-1]) != bool(demo["truncated"][-1])
        assert attributes["env_id"] == "Hopper-v5"
        assert attributes["return"] == pytest.approx(found["returns"][i])
        assert attributes["policy_sha256"] == found["policy"]
        assert attributes["mujoco_version"] and isinstance(attributes["seed"], int)
    with h5py.File(folder / names[0]) as file:
        assert file["ep_lens"].shape == () and file["ep_env_rets"].dtype == np.float64
    again = launch.run(
        ["--task=eval", f"--model_path={trained}", "--save_traj", f"--save_traj_dir={tmp_path}"],
    )
    assert again.returncode == 5
    assert "exists" in again.stderr


def test_demonstrations_begin_elsewhere_than_evaluations():
    common = {"seed": 3, "num_trajs": 500, "record": False}
    seeds = []
    for save_traj in (False, True):
        config = SimpleNamespace(save_traj=save_traj, env_id="Hopper-v5", **common)
        seeds += Evaluation(config, Workers.solo(), folder=Path(), iteration=0).seeds
    assert len(set(seeds)) == 1000


def test_a_video_is_recorded_where_a_gl_library_is(trained):
    import imageio.v3

    printed = evaluate(f"--model_path={trained}", "--iter_num=latest", "--record")
    path = trained / "videos" / "iter_000006.mp4"
    assert str(path) in printed
    frames = imageio.v3.imread(path)
    assert frames.shape[1:] == (538, 640, 3)  # a caption above 640 x 480
    assert frames[:, 100:].std() > 10  # a picture, not a blank
    assert (frames[0, :50] != frames[-1, :50]).any(), "the caption does not go along"


def test_without_a_gl_library_the_evaluation_goes_on(trained, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    printed = evaluate(f"--model_path={trained}", "--iter_num=4", "--record", "--render")
    assert "no video" in printed and "apt-get" in printed
    assert "no window" in printed and "statistics" in printed


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--model_path=nowhere"], 4, "does not exist"),
        (["--iter_num=77"], 4, "no checkpoint 77"),
        (["--iter_num=last"], 2, "best, latest"),
        ([], 2, "needs a saved run"),
        (["--num_trajs=0"], 2, "num_trajs"),
    ],
    ids=str,
)
def test_what_cannot_be_evaluated_is_refused_in_two_lines(trained, flags, code, words):
    named = [f"--model_path={trained}"] if flags and "--model_path=nowhere" not in flags else []
    done = launch.run(["--task=eval", *named, *flags])
    assert done.returncode == code
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert words in done.stderr
