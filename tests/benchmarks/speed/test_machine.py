"""benchmarks/speed/machine.py: what a measurement says of its machine, and `--march`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from benchmarks.kernels import linear, native
from benchmarks.speed import __main__ as speed
from benchmarks.speed import imitation, replay
from benchmarks.speed.contestants import Contestant, environment
from benchmarks.speed.machine import compiler, hold, machine, machine_line
from helpers.machine.processor import LEVELS, VARIABLE, instruction_set, kind, levels

Main = Callable[[Sequence[str]], int]
LOWEST = "x86-64-v2"


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    with mock.patch.dict(os.environ):
        os.environ.pop(VARIABLE, None)
        yield


@pytest.mark.parametrize(
    "main",
    [speed.main, replay.main, imitation.main, native.main, linear.main],
    ids=lambda main: main.__module__,
)
def test_a_level_that_is_none_is_refused_in_two_lines(
    main: Main,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--march", "x86-64-v9"]) == 2
    problem, remedy = capsys.readouterr().err.splitlines()
    assert "--march=x86-64-v9 is no instruction set of this processor" in problem
    assert "give one of: native" in remedy


def test_a_level_that_this_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.speed.machine.levels", lambda: [LOWEST])
    with pytest.raises(Exception, match="x86-64-v4 is no instruction set") as caught:
        hold("x86-64-v4")
    assert caught.value.remedy.endswith("native, x86-64-v2")  # type: ignore[attr-defined]


def test_a_measurement_tells_processor_instructions_and_compiler() -> None:
    hold(None)
    found = machine("1")
    assert (found["kind"], found["instruction_set"]) == (kind(), instruction_set())
    assert (found["march"], found["compiler"]) == ("native", compiler())
    line = machine_line(found)
    assert found["cpu"] in line and found["kind"] in line and found["compiler"] in line


@pytest.mark.skipif(LOWEST not in levels(), reason="not an x86-64 processor with SSE4.2")
def test_everybody_is_held_to_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS"):
        monkeypatch.delenv(name, raising=False)  # which stay where they are set
    hold(LOWEST)
    assert instruction_set() == LEVELS[LOWEST][0] == "SSE4.2"
    given = environment()  # of our runs and of the peers'
    assert given[VARIABLE] == LOWEST
    assert given["ONEDNN_MAX_CPU_ISA"] == "SSE41"
    assert given["OPENBLAS_CORETYPE"] == "Nehalem"
    assert "--xla_cpu_max_isa=SSE4_2" in given["XLA_FLAGS"].split()
    assert given["TORCHINDUCTOR_CPP_MARCH"] == LOWEST
    assert "X86_V3" in given["NPY_DISABLE_CPU_FEATURES"]
    assert machine("1")["XLA_FLAGS"] == given["XLA_FLAGS"]


@pytest.mark.skipif(LOWEST not in levels(), reason="not an x86-64 processor with SSE4.2")
def test_two_levels_of_one_machine_go_to_files_of_their_own(tmp_path: Path) -> None:
    rates = {"SBX, all cores": 10.0, "MiloZero, 2 workers": 30.0}

    def contestant(name: str, rate: float) -> Contestant:
        library, how = name.split(", ")
        return Contestant(library, how, "", lambda work: {"steps_per_second": rate})

    program = replace(
        replay.PROGRAM,
        contestants=tuple(contestant(name, rate) for name, rate in rates.items()),
    )
    command = ["--works", "SAC", "--rounds", "1", "--folder", str(tmp_path)]
    highest = kind()
    assert program.main("", command) == 0
    first = (tmp_path / f"speed_replay-{highest}.json").read_bytes()
    assert program.main("", [*command, "--march", LOWEST]) == 0
    lower = kind()
    assert lower != highest
    kept = json.loads((tmp_path / f"speed_replay-{lower}.json").read_text())
    assert kept["identity"]["machine"]["march"] == LOWEST
    assert (tmp_path / f"speed_replay-{highest}.json").read_bytes() == first
    index = (tmp_path / "speed.md").read_text()
    assert all(f"[table](speed_replay-{each}.md)" in index for each in (highest, lower))
    assert "| SAC | over the fastest other | 3.00 | 3.00 | 3.00 |" in index
