"""benchmarks/speed/index.py: tables of two kinds stand side by side, and pages quote the range over both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import index, replay
from benchmarks.speed.bars import AVX2, AVX512
from benchmarks.speed.program import RESULTS
from benchmarks.speed.report import page
from benchmarks.speed.rows import Rows
from tests.benchmarks.speed.test_speed import IDENTITY, MACHINE, PEER, SLOW_PEER, TWO, row

TITLE = "PPO, Hopper-v5, 2048 steps, minibatch 64"


def identity_of(kind_: str, instructions: str) -> dict[str, Any]:
    machine = {**MACHINE, "kind": kind_, "instruction_set": instructions}
    return {**IDENTITY, "machine": machine}


def kept(folder: Path, name: str, instructions: str, rate: float) -> None:
    """Rows of PPO of a kind, as `python -m benchmarks.speed` keeps them, and their page."""
    path = folder / f"speed-{name}.json"
    rows = Rows(path, identity_of(name, instructions))
    for contestant, figure in ((PEER, 10.0), (SLOW_PEER, 5.0), (TWO, rate)):
        rows.add(row(contestant, figure))
    path.with_suffix(".md").write_text(page(rows.rows, rows.identity, {}))


def test_a_second_kind_is_added_and_overwrites_nothing(tmp_path: Path) -> None:
    kept(tmp_path, "zen5-avx512", AVX512, 46.0)
    first = (tmp_path / "speed-zen5-avx512.json").read_bytes()
    kept(tmp_path, "zen3-avx2", AVX2, 51.0)
    assert (tmp_path / "speed-zen5-avx512.json").read_bytes() == first
    assert index.write(tmp_path) == [tmp_path / "speed.md", tmp_path / "speed.png"]
    text = (tmp_path / "speed.md").read_text()
    for name in ("zen5-avx512", "zen3-avx2"):
        assert f"[table](speed-{name}.md)" in text
    assert "| | | zen3-avx2 | zen5-avx512 | all kinds |" in text
    assert f"| {TITLE} | over the fastest other | 5.10 | 4.60 | 4.60 to 5.10 |" in text
    assert f"| {TITLE} | over Stable-Baselines3 | 10.20 | 9.20 | 9.20 to 10.20 |" in text


def test_every_program_has_its_ratios_in_the_index(tmp_path: Path) -> None:
    identity = identity_of("zen3-avx2", AVX2)
    of_replay = Rows(tmp_path / "speed_replay-zen3-avx2.json", identity)
    for name, rate in (
        ("SBX, all cores", 100.0),
        ("MiloZero, 2 workers", 210.0),
        ("matrix products alone, both cores", 300.0),
    ):
        of_replay.add(row(name, rate, work="SAC"))
    of_imitation = Rows(tmp_path / "speed_imitation-zen3-avx2.json", identity)
    of_imitation.add(row("sam", 70.0, work="SAM, 1 worker"))
    of_imitation.add(row("sac alone", 100.0, work="SAM, 1 worker"))
    of_native = Rows(tmp_path / "speed_native-zen3-avx2.json", identity)
    for name, least in (("native", 20.0), ("torch", 500.0)):
        figures = {"least_us": least, "median_us": least, "gflops": 60.0, "peak_gflops": 120.0}
        of_native.add({"round": 0, "work": "PPO", "contestant": name, **figures})
    index.write(tmp_path)
    text = (tmp_path / "speed.md").read_text()
    for line in (
        "| SAC | over the fastest other | 2.10 | 2.10 |",
        "| SAC | of the limit | 0.70 | 0.70 |",
        "| SAM, 1 worker | over its learner alone | 0.70 | 0.70 |",
        "| gradient step, PPO | native over torch | 25.00 | 25.00 |",
        "| gradient step, PPO | of a core's peak | 0.50 | 0.50 |",
    ):
        assert line in text


def test_a_page_quotes_the_range_between_its_marks(tmp_path: Path) -> None:
    kept(tmp_path, "zen5-avx512", AVX512, 46.0)
    kept(tmp_path, "zen3-avx2", AVX2, 51.0)
    quoting = tmp_path / "README.md"
    quoting.write_text(f"before\n{index.BEGIN}\nold\n{index.END}\nafter\n")
    assert quoting in index.write(tmp_path, [quoting])
    text = quoting.read_text()
    assert f"| {TITLE} | 4.60 to 5.10 | 9.20 to 10.20 |  |" in text
    assert "over the fastest other (SBX)" in text
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert quoting not in index.write(tmp_path, [quoting])  # as it was
    quoting.write_text("no marks")
    with pytest.raises(ValueError, match="no marks"):
        index.write(tmp_path, [quoting])


def test_without_rows_there_is_no_index(tmp_path: Path) -> None:
    assert index.write(tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_what_is_published_is_what_the_rows_say() -> None:
    kinds = index.gathered(RESULTS)
    remedy = "python -m benchmarks.speed --index"
    assert (RESULTS / "speed.md").read_text() == index.text(kinds, RESULTS), remedy
    for name in index.PAGES:
        text = (index.ROOT / name).read_text(encoding="utf-8")
        assert index.with_ranges(text, kinds) == text, remedy


def test_the_learners_that_replay_are_held_to_their_instruction_set() -> None:
    rows = [
        row("SBX, all cores", 100.0, work="SAC"),
        row("Stable-Baselines3, 1 thread", 50.0, work="SAC"),
        row("MiloZero, 2 workers", 198.0, work="SAC"),
        row("matrix products alone, both cores", 250.0, work="SAC"),
    ]
    assert [bar.verdict for bar in replay.bars(rows, AVX2)] == ["missed", "not measured"]
    assert [bar.verdict for bar in replay.bars(rows, AVX512)] == ["met", "not measured"]
    text = replay.page(rows, identity_of("zen3-avx2", AVX2), {})
    assert "| **SBX, all cores** | 100 | 1.00 |" in text
    assert "MiloZero has 0.79 of the floor." in text
