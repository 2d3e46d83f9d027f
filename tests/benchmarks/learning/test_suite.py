"""`python -m benchmarks.learning --suite imitation`: shares of the expert, bars, controls, cases within others."""

from __future__ import annotations

import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.algorithms import SCHEMA
from agents.checks import missing_for_learners
from benchmarks.learning import __main__ as learning
from benchmarks.learning import control_demos, normalised
from benchmarks.learning.case import Case
from benchmarks.learning.cases import IMITATION
from benchmarks.learning.normalised import Scale
from environments.expected import expected_of
from helpers.demos.load import read_demos
from helpers.demos.report import report
from helpers.errors import BAD_CONFIGURATION, DONE, ConfigurationError
from helpers.parallel.workers import Workers
from tests.helpers.demos.cases import settings, write_demos

ENVIRONMENTS = sorted({case.env_id for case in IMITATION})
SUITE = ["--suite=imitation", "--seeds=1"]


def case_of(bar: float | None, *, stays_below: bool = False) -> Case:
    return Case("hopper", "", ("--env_id=Hopper-v5",), bar, "", stays_below=stays_below)


# Shares and bars


@pytest.mark.parametrize(
    ("return_", "share"),
    [(-300.0, 0.0), (700.0, 1.0), (200.0, 0.5), (-800.0, -0.5), (1700.0, 2.0)],
)
def test_a_share_is_the_way_from_random_to_the_expert(return_, share):
    assert Scale(random=-300.0, expert=700.0).share(return_) == share


def test_random_actions_return_the_same_each_time_and_what_others_find(monkeypatch):
    monkeypatch.setattr(normalised, "RANDOM_EPISODES", 40)
    found = normalised.random_return("Hopper-v5")
    assert found == normalised.random_return("Hopper-v5")
    assert 12 < found < 25


@pytest.mark.parametrize(
    ("case", "scores", "is_met"),
    [
        (case_of(0.7), [0.9, 0.5], True),  # the mean, not each
        (case_of(0.75), [0.75], True),
        (case_of(0.7), [0.9, 0.4], False),
        (case_of(0.7), [math.nan], False),
        (case_of(0.7), [], False),
        (case_of(0.35, stays_below=True), [0.5, 0.1], True),
        (case_of(0.25, stays_below=True), [0.25], False),
        (case_of(0.35, stays_below=True), [0.5, 0.3], False),
        (case_of(0.35, stays_below=True), [math.nan], False),
        (case_of(0.35, stays_below=True), [], False),
        (case_of(None), [-3.0], True),
        (case_of(None), [], False),
    ],
)
def test_a_bar_is_for_the_mean_and_has_a_direction(case, scores, is_met):
    assert case.is_met(scores) is is_met


def test_demonstrations_that_give_no_scale_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(normalised, "random_return", lambda _: 18.0)

    def scales():
        return normalised.scales_of(["Hopper-v5"], demos=tmp_path, results=tmp_path / "none.json")

    with pytest.raises(ConfigurationError, match="card.json does not exist"):
        scales()
    write_card(tmp_path, "Hopper-v5", 15.0)
    with pytest.raises(ConfigurationError, match="mean return is 15, that of random actions 18"):
        scales()


# Negative controls


@pytest.fixture(scope="module")
def controls(tmp_path_factory) -> Path:
    """A folder with demonstrations of Hopper-v5 and the controls."""
    folder = tmp_path_factory.mktemp("controls")
    write_demos(folder / "Hopper-v5", 5, mujoco_version=version("mujoco"))
    control_demos.make_missing(folder, folder / "Hopper-v5")
    return folder


def episodes(folder: Path, count: int = 4) -> Any:
    config = settings(expert_path=str(folder), num_demos=count)
    return read_demos(config, expected_of("Hopper-v5")).episodes


def test_shuffled_demonstrations_have_the_same_states_and_the_same_actions_elsewhere(controls):
    pairs = zip(
        episodes(controls / "Hopper-v5", 5),
        episodes(controls / "Hopper-v5_shuffled", 5),
        strict=True,
    )
    for real, shuffled in pairs:
        for name, array in real.arrays():
            if name != "actions":
                np.testing.assert_array_equal(getattr(shuffled, name), array, strict=True)
        assert sorted(map(tuple, shuffled.actions)) == sorted(map(tuple, real.actions))
        assert np.mean((shuffled.actions == real.actions).all(axis=1)) < 0.2
        assert shuffled.actions.dtype == real.actions.dtype
        assert shuffled.origin["control"] and shuffled.origin["seed"] == real.origin["seed"]


