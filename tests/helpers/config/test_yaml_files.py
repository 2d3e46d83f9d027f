"""YAML files of settings: what they may hold, what is refused, and lists, which are sweeps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.algorithms import SCHEMA
from agents.on_policy.config import PPOConfig
from helpers.config import yaml_files
from helpers.config.schema import config_text
from helpers.errors import ConfigurationError
from tests.helpers.refusals import refused


@pytest.fixture
def write_yaml(tmp_path):
    def write(text: str | bytes, name: str = "x.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def parse(line: str) -> PPOConfig:
    config = SCHEMA.parse_command_line(line.split()).config
    assert isinstance(config, PPOConfig)
    return config


def test_precedence(write_yaml):
    path = write_yaml("p_lr: 1e-3\nseed: 4\nnum_timesteps: 1e7\niter_num: 620\nwandb_project:\n")
    parsed = SCHEMA.parse_command_line([f"--config={path}", "--seed=5"])
    config = parsed.config
    assert isinstance(config, PPOConfig)
    assert (config.p_lr, config.seed, config.num_timesteps) == (1e-3, 5, 10**7)
    assert (config.iter_num, config.wandb_project, config.v_lr) == ("620", None, 3e-4)
    assert parsed.given == {"p_lr", "seed", "num_timesteps", "iter_num", "wandb_project"}
    assert parse(f"--config_path {path}").seed == 4


def test_scalars_are_read_by_field_not_by_yaml(write_yaml):
    path = write_yaml(
        "execution_time: 12:30:00\nwandb_project: off\nrunsdir: x\n".replace("runsdir", "runs_dir"),
    )
    config = parse(f"--config={path}")
    assert (config.execution_time, config.wandb_project) == ("12:30:00", "off")
    anchored = write_yaml("p_lr: &lr 0.01\nv_lr: *lr\n", "y.yaml")
    assert parse(f"--config={anchored}").v_lr == 0.01


def test_foreign_keys_of_a_file(write_yaml):
    path = write_yaml("num_demos: 16\n")
    parsed = SCHEMA.parse_command_line([f"--config={path}"])
    assert parsed.warnings == (
        "num_demos belongs to the imitation algorithms; ppo does not use it.",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("p_lr: 0.1\np_lr: 0.2\n", "line 2, names p_lr a second time (first in line 1)"),
        ("p_lrr: 0.1\n", "Unknown key p_lrr"),
        ("p_lr: -1\n", "p_lr: -1 ("),
        ("- p_lr\n", "is not a mapping"),
        ("just text\n", "is not a mapping"),
        ("", "is not a mapping"),
        ("p_lr: [1e-3, 1e-4]\n", "is a list, which means a sweep"),
        ("meta:\n  p_lr: 1\n", "Unknown key meta"),
        ("p_lr:\n  x: 1\n", "is a mapping; a setting takes one value"),
        ("p_lr: {\n", "is not valid YAML"),
        ("p_lr: *x\n", "names *x"),
        ("p_lr: !!python/object/apply:os.system [ls]\n", "has the tag"),
        ("? [a, b]\n: 1\n", "a key that is no plain name"),
        ("p_lr: " + "[" * 20_000, "is nested too deeply"),
        ("p_lr: 1\n---\np_lr: 2\n", "more than one YAML document"),
        ("env_id: " + "x" * 1_000_001, "is larger than"),
        (b"\xff\xfe\x00", "is not a text file"),
        ("env_id: \x01\n", "is not valid YAML"),
    ],
)
def test_bad_files(write_yaml, text, problem):
    started = time.process_time()
    assert problem in refused(f"--config={write_yaml(text)}")[0]
    assert time.process_time() - started < 1.0


def both_ways(path: Path) -> tuple[Any, Any]:
    """(values and lines) as the shorter way and as the parser of YAML reads them; the refusal where it refuses."""
    plain = yaml_files._read_plain(path.read_text(encoding="utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_files, "_read_plain", lambda text: None)
        try:
            read = yaml_files.read_yaml(path)
        except ConfigurationError as error:
            return plain, error
    return plain, (read.values, read.lines)


@given(
    st.lists(
        st.one_of(
            st.text(alphabet=" :#'\"-.~ab0/|>&*!%@`[]{},?=\t\r\nN", max_size=12),
            st.tuples(
                st.sampled_from(["a", "b", "null", "p_lr", "y", "0", "a b"]),
                st.sampled_from([": ", ":", ":  ", " : "]),
                st.sampled_from(
                    "1 -1 1e-3 .5 ... --- - null ~ No a/b 'a' '' '#' 'it''s' 'null' 1_0".split(),
                ),
                st.sampled_from(["", " ", " # why", " #", "#no", "\t# x", " x"]),
            ).map("".join),
        ),
        max_size=5,
    ),
)
def test_the_shorter_way_reads_what_yaml_reads(tmp_path_factory, lines):
    """Files as runs save them do without the parser; whatever the shorter way takes, it takes for the same."""
    path = tmp_path_factory.getbasetemp() / "drawn.yaml"
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    plain, read = both_ways(path)
    assert plain is None or plain == read


def test_saved_settings_are_read_the_shorter_way(write_yaml):
    path = write_yaml(config_text(parse("--p_lr=1e-5 --uuid=a.seed00 --write_interval=250")))
    plain, read = both_ways(path)
    assert plain == read and plain[0]["p_lr"] == "1.0e-05" and plain[0]["write_interval"] == "250"


def test_alias_bomb(write_yaml):
    levels = "".join(f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    problem, _ = refused(f"--config={write_yaml('k0: &a0 x' + chr(10) + levels)}")
    assert "alias number 101" in problem


def test_missing_file_and_folder(tmp_path):
    assert "No such file" in refused("--config=nowhere.yaml")[0]
    assert "Is a directory" in refused(f"--config={tmp_path}")[0]


def test_the_remedy_of_a_list_is_the_spawner(write_yaml):
    assert "python spawner.py --config" in refused(f"--config={write_yaml('seed: [1, 2]')}")[1]


# Sweeps


def test_sweep_choices_are_typed(write_yaml):
    layer = SCHEMA.read_file(write_yaml("p_lr: [1e-3, 0.001, 3e-4]\nalgo: [ppo]\nseed: 3\n"))
    assert SCHEMA.sweep_choices(layer) == {"p_lr": [1e-3, 3e-4], "algo": ["ppo"]}
    assert SCHEMA.resolve(SCHEMA.layer_of({"p_lr": 1e-3, "seed": "3"})).config == PPOConfig(
        p_lr=1e-3,
        seed=3,
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("p_lr: [0.1, fast]", "choice fast of p_lr: [0.1, fast] ("),
        ("p_lr: []", "has no values"),
        ("p_lr: [[0.1]]", "is a list"),
        ("algo: [ppo, xxx]", "choice xxx of algo"),
        ("num_demos: [4, -1]", "choice -1 of num_demos"),
    ],
)
def test_every_choice_is_checked(write_yaml, text, problem):
    with pytest.raises(ConfigurationError) as caught:
        SCHEMA.sweep_choices(SCHEMA.read_file(write_yaml(text)))
    assert problem in caught.value.problem


def test_a_choice_is_not_judged_by_the_rest(write_yaml):
    layer = SCHEMA.read_file(write_yaml("rollout_len: [1000, 2048]"))
    assert SCHEMA.sweep_choices(layer) == {"rollout_len": [1000, 2048]}
