"""Files that Stable-Baselines3, RL Zoo and CleanRL wrote: what they tell, and what is said where they do not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.errors import ConfigurationError
from reports.collect import collect
from reports.foreign.event_files import event_files, read_events
from reports.foreign.others import Others
from reports.foreign.runs import words_in

FILES = Path(__file__).with_name("files")
SB3, EVAL, NPZ, ZOO, CLEANRL = (
    FILES / name for name in ("sb3", "sb3_eval", "npz_only", "zoo", "cleanrl")
)


def read(*paths: Path | str, source=None, **others):
    return collect([str(each) for each in paths], source=source, others=Others(**others))


def test_event_files_of_stable_baselines():
    found = read(SB3)
    one, two = found.series
    assert (one.name, one.algorithm, one.task) == (
        "sb3/CartPole-v1/PPO_1",
        "SB3: PPO",
        "CartPole-v1",
    )
    assert one.steps.tolist() == [128, 256, 384, 512] and one.source == "training"
    assert np.allclose(one.seconds, np.sort(one.seconds)) and 0 < one.seconds[-1] < 60
    assert [run.seed for run in found.series] == [0, 1] and not one.seed_is_known
    assert (one.state, one.library, one.settings) == ("done", "Stable-Baselines3", {})
    [note] = found.notes
    for told in (
        "exploration",
        "no evaluation",
        "Settings and versions are not recorded",
        "numbered",
    ):
        assert told in note, told
    assert two.final == pytest.approx(23.52381, abs=1e-5)


def test_the_same_bytes_as_tensorboard_reads():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for folder in (SB3 / "CartPole-v1" / "PPO_1", EVAL / "CartPole-v1_seed3" / "A2C_1"):
        theirs = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        theirs.Reload()
        ours = read_events(folder)
        assert set(ours.scalars) == set(theirs.Tags()["scalars"])
        for tag, points in ours.scalars.items():
            assert [(s, v) for s, v, _ in points] == [
                (e.step, e.value) for e in theirs.Scalars(tag)
            ]


def test_evaluations_come_first_and_training_is_there_when_asked_for():
    [run] = read(EVAL).series
    assert run.source == "evaluation" and run.steps.tolist() == [250, 500, 750, 1000]
    assert run.seed == 3 and run.seed_is_known and run.algorithm == "SB3: A2C"
    [again] = read(NPZ).series
    assert again.returns == pytest.approx(run.returns, abs=1e-5)  # both are written by one callback
    assert (again.algorithm, again.task, again.seed) == ("SB3: a2c", "CartPole-v1", 3)
    [training] = read(EVAL, source="training").series
    assert training.source == "training" and training.steps.tolist() != run.steps.tolist()
    assert len(read(NPZ, source="training").series[0].returns) == 0


def test_rl_zoo_tells_seed_length_and_settings():
    found = read(ZOO)
    assert [run.seed for run in found.series] == [0, 1]
    run = found.series[0]
    assert (run.algorithm, run.task, run.num_timesteps) == ("RL Zoo: ppo", "CartPole-v1", 1024)
    assert (run.settings["n_steps"], run.settings["learning_rate"]) == ("128", "lin_0.001")
    assert run.settings["eval_episodes"] == "3" and run.returns == pytest.approx(
        [92.3333, 111.3333],
        abs=1e-3,
    )
    assert run.state == "done" and "3 episodes" in found.notes[0]


def test_cleanrl_tells_seed_length_and_settings():
    found = read(CLEANRL)
    run = found.series[0]
    assert (run.algorithm, run.task, run.seed) == ("CleanRL: ppo", "CartPole-v1", 1)
    assert (run.num_timesteps, run.last_step, run.state) == (2048, 2048, "done")
    assert run.settings["clip_coef"] == "0.2" and "seed" not in run.settings
    assert len(set(run.steps.tolist())) == len(
        run.steps,
    )  # two episodes that end at one step are one point
    assert "single episodes of training" in found.notes[0]
    assert len(read(CLEANRL, source="evaluation").series[0].returns) == 0


def test_a_run_that_stopped_before_its_recorded_end(tmp_path):
    folder = tmp_path / "zoo" / "CartPole-v1_1"
    shutil.copytree(ZOO / "ppo" / "CartPole-v1_1", folder)
    path = folder / "CartPole-v1" / "args.yml"
    path.write_text(path.read_text().replace("- 1024", "- 9999"))
    [run] = read(folder).series
    assert (run.state, run.reason) == ("stopped", "after 1,024 of 9,999 steps")


def test_an_event_file_that_was_cut_is_read_up_to_there(tmp_path):
    folder = tmp_path / "CartPole-v1" / "PPO_1"
    shutil.copytree(SB3 / "CartPole-v1" / "PPO_1", folder)
    [path] = event_files(folder)
    content, whole = path.read_bytes(), read(folder).series[0].returns.tolist()
    lengths = set()
    for size in range(801, len(content), 97):
        path.write_bytes(content[:size])
        [run] = read(folder).series
        assert run.torn == 1 and run.returns.tolist() == whole[: len(run.returns)], size
        lengths.add(len(run.returns))
    assert lengths == {2, 3, 4}
    path.write_bytes(content[: len(content) // 2] + bytes(8) + content[len(content) // 2 :])
    assert read(folder).series[0].torn == 1  # damaged in its middle


def test_a_run_that_went_on_in_a_second_file(tmp_path):
    folder = tmp_path / "CartPole-v1" / "PPO_1"
    shutil.copytree(SB3 / "CartPole-v1" / "PPO_1", folder)
    [first] = event_files(folder)
    [second] = event_files(SB3 / "CartPole-v1" / "PPO_2")
    shutil.copy(second, folder / "events.out.tfevents.9.host.1.0")
    [run] = read(folder).series
    alone = read(SB3).series[1]
    assert run.returns.tolist() == alone.returns.tolist()  # what was written last
    assert run.seconds[-1] > alone.seconds[-1]  # over both starts
    assert first.exists()


def test_what_folder_names_tell():
    for names, told in (
        (["tb", "PPO_1"], (None, None, "PPO")),
        (["Hopper-v5", "seed3", "SAC_2"], ("Hopper-v5", 3, "SAC")),
        (["ppo_Hopper-v5_s7"], ("Hopper-v5", 7, "ppo")),
        (["mine", "logs", "eval"], (None, None, "mine")),
        (["a", "HalfCheetah-v5__td3_fast__11__1700000000"], ("HalfCheetah-v5", 11, "td3_fast")),
        (["Pendulum-v1_12"], ("Pendulum-v1", None, "")),
    ):
        words = words_in(names)
        assert (words.task, words.seed, words.name) == told, names


def test_flags_and_names_stand_for_what_is_not_told(tmp_path):
    plain = tmp_path / "PPO_1"
    shutil.copytree(SB3 / "CartPole-v1" / "PPO_1", plain)
    [run] = read(plain, task="Swimmer-v5", seed=4).series
    assert (run.task, run.seed, run.seed_is_known) == ("Swimmer-v5", 4, True)
    [named] = read(f"their PPO={plain}", task="Swimmer-v5").series
    assert named.algorithm == "their PPO"
    assert (
        read(event_files(plain)[0], task="Swimmer-v5").series[0].steps.tolist()
        == run.steps.tolist()
    )


def broken_npz(folder: Path) -> Path:
    folder.mkdir()
    np.savez(folder / "evaluations.npz", timesteps=np.array([{}]), results=np.ones((1, 1)))
    return folder


def broken_events(folder: Path) -> Path:
    folder.mkdir()
    (folder / "events.out.tfevents.1.a").write_bytes(b"these are no records, but words")
    return folder


def other_tags(folder: Path) -> Path:
    from helpers.trackers.tensorboard import TensorBoardTracker

    tracker = TensorBoardTracker(folder, resume_step=None)
    tracker.scalars({"reward/mine": 1.0}, 1)
    tracker.close(0)
    return folder


def same_seed_twice(folder: Path) -> Path:
    for place in ("a", "b"):
        shutil.copytree(CLEANRL / "CartPole-v1__ppo__1__1795863001", folder / place)
    return folder


def no_task(folder: Path) -> Path:
    shutil.copytree(SB3 / "CartPole-v1" / "PPO_1", folder / "PPO_1")
    return folder


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "problem", "remedy"),
    [
        (broken_npz, "evaluations.npz cannot be read: Object arrays", "timesteps and results"),
        (broken_events, "no event file of TensorBoard", "copy the file anew"),
        (
            other_tags,
            "has no rollout/ep_rew_mean, eval/mean_reward or charts/episodic_return, but z_skrl/reward/mine",
            "--csv",
        ),
        (same_seed_twice, "Two runs are seed 1 of CleanRL: ppo on CartPole-v1: ", "one by one"),
        (no_task, "PPO_1 is not recorded", "--other_task"),
        (empty, "There are no runs in", "evaluations.npz, or a CSV file"),
    ],
)
def test_what_cannot_be_read_is_refused_in_two_lines(tmp_path, make, problem, remedy):
    with pytest.raises(ConfigurationError) as caught:
        read(make(tmp_path / "x"))
    assert problem in caught.value.problem and remedy in caught.value.remedy
    assert "\n" not in caught.value.problem + caught.value.remedy


def test_two_places_with_runs_of_one_name_are_refused(tmp_path):
    for place in ("a", "b"):
        shutil.copytree(SB3, tmp_path / place / "sb3")
    with pytest.raises(ConfigurationError, match=r"Two runs are called sb3/CartPole-v1/PPO_1"):
        read(tmp_path / "a" / "sb3", tmp_path / "b" / "sb3")
    assert len(read(SB3, SB3).series) == 2  # the same place twice is one


def test_readers_import_no_torch():
    program = (
        "import sys; from reports.collect import collect; collect(sys.argv[1:]); "
        "print({'torch', 'tensorflow', 'mpi4py', 'mujoco'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, str(FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "set()"
