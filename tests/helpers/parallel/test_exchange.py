"""Sums through shared memory, under real MPI."""

import pytest

from tests.helpers.parallel.test_workers import needs_mpi, run
from tests.mpi.start import ROOT


@needs_mpi
@pytest.mark.parametrize("size", [2, 3, 4])
def test_sums_are_those_of_mpi(size: int) -> None:
    ended = run(size, "exchange_sums.py")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "all held\n", "")


@needs_mpi
def test_without_a_compiler_mpi_does_it(tmp_path) -> None:
    hidden = 'import sys\nsys.modules["ziglang"] = None\n'
    (tmp_path / "sitecustomize.py").write_text(hidden, encoding="utf-8")
    nothing = {"CC": "no-such-compiler", "PATH": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    ended = run(2, "workers_together.py", "2", **nothing)
    assert ended.returncode == 0, ended.stderr
    assert "no C compiler" in ended.stderr
