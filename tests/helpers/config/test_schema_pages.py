"""The pages made from the schema: `--help`, the JSON Schema and the task files that it rules."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from agents.algorithms import SCHEMA
from agents.algorithms import main as write_schema
from helpers.config import help as help_pages

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_help_page(width):
    page = help_pages.page(SCHEMA, ["--help_all"], width=width)
    assert all(f"{key}" in page for key in SCHEMA.vocabulary.settings)
    unbroken = [line for line in page.splitlines() if line.startswith("      ")]
    assert max(map(len, unbroken)) <= min(width, 110)
    flat = " ".join(page.split())
    assert "--p_lr NUMBER initial learning rate of the policy [default: 0.0003; > 0]" in flat
    assert "--algo {ppo," in flat and "also --eps" in flat and "--[no-]render" in flat


def test_every_setting_is_documented():
    for each in SCHEMA.vocabulary.settings.values():
        assert len(each.help_line) > 10 or each.key == "algo"
        assert each.group
        assert not each.pattern or each.form, f"{each.key} refuses by a rule it does not show"
        assert SCHEMA.vocabulary.settings[each.key].read(each.working_value) is not None


def test_json_schema_file_is_up_to_date():
    path = ROOT / "tasks" / "schema.json"
    assert (
        write_schema(["--check", str(path)]) == 0
    ), "python -m agents.algorithms --write tasks/schema.json"


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "tasks").glob("train_*.yaml")),
    ids=lambda path: path.stem,
)
def test_task_files(path):
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    layer = SCHEMA.read_file(path)
    choices = SCHEMA.sweep_choices(layer)
    drawn = SCHEMA.layer_of({key: values[0] for key, values in choices.items()})
    assert SCHEMA.resolve(layer, drawn).warnings == ()
    validator = jsonschema.Draft7Validator(json.loads((ROOT / "tasks" / "schema.json").read_text()))
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []
    assert list(validator.iter_errors({"p_lrr": 1})) and list(validator.iter_errors({"p_lr": -1}))
    assert not list(validator.iter_errors({"p_lr": [0.1, 0.2], "eps": 0.1, "iter_num": 620}))
