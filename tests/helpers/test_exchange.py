"""Sums through shared memory, under real MPI."""

import pytest

from tests.helpers.test_workers import needs_mpi, run


@needs_mpi
@pytest.mark.parametrize("size", [2, 3, 4])
def test_sums_are_those_of_mpi(size: int) -> None:
    ended = run(size, "exchange_sums.py")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "all held\n", "")


@needs_mpi
def test_without_a_compiler_mpi_does_it(tmp_path) -> None:
    ended = run(2, "workers_together.py", "2", CC="no-such-compiler", PATH=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert "no C compiler" in ended.stderr
