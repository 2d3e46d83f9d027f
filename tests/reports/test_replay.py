"""`reporter.py replay`: a real run trained again, bit for bit; one that differs; what is said, and refused."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import reporter
from agents.algorithms import SCHEMA
from helpers.run_folder.capsule import code_state, native_code, versions
from helpers.run_folder.inputs import read_input
from reports.replay import train as replay
from reports.replay.origin import Stage, read_origin, stages_left
from tests import launch
from tests.reports.stage import make_run

SMALL = [
    "--algo=ppo",
    "--env_id=Pendulum-v1",
    "--num_envs=2",
    "--rollout_len=32",
    "--batch_size=32",
]
OTHER = [
    "--p_perception_stack=mlp_8",
    "--v_perception_stack=mlp_8",
    "--progress=none",
    "--save_frequency=2",
]
STEPS = 32


@pytest.fixture(autouse=True)
def _children_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """From one that has imported torch: tests/nursery.py."""
    monkeypatch.setattr(replay, "program", lambda: launch.forked([], workers=1))


def train(runs: Path, *flags: str) -> None:
    done = launch.run(
        [*SMALL, *OTHER, "--eval_frequency=3", "--eval_episodes=1", f"--runs_dir={runs}", *flags],
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six iterations; after the fourth it was given another learning rate."""
    runs = tmp_path_factory.mktemp("my runs")
    name = ["--uuid=a.seed01", "--seed=1"]
    train(runs, *name, f"--num_timesteps={4 * STEPS}", "--lr_schedule=constant")
    train(
        runs,
        *name,
        f"--num_timesteps={6 * STEPS}",
        "--lr_schedule=constant",
        "--override=p_lr=1e-4",
    )
    return runs / "a.seed01"


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def alter(folder: Path, iteration: int) -> None:
    """The last bit of one number of a row."""
    path = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[iteration - 1]["policy/loss"] *= 1 + 2**-51
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def replayed(capfd: pytest.CaptureFixture[str], code: int, *words: str, told: str) -> None:
    """A replay ends with this exit code, and says each of these."""
    assert reporter.main(["replay", *words]) == code
    said = capfd.readouterr().out
    assert all(each in said for each in told.split(" / ")), said


def test_a_run_that_was_changed_on_its_way_comes_out_bit_for_bit(run, capfd):
    before = digests(run)
    told = "bitwise equal up to iteration 3 of 6 / of iteration 3: 2 files with equal sha256"
    replayed(capfd, 0, str(run), "--until=3", told=told)
    again = run.parent / "a.replay.seed01"
    assert [row["iteration"] for row in launch.rows(again)] == [1, 2, 3]
    told = "up to iteration 6 of 6 / of iteration 6: 2 files / after iteration 4: p_lr"
    replayed(capfd, 0, str(run), told=told)  # goes on: to the change, and behind it
    assert launch.rows(again) == launch.rows(run)
    assert launch.fingerprint(again) == launch.fingerprint(run)
    assert digests(run) == before, "the run itself has changed"
    altered = run.parent / "altered.seed01"
    shutil.copytree(run, altered, symlinks=True)
    alter(altered, 5)
    done = digests(again)
    told = "differs at iteration 5: policy/loss / iterations 1 to 4 are bitwise equal"
    replayed(capfd, 1, str(altered), f"--name={again.name}", told=told)
    assert digests(again) == done, "a replay that is there was trained on"


