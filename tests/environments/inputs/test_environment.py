"""Each kind of file that an environment reads is seen, and a change in it is told by its name."""

from __future__ import annotations

import struct
import sys

import pytest

from environments.inputs.environment import environment_inputs
from environments.inputs.mjcf import files_of_model
from environments.inputs.modules import closure
from helpers.run_folder.inputs import binding, changes_between

TASK = """
import json
from dataclasses import dataclass
from pathlib import Path
import numpy as np
{imports}
from docs.examples.cart import Cart as Base

HERE = Path(__file__).parent
GOAL = json.loads((HERE / "data" / "goal.json").read_text())
LIMITS = json.loads(open(HERE / ("limits" + ".json")).read())
NAME = "~nobody"  # names no file

@dataclass(frozen=True, kw_only=True)
class Cart(Base):
    xml_file: str = str(HERE / "models" / "cart.xml")

    def bonus(self):
        import late
        return late.BONUS
"""
MODEL = """<mujoco model="cart">
  <compiler meshdir="meshes" texturedir="pictures"/>
  <include file="options.xml"/>
  <asset>
    <mesh name="wedge" file="wedge.stl"/>
    <texture name="sky" type="skybox" file="sky.png"/>
    <hfield name="ground" file="ground.bin" size="1 1 1 0.1"/>
  </asset>
  <worldbody/>
</mujoco>
"""
FILES = {
    "late.py": "BONUS = 1\n",
    "data/goal.json": "[1]",
    "limits.json": "[1]",
    "models/cart.xml": MODEL,
    "models/options.xml": '<mujocoinclude><option timestep="0.01"/></mujocoinclude>',
    "models/meshes/wedge.stl": "solid",
    "models/pictures/sky.png": "picture",
    "models/meshes/ground.bin": struct.pack("<ii4f", 2, 2, 0, 0, 0, 1).decode("latin1"),
}


def forget_tasks():
    """Let the next look execute its task file, as another start of the program would."""
    for module in [each for each in sys.modules if each.startswith("task_file_")]:
        del sys.modules[module]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))  # to which the folder of a task is added
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "task.py").write_text(TASK.format(imports=""))
    return tmp_path


def inputs(folder, **options):
    return environment_inputs(f"{folder / 'task.py'}:Cart", options)


def test_every_file_of_a_task_is_seen_once(folder):
    names = [each.name for each in inputs(folder)]
    assert sorted(names) == sorted(
        ["task.py", *FILES, "cart.py", "cart.xml"],
    )  # the class it extends


@pytest.mark.parametrize("name", ["task.py", *FILES])
def test_an_altered_file_is_named(folder, name):
    before = [each.to_json() for each in inputs(folder)]
    assert not changes_between(before, inputs(folder))
    path = folder / name
    path.write_text(path.read_text() + (" " if name.endswith(".json") else "\n"))
    forget_tasks()
    (change,) = changes_between(before, inputs(folder))
    assert change.name == name and change.before != change.after
    assert binding([change]) == [change]
    path.unlink()
    if name not in ("task.py", "data/goal.json", "limits.json"):
        gone = {each.name: each.after for each in changes_between(before, inputs(folder))}
        assert gone[name] is None


def test_a_moved_folder_is_the_same(folder, tmp_path_factory):
    before = [each.to_json() for each in inputs(folder)]
    moved = folder.rename(tmp_path_factory.mktemp("elsewhere") / "moved")
    assert not changes_between(before, inputs(moved))


def test_a_model_that_an_option_names_is_seen(tmp_path):
    (tmp_path / "other.xml").write_text("<mujoco/>")
    for env_id in ("Hopper-v5", "Hopper-v4"):
        found = environment_inputs(env_id, {"xml_file": str(tmp_path / "other.xml")})
        assert [each.name for each in found] == ["other.xml"], env_id
    assert [each.name for each in environment_inputs("Hopper-v5", {})] == ["hopper.xml"]
    assert environment_inputs("CartPole-v1", {}) == []


def test_packages_and_relative_imports_are_followed_and_installed_ones_are_not(
    tmp_path,
    monkeypatch,
):
    package = tmp_path / "terms"
    package.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(elsewhere)])
    (elsewhere / "shared_terms.py").write_text("")
    (tmp_path / "task.py").write_text(
        "import numpy, json, shared_terms\nfrom terms.reward import near\n",
    )
    (package / "__init__.py").write_text("from . import cost\n")
    (package / "reward.py").write_text("from .cost import price\nfrom terms import cost\n")
    (package / "cost.py").write_text("import terms.reward\n")
    modules, _ = closure(tmp_path / "task.py")
    assert sorted(path.name for path in modules) == sorted(
        ["task.py", "shared_terms.py", "__init__.py", "reward.py", "cost.py"],
    )


def test_a_model_with_an_error_in_it_is_still_hashed(tmp_path):
    (tmp_path / "broken.xml").write_text("<mujoco><include file='gone.xml'/><body></mujoco>")
    assert files_of_model(tmp_path / "broken.xml") == [(tmp_path / "broken.xml").resolve()]
