"""A suite is one file and one line of the table: nothing else names one, and nothing else need change for a new one."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments.factory import make_vector_env
from environments.suites import suite
from environments.suites.table import simulator_names, suite_of, suites
from helpers.errors import ConfigurationError
from tests.sources import ROOT, product_sources, shown, tree_of

HERE = Path(__file__).parent
# Where suites are at home.
HOMES = (
    "environments/suites/",
    "environments/batched_mujoco/",
    "environments/dm_control/",
    "environments/gymnasium_envs/",
    "environments/opensim/",
)
MARKS = ("Opensim-", "-Feat-v", "-Pixels-v", "dm_control/")  # of ids
# What names one all the same, and why.
NAMED = {
    "environments/checking/checks.py": "gymnasium: the name of a check, of Gymnasium's interface",
    "environments/checking/report.py": "gymnasium: likewise",
    "environments/inputs/mjcf.py": "mujoco: the root element of a model file",
    "environments/state/simulation_state.py": "mujoco: a key of saved states, whatever uses MuJoCo",
    "environments/sync_vector.py": "the package mujoco, whose MjData any environment may keep; Gymnasium's own loop",
    "evaluator.py": "gymnasium: its version is in every recording",
    "helpers/demos/formats/minari_writer.py": "what Minari rebuilds an environment from",
    "helpers/interpreter.py": "packages that every run needs",
}


def strings_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, text) of the texts in the code that are no docstrings."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                yield node.lineno, node.value


def names_of_suites() -> set[str]:
    found: set[str] = {*simulator_names().values()}
    for each in suites():
        found |= {each.name, *each.backends, *each.packages} | ({each.benchmark} - {"", "classic"})
    return found


def test_nothing_but_the_suites_names_one() -> None:
    """A sentence for people, with spaces in it, may give an example."""
    names = names_of_suites()
    assert {"mujoco", "dm_control", "opensim", "gymnasium", "batched MuJoCo", "dmc"} <= names
    found: dict[str, list[str]] = {}
    for path in product_sources():
        if not shown(path).startswith((*HOMES, "docs/")):
            for line, text in strings_of(tree_of(path)):
                is_id = " " not in text and any(mark in text for mark in MARKS)
                if text in names or is_id:
                    found.setdefault(shown(path), []).append(f"{line}: {text!r}")
    wrong = {name: lines for name, lines in found.items() if name not in NAMED}
    assert not wrong, wrong
    idle = [name for name in NAMED if name not in found]
    assert not idle, f"no suite is named in {idle}"


def test_ids_of_every_suite_are_its_own_and_lead_back() -> None:
    for each in suites():
        for env_id in each.ids():
            if each.name != "gymnasium":  # its registry has the ids of others, too
                assert suite_of(env_id) is each and each.resolve(env_id) == env_id


@pytest.mark.parametrize(
    ("env_id", "package"),
    [("cheetah-run", "dm_control"), ("Hopper-v5", "mujoco")],
)
def test_a_missing_package_is_told_before_anything_is_made(monkeypatch, env_id, package) -> None:
    monkeypatch.setattr(suite, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(ConfigurationError) as refusal:
        make_vector_env(env_id, seeds=[0])
    assert f"needs the package {package}" in refusal.value.problem
    assert refusal.value.remedy == "Install it: make venv."


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """(runs, what the program of a user printed, and on stderr) with one file and one line more."""
    folder = tmp_path_factory.mktemp("toy")
    shutil.copytree(
        ROOT / "environments",
        folder / "environments",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(HERE / "toy.py", folder / "environments" / "suites" / "toy.py")
    table = folder / "environments" / "suites" / "table.py"
    text = table.read_text()
    assert text.count('    "opensim",\n') == 1
    table.write_text(text.replace('    "opensim",\n', '    "toy",\n    "opensim",\n'))
    site, runs = folder / "site", folder / "runs"
    (site / "toy_physics-1.2.dist-info").mkdir(parents=True)
    (site / "toy_physics.py").touch()
    (site / "toy_physics-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-physics\nVersion: 1.2\n",
    )
    done = subprocess.run(
        [sys.executable, str(HERE / "toy_program.py"), str(site), str(runs)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return runs, done.stdout, done.stderr


def test_a_new_suite_is_checked_trained_evaluated_and_drawn(used) -> None:
    runs, printed, _ = used
    assert printed.count("> status 0") == 4 and printed.count("> status 2") == 3, printed
    assert "Toy-Left-v0 by Toy, made in" in printed and "0 errors" in printed
    assert "a saved state resumes bit for bit" in printed
    assert "> frames 20 (64, 128, 3) True" in printed
    assert "> processes True ['Toy', 'Toy']" in printed
    rows = [json.loads(line) for line in (runs / "toy.seed00" / "metrics.jsonl").open()]
    assert rows[-1]["step"] == 160


def test_a_new_suite_owns_its_version_its_near_names_and_its_refusals(used) -> None:
    runs, printed, said = used
    assert "The nearest is Toy-Left-v0." in said
    assert "needs the package toy_physics, which is not installed here." in said
    assert "Install it: pip install toy-physics." in said
    assert "toy physics version 1.2" in printed
    assert "Toy-Left-v0 has only the option push" in said
    versions = json.loads((runs / "toy.seed00" / "capsule.json").read_text())["versions"]
    assert versions["toy_physics"] == "1.2" and {"torch", "gymnasium", "mujoco"} <= set(versions)
