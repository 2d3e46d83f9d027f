"""Whose code an exception came out of: a user's, a package's, or ours."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import pytest

from helpers import user_code
from helpers.errors import ConfigurationError, UsersCodeError
from helpers.user_code import UsersCode, definition, is_users


def test_what_a_package_raises_is_told_at_its_last_line() -> None:
    envs = gymnasium.make("CartPole-v1", disable_env_checker=True).unwrapped
    envs.reset(seed=0)
    with pytest.raises(UsersCodeError) as told, UsersCode("step", type(envs).step):
        envs.step(7)
    assert told.value.problem.startswith("step: AssertionError: 7")
    assert re.search(r"Mend \S+/cartpole.py, line \d+: assert", told.value.remedy)


def test_where_no_line_of_its_author_is_the_definition_is_told() -> None:
    reset = gymnasium.Env.reset
    with pytest.raises(UsersCodeError, match=r"gymnasium/core.py, line \d+: Env.reset"):
        with UsersCode("reset", reset):
            int("many")
    assert definition(int) is None


def test_two_lines_stay_as_they_are_and_an_interruption_is_none_of_it() -> None:
    refusal = ConfigurationError("a", "b")
    with pytest.raises(ConfigurationError) as told, UsersCode("step"):
        raise refusal
    assert told.value is refusal
    with pytest.raises(KeyboardInterrupt), UsersCode("step"):
        raise KeyboardInterrupt


def test_a_file_that_an_installer_linked_into_a_package_is_no_users(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """uv keeps the files of packages in a store of its own, and links them."""
    packages, store = tmp_path / "site-packages", tmp_path / "store"
    for folder in (packages, store):
        folder.mkdir()
    (store / "core.py").write_text("")
    (packages / "core.py").symlink_to(store / "core.py")
    assert is_users(packages / "core.py")
    monkeypatch.setattr(user_code, "_installed", lambda: frozenset({packages}))
    assert not is_users(packages / "core.py")
    assert is_users(store / "core.py")
