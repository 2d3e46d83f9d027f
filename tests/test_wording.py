"""What people read: help and errors in the field's words, pages whose links and paths exist."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agents.algorithms import SCHEMA
from helpers.config.settings import settings_of
from swarm.flags.spawn_settings import SpawnSettings
from tests.sources import PACKAGES, ROOT, product_sources, shown, sources, tree_of

# What help and errors say in other words: number of, resume, learned, target network, learning rate.
UNCLEAR = re.compile(
    r"\b(so many|go(es)? on|going on|gone on|hardly|whoever|learnt|slow (network|critic|cop(y|ies))s?|step sizes?)\b",
    re.IGNORECASE,
)


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


def test_comments_and_docstrings_use_the_words_of_the_field() -> None:
    """What a reader of the code meets: number of, resume or continue, rather than "so many", "goes on", "whoever"."""
    unclear = []
    for path in product_sources():
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [number for number, line in enumerate(lines, 1) if UNCLEAR.search(line)]
        unclear += [f"{shown(path)}:{number}: {lines[number - 1].strip()}" for number in found]
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
