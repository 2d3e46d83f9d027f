"""A setting that is a mapping: from a flag, a file and Python alike, and back."""

import json

import pytest

from agents.algorithms import SCHEMA
from helpers.config.schema import config_text, identity_of, to_flags
from helpers.config.settings import read_mapping
from helpers.errors import ConfigurationError


def parse(*argv: str):
    return SCHEMA.parse_command_line(list(argv)).config


def of_file(tmp_path, text: str):
    path = tmp_path / "task.yaml"
    path.write_text(text)
    return parse(f"--config={path}")


def test_a_flag_and_a_file_give_the_same(tmp_path) -> None:
    by_flag = parse('--env_options={"b": 1e-3, "a": 4, "c": {"x": 0.5}, "d": "near", "e": true}')
    by_file = of_file(
        tmp_path,
        "env_options:\n  a: 4\n  b: 1e-3\n  c: {x: 0.5}\n  d: near\n  e: true\n",
    )
    assert by_flag.env_options == by_file.env_options
    assert by_flag.environment_options == {
        "a": 4,
        "b": 0.001,
        "c": {"x": 0.5},
        "d": "near",
        "e": True,
    }
    assert parse().environment_options == {} and parse("--env_options=").env_options is None


def test_it_is_identity_and_processes_are_not() -> None:
    one = parse('--env_options={"a": 1}', "--env_processes=3")
    assert identity_of(one)["env_options"] == '{"a": 1}' and "env_processes" not in identity_of(one)
    assert one.environment == {
        "options": {"a": 1},
        "max_episode_steps": None,
        "processes": 3,
    }


def test_what_is_saved_and_what_a_job_is_given_read_back(tmp_path) -> None:
    config = parse('--env_options={"name": "a \'b\' \\"c\\" $d", "x": [1, 2]}')
    (tmp_path / "config.yaml").write_text(config_text(config))
    assert SCHEMA.load_config(tmp_path / "config.yaml").env_options == config.env_options
    assert parse(*to_flags(config, "full")).env_options == config.env_options


def test_a_list_of_mappings_is_a_sweep(tmp_path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text("env_options: [{frame_skip: 1}, {frame_skip: 2}, {frame_skip: 1}]\n")
    choices = SCHEMA.sweep_choices(SCHEMA.read_file(path))["env_options"]
    assert [json.loads(str(each)) for each in choices] == [{"frame_skip": 1}, {"frame_skip": 2}]
    with pytest.raises(ConfigurationError, match="is a list, which means a sweep"):
        parse(f"--config={path}")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "3",
        '"a"',
        '{"a": NaN}',
        '{"a": Infinity}',
        "a=1",
        '{"a": "' + "x" * 20_000 + '"}',
    ],
)
def test_what_is_no_mapping(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(f"--env_options={text}")
    assert "is not of the form a mapping" in caught.value.problem
    assert '{"frame_skip": 4}' in caught.value.remedy


def test_other_settings_are_no_mappings(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="p_lr.*is a mapping; a setting takes one value"):
        of_file(tmp_path, "p_lr: {a: 1}\n")


def test_equal_mappings_are_equal_texts() -> None:
    assert read_mapping({"b": "2", "a": "x"}) == read_mapping('{"a": "x", "b": 2}')
