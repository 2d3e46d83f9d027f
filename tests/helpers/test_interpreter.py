"""A Python without what is needed is told so in two lines, by every program."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import interpreter
from tests.launch import ROOT

PROGRAMS = ("main.py", "spawner.py", "reporter.py", "tuner.py", "-m registry", "-m agents.zoo")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_python_without_packages_is_named_with_the_remedy(program: str) -> None:
    command = [sys.executable, "-S", *program.split(), "--help"]  # -S: without site-packages
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and sys.executable in lines[0], done.stderr
    assert "has no package numpy, pydantic, yaml" in lines[0] and "make venv" in lines[1]


def test_a_run_asks_for_more(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interpreter.require(interpreter.RUNS)
    monkeypatch.setattr(
        interpreter.importlib.util,
        "find_spec",
        lambda name: None if name == "torch" else name,
    )
    with pytest.raises(SystemExit) as end:
        interpreter.require(interpreter.RUNS)
    assert end.value.code == 2 and "has no package torch." in capsys.readouterr().err
    monkeypatch.setattr(interpreter, "OLDEST", (4, 0))
    with pytest.raises(SystemExit):
        interpreter.require()
    assert "and 4.0 or newer is needed" in capsys.readouterr().err


def test_it_needs_neither_packages_nor_new_syntax() -> None:
    source = Path(interpreter.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert imported == {"importlib.util", "sys"}