# What is said, and refused, without training


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A run of three iterations, of two workers, that nobody has trained."""
    folder = make_run(
        tmp_path / "my runs",
        "b.seed02",
        [1.0, float("nan"), 3.0],
        settings={
            "registry_endpoint": "grpc://user:secret@host:9002",
            "wandb_project": "somewhere",
            "keep_checkpoints": 1,
        },
    )
    edit(folder, world_size=2, starts=[start(), start()])
    return folder


def start(**others: object) -> dict[str, object]:
    """One that was made here and now."""
    code = code_state()
    return {"commit": code["commit"], "diff_sha256": code["diff_sha256"], **native_code(), **others}


def edit(folder: Path, **entries: object) -> None:
    """Of the capsule."""
    path = folder / "capsule.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def looked_at(folder: Path, capfd: pytest.CaptureFixture[str], *flags: str) -> str:
    assert reporter.main(["replay", str(folder), "--dry_run", *flags]) == 0
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
    return capfd.readouterr().out


def test_the_command_is_a_shells_and_publishes_nothing(made, capfd):
    said = looked_at(made, capfd)
    (line,) = (each for each in said.splitlines() if each.startswith("command: "))
    words = shlex.split(line.removeprefix("command: "))
    assert words[:4] == ["mpiexec", "-n", "2", "python"] and words[4].endswith("main.py")
    config = SCHEMA.parse_command_line(words[5:]).config
    assert config.uuid == "b.replay.seed02" and config.runs_dir == str(made.parent)
    assert config.seed == 2 and config.keep_checkpoints == 2
    assert config.registry_endpoint is None and config.wandb_project is None
    assert "secret" not in said and "user:" not in said


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"starts": [start(commit="a" * 40)]}, "differs: commit: aaaaaaaaaa then"),
        ({"starts": [start(diff_sha256="b" * 64)]}, "differs: uncommitted changes: none then"),
        ({"versions": versions() | {"torch": "1.0"}}, "differs: versions: torch 1.0 then, 2."),
        ({"versions": versions()}, f"{len(versions())} versions"),
        ({"versions": versions(("mujoco",))}, f"{len(versions()) + 1} versions"),
        ({"versions": versions() | {"mujoco": "1.0"}}, "differs: versions: mujoco 1.0 then, 3."),
        ({"starts": [start(instruction_set="AVX-1024")]}, "instruction set: AVX-1024 then"),
        ({"starts": [start(), start(processor="zen9")]}, "differs: machine: its starts had"),
        ({"starts": [start(), start()]}, "note: It was resumed once"),
        (
            {"starts": [start(), start()], "choices": [{"resume": "with new episodes"}]},
            "differs: resumes: the environment cannot be saved",
        ),
        (
            {"changes": [{"kind": "file", "role": "task", "name": "cart.py", "iteration": 2}]},
            "differs: task: cart.py was another file until iteration 2",
        ),
        (
            {
                "inputs": [
                    {"role": "demonstrations", "name": "d.h5", "path": "/no/d.h5", "sha256": ""},
                ],
            },
            "no longer at /no/d.h5",
        ),
    ],
)
def test_what_may_break_equality_is_said(made, capfd, entries, told):
    edit(made, **entries)
    assert told in looked_at(made, capfd)


def test_demonstrations_are_known_by_their_bytes(made, capfd, tmp_path):
    path = tmp_path / "demo.h5"
    path.write_bytes(b"steps")
    edit(made, inputs=[read_input("demonstrations", "demo.h5", path).to_json()])
    assert "1 file of demonstrations, by sha256" in looked_at(made, capfd)
    path.write_bytes(b"other")
    said = looked_at(made, capfd)
    assert "differs: demonstrations: demo.h5 (demonstrations) has changed" in said
    assert "of demonstrations, by" not in said


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ([], [({}, 9)]),
        ([("p_lr", 3)], [({}, 3), ({"p_lr": 2}, 9)]),
        ([("p_lr", 3), ("gamma", 3)], [({}, 3), ({"p_lr": 2, "gamma": 2}, 9)]),
        ([("p_lr", 3), ("gamma", 5)], [({}, 3), ({"p_lr": 2}, 5), ({"p_lr": 2, "gamma": 2}, 9)]),
        ([("p_lr", None)], [({}, 9)]),
    ],
)
@pytest.mark.parametrize("begun", [0, 3, 4])
def test_changes_are_stages(made, changes, stages, begun):
    entries = [
        {"kind": "setting", "name": name, "before": 0.5, "after": 2, "iteration": iteration}
        for name, iteration in changes
    ]
    edit(made, changes=entries)
    origin = read_origin(made)
    for name, iteration in changes:
        assert (getattr(origin.config, name) == 0.5) == (iteration is not None)
    found = [(stage.overridden, stage.until) for stage in stages_left(origin, begun, 9)]
    assert found == [each for each in stages if each[1] > begun]
    assert stages_left(origin, 0, 2)[-1].until == 2


def test_a_replay_is_stopped_where_it_differs(made, capfd, monkeypatch):
    """By a program that writes rows until it is asked to stop; its second one is another."""
    edit(made, world_size=1)
    flags = read_origin(made).flags("b.replay.seed02", Stage({}))
    program = (
        "import json, pathlib, time\n"
        f"run = pathlib.Path({str(made.parent / 'b.replay.seed02')!r})\n"
        f"(run / 'config.yaml').write_text('algo: ppo')\n"
        f"(run / 'capsule.json').write_text(json.dumps({{'starts': [{{'argv': {flags!r}}}]}}))\n"
        f"there = [json.loads(line) for line in open({str(made / 'metrics.jsonl')!r})]\n"
        "assert (run / 'stop').read_text() == '3\\n'\n"
        "with open(run / 'metrics.jsonl', 'w') as file:\n"
        "    for row, more in zip(there, (0.0, 1e-9)):\n"
        "        print(json.dumps(row | {'policy/loss': row['policy/loss'] + more}), file=file, flush=True)\n"
        "while (run / 'stop').read_text():\n"
        "    time.sleep(0.02)\n"
        "raise SystemExit(75)\n"
    )
    monkeypatch.setattr(replay, "program", lambda: [sys.executable, "-c", program])
    assert reporter.main(["replay", str(made)]) == 1
    said = capfd.readouterr().out
    assert (
        "differs at iteration 2: policy/loss (0.1 there, 0.100000001 here); iterations 1 to 1"
        in said
    )
    assert "none of an iteration that both have" in said
    assert not (made.parent / "b.replay.seed02" / "stop").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--until=4"], "--until=4 is no iteration"),
        (["--until=0"], "--until=0 is no iteration"),
        (["--name=b.seed02"], "is the run itself"),
        (["--name=other.seed02"], "is another run, not the replay"),
        (["--name=no_seed"], "has no part for its seed"),
    ],
)
def test_what_cannot_be_replayed_is_refused(made, capfd, flags, told):
    make_run(made.parent, "other.seed02", [1.0])
    before = digests(made.parent)
    assert reporter.main(["replay", str(made), *flags]) == 2
    problem, remedy = capfd.readouterr().err.splitlines()
    assert told in problem and remedy.startswith("  remedy: ")
    assert digests(made.parent) == before


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: (run / "capsule.json").unlink(), "has no capsule.json that can be read"),
        (
            lambda run: (run / "capsule.json").write_text("{"),
            "has no capsule.json that can be read",
        ),
        (lambda run: (run / "metrics.jsonl").write_text(""), "has no metrics"),
        (lambda run: (run / "config.yaml").unlink(), "is not one run"),
    ],
)
def test_a_run_that_does_not_tell_how_it_was_trained_is_refused(made, capfd, spoil, told):
    spoil(made)
    assert reporter.main(["replay", str(made)]) == 2
    assert told in capfd.readouterr().err
    assert [path.name for path in made.parent.iterdir()] == [made.name]
