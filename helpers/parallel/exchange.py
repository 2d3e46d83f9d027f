"""Sums over workers of one machine through memory that they share (helpers/parallel/kernels/exchange.h).

An all-reduce of a small policy's gradient takes MPI about 15 us, of which the data need 2; and memory is
reached from inside a kernel, so that a whole epoch of gradient steps is one call.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from helpers.machine.native import build

if TYPE_CHECKING:
    from mpi4py import MPI

LINE = 64  # bytes
SMALLEST = 1 << 16  # bytes of a slot


class Shared(ctypes.Structure):
    """`Exchange` of helpers/parallel/kernels/exchange.h."""

    _fields_ = [
        ("rank", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("capacity", ctypes.c_int64),
        ("mark", ctypes.c_int64),
        ("memory", ctypes.c_void_p),
        ("seconds", ctypes.c_double),
    ]


class Exchange:
    """Sums of float32 and float64 arrays; made and called by all workers together.

    Attributes:
        shared: what a kernel is given, by reference.
    """

    def __init__(self, communicator: MPI.Intracomm, library: ctypes.CDLL) -> None:
        """Use `connect`."""
        self._communicator = communicator
        self._sums = {"float32": library.sum_float32, "float64": library.sum_float64}
        for function in self._sums.values():
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
            function.restype = None
        self.shared = Shared(rank=communicator.rank, size=communicator.size)
        self._address = ctypes.addressof(self.shared)
        self.reserve(SMALLEST)

    @classmethod
    def connect(cls, communicator: MPI.Intracomm) -> Exchange | None:
        """The exchange of these workers; None if they are on several machines or have no compiler."""
        from mpi4py import MPI

        neighbours = MPI.Intracomm(communicator.Split_type(MPI.COMM_TYPE_SHARED))
        library = (
            build("helpers/parallel/kernels/exchange.c")
            if neighbours.size == communicator.size
            else None
        )
        able = np.array([library is not None], dtype=np.int64)
        communicator.Allreduce(MPI.IN_PLACE, able, op=MPI.MIN)
        return cls(neighbours, library) if able[0] and library is not None else None

    def reserve(self, size: int) -> None:
        """Make room for arrays of `size` bytes; collective."""
        from mpi4py import MPI

        if size <= self.shared.capacity:
            return
        capacity = -(-size // LINE) * LINE
        workers = self._communicator.size
        total = LINE * workers + 2 * (workers + 1) * capacity
        mine = total + LINE if self._communicator.rank == 0 else 0
        window = MPI.Win.Allocate_shared(mine, 1, comm=self._communicator)
        memory, _ = window.Shared_query(0)
        # Where it lies differs from worker to worker by whole pages: the same bytes are aligned on each.
        start = memory.address + -memory.address % LINE
        if self._communicator.rank == 0:
            ctypes.memset(start, 0, LINE * workers)
        self._communicator.Barrier()
        self._window = window  # an older one stays: freeing it would be one more collective
        self.shared.capacity, self.shared.memory, self.shared.mark = capacity, start, 0

    def takes(self, array: np.ndarray) -> bool:
        """Whether it can sum arrays of this dtype."""
        return array.dtype.name in self._sums

    def sum_(self, array: np.ndarray) -> None:
        """Replace a contiguous array that it takes by its sum."""
        self.reserve(array.nbytes)
        self._sums[array.dtype.name](self._address, array.ctypes.data, array.size)
