"""docs/metrics.md lists every metric once, with its unit and meaning."""

import re
from pathlib import Path

import pytest

from tests.metrics_page import listed_metrics, read_page

REPOSITORY = Path(__file__).parents[3]


def test_every_name_has_a_unit_and_a_meaning_and_is_listed_once():
    rows = read_page()
    names = [name for name, _, _ in rows]
    assert len(names) > 20 and len(names) == len(set(names))
    for name, unit, meaning in rows:
        assert re.fullmatch(r"[a-z_]+(/[a-z0-9_]+(_N)?)?", name), name
        assert unit and meaning, name


@pytest.mark.parametrize("source", ["orchestrator.py", *sorted(REPOSITORY.glob("agents/**/*.py"))])
def test_every_metric_that_the_code_spells_out_is_listed(source):
    text = (REPOSITORY / source).read_text()
    known = {name.split("/")[0] for name in listed_metrics() if "/" in name}
    spelt = re.findall(rf'"((?:{"|".join(sorted(known))})/[a-z_0-9]+)"', text)
    listed = listed_metrics() | {"critic/value"}
    assert set(spelt) <= listed, sorted(set(spelt) - listed)
