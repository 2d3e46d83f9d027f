"""Settings that were renamed: earlier names are read everywhere and shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.algorithms import SCHEMA
from helpers.checkpoints.store import Checkpoints
from helpers.config.help import page
from helpers.config.schema import defaults_of, former_names_of, identity_of
from helpers.config.settings import Setting
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers
from helpers.run_folder import run_lock
from helpers.run_folder.experiment import ExperimentInitializer

VALUES = {"tau": 0.1, "learning_starts": 500, "target_period": 700, "dueling": True}
ALGO = {"target_period": "dqn", "dueling": "dqn"}


def renamed() -> list[tuple[str, Setting]]:
    """Of algorithms; that of --task=demos has a test of its own."""
    settings = SCHEMA.vocabulary.settings.values()
    found = [(former, each) for each in settings for former in each.former]
    return [pair for pair in found if pair[1].key != "convert_to"]


def test_the_renamed_settings_are_those_of_this_file() -> None:
    assert {each.key for _, each in renamed()} == set(VALUES)


@pytest.mark.parametrize(("former", "each"), renamed(), ids=lambda x: getattr(x, "key", x))
def test_a_former_name_is_read(former: str, each: Setting, tmp_path: Path) -> None:
    algo, value = ALGO.get(each.key, "sac"), VALUES[each.key]
    file = tmp_path / "old.yaml"
    file.write_text(f"algo: {algo}\n{former}: {str(value).lower()}\n")
    for argv in ([f"--algo={algo}", f"--{former}={value}"], [f"--config={file}"]):
        parsed = SCHEMA.parse_command_line(argv)
        assert getattr(parsed.config, each.key) == value and not parsed.warnings
    config = SCHEMA.load_config(file)
    assert getattr(config, each.key) == value
    assert f"--{former}" not in page(SCHEMA, ["--help_all"])
    assert SCHEMA.vocabulary.keys[former] == each.key


def test_where_demonstrations_are_written_had_another_name() -> None:
    parsed = SCHEMA.parse_command_line(["--task=demos", "--demos_export=data/demos/back"])
    assert vars(parsed.config)["convert_to"] == "data/demos/back" and not parsed.warnings
    assert "--demos_export" not in page(SCHEMA, ["--help_all"])


def test_a_checkpoint_of_an_earlier_version_is_of_the_same_run(tmp_path: Path) -> None:
    config = SCHEMA.parse_command_line(["--algo=dqn", "--tau=0.01", "--dueling"]).config
    former = former_names_of(config)
    back = {key: name for name, key in former.items()}
    old = {back.get(key, key): value for key, value in identity_of(config).items()}
    given = {"workers": Workers.solo(), "keep": 1}
    Checkpoints(tmp_path, identity=old, **given).save(3, shared={}, local={})
    now = Checkpoints(
        tmp_path,
        identity=identity_of(config),
        defaults=defaults_of(config),
        former=former,
        **given,
    )
    found = now.load_latest()
    assert found is not None and found.iteration == 3


def test_a_run_folder_of_an_earlier_version_is_continued(tmp_path: Path) -> None:
    flags = ["--algo=sac", "--learning_starts=120", "--tau=0.01", "--uuid=old.seed00"]
    config = SCHEMA.parse_command_line([*flags, f"--runs_dir={tmp_path}"]).config
    ExperimentInitializer(config, Workers.solo(), argv=flags)
    run_lock.release(tmp_path / "old.seed00")
    file = tmp_path / "old.seed00" / "config.yaml"
    text = file.read_text()
    for former, key in former_names_of(config).items():
        assert f"{key}: " in text
        text = text.replace(f"{key}: ", f"{former}: ")
    file.write_text(text)
    ExperimentInitializer(config, Workers.solo(), argv=flags)
    run_lock.release(tmp_path / "old.seed00")
    other = config.model_copy(update={"learning_starts": 121})
    with pytest.raises(ConfigurationError, match="learning_starts is 120 there, 121 here"):
        ExperimentInitializer(other, Workers.solo(), argv=flags)
