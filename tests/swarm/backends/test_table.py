"""The seam: a place that runs go to is an entry of a table, a module and a template; nothing else knows its name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from swarm.backends.table import BACKENDS, CLUSTERS, backends
from tests.sources import ROOT, product_sources, shown, tree_of

WORDS = {
    "slurm": re.compile("slurm|sbatch|squeue|scancel|scontrol|sinfo", re.IGNORECASE),
    "pbs": re.compile(r"\bPBS|_pbs\b|\bpbs\b|qsub|qstat|qdel|qselect", re.IGNORECASE),
}
# Files outside the backends that name one, and why.
NAMED = {
    "slurm": {
        "helpers/parallel/deadline.py": "reads in a job's environment when it ends",
        "helpers/parallel/launch.py": "reads in a process's environment what started it",
        "environments/processes/vector_env.py": "hides a launcher's variables from simulators",
        "swarm/backends/table.py": "the table",
        "swarm/scripts/templates/here.sh.j2": "hides the job around a run of this machine",
    },
    "pbs": {"swarm/backends/table.py": "the table"},
}
TEMPLATES = ROOT / "swarm" / "scripts" / "templates"


def own(name: str, path: str) -> bool:
    """Whether a file is a backend's: its modules, its template."""
    return bool(
        re.fullmatch(rf"swarm/(backends|scripts/templates)/{name}(_\w+)?\.\w+(\.j2)?", path),
    )


@pytest.mark.parametrize("name", WORDS)
def test_no_other_file_names_a_cluster(name: str) -> None:
    files = [*product_sources(), *sorted(TEMPLATES.iterdir())]
    found = {shown(path) for path in files if WORDS[name].search(path.read_text(encoding="utf-8"))}
    assert [path for path in found if own(name, path)], "the backend itself"
    wrong = sorted(path for path in found if not own(name, path) and path not in NAMED[name])
    assert not wrong, f"{len(wrong)} files outside the backend know {name}: {wrong}"
    assert not NAMED[name].keys() - found, "listed, and names nothing"


def test_the_table_says_what_each_backend_says_of_itself() -> None:
    assert {each.name: each.is_cluster for each in backends()} == {
        name: name in CLUSTERS for name in BACKENDS
    }
    assert all((TEMPLATES / each.template).exists() for each in backends())


def literals(path: Path) -> list[tuple[int, str]]:
    """(line, text) of the texts that a module compares with, or looks up by."""
    found = []
    for node in ast.walk(tree_of(path)):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.match_case) and isinstance(node.pattern, ast.MatchValue):
            parts = [node.pattern.value]
        for part in parts:
            for each in ast.walk(part):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    found.append((each.lineno, each.value))
    return found


def test_nothing_decides_by_the_name_of_a_backend() -> None:
    wrong = [
        f"{shown(path)}:{line}: {text!r}"
        for path in product_sources()
        if re.match(r"swarm/(?!backends/)|(spawner|tuner|reporter)\.py|reports/", shown(path))
        for line, text in literals(path)
        if text in ("tmux", "local", *WORDS)
    ]
    assert not wrong, "\n".join(wrong)
