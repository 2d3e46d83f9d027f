"""docs/using_policies.md: the notebook runs, and an installation imports from elsewhere."""

import json
import os
import subprocess
import sys
import tomllib

from tests.launch import ROOT

NOTEBOOK = ROOT / "docs" / "examples" / "policy.ipynb"


def test_the_notebook_runs(tmp_path):
    """Its cells, as one program; nbconvert and a kernel would be 30 packages more."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    (tmp_path / "notebook.py").write_text("\n\n".join(code))
    done = subprocess.run(
        [sys.executable, "notebook.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_distribution_has_what_the_repository_has():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    modules = project["tool"]["setuptools"]["py-modules"]
    assert sorted(modules) == sorted(path.stem for path in ROOT.glob("*.py"))
    included = project["tool"]["setuptools"]["packages"]["find"]["include"]
    tests = {"tests", "benchmarks"}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - tests
    assert {name.rstrip("*") for name in included} == packages
    for target in project["project"]["scripts"].values():
        module, _, function = target.partition(":")
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        assert f"def {function}() -> int:" in source