def test_constant_demonstrations_are_episodes_of_one_action_within_the_bounds(controls):
    chosen = episodes(controls / "Hopper-v5_constant", control_demos.EPISODES)
    actions = np.concatenate([demo.actions for demo in chosen])
    assert (actions == actions[0]).all() and (np.abs(actions[0]) <= 1).all()
    assert len(set(actions[0].tolist())) == 3  # drawn, a number for each joint
    assert len({demo.sha256 for demo in chosen}) == control_demos.EPISODES
    assert all(demo.terminated[-1] for demo in chosen)  # it falls


def test_reordered_demonstrations_are_what_the_same_actions_lead_to(controls):
    pairs = zip(
        episodes(controls / "Hopper-v5", 5),
        episodes(controls / "Hopper-v5_reordered", 5),
        strict=True,
    )
    for real, done in pairs:
        theirs, possible = set(map(tuple, done.actions)), set(map(tuple, real.actions))
        assert theirs <= possible
        assert not np.array_equal(done.actions[: real.length], real.actions[: done.length])
        assert not np.isin(done.observations, real.observations).any()


@pytest.mark.parametrize("kind", ["shuffled", "reordered", "constant"])
def test_the_card_of_a_control_refuses_nothing(controls, kind, capsys):
    place = controls / f"Hopper-v5_{kind}"
    flags = ["--task=demos", "--env_id=Hopper-v5", f"--expert_path={place}"]
    parsed = SCHEMA.parse_command_line(flags)
    parts = {"expected_of": expected_of, "learners": missing_for_learners}
    assert report(parsed, Workers.solo(), **parts) == DONE
    printed = capsys.readouterr().out
    assert "duplicates        none" in printed and "refused           none" in printed
    assert "warning" not in printed


def test_controls_are_the_same_bytes_whenever_they_are_made_and_are_made_once(controls, tmp_path):
    control_demos.make_missing(tmp_path, controls / "Hopper-v5")
    made = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(made) == 5 + 5 + control_demos.EPISODES
    for path in made:
        assert path.read_bytes() == (controls / path.relative_to(tmp_path)).read_bytes()
    before = [path.stat().st_mtime_ns for path in made]
    control_demos.make_missing(tmp_path, controls / "Hopper-v5")
    assert [path.stat().st_mtime_ns for path in made] == before


# The suite


def write_card(demos: Path, env_id: str, return_: float) -> None:
    (demos / env_id).mkdir(parents=True, exist_ok=True)
    card = {"return": {"mean": return_}}
    (demos / env_id / "card.json").write_text(json.dumps(card))


def write_run(data: Path, name: str, evaluations: dict[int, float], final: float) -> None:
    """A run folder as a finished run leaves it, an iteration each 50,000 steps."""
    folder = data / "runs" / "benchmarks" / f"{name}.seed00"
    folder.mkdir(parents=True)
    rows = []
    for step in range(50_000, max(evaluations) + 1, 50_000):
        row: dict[str, Any] = {
            "step": step,
            "time/elapsed": step / 1000,
            "rollout/return_mean": -float(step),
        }
        if "_bc_" in name:
            row["rollout/return_mean"] = None
        rows.append(
            row | ({"eval/return_mean": evaluations[step]} if step in evaluations else {}),
        )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    starts = [{"commit": commit * 4} for commit in ("0123456789", "abcdefabcd", "0123456789")]
    (folder / "capsule.json").write_text(json.dumps({"starts": starts}))
    evaluation = {"episodes": 20, "return_mean": final}
    (folder / "evaluation_latest.json").write_text(json.dumps(evaluation))


@pytest.fixture
def data(tmp_path) -> Path:
    """Finished runs of all cases and what normalises them: random 0, the expert 1000."""
    for env_id in ENVIRONMENTS:
        write_card(tmp_path / "demos", env_id, 1000.0)
    known = {env_id: {"random": 0.0, "expert": -1.0} for env_id in ENVIRONMENTS}
    (tmp_path / "imitation.json").write_text(json.dumps({"environments": known, "cases": {}}))
    for case in IMITATION:
        final = 1000.0 * (case.bar or 0.0) - case.stays_below  # just met
        if not case.part_of:
            evaluations = {100_000: 700.0, 200_000: 5000.0, 250_000: final}
            write_run(tmp_path, case.name, evaluations, final)
    return tmp_path


