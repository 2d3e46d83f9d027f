"""Task files of tuner.py: the document's names, and everything that is refused before Ray is started."""

import subprocess
import sys

import pytest

import tuner
from agents.algorithms import SCHEMA
from helpers.errors import BAD_CONFIGURATION, ConfigurationError
from swarm.tune import session
from swarm.tune.task_file import read_search
from tests.launch import ROOT

TASK = """
algo: ppo
env_id: CartPole-v1
num_timesteps: 20480
num_envs: 4
rollout_len: 512
batch_size: 128
lr_schedule: constant
eval_frequency: 0
search:
  lr: {loguniform: [1.0e-4, 1.0e-2]}
  clip_param: {uniform: [0.1, 0.4]}
"""


def read(tmp_path, text=TASK, *flags):
    path = tmp_path / "task.yaml"
    path.write_text(text)
    return read_search([f"--config={path}", f"--tune_dir={tmp_path}", *flags], SCHEMA)


def test_the_document_s_population():
    search = read_search(
        ["--config=tasks/tune_classic_ppo.yaml", "--num-samples", "8", "--smoke-test"],
        SCHEMA,
    )
    names = {each.name: each.keys for each in search.space.dimensions}
    assert names == {
        "gae_lambda": ("gae_lambda",), "clip_ratio": ("clip_ratio",), "lr": ("p_lr", "v_lr"),
        "optim_epochs_per_iter": ("optim_epochs_per_iter",), "batch_size": ("batch_size",),
        "rollout_len": ("rollout_len",),
    }  # fmt: skip
    assert search.stop == {"training_iteration": 100, "episode_reward_mean": 300}
    assert "train_batch_size is rollout_len here." in search.notes
    assert "rollout_len >= 2 * batch_size" in [each.text for each in search.space.constraints]
    assert search.settings.num_samples == 8 and search.name == "tune_classic_ppo_pbt_smoke"


@pytest.mark.parametrize("name", ["tune_classic_ppo", "tune_mujoco_ppo"])
@pytest.mark.parametrize("scheduler", ["pbt", "asha", "median", "random", "tpe"])
def test_the_task_files_can_be_run(name, scheduler):
    assert read_search([f"--config=tasks/{name}.yaml", f"--scheduler={scheduler}"], SCHEMA).config


