"""The workers of a run and what they do together, over MPI or alone.

A collective is called by every worker, in the same order, or none of them gets past it: whatever decides
whether to call one must be equal on all. Arrays travel as they lie in memory, everything else as JSON;
nothing is pickled.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import hashlib
import json
import os
import stat
import sys
import termios
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.errors import LaunchError
from helpers.parallel.exchange import Exchange
from helpers.parallel.launch import (
    Announcement,
    check_library,
    check_size,
    find_announcement,
    missing_mpi,
    note_launch,
)
from helpers.parallel.shared_memory import clear_leftovers
from helpers.parallel.stopwatch import Stopwatch

if TYPE_CHECKING:
    import torch
    from mpi4py import MPI

    Array = np.ndarray | torch.Tensor

_SHARED_DTYPES = frozenset({"float32", "float64", "int64", "uint8"})
_ROOT_SPEAKS_FIRST = 1.0  # seconds that the others wait: a launcher may end all when one has ended


class Workers:
    """One of `size` equal processes; worker 0 is the root.

    Arrays are numpy arrays or CPU tensors, contiguous, of float32, float64, int64 or uint8, equally
    shaped on every worker. Names that end in an underscore change them in place.

    Attributes:
        rank: of this worker, from 0.
        size: the number of workers.
        last_words: the same workers over a channel of its own, on which those that fail can find
            each other while the rest is still in the middle of something; None if alone.
        stopwatch: where this worker's time goes; collectives count themselves.
    """

    def __init__(self, communicator: MPI.Intracomm | None, *, last_words: Workers | None) -> None:
        """Use `Workers.connect()` or `Workers.solo()`."""
        self._communicator = communicator
        self.rank: int = communicator.rank if communicator is not None else 0
        self.size: int = communicator.size if communicator is not None else 1
        self.last_words = last_words
        self.stopwatch = Stopwatch()
        self._exchange: Exchange | None = None
        self._is_exchange_sought = False

    @classmethod
    def solo(cls) -> Workers:
        """The only worker; needs neither mpiexec nor mpi4py."""
        return cls(None, last_words=None)

    @classmethod
    def connect(cls) -> Workers:
        """All processes that the launcher started; without a launcher, `solo`.

        Raises:
            LaunchError: they were started so that MPI does not join them. The first process raises
                it; the others end with the same code and leave the word to it.
        """
        announcement = find_announcement()
        if announcement is None:
            note_launch()
            return cls.solo()
        try:
            world = _world(announcement)
        except LaunchError as error:
            if announcement.rank == 0:
                raise
            time.sleep(_ROOT_SPEAKS_FIRST)
            raise SystemExit(error.exit_code) from error
        if world.rank == 0:
            note_launch()
            clear_leftovers()
        if world.size == 1:
            return cls.solo()
        last_words = cls(world.Dup(), last_words=None)
        last_words._is_exchange_sought = True  # nothing new is set up when something has failed
        return cls(world.Dup(), last_words=last_words)

    @property
    def is_root(self) -> bool:
        """Whether this is worker 0, which writes what is written once."""
        return self.rank == 0

    @property
    def exchange(self) -> Exchange | None:
        """Sums through shared memory, if all workers are on one machine; collective the first time."""
        if not self._is_exchange_sought and self._communicator is not None:
            self._exchange = Exchange.connect(self._communicator)
        self._is_exchange_sought = True
        return self._exchange

    def share(self, count: int) -> slice:
        """The part of `count` things that is this worker's; the first workers take the remainder."""
        each, remainder = divmod(count, self.size)
        start = self.rank * each + min(self.rank, remainder)
        return slice(start, start + each + (self.rank < remainder))

    # Arrays

    def sum_(self, array: Array) -> None:
        """Replace every element by its sum over the workers, the same bits on each."""
        buffer = _buffer(array)
        if self.exchange is not None and self.exchange.takes(buffer):
            with self.stopwatch.allreduce:
                self.exchange.sum_(buffer)
        else:
            self._reduce_(array, "SUM")

    def max_(self, array: Array) -> None:
        """Replace every element by its largest value on any worker."""
        self._reduce_(array, "MAX")

    def broadcast_(self, array: Array, root: int = 0) -> None:
        """Replace the array by that of worker `root`."""
        buffer = _buffer(array)
        if self._communicator is not None:
            with self.stopwatch.allreduce:
                self._communicator.Bcast(buffer, root=root)

    def _reduce_(self, array: Array, operation: str) -> None:
        buffer = _buffer(array)
        if self._communicator is not None:
            from mpi4py import MPI

            with self.stopwatch.allreduce:
                self._communicator.Allreduce(MPI.IN_PLACE, buffer, op=getattr(MPI, operation))

    # Decisions and values

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true on any worker."""
        flags = np.array([flag], dtype=np.uint8)
        self.max_(flags)
        return bool(flags[0])

    def barrier(self) -> None:
        """Wait for every worker."""
        if self._communicator is not None:
            with self.stopwatch.allreduce:
                self._communicator.Barrier()

    def broadcast_json(self, value: Any) -> Any:
        """The root's value on every worker; the others' is not looked at.

        Like all JSON values here it has been through JSON once, on the root too: tuples are lists.
        """
        message = _encode(value) if self.is_root else np.empty(0, dtype=np.uint8)
        length = np.array([message.size], dtype=np.int64)
        self.broadcast_(length)
        if not self.is_root:
            message = np.empty(int(length[0]), dtype=np.uint8)
        self.broadcast_(message)
        return json.loads(message.tobytes())

    def gather_json(self, value: Any) -> list[Any] | None:
        """The values of all workers by rank, on the root; None on the others."""
        message = _encode(value)
        if self._communicator is None:
            return [json.loads(message.tobytes())]
        lengths = np.zeros(self.size, dtype=np.int64)
        lengths[self.rank] = message.size
        self.sum_(lengths)
        everything = np.empty(int(lengths.sum()), dtype=np.uint8) if self.is_root else None
        received = [everything, lengths.tolist()] if self.is_root else None
        with self.stopwatch.allreduce:
            self._communicator.Gatherv(message, received, root=0)
        return None if everything is None else _decode(everything, lengths)

    def allgather_json(self, value: Any) -> list[Any]:
        """The values of all workers by rank, on every worker."""
        values: list[Any] = self.broadcast_json(self.gather_json(value))
        return values

    def assert_in_sync(self, arrays: Mapping[str, Array]) -> None:
        """Compare arrays bit for bit, with their names, dtypes and shapes, over all workers.

        Raises:
            RuntimeError: on every worker, naming the first array that differs, and where.
        """
        digests = self.allgather_json({name: _digest(arrays[name]) for name in arrays})
        for name in dict.fromkeys(name for each in digests for name in each):
            differing = [
                w for w in range(self.size) if digests[w].get(name) != digests[0].get(name)
            ]
            if differing:
                numbers = ", ".join(map(str, differing))
                raise RuntimeError(f"{name} is not that of worker 0 on worker {numbers}")

    # The end

    def all_end(self, *, patience: float) -> bool:
        """Whether every worker calls this within `patience` seconds of this one.

        Called on `last_words` by a worker that has failed. True: it was a collective failure, and
        collectives on this channel work. False: the others go on, unknowing, until `abort`.
        """
        if self._communicator is None:
            return True
        from mpi4py import MPI

        deadline = time.monotonic() + patience
        try:
            request = self._communicator.Ibarrier()
            while not (together := request.Test()) and time.monotonic() < deadline:
                time.sleep(0.01)
        except MPI.Exception:  # MPI itself is what failed
            return False
        return together

    def abort(self, code: int) -> None:
        """End the processes of all workers, now, with this exit code."""
        with contextlib.suppress(OSError, ValueError):  # closed; the others still have to end
            sys.stdout.flush()
            sys.stderr.flush()
        if self._communicator is None:
            os._exit(code)
        from mpi4py import MPI

        _wait_until_read(2)
        # What is to be said has been said: the library's own line about MPI_Abort is not for users.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        # Of the world: for a duplicate of it, MPICH's mpiexec now and then gives 9 instead of the code.
        MPI.COMM_WORLD.Abort(code)


def _wait_until_read(descriptor: int, *, patience: float = 2.0) -> None:
    """Wait until the launcher has taken what was written into a pipe: an abort would throw it away."""
    unread = array.array("i", [0])
    deadline = time.monotonic() + patience
    with contextlib.suppress(OSError):  # no pipe: nothing gets lost in it
        while time.monotonic() < deadline:
            if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                return
            fcntl.ioctl(descriptor, termios.FIONREAD, unread)
            if unread[0] == 0:
                break
            time.sleep(0.005)
        time.sleep(0.05)  # and until it has passed it on


def _world(announcement: Announcement) -> MPI.Intracomm:
    """MPI's world of all processes, if it is the one that the launcher announced.

    Raises:
        LaunchError: it is not.
    """
    try:
        import mpi4py

        if "mpi4py.MPI" not in sys.modules:
            # Initialised below, after the check: under a foreign launcher MPI_Init may end the process.
            mpi4py.rc(initialize=False, finalize=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of what is refused below, in words
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: no MPI library behind mpi4py
        raise missing_mpi(announcement, str(error).splitlines()[0]) from error
    if not MPI.Is_initialized():
        check_library(announcement, MPI.get_vendor()[0], MPI.Get_library_version())
        # With this thread level MPICH yields while it waits. With a lower one it saves 7 us an
        # all-reduce, and wastes 60 ms of each as soon as there are more busy processes than cores.
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
    check_size(announcement, MPI.COMM_WORLD.size)
    return MPI.COMM_WORLD


def _buffer(array: Array) -> np.ndarray:
    """The array's memory as numpy sees it, shared, not copied.

    Raises:
        TypeError: MPI cannot be handed such an array.
    """
    values: np.ndarray = array if isinstance(array, np.ndarray) else array.detach().numpy()
    if values.dtype.name not in _SHARED_DTYPES or not values.flags.c_contiguous:
        raise TypeError(
            f"workers share contiguous arrays of {', '.join(sorted(_SHARED_DTYPES))}, "
            f"not {values.dtype} with strides {values.strides}",
        )
    return values


def _digest(array: Array) -> str:
    """sha256 over dtype, shape and bytes."""
    values = array
    if not isinstance(values, np.ndarray):
        values = values.detach().cpu().contiguous()
        values = values.reshape(-1).view(dtype=_torch_uint8()).numpy()
    digest = hashlib.sha256(f"{array.dtype} {tuple(array.shape)}\n".encode())
    digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _torch_uint8() -> torch.dtype:
    import torch

    return torch.uint8


def _encode(value: Any) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def _decode(messages: np.ndarray, lengths: Sequence[int] | np.ndarray) -> list[Any]:
    ends = np.cumsum(lengths)
    return [
        json.loads(messages[end - length : end].tobytes())
        for end, length in zip(ends, lengths, strict=True)
    ]
