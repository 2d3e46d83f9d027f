"""What an imitation is compared with: the figures are those of the files, and a damaged file is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from environments.factory import make_vector_env
from helpers.demos.episode import Expected
from helpers.demos.expert_reference import expert_figures
from helpers.demos.load import Demos, read_demos
from helpers.episodes import random_figures
from helpers.errors import StorageError
from helpers.run_folder.references import (
    FILE,
    comparison,
    read_references,
    save_references,
    share_of_expert,
)
from tests.helpers.demos.cases import settings, write_demos

NONE = Demos((), ())
HOPPER = Expected("Hopper-v5", "3.17.0", 1000, 11, 3)


def test_the_expert_is_that_of_the_demonstrations_that_are_used(tmp_path: Path) -> None:
    write_demos(tmp_path, 5)
    config = settings(expert_path=str(tmp_path), num_demos=3, expert_demo_choice="seed", seed=2)
    demos = read_demos(config, HOPPER)
    found: Any = expert_figures(config, demos)
    assert found["source"] == "3 demonstrations" and found["episodes"] == 3
    assert found["return_mean"] == pytest.approx(np.mean([each.return_ for each in demos.episodes]))
    told = found["demonstrations"]
    assert [each["episode"] for each in told] == list(demos.indices)
    for each, demo in zip(told, demos.episodes, strict=True):
        assert each["sha256"] == demo.sha256 and each["length"] == demo.length
        steps = range(each["first_step"], demo.length, each["every"])
        assert each["every"] == 20 and len(steps) == each["steps"] > 0
    assert expert_figures(config, NONE) is None


def test_a_policy_that_is_asked_has_the_return_of_its_evaluation(tmp_path: Path) -> None:
    for iteration in (2, 4):
        (tmp_path / "checkpoints" / f"iter_{iteration:06d}").mkdir(parents=True)
    (tmp_path / "checkpoints" / "best").symlink_to("iter_000002")
    rows = [
        {"iteration": i, "step": i, "eval/return_mean": 10.0 * i, "eval/episodes": 3}
        for i in (1, 2)
    ]
    text = "".join(json.dumps(row) + "\n" for row in [*rows, {"iteration": 4, "step": 4}])
    (tmp_path / "metrics.jsonl").write_text(text)
    asked = {"expert_policy": str(tmp_path), "num_demos": 0}
    found: Any = expert_figures(settings(**asked, expert_iter_num="best"), NONE)
    assert (found["return_mean"], found["episodes"], found["source"]) == (20.0, 3, "its evaluation")
    assert expert_figures(settings(**asked, expert_iter_num="latest"), NONE) is None
    (tmp_path / "metrics.jsonl").unlink()
    assert expert_figures(settings(**asked, expert_iter_num="best"), NONE) is None


def test_a_random_policy_returns_the_same_each_time() -> None:
    seeds = [1, 2, 3]
    one, other = (
        random_figures(make_vector_env("Hopper-v5", seeds=seeds), seeds=seeds) for _ in range(2)
    )
    assert one == other and one["source"] == "3 episodes"
    assert 3 < one["return_mean"] < 60  # published: about 18
    cart = random_figures(make_vector_env("CartPole-v1", seeds=seeds), seeds=seeds)
    assert 8 <= cart["return_min"] <= cart["return_max"] < 150


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    assert read_references(tmp_path) == {}
    expert, chance = ({"source": "x", "return_mean": mean} for mean in (110.0, 10.0))
    save_references(tmp_path, {"random policy": chance, "expert": expert})
    assert list(read_references(tmp_path)) == ["expert", "random policy"]
    assert share_of_expert(60.0, read_references(tmp_path)) == 0.5
    assert str(comparison(60.0, read_references(tmp_path))).startswith(
        "of the expert: 0.50, where 0",
    )
    assert comparison(60.0, {"expert": expert}) is None
    assert share_of_expert(60.0, {"expert": expert}) is None
    assert share_of_expert(60.0, {"expert": expert, "random policy": expert}) is None
    with pytest.raises(StorageError, match="cannot be written"):
        save_references(tmp_path / "nowhere", {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[3]",
        "{",
        '{"expert": 3}',
        '{"expert": {"source": "x"}}',
        '{"expert": {"return_mean": null}}',
    ],
)
def test_a_damaged_file_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StorageError, match="is damaged"):
        read_references(tmp_path)