def tabulated(data: Path, *flags: str) -> int:
    return learning.main([*SUITE, "--table", f"--data={data}", f"--results={data}", *flags])


def test_the_table_and_its_status(data, capsys):
    assert tabulated(data) == 0
    page, saved = (
        (data / "imitation.md").read_text(),
        json.loads(
            (data / "imitation.json").read_text(),
        ),
    )
    assert "missed" not in page and "not run" not in page
    assert f"`python -m benchmarks.learning --suite imitation --seeds 1 --data {data}`" in page
    assert "| Hopper-v5 | 0 | 1000 |" in page
    assert "| hopper_bc_4 | 250,000 | 1 | 599 | 0.60 | 0.60 | 0.60 | < 0.60 |" in page
    assert "| ant_300k_sam | 250,000 | 1 | 0 | 0.00 | 0.00 | 0.00 | none |" in page
    assert saved["environments"]["Ant-v5"] == {"random": 0.0, "expert": 1000.0}
    assert list(saved["cases"]) == [case.name for case in IMITATION]
    assert saved["cases"]["halfcheetah_250k_sam"][0]["normalised"] == 0.85
    assert saved["cases"]["hopper_bc_4"][0]["training"] is None
    assert saved["cases"]["hopper_bc_4"][0]["commits"] == ["0123456", "abcdefa"]
    assert " | 0123456, abcdefa |" in page


@pytest.mark.parametrize(
    ("name", "final"),
    [("hopper_3m_gail", 799.0), ("halfcheetah_100k_sam_shuffled", 350.0)],
)
def test_a_bar_that_is_missed_is_the_status(data, name, final, capsys):
    path = data / "runs" / "benchmarks" / f"{name}.seed00" / "evaluation_latest.json"
    path.write_text(json.dumps({"episodes": 20, "return_mean": final}))
    assert tabulated(data) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "**missed**" in line]
    assert line.startswith(f"| {name} |")


def test_what_is_not_run_is_not_met(data, capsys):
    (data / "runs" / "benchmarks" / "ant_300k_sam.seed00" / "evaluation_latest.json").unlink()
    assert tabulated(data) == 1
    assert "| ant_300k_sam | | 0 | not run |" in capsys.readouterr().out
    assert tabulated(data, "--only=hopper") == 0


def test_a_missing_expert_is_two_lines(data, capsys):
    (data / "demos" / "Ant-v5" / "card.json").unlink()
    assert tabulated(data) == BAD_CONFIGURATION
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "benchmarks.learning.experts" in lines[1]


def test_a_shorter_case_is_read_off_at_its_last_step(data):
    options, _ = learning.parse([*SUITE, f"--data={data}"])
    longer, shorter = IMITATION[:2]
    assert shorter.part_of == longer.name
    whole, part = (learning.run(case, 0, options, []) for case in (longer, shorter))
    assert whole is not None and part is not None
    assert part["final"] == 700.0 and part["steps"] == 100_000 and part["best"] == 700.0
    assert part["training"] == -100_000.0 and part["seconds"] == 100.0
    assert whole["final"] == 850.0 and whole["steps"] == 250_000 and whole["best"] == 5000.0


def test_cases_of_fewer_seeds_and_what_they_run(data, monkeypatch, capsys):
    """Every command is one that main.py takes, and a flag that is given replaces the case's own."""
    (data / "runs").rename(data / "other")
    monkeypatch.setattr(control_demos, "make_missing", lambda *_: None)
    started: list[list[str]] = []

    def note(_: int, arguments: list[str]) -> None:
        started.append(arguments)
        raise learning.subprocess.CalledProcessError(2, "main.py")

    monkeypatch.setattr(learning, "launch", note)
    flags = ["--suite=imitation", f"--data={data}", f"--results={data}", "--precision=float64"]
    assert learning.main([*flags, "--seeds=2", "--num_timesteps=70_000"]) == 0
    names = [next(a for a in each if a.startswith("--uuid=")) for each in started]
    trained = [case for case in IMITATION if not case.part_of]
    assert len(names) == len(set(names)) == sum(c.seeds or 2 for c in trained)
    for arguments in started:
        parsed = SCHEMA.parse_command_line(arguments)
        config: Any = parsed.config
        assert not parsed.warnings and config.num_timesteps == 70_000
        assert not any("{" in argument for argument in arguments)
        if config.num_demos:
            assert config.expert_path.startswith(f"{data}/")
            assert config.num_demos == (4 if config.expert_demo_subsample else 16)
            assert config.expert_demo_subsample_rate == 20
