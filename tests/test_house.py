"""The floors, the limits and the words of the house: what a reader may rely on without looking."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from agents.algorithms import REGISTRY, SCHEMA
from helpers.config.settings import settings_of
from swarm.flags.spawn_settings import SpawnSettings

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "environments", "helpers", "swarm")
PROGRAMS = ("main", "orchestrator", "evaluator", "spawner", "reporter", "tuner")
OURS = frozenset((*PACKAGES, *PROGRAMS, "registry"))
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
    "swarm": ("swarm", "helpers", "agents.algorithms"),
    "spawner": ("swarm", "helpers", "agents.algorithms", "environments.ids"),
    "reporter": ("swarm", "helpers", "agents.algorithms"),
}
# What must answer at once, and on machines without torch, MPI, a simulator or a tracker.
LIGHT = (
    "swarm",
    "spawner",
    "reporter",
    "agents.algorithms",
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
# What help and errors say in other words: number of, resume, learned, target network, learning rate.
UNCLEAR = re.compile(
    r"\b(so many|go(es)? on|going on|gone on|hardly|whoever|learnt|slow (network|critic|cop(y|ies))s?|step sizes?)\b",
    re.IGNORECASE,
)


@cache
def sources() -> tuple[Path, ...]:
    """All Python files of the repository, not those of environments, data and builds."""
    outside = {"data", "build", "venv", "wandb"}
    folders = [each for each in ROOT.iterdir() if each.is_dir() and each.name not in outside]
    visible = [each for each in folders if not each.name.startswith(".")]
    return tuple(sorted([*ROOT.glob("*.py"), *(p for each in visible for p in each.rglob("*.py"))]))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return shown(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import, also inside functions; `from agents import ppo` is agents.on_policy.ppo."""
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            is_package = (ROOT / str(node.module).replace(".", "/")).is_dir()
            found += [(node.lineno, name if is_package else str(node.module)) for name in names]
    return found


def lies_in(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")


def product_sources() -> list[Path]:
    return [path for path in sources() if shown(path).split("/")[0] not in ("tests", "benchmarks")]


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
NAMED = ("agents/algorithms.py", "agents/weights/migration/", "helpers/config/run.py")
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
    "reporter.py": "--help answers at once",
    "agents/factory.py": "torch, which the configuration does without; DAgger's expert",
    "agents/compute/compile_piece.py": "Inductor, which takes seconds",
    "environments/expected.py": "a simulator's package",
    "environments/factory.py": "a simulator's package",
    "environments/sizes.py": "a simulator's package",
    "environments/suites/gymnasium_suites.py": "MuJoCo",
    "environments/sync_vector.py": "MuJoCo",
    "swarm/deploy.py": "settings of all algorithms",
    "swarm/flags/parser.py": "settings of all algorithms",
    "swarm/plan.py": "settings of all algorithms",
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
    text = (ROOT / "requirements.txt").read_text() + (ROOT / "requirements-dev.txt").read_text()
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
            brought = [BROUGHT[top]] if top in BROUGHT else providers.get(top, ())
            brings = {name.lower().replace("_", "-") for name in brought}
            assert brings & named, f"{shown(path)}:{line}: {top} is in no requirements file"


# Help and errors


def error_names() -> set[str]:
    """`UserError`, its subclasses, and the function that makes such an error of several settings."""
    nodes = [node for path in product_sources() for node in ast.walk(tree_of(path))]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    names = {"UserError", "cross_field_error"}
    for _ in range(3):  # generations
        names |= {
            each.name for each in classes if {ast.unparse(base) for base in each.bases} & names
        }
    return names


def texts_of(call: ast.Call) -> list[str]:
    """The strings in a call's arguments; pieces of one literal are one, up to a computed value."""
    arguments = [*call.args, *(each.value for each in call.keywords)]
    nodes = [node for each in arguments for node in ast.walk(each)]
    return [
        each.value
        for each in nodes
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]


def test_help_lines_use_the_words_of_the_field() -> None:
    sections = SCHEMA.sections().values()
    settings = [*(each for section in sections for each in section)]
    settings += settings_of(SpawnSettings).values()
    unclear = [
        f"{each.key}: {each.help_line}" for each in settings if UNCLEAR.search(each.help_line)
    ]
    assert not unclear, "\n".join(unclear)


def test_errors_use_the_words_of_the_field() -> None:
    names, count, unclear = error_names(), 0, []
    assert names >= {"ConfigurationError", "CheckpointError", "DeploymentError"}
    for path in product_sources():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names:
                count += 1
                found = [text for text in texts_of(node) if UNCLEAR.search(text)]
                unclear += [f"{shown(path)}:{node.lineno}: {text}" for text in found]
    assert count > 200
    assert not unclear, "\n".join(unclear)


@pytest.mark.parametrize(
    "call",
    [
        'ConfigurationError(f"{a} is wrong.", "The run goes " "on.")',
        'UserError("fine", remedy=f"Lower the step " f"size {b}.")',
    ],
)
def test_an_unclear_text_is_recognised(call: str) -> None:
    (node,) = (each for each in ast.walk(ast.parse(call)) if isinstance(each, ast.Call))
    assert any(UNCLEAR.search(text) for text in texts_of(node))


# Pages


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(text: str) -> set[str]:
    """The fragments that headings give, as code hosts make them."""
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_links_and_paths_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        if not linked.exists():
            wrong.append(target)
        elif fragment and fragment not in anchors(linked.read_text(encoding="utf-8")):
            wrong.append(target)
    roots = "|".join((*PACKAGES, "tasks", "tests", "benchmarks", "docs", "assets"))
    for path in re.findall(rf"`((?:{roots})/[\w./-]*)`", text):
        if path.startswith("docs/results") or (ROOT / path).exists():
            continue
        wrong.append(path)
    for program in re.findall(r"`([\w-]+\.(?:py|sh|toml|txt))`", text):
        if program not in ("utils.py", "misc.py", "common.py") and not list(known(program)):
            wrong.append(program)
    assert not wrong, f"{shown(page)} names what is not there: {wrong}"


def known(program: str) -> list[Path]:
    """Files of this name anywhere in the repository."""
    return [path for path in (ROOT / program, *sources()) if path.name == program and path.exists()]


def rooms() -> list[str]:
    """The paths that the tree in docs/architecture.md names, folders with a slash at the end."""
    block = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    parents: list[str] = []
    paths = []
    for line in block.strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        parents = [*parents[:depth], name]
        paths.append("".join(parents))
    return paths


def test_the_tree_of_the_architecture_page_is_the_tree() -> None:
    named = set(rooms())
    missing = {path for path in named if not (ROOT / path).exists()}
    assert not missing, f"docs/architecture.md names what is not there: {sorted(missing)}"
    modules = {shown(path) for path in product_sources() if path.name != "__init__.py"}
    detailed = {
        os.path.dirname(path.rstrip("/")) for path in named
    }  # folders whose files are named
    untold = {path for path in modules if os.path.dirname(path) in detailed} - named
    assert not untold, f"docs/architecture.md does not name {sorted(untold)}"


def test_the_flow_chart_is_what_its_source_draws(tmp_path: Path) -> None:
    from matplotlib.image import imread

    drawn = tmp_path / "chart.png"
    source = ROOT / "assets" / "images" / "flow_chart.py"
    subprocess.run([sys.executable, source, "--output", drawn], check=True, capture_output=True)
    new, kept = imread(drawn), imread(source.with_suffix(".png"))
    assert new.shape == kept.shape
    assert np.mean(np.abs(new - kept) > 0.1) < 1e-3, f"run python {shown(source)} again"
