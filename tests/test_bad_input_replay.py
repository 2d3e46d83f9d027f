"""What learners that replay refuse in two lines, before a simulator is started or a folder is made."""

import re
import resource

import numpy as np
import pytest

from agents.algorithms import SCHEMA
from agents.replay.files import export_memory, memory_id
from helpers import errors
from tests import launch
from tests.patience import promptly
from tests.test_bad_input import refused

REPLAY = {
    "algo": "sac",
    "env_id": "HalfCheetah-v5",
    "num_envs": 2,
    "batch_size": 32,
    "mem_size": 200,
    "num_timesteps": 64,
    "steps_per_iteration": 32,
    "learning_starts": 40,
    "compile": "false",
    "eval_frequency": 0,
    "p_perception_stack": "mlp_8",
    "q_perception_stack": "mlp_8",
}
STEPS = 50
ENDINGS = {"pt": "pt", "np": "npz", "csv": "csv"}
BAD = errors.BAD_CONFIGURATION


def replay_flags(folder, **settings):
    named = REPLAY | {"runs_dir": folder, "uuid": "bad.seed00"} | settings
    return [f"--{key}={value}" for key, value in named.items()]


@pytest.fixture()
def no_simulator(tmp_path, monkeypatch):
    """MuJoCo is a trap: a run that comes as far as importing it ends with status 1."""
    trap = tmp_path / "trap" / "mujoco.py"
    trap.parent.mkdir()
    trap.write_text("raise SystemExit('a simulator was started')\n")
    monkeypatch.setenv("PYTHONPATH", str(trap.parent))


def refused_at_once(tmp_path, *words, code=BAD, workers=1, **settings):
    """In less than 3 s of a processor of 2024, with nothing left behind."""
    runs = tmp_path / "runs"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    refused(replay_flags(runs, **settings), code, *words, workers=workers)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < promptly(3.0) * workers
    assert not runs.exists()


def columns(size=17, steps=STEPS, environments=2, dtype="float32"):
    rng = np.random.default_rng(0)
    sizes = {"states": size, "actions": 6, "rewards": 1, "next_states": size}
    lead = (steps, environments)
    made = {name: rng.normal(size=(*lead, each)) for name, each in sizes.items()}
    made = {name: array.astype(dtype) for name, array in made.items()}
    return made | {name: rng.random((*lead, 1)) < 0.1 for name in ("terminated", "truncated")}


def exported(folder, format_, what):
    return export_memory(what, folder, format_=format_, id_=memory_id("a run", 0))


def test_the_trap_catches_what_starts_a_simulator(tmp_path, no_simulator):
    done = launch.run(replay_flags(tmp_path))
    assert done.returncode == 1 and "a simulator was started" in done.stderr


