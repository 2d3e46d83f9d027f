"""Spellings of one task file are one task: in ids, run folders and demonstrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.algorithms import SCHEMA
from environments.expected import expected_of
from environments.ids import resolve_env_id
from helpers.demos.hdf5 import demo_path, file_name_of, write_demo
from helpers.demos.load import find_demos, read_demos
from helpers.errors import ConfigurationError
from helpers.run_folder.spelling import with_canonical_env_id
from tests.helpers.demos.cases import MADE_BY, settings, steps_of

ROOT = Path(__file__).parents[2]
EXAMPLE = "docs/examples/cart.py:Cart"


@pytest.fixture()
def spellings(tmp_path, monkeypatch):
    """Ways to write the example's path, in the repository's root."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "link.py").symlink_to(ROOT / "docs/examples/cart.py")
    return [
        EXAMPLE,
        f"./{EXAMPLE}",
        f"docs/../{EXAMPLE}",
        f"{ROOT}/{EXAMPLE}",
        f"../{ROOT.name}/{EXAMPLE}",
        f"{tmp_path}/link.py:Cart",
    ]


def test_spellings_of_one_path_are_one_task(spellings):
    assert {resolve_env_id(each) for each in spellings} == {EXAMPLE}
    assert {expected_of(each).env_id for each in spellings} == {EXAMPLE}


def test_a_file_elsewhere_is_named_by_its_whole_path(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    (tmp_path / "mine.py").write_text("")
    monkeypatch.chdir(tmp_path / "below")
    assert resolve_env_id("../mine.py:Mine") == f"{tmp_path.resolve()}/mine.py:Mine"


def test_demonstrations_of_any_spelling_are_read(spellings, tmp_path):
    for number, spelling in enumerate(spellings):
        folder, name = tmp_path / f"demos{number}", file_name_of(spelling)
        assert not name.startswith(".")
        write_demo(demo_path(folder, name, 0), steps_of(0), MADE_BY | {"env_id": spelling})
        hidden = demo_path(folder, f"._{name}", 1)  # as earlier versions named those of ./docs
        write_demo(hidden, steps_of(1), MADE_BY | {"env_id": spelling})
        (folder / "._docs_demo002.h5").write_bytes(b"\x00\x05\x16\x07")  # a Mac's note
        assert len(find_demos(str(folder)).names) == 2
        config = settings(expert_path=str(folder), expert_mismatch="refuse")
        expected = expected_of(spellings[-number])
        config.expert_mismatch = "warn"  # made up, for another version of MuJoCo
        warnings = read_demos(config, expected).warnings
        assert not any("shows" in line for line in warnings), warnings


def test_a_run_of_an_earlier_version_keeps_its_spelling(spellings, tmp_path):
    typed = [f"--env_id=./{EXAMPLE}", "--uuid=old.seed00", f"--runs_dir={tmp_path}"]
    config = SCHEMA.parse_command_line(typed).config
    assert with_canonical_env_id(config, resolve_env_id).env_id == EXAMPLE
    (tmp_path / "old.seed00").mkdir()
    saved = tmp_path / "old.seed00" / "config.yaml"
    for spelling, kept in ((f"./{EXAMPLE}", f"./{EXAMPLE}"), ("Hopper-v5", EXAMPLE)):
        saved.write_text(f"env_id: {spelling}\n")
        assert with_canonical_env_id(config, resolve_env_id).env_id == kept
    with pytest.raises(ConfigurationError):
        with_canonical_env_id(config.model_copy(update={"env_id": "no.py:X"}), resolve_env_id)


def test_demonstrations_of_a_file_far_below_have_a_name(tmp_path):
    """A path of 300 characters is no name of a file; two of them are told apart."""
    far = ["a" * 90, "b" * 90, "c" * 90, "mine.py:Mine"]
    names = [file_name_of("/".join([first, *far])) for first in ("one", "other")]
    assert names[0] != names[1]
    for name in names:
        assert name.endswith("mine.py_Mine")
        write_demo(demo_path(tmp_path, name, 0), steps_of(0), MADE_BY | {"env_id": name})
