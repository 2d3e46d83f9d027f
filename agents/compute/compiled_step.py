"""Gradient steps as native code: plain torch, traced once, compiled ahead of time and kept on disk.

A gradient step of small networks is a hundred small operations, each of which costs torch more than its
arithmetic. `CompiledStep` traces a gradient (gather, loss, backward) on tensors whose memory stays where it is, and has
Inductor make one function of it, in a process of its own (compile_jobs.py). What is traced is what `--no-compile`
runs, and what a step is measured against where it is first taken. Matrix products and Adam are native in themselves
(linear.py, flat.py): parameters that change within a traced function are copied by it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agents.compute.compile_jobs import JOBS
from agents.compute.linear import own_products
from helpers.errors import Stopped
from helpers.machine import choices
from helpers.machine.choices import NATIVE, TORCH
from helpers.machine.native import cache_folder
from helpers.machine.processor import instruction_set, machine

_log = logging.getLogger(__name__)
Piece = Callable[[Mapping[str, Tensor]], None]
Run = Callable[[list[Tensor]], Any]
FORMAT = 3  # of what is kept on disk
ROUNDS = 5  # calls of each kind, in turn, of which the fastest counts
# How far a tensor may lie from torch's: rounding, and now and then a sample of a minibatch on the other side of
# a minimum or a clip. What is compiled wrongly, or of something else, lies as far away as the tensor is large.
RELATIVE, ABSOLUTE = 1e-2, 1e-6


class CompiledStep:
    """A function of named tensors that changes some of them in place, as native code.

    Args:
        name: for messages and the cache; a run keeps its choice of native code or torch under it.
        piece: the function. It may branch on configuration, not on what a tensor holds.
        tensors: all that the piece reads and changes. Memory, shapes and dtypes stay; the caller
            writes inputs into them or hands others of the same form to `__call__`.
        native: whether to compile; otherwise the piece runs as it is.
    """

    def __init__(
        self,
        name: str,
        piece: Piece,
        tensors: Mapping[str, Tensor],
        *,
        native: bool,
    ) -> None:
        self.name, self.piece, self.native = name, piece, native
        self.tensors = dict(tensors)
        self._run: Run | None = None
        self._library: Path | None = None
        self._forms: list[str] = []  # that it was begun with
        self._trouble = ""

    def begin(self) -> None:
        """Let it be compiled while this process does something else; without it, the first step waits."""
        if not self.native or self._library or self._trouble or self._run:
            return
        if choices.preset(self.name) == TORCH:
            return
        try:
            self._forms = _forms(self.tensors.values())
            self._library = _begin_compiling(self.name, self._eager, list(self.tensors.values()))
        except Exception as error:  # noqa: BLE001  # whatever it is, torch is used instead, slower
            self._trouble = _describe(error)

    def __call__(self, **inputs: Tensor) -> None:
        """Take the step. `inputs` replace tensors of the same names.

        Raises:
            Stopped: a signal to stop has come while it was compiled; no step is taken.
        """
        if inputs:
            if not inputs.keys() <= self.tensors.keys():
                raise KeyError(f"{self.name} has no {sorted(inputs.keys() - self.tensors.keys())}")
            self.tensors.update(inputs)
        if self._run is None:
            self._run = self._prepare()
        self._run(list(self.tensors.values()))

    def _eager(self, tensors: list[Tensor]) -> None:
        self.piece(dict(zip(self.tensors, tensors, strict=True)))

    def _prepare(self) -> Run:
        """The piece as a function of the list of tensors."""
        if not self.native:
            return self._eager
        if self._forms != _forms(self.tensors.values()):  # not what is used after all
            self._library, self._trouble = None, ""
        self.begin()
        if self._library is None and not self._trouble:  # the run has chosen torch
            choices.choose(self.name, lambda: TORCH)
            return self._eager
        native, trouble = None, self._trouble
        if self._library is not None:
            trouble = self._wait(self._library)
            if not trouble:
                native, trouble = _load(self._library)
        if native is not None and self._library is not None:
            return self._choose(native, self._library)
        _log.warning(
            "%s could not be compiled, it runs in torch, several times slower: %s",
            self.name,
            trouble,
        )
        choices.choose(self.name, lambda: TORCH)
        return self._eager

    def _wait(self, library: Path) -> str:
        try:
            return JOBS.wait(library)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, torch is used instead, slower
            return _describe(error)

    def _choose(self, native: Run, library: Path) -> Run:
        """Native code, if it does what torch does and is not slower."""
        tensors = list(self.tensors.values())
        differing = _find_difference(native, self._eager, tensors)
        if differing is not None:
            _log.warning(
                "%s does not give torch's %s (%s): it runs in torch, and is compiled anew another time",
                self.name,
                list(self.tensors)[differing],
                library,
            )
            with contextlib.suppress(OSError):
                library.unlink()
            choices.choose(self.name, lambda: TORCH)
            return self._eager
        kept = library.with_suffix(".json")
        route = choices.choose(
            self.name,
            lambda: choices.cached(kept, lambda: _faster(native, self._eager, tensors)),
        )
        if route == NATIVE:
            return native
        _log.info("%s runs in torch, which is faster here than native code (%s)", self.name, kept)
        return self._eager


def begin(agent: Any) -> None:
    """Let be compiled what an agent's training needs, and say so in a line."""
    if hasattr(agent, "begin"):
        agent.begin()
        JOBS.announce()


