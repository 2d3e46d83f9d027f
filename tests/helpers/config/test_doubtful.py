"""Texts that look like another kind of value, and lists within lists."""

from __future__ import annotations

import pytest

from agents.algorithms import SCHEMA
from helpers.errors import ConfigurationError
from tests.swarm.plans import expanded, refused


def warnings_of(key: str, text: str, folder) -> tuple[str, ...]:
    file = folder / "x.yaml"
    file.write_text(f"{key}: {text}\n")
    by_file = SCHEMA.resolve(SCHEMA.read_file(file)).warnings
    by_flag = SCHEMA.parse_command_line([f"--{key}={text}"]).warnings
    assert len(by_file) == len(by_flag)
    return by_file


@pytest.mark.parametrize(
    "text",
    ["None", "none", "nil", "NIL", "yes", "No", "on", "False", "1e-3", "2.5E4"],
)
def test_a_text_that_is_another_kinds_value_is_told(tmp_path, text):
    (line,) = warnings_of("wandb_project", text, tmp_path)
    assert f"wandb_project: {text} " in line and f'is the text "{text}"' in line


@pytest.mark.parametrize("text", ["nothing", "project_1", "2024", "onward", "e3"])
def test_usual_texts_are_not(tmp_path, text):
    assert warnings_of("wandb_project", text, tmp_path) == ()


def test_null_is_no_text(tmp_path):
    file = tmp_path / "x.yaml"
    for text in ("null", "~", "NULL", ""):
        file.write_text(f"wandb_project: {text}\n")
        parsed = SCHEMA.resolve(SCHEMA.read_file(file))
        assert (parsed.config.wandb_project, parsed.warnings) == (None, ())


def test_a_default_or_a_choice_of_that_spelling_is_meant(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("algo: gail\nd_log_prob: none\nfake_ls_type: none\n")
    lines = SCHEMA.resolve(SCHEMA.read_file(file)).warnings
    assert not any("is the text" in line for line in lines)


def test_a_list_in_a_list_is_refused_with_a_remedy_that_helps(tmp_path):
    problem, remedy = refused(
        expanded,
        settings={"p_perception_stack": [[64, 64]]},
        sweep=True,
        sweep_mode="grid",
    )
    assert "is a list, and a choice is one value" in problem
    assert "--sweep" not in remedy
    written = remedy.partition("[")[2].rpartition("]")[0]
    expanded(settings={"p_perception_stack": [written]}, sweep=True, sweep_mode="grid")
    with pytest.raises(ConfigurationError):
        expanded(settings={"p_perception_stack": [[64, 64]]})
