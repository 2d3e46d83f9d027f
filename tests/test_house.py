"""The layers and the limits of the house: what a reader may rely on without looking."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from agents.algorithms import REGISTRY
from tests.sources import (
    OURS,
    ROOT,
    imports_of,
    lies_in,
    module_of,
    product_sources,
    shown,
    sources,
    tree_of,
)

EXTENDS = {
    "agents.imitation.maad": {"agents.on_policy.ppo", "agents.imitation.agent"},
}  # docs/architecture.md
MOST_LINES, MOST_FILES = 400, 12
BROUGHT = {"pydantic_core": "pydantic"}  # by a package that pins it exactly

# What each may import of the project; a name stands for itself and all below it.
ALLOWED = {
    "helpers": ("helpers",),
    "agents": ("agents", "helpers"),
    "environments": ("environments", "helpers"),
    "orchestrator": ("agents.base", "helpers"),
    "evaluator": ("agents.base", "environments", "helpers"),
    "starting": ("agents", "environments", "helpers"),
    "verifier": ("evaluator", "helpers"),
    "registry": ("registry", "agents", "environments", "helpers"),
    "policy": ("registry",),
    "swarm": ("swarm", "helpers", "agents.algorithms"),
    "spawner": (
        "swarm",
        "helpers",
        "agents.algorithms",
        "environments.ids",
        "environments.requirements",
    ),
    "reports": ("reports", "swarm", "helpers", "agents.algorithms"),
    "reporter": ("reports", "swarm", "helpers", "agents.algorithms"),
}
# What must answer at once, and on machines without torch, MPI, a simulator or a tracker.
LIGHT = (
    "swarm",
    "spawner",
    "reports.series",
    "reports.verbs",
    "reporter",
    "agents.algorithms",
    "agents.zoo",
    "helpers.config",
    "helpers.run_folder.experiment",
)
HEAVY = ("torch", "mpi4py", "mujoco", "wandb", "matplotlib")

UNSAFE_MODULES = frozenset("pickle cPickle cloudpickle dill marshal shelve joblib".split())
UNSAFE_CALLS = frozenset("eval exec __import__".split())
UNSAFE_METHODS = frozenset(
    "yaml.load yaml.load_all yaml.unsafe_load yaml.full_load torch.load torch.save os.system".split(),
)
PLAIN_TENSORS = frozenset(  # for other programs to read
    (name, "torch.save")
    for name in ("agents/replay/files.py", "helpers/checkpoints/policy_files.py")
)
UNSAFE_KEYWORDS = frozenset(("shell", "allow_pickle"))


@pytest.mark.parametrize("floor", ALLOWED)
def test_a_floor_imports_only_what_is_below_it(floor: str) -> None:
    wrong = [
        f"{shown(path)}:{line}: {floor} imports {module}"
        for path in product_sources()
        if lies_in(module_of(path), floor)
        for line, module in imports_of(path)
        if module.split(".")[0] in OURS
        and not any(lies_in(module, allowed) for allowed in ALLOWED[floor])
    ]
    assert not wrong, "\n".join(wrong)


def test_algorithms_do_not_import_one_another() -> None:
    algorithms = {each.implementation.rpartition(".")[0] for each in REGISTRY.values()}
    wrong = [
        f"{shown(path)}:{line}: imports the algorithm {module}"
        for path in (ROOT / "agents").rglob("*.py")
        for line, module in imports_of(path)
        if module in algorithms - EXTENDS.get(module_of(path), set())
    ]
    assert not wrong, "\n".join(wrong)


def test_benchmarks_import_no_tests() -> None:
    """Parts of tests they may: tests/resume_cases.py, a Slurm of tests/slurm."""
    wrong = [
        f"{shown(path)}:{line}: imports {module}"
        for path in (ROOT / "benchmarks").rglob("*.py")
        for line, module in imports_of(path)
        if re.match(r"tests\.(.*\.)?test_", module)
    ]
    assert not wrong, "\n".join(wrong)


# Places that may hold an algorithm's name as a text: the list, the algorithms' own folders, other libraries' names.
NAMED = (
    "agents/algorithms.py",
    "agents/weights/migration/",
    "agents/zoo/",
    "helpers/config/run_basics.py",
)
FAMILIES = ("agents/on_policy/", "agents/off_policy/", "agents/imitation/", "agents/cloning/")


def test_no_other_file_asks_for_an_algorithms_name() -> None:
    wrong = [
        f"{shown(path)}:{node.lineno}: {node.value!r}"
        for path in product_sources()
        if not shown(path).startswith((*NAMED, *FAMILIES))
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and node.value in REGISTRY
    ]
    assert not wrong, "\n".join(wrong)


def test_a_folder_has_twelve_files_at_most() -> None:
    counts = Counter(
        os.path.dirname(shown(path))
        for path in sources()
        if path.name != "__init__.py" and path.parent != ROOT / "tests"
    )
    assert not {folder: n for folder, n in counts.items() if n > MOST_FILES}


def test_packages_say_nothing() -> None:
    full = [shown(p) for p in sources() if p.name == "__init__.py" and p.read_text().strip()]
    assert not full, f"an __init__.py is empty: {full}"


# Imports inside functions: programs that answer at once, and what is heavy and seldom needed.
LATE = {
    "main.py": "only what the task needs: an evaluation makes no trainer",
    "evaluator.py": "wandb",
    "spawner.py": "--help answers at once",
    "tuner.py": "--help answers at once; torch is the trial's process's alone",
    "reports/verbs/card.py": "--help answers at once",
    "reports/verbs/compare.py": "--help answers at once",
    "reports/verbs/replay.py": "--help answers at once",
    "reports/verbs/curve.py": "--help answers at once",
    "reports/verbs/listing.py": "--help answers at once",
    "reports/verbs/options.py": "--help answers at once",
    "reports/verbs/prune.py": "--help answers at once",
    "reports/verbs/report.py": "--help answers at once",
    "reports/verbs/resume.py": "--help answers at once",
    "reports/verbs/stop.py": "--help answers at once",
    "reports/verbs/watch.py": "--help answers at once",
    "registry/acting.py": "torch and MLflow, which a package does without",
    "registry/cli.py": "--help answers at once",
    "registry/service_cli.py": "--help answers at once",
    "agents/factory.py": "torch, which the configuration does without; DAgger's expert",
    "agents/compute/compile_piece.py": "Inductor, which takes seconds",
    "environments/opensim/task.py": "matplotlib, which only pictures need",
    "environments/suites/dm_control.py": "MuJoCo",
    "environments/suites/mujoco.py": "MuJoCo",
    "environments/sync_vector.py": "MuJoCo",
    "swarm/deploy.py": "settings of all algorithms",
    "swarm/flags/parser.py": "settings of all algorithms",
    "swarm/plan.py": "settings of all algorithms",
    "swarm/tune/session.py": "Ray and MLflow, which may not be installed",
}


def inner_imports(path: Path) -> list[tuple[int, str]]:
    """(line, module) of the project's modules that are imported inside functions."""
    functions = [
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found: dict[int, str] = {}
    for function in functions:
        for node in ast.walk(function):
            names = [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.split(".")[0] in OURS:
                    found[getattr(node, "lineno", 0)] = name
    return sorted(found.items())


def test_modules_are_imported_at_the_top_but_for_the_listed_ones() -> None:
    late = {shown(path): inner_imports(path) for path in product_sources()}
    wrong = {name: found for name, found in late.items() if found and name not in LATE}
    assert not wrong, wrong
    idle = [name for name in LATE if not late.get(name)]
    assert not idle, f"nothing is imported inside a function of {idle}"


def test_what_must_answer_at_once_brings_nothing_heavy() -> None:
    light = [
        module_of(path)
        for path in product_sources()
        if any(lies_in(module_of(path), place) for place in LIGHT)
    ]
    assert {
        "agents.algorithms",
        "helpers.config.schema",
        "helpers.run_folder.experiment",
        "swarm",
    } <= set(light)
    program = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        f"    for heavy in {HEAVY!r}:\n"
        "        assert heavy not in sys.modules, f'{name} imports {heavy}'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_reports_need_nothing_that_trains() -> None:
    names = [module_of(path) for path in product_sources() if lies_in(module_of(path), "reports")]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "found = {'torch', 'mpi4py', 'mujoco', 'gymnasium', 'wandb'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_file_is_longer_than_the_limit() -> None:
    lengths = {
        shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()
    }
    long = {name: length for name, length in lengths.items() if length > MOST_LINES}
    assert not long, f"over {MOST_LINES} lines: {long}"


def unsafe_parts(tree: ast.Module) -> list[tuple[int, str]]:
    """(line, words) of pickle, eval, unsafe YAML, shells and broad excepts."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        elif isinstance(node, ast.Call):
            found += unsafe_calls(node)
            continue
        else:
            continue
        found += [(node.lineno, name) for name in names if name.split(".")[0] in UNSAFE_MODULES]
    return found


def unsafe_calls(node: ast.Call) -> list[tuple[int, str]]:
    called = ast.unparse(node.func)
    found = [called] if called in UNSAFE_CALLS | UNSAFE_METHODS else []
    if called == "torch.load" and "weights_only=True" in map(ast.unparse, node.keywords):
        found = []  # reads tensors and nothing else
    for keyword in node.keywords:
        is_false = isinstance(keyword.value, ast.Constant) and not keyword.value.value
        if keyword.arg in UNSAFE_KEYWORDS and not is_false:
            found.append(f"{called}({keyword.arg}=...)")
    return [(node.lineno, words) for words in found]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from dill import loads",
        "eval('1')",
        "yaml.load(text)",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
    ],
)
def test_what_is_unsafe_is_recognised(line: str) -> None:
    assert unsafe_parts(ast.parse(line))


def test_sources_contain_nothing_unsafe() -> None:
    wrong = [
        f"{shown(path)}:{line}: {words}"
        for path in product_sources()
        for line, words in unsafe_parts(tree_of(path))
        if (shown(path), words) not in PLAIN_TENSORS
    ]
    assert not wrong, "\n".join(wrong)


def test_requirements_are_pinned_and_name_what_is_imported() -> None:
    files = [*ROOT.glob("requirements*.txt"), *(ROOT / "tests" / "extras").glob("*.txt")]
    text = "".join(path.read_text() for path in sorted(files))
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    wanted = [line for line in lines if line and not line.startswith("-r ")]
    assert all(re.fullmatch(r"[\w-]+(\[[\w,-]+\])?==[\w.+]+", line) for line in wanted), wanted
    named = {re.split(r"[\[=]", line)[0].lower().replace("_", "-") for line in wanted}
    providers = importlib.metadata.packages_distributions()
    for path in product_sources():
        for line, module in imports_of(path):
            top = module.split(".")[0]
            if top in OURS or top in sys.stdlib_module_names:
                continue
            brought = [BROUGHT[top]] if top in BROUGHT else providers.get(top, [top])  # of an extra
            brings = {name.lower().replace("_", "-") for name in brought}
            assert brings & named, f"{shown(path)}:{line}: {top} is in no requirements file"