@pytest.mark.parametrize(
    ("text", "flags", "told"),
    [
        (TASK.split("search")[0], [], "search: is missing"),
        (TASK.split("search")[0] + "search: {}\n", [], "search: is empty"),
        (TASK + "  nonsense: {uniform: [0, 1]}\n", [], "search: nonsense is no setting"),
        (TASK + "  gamma: {uniform: [0.9, 1.5]}\n", [], "search: gamma does not take 1.5"),
        (TASK + "  p_lr: {uniform: [0.1, 0.2]}\n", [], "search: p_lr is searched twice"),
        (TASK + "  seed: {randint: [0, 9]}\n", [], "search: seed is given by the tuner"),
        (TASK + "  num_envs: {randint: [1, 9]}\n", [], "num_envs cannot change in the course of a training"),
        (TASK + "  lr_schedule: {choice: [linear, constant]}\n", [], "lr_schedule cannot change"),
        (TASK + "uuid: mine.seed00\n", [], "uuid is given by the tuner"),
        (TASK + "nonsense: 1\n", [], "nonsense"),
        (TASK + "constraints: [clip_ratio >= 2]\n", [], "No draw of the search space can be run"),
        (TASK + "constraints: [rollout_len >= batch_size]\n", [], "binds nothing that is searched"),
        (TASK + "constraints: [clip_ratio == 2]\n", [], "is no constraint"),
        (TASK + "constraints: 3\n", [], "constraints: is no list"),
        (TASK + "start: {gamma: {choice: [0.9]}}\n", [], "start: gamma is not searched"),
        (TASK + "tune: {nonsense: 1}\n", [], "tune: there is no option nonsense"),
        (TASK + "tune: {num_samples: 0}\n", [], "num_samples"),
        (TASK + "tune: {stop: {nonsense: 1}}\n", [], "tune: stop: nonsense: no trial reports such a metric"),
        (TASK + "tune: {stop: {training_iteration: 0}}\n", [], "ends every trial before it begins"),
        (TASK + "tune: {stop: {training_iteration: x}}\n", [], "is no number"),
        (TASK, ["--metric=nonsense"], "--metric nonsense: no trial reports such a metric"),
        (TASK, ["--metric=eval/return_mean"], "no trial reports such a metric"),  # eval_frequency is 0
        (TASK, ["--scheduler=best"], "--scheduler=best is not one of"),
        (TASK, ["--scheduler=grid"], "of which there is no grid"),
        (TASK, ["--num_workers=5"], "num_envs=4 is less than the 5 workers"),
        (TASK, ["--file_store"], "--file_store without --test_local"),
        (TASK, ["--mlflow", "--test-local"], "two places to track in"),
        (TASK, ["--ray_address=nowhere"], "ray_address"),
        (TASK, ["--nonsense"], "nonsense"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_in_two_lines(tmp_path, capsys, text, flags, told):
    path = tmp_path / "task.yaml"
    path.write_text(text)
    assert (
        tuner.main([f"--config={path}", f"--tune_dir={tmp_path / 'tune'}", *flags])
        == BAD_CONFIGURATION
    )
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and told in lines[0], lines
    assert lines[1].startswith("  remedy: ") and len(lines[1]) > 12
    assert not (tmp_path / "tune").exists()


def test_an_address_that_nobody_answers(tmp_path, capsys):
    path = tmp_path / "task.yaml"
    path.write_text(TASK)
    flags = [f"--config={path}", f"--tune_dir={tmp_path / 'tune'}", "--ray_address=127.0.0.1:9"]
    assert tuner.main(flags) == BAD_CONFIGURATION
    assert "--ray_address=127.0.0.1:9 does not answer" in capsys.readouterr().err


def test_without_ray_the_command_that_installs_it_is_told(tmp_path, capsys, monkeypatch):
    path = tmp_path / "task.yaml"
    path.write_text(TASK)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.tune", None)
    assert tuner.main([f"--config={path}", f"--tune_dir={tmp_path / 'tune'}"]) == BAD_CONFIGURATION
    told = capsys.readouterr().err
    assert "Ray is not installed" in told and "requirements-tune.txt" in told


def test_nothing_of_ray_is_imported_to_read_a_task_file():
    code = (
        "import sys; from agents.algorithms import SCHEMA; from swarm.tune.task_file import read_search; "
        "read_search(['--config=tasks/tune_classic_ppo.yaml'], SCHEMA); "
        "assert not {'ray', 'torch', 'mlflow', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_page_of_flags(capsys):
    assert tuner.main(["-h"]) == 0
    page = capsys.readouterr().out
    assert "--scheduler {pbt,asha,median,random,grid,tpe}" in page and "tuner.py show NAME" in page


def test_a_search_that_is_not_there(capsys):
    assert tuner.main(["show", "nonsense"]) == BAD_CONFIGURATION
    assert "There is no search nonsense" in capsys.readouterr().err


def test_the_slurm_script_quotes_what_it_is_given(tmp_path, capsys):
    path = tmp_path / "a task's.yaml"
    path.write_text(TASK)
    flags = [
        "--config",
        str(path),
        f"--tune_dir={tmp_path}",
        "--name=mine",
        "--deployment",
        "slurm",
    ]
    assert (
        tuner.main([*flags, "--num_nodes=3", "--partition", "cpu", "--metric=episode_len_mean"])
        == 0
    )
    script = (tmp_path / "mine" / "tune.sbatch").read_text()
    assert "#SBATCH --nodes=3" in script and "#SBATCH --partition=cpu" in script
    assert f"--config '{tmp_path}/a task'\"'\"'s.yaml'" in script
    assert "--deployment" not in script and "--num_nodes" not in script and "slurm --" not in script
    subprocess.run(["bash", "-n", str(tmp_path / "mine" / "tune.sbatch")], check=True)


def test_a_cluster_for_which_no_job_can_be_written_is_refused(tmp_path, capsys):
    path = tmp_path / "task.yaml"
    path.write_text(TASK)
    flags = [f"--config={path}", f"--tune_dir={tmp_path}/tune", "--deployment=pbs"]
    assert tuner.main(flags) == BAD_CONFIGURATION
    told = capsys.readouterr().err
    assert "--deployment=pbs: the tuner writes jobs for Slurm alone." in told
    assert "--ray_address=HOST:PORT" in told and not (tmp_path / "tune").exists()


def test_a_draw_that_the_schema_refuses_is_drawn_again(tmp_path):
    text = TASK + "  batch_size: {randint: [100, 140]}\n"  # rollout_len 512 takes 128 alone
    assert read(tmp_path, text).config.batch_size == 128


def test_settings_of_another_search_are_refused(tmp_path):
    search = read(tmp_path)
    search.folder.mkdir()
    session.keep(search)
    session.keep(read(tmp_path))
    told = "is another search: num_samples is 10 there, 3 here"
    with pytest.raises(ConfigurationError, match=told):
        session.keep(read(tmp_path, TASK, "--num_samples=3"))


def test_one_tuner_a_search(tmp_path):
    with session.only_tuner(tmp_path):
        with pytest.raises(ConfigurationError, match="Another tuner is at work"):
            with session.only_tuner(tmp_path):
                pass
    with session.only_tuner(tmp_path):
        pass


@pytest.mark.parametrize("where", ["flag", "tune", "file"])
def test_a_data_root_is_named_as_for_the_other_programs(tmp_path, monkeypatch, capsys, where):
    monkeypatch.setenv("MILOZERO_DATA", "/not/this/one")
    root, path = tmp_path / "scratch", tmp_path / "task.yaml"
    lines = {"tune": f"tune: {{data_root: {root}}}\n", "file": f"data_root: {root}\n"}
    path.write_text(TASK + lines.get(where, ""))
    flags = [f"--data_root={root}"] if where == "flag" else []
    assert tuner.main([f"--config={path}", "--deployment=slurm", *flags]) == 0
    script = (root / "tune" / "task_pbt" / "tune.sbatch").read_text()
    assert f"export MILOZERO_DATA={root}\n" in script
    monkeypatch.delenv("MILOZERO_DATA")
    assert tuner.main(["show", "nothing", "--data_root", str(root)]) == BAD_CONFIGURATION
    assert f"There is no search nothing in {root / 'tune'}." in capsys.readouterr().err