@pytest.mark.parametrize("algo", ["sac", "td3", "ddpg", "crossq"])
def test_choices_for_what_learns_continuous_actions(tmp_path, no_simulator, algo):
    words = (
        f"algo={algo} takes continuous",
        "env_id=CartPole-v1 has 2 discrete actions",
        "--algo=dqn",
    )
    refused_at_once(tmp_path, *words, algo=algo, env_id="CartPole")


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        ("HalfCheetah", "env_id=HalfCheetah-v5 has action vectors of length 6"),
        ("dog-run", "env_id=Dog-Run-Feat-v0 has action vectors of length 38"),
        ("Pendulum", "env_id=Pendulum-v1 has action vectors of length 1"),
    ],
)
def test_continuous_actions_for_what_chooses(tmp_path, no_simulator, env_id, words):
    told = ("algo=dqn takes discrete", words, "--algo=sac")
    refused_at_once(tmp_path, *told, algo="dqn", env_id=env_id)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 33}, ["batch_size=33 is not a multiple of num_envs=2", "--batch_size=32"]),
        ({"mem_size": 16}, ["mem_size=16 is less than batch_size=32", "--mem_size=32"]),
        (
            {"n_step": 100, "mem_size": 64},
            ["n_step=100 is more than the 32 steps", "--n_step=32, or --mem_size=200"],
        ),
        ({"mem_size": 201}, ["mem_size=201 is not a multiple", "--mem_size=200"]),
        ({"rollout_len": 3}, ["rollout_len=3 is not a multiple", "--rollout_len=4"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("workers", [1, 2])
def test_sizes_that_do_not_fit_together(tmp_path, no_simulator, workers, settings, words):
    refused_at_once(tmp_path, *words, workers=workers, **settings)


def test_more_workers_than_environments(tmp_path, no_simulator):
    words = ("num_envs=1 is less than the 2 workers", "--num_envs=2")
    refused_at_once(tmp_path, *words, workers=2, num_envs=1)


HUGE = {"env_id": "Humanoid-v5", "precision": "float64", "mem_size": 10**9}
TOLD = re.compile(r"takes ([\d,]+) steps x (\d) environments x (\d+) bytes.* = ([\d.]+) TiB, but ")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_memory_larger_than_there_is(tmp_path, no_simulator, where, workers):
    """1e9 transitions: 2 x 348 numbers and a reward of 8 bytes, 17 actions in 72, the ends in 8."""
    folder = {"memory_folder": tmp_path / "deep" / "ring"} if where == "disk" else {}
    free = "of memory are free" if where == "memory" else f"are free on the disk of {tmp_path}"
    remedy = "--memory_folder=PATH" if where == "memory" else "a larger disk"
    words = (free, remedy, "Lower --mem_size")
    refused_at_once(tmp_path, *words, workers=workers, **HUGE, **folder)
    found = TOLD.search(launch_errors(tmp_path, **HUGE))
    assert found is not None
    steps, environments, size, told = found.groups()
    assert int(size) == 2 * 348 * 8 + 8 + 72 + 8
    assert int(steps.replace(",", "")) * int(environments) == 10**9
    assert float(told) == pytest.approx(10**9 * int(size) / 2**40, abs=0.05)
    assert not (tmp_path / "deep").exists()


def launch_errors(tmp_path, **settings):
    return launch.run(replay_flags(tmp_path / "runs", **settings)).stderr


def test_a_folder_of_the_memory_that_is_a_file(tmp_path, no_simulator):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "ring"
    words = (
        f"{folder} cannot hold the replay buffer: Not a directory",
        "Choose another --memory_folder",
    )
    refused_at_once(tmp_path, *words, code=errors.STORAGE, memory_folder=folder)


@pytest.mark.parametrize("format_", ENDINGS)
def test_half_a_memory_file(tmp_path, no_simulator, format_):
    path = exported(tmp_path, format_, columns())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    words = {"csv": "line"}.get(format_, "is not a complete exported file: it is cut off")
    refused_at_once(tmp_path, str(path), words, "Export it again", memory_import=path)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (columns(size=16), "has 16 numbers per step in states, but this run has 17"),
        (columns(dtype="float64"), "has float64 in states, but this run has float32"),
        ({k: v for k, v in columns().items() if k != "truncated"}, "has no column truncated, only"),
        (columns() | {"log_prob": np.zeros((STEPS, 2, 1), np.float32)}, "has a column log_prob"),
        (
            columns() | {"terminated": np.zeros((STEPS, 2, 1), np.float32)},
            "has float32 in terminated, but this run has bool",
        ),
        (columns(steps=101), "holds 101 steps of each environment, but the replay buffer 100"),
        (columns(environments=3), "3 environments"),
    ],
    ids=["size", "dtype", "missing", "further", "no boolean", "too long", "environments"],
)
@pytest.mark.parametrize("format_", ["pt", "np"])
def test_a_memory_file_of_something_else(tmp_path, no_simulator, format_, what, words):
    path = exported(tmp_path, format_, what)
    refused_at_once(tmp_path, str(path), words, memory_import=path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line.rpartition(",")[0], "42 fields in line 31, but 43 in its header"),
        (lambda line: ",".join(["", *line.split(",")[1:]]), "'' for actions.0 in line 31"),
        (lambda line: ",".join(["one", *line.split(",")[1:]]), "'one' for actions.0 in line 31"),
    ],
    ids=["missing", "empty", "word"],
)
def test_a_csv_line_that_is_none(tmp_path, no_simulator, change, words):
    path = exported(tmp_path, "csv", columns())
    lines = path.read_text().splitlines()
    lines[30] = change(lines[30])
    path.write_text("\n".join(lines) + "\n")
    refused_at_once(tmp_path, str(path), words, "Export it again", memory_import=path)


def test_a_glob_that_names_nothing(tmp_path, no_simulator):
    pattern = f"{tmp_path}/memories/*.pt"
    refused_at_once(
        tmp_path,
        f"{pattern} matches no exported file",
        "in quotes",
        memory_import=pattern,
    )


def test_two_workers_refuse_a_memory_file_once(tmp_path, no_simulator):
    path = exported(tmp_path, "np", columns(size=3))
    refused_at_once(tmp_path, "has 3 numbers per step in states", workers=2, memory_import=path)


def test_a_run_that_goes_on_needs_its_imported_files_no_more(tmp_path):
    """And one that was refused begins under the same name, when what was wrong is mended."""
    what = columns(size=3) | {"actions": columns()["actions"][..., :1]}
    path = exported(tmp_path, "csv", what)
    settings = {"env_id": "Pendulum-v1", "memory_import": path}
    refused(replay_flags(tmp_path, **settings, n_step=101), BAD, "n_step=101")
    refused(replay_flags(tmp_path, **settings, mem_size=64), BAD, "holds 50 steps", "100")
    done = launch.run(replay_flags(tmp_path, **settings))
    assert done.returncode == 0, done.stderr
    path.unlink()
    again = launch.run(replay_flags(tmp_path, **settings))
    assert again.returncode == 0, again.stderr
    assert "resumed after iteration 2" in again.stdout


@pytest.mark.parametrize("algo", ["sac", "td3", "dqn", "sam"])
def test_a_run_that_ends_before_it_learns_is_told_so(algo):
    flags = [f"--algo={algo}", "--learning_starts=400"]
    parsed = SCHEMA.parse_command_line([*flags, "--num_timesteps=400"])
    assert parsed.warnings == (
        "num_timesteps=400 ends within learning_starts=400: all actions are random and nothing is learned; a run this "
        "short learns with --learning_starts=100.",
    )
    assert SCHEMA.parse_command_line([*flags, "--num_timesteps=500"]).warnings == ()
