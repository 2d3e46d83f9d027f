"""No dead flags: what is declared is read somewhere, beyond where it is declared."""

import ast

import pytest

from agents.algorithms import ALGORITHMS
from agents.common_settings import ObservationSettings
from helpers.config.settings import settings_of
from tests.launch import ROOT

DECLARED = {key for kind in ALGORITHMS.values() for key in settings_of(kind)}
# acted on while the configuration is made
INSTRUCTIONS = set(settings_of(ObservationSettings)) | {"minimax_only"}


def attributes_read():
    """Names of all attributes that the product reads, and keys that `getattr` is given."""
    found = set()
    for path in ROOT.rglob("*.py"):
        relative = path.relative_to(ROOT)
        if relative.parts[0] in {".venv", ".peers", "tests", "benchmarks", "data"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.add(node.attr)
    return found


@pytest.fixture(scope="module")
def read():
    return attributes_read()


@pytest.mark.parametrize("key", sorted(DECLARED - INSTRUCTIONS))
def test_a_declared_setting_is_read(read, key):
    assert key in read