def _begin_compiling(name: str, function: Run, tensors: list[Tensor]) -> Path:
    """Where the function's library is, or will be."""
    library = cache_folder() / f"{name.split()[0]}-{key_of(function, tensors)}.so"
    library.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not library.exists():
        JOBS.begin(partial(_trace, function, tensors), tensors, library)
    return library


def _trace(function: Run, tensors: Sequence[Tensor]) -> torch.fx.GraphModule:
    from torch.fx.experimental.proxy_tensor import make_fx  # imports Inductor, for seconds

    examples = [tensor.clone() for tensor in tensors]
    with _one_thread(), own_products():
        graph: torch.fx.GraphModule = make_fx(lambda *given: function(list(given)))(*examples)
    return graph


def key_of(function: Run, tensors: Sequence[Tensor]) -> str:
    """Names what the machine code depends on: operations, forms of the tensors, versions, processor.

    Nothing of it comes from the source of the function: names, lines and the rest of the program are free to change.
    """
    examples = [tensor.clone() for tensor in tensors]
    with _one_thread(), own_products(), Operations(examples) as operations:
        function(examples)
    made_for = [str(FORMAT), torch.__version__, instruction_set(), machine()]
    parts = [*operations.lines, *_forms(tensors), *made_for]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _forms(tensors: Iterable[Tensor]) -> list[str]:
    return [f"{t.dtype} {tuple(t.shape)} {t.stride()}" for t in tensors]


def _load(library: Path) -> tuple[Run | None, str]:
    """The function in a library, or why there is none; a damaged file is removed."""
    try:
        runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(library), 1)
    except RuntimeError as error:
        with contextlib.suppress(OSError):
            library.unlink()
        return None, _describe(error)
    return runner.run, ""


def _find_difference(native: Run, eager: Run, tensors: Sequence[Tensor]) -> int | None:
    """The first tensor in which native code and torch differ after a step from here; None: in none."""
    ours, torch_s = ([tensor.clone() for tensor in tensors] for _ in range(2))
    native(ours)
    eager(torch_s)
    for i, (mine, other) in enumerate(zip(ours, torch_s, strict=True)):
        if not mine.is_floating_point():
            # A choice may tip over where two values are equal but for rounding.
            if (mine != other).double().mean() > RELATIVE * 10:
                return i
            continue
        a, b = (torch.nan_to_num(each.double(), nan=1e30) for each in (mine, other))
        error, size = (each.square().mean().sqrt() for each in (a - b, b))
        if error > RELATIVE * size + ABSOLUTE:
            return i
    return None


def _faster(native: Run, eager: Run, tensors: Sequence[Tensor]) -> str:
    """Which of two routes takes less time, both warmed up, on copies of the tensors."""
    copies = [tensor.clone() for tensor in tensors]
    best = {NATIVE: float("inf"), TORCH: float("inf")}
    for _ in range(ROUNDS):
        for name, route in ((NATIVE, native), (TORCH, eager)):
            started = time.perf_counter()
            route(copies)
            best[name] = min(best[name], time.perf_counter() - started)
    return NATIVE if best[NATIVE] <= best[TORCH] else TORCH


def _describe(error: Exception) -> str:
    first = (str(error).strip().splitlines() or ["no more is known"])[0]
    return f"{type(error).__name__}: {first}"


class Operations(TorchDispatchMode):
    """Writes down what is done with some tensors, backward passes included, operation by operation.

    Attributes:
        lines: an operation each, with what it is given: results of earlier ones by number, constants by value.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._seen = list(tensors)  # kept, so that no other tensor gets the identity of one
        self._numbers = {id(tensor): number for number, tensor in enumerate(tensors)}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import it, for seconds

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do it, and write it down."""
        given = f"{self._describe(args)} {self._describe(kwargs or {})}"
        result = func(*args, **kwargs or {})
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, Tensor) and id(each) not in self._numbers:
                self._numbers[id(each)] = len(self._seen)
                self._seen.append(each)
        self.lines.append(f"{func} {given} -> {self._describe(result)}")
        return result

    def _describe(self, value: Any) -> str:
        if isinstance(value, Tensor):
            number = self._numbers.get(id(value))
            return f"{value.dtype} {value.tolist()}" if number is None else f"%{number}"
        if isinstance(value, tuple | list):
            return f"({', '.join(map(self._describe, value))})"
        if isinstance(value, dict):
            return str({name: self._describe(each) for name, each in value.items()})
        return repr(value)


class _one_thread:
    """Traced and compiled code is for one thread: a worker has one core."""

    def __enter__(self) -> None:
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *unused: object) -> None:
        torch.set_num_threads(self._threads)
