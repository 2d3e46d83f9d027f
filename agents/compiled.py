"""Gradient steps as native code: plain torch, traced once, compiled ahead of time and kept on disk.

A gradient step of small networks is a hundred small operations, each of which costs torch more than its
arithmetic. `Steps` traces the whole of it (gather, loss, backward, clipping, Adam) on tensors whose memory
stays where it is, and has Inductor make one function of it. What is traced is what `--no-compile` runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helpers.native import cache_folder, machine
from helpers.workers import Workers

_log = logging.getLogger(__name__)
Piece = Callable[[Mapping[str, Tensor]], None]
Run = Callable[[list[Tensor]], Any]
FORMAT = 1  # of what is kept on disk
_taught: set[Any] = set()


class Steps:
    """A gradient step made of pieces; between two of them, the workers sum a gradient.

    A lone worker runs all pieces as one function, several workers one function a piece.

    Args:
        name: for messages and the cache.
        pieces: functions of named tensors that change some of them in place and return nothing.
            They may branch on configuration, not on what a tensor holds.
        tensors: all that the pieces read and change. Memory, shapes and dtypes stay; the caller
            writes inputs into them or hands others of the same form to `__call__`.
        sums: after each piece but the last, the tensors that are summed over the workers.
        workers: who take part.
        native: whether to compile; otherwise the pieces run as they are.
    """

    def __init__(
        self,
        name: str,
        pieces: Sequence[Piece],
        tensors: Mapping[str, Tensor],
        *,
        sums: Sequence[Sequence[str]],
        workers: Workers,
        native: bool,
    ) -> None:
        assert len(sums) == len(pieces) - 1
        self.name, self.workers, self.native = name, workers, native
        self.tensors = dict(tensors)
        self._sums = sums
        alone = workers.size == 1
        self._pieces = [_in_turn(pieces)] if alone else list(pieces)
        self._runs: list[Run] = []

    def __call__(self, **inputs: Tensor) -> None:
        """Take the step; collective. `inputs` replace tensors of the same names."""
        if not inputs.keys() <= self.tensors.keys():
            raise KeyError(f"{self.name} has no {sorted(inputs.keys() - self.tensors.keys())}")
        self.tensors.update(inputs)
        if not self._runs:
            self._runs = [self._prepared(i) for i in range(len(self._pieces))]
        tensors = list(self.tensors.values())
        for i, run in enumerate(self._runs):
            run(tensors)
            if i < len(self._runs) - 1:
                for name in self._sums[i]:
                    self.workers.sum_(self.tensors[name])

    def _prepared(self, number: int) -> Run:
        """A piece as a function of the list of tensors."""
        names, piece = list(self.tensors), self._pieces[number]

        def eager(tensors: list[Tensor]) -> None:
            piece(dict(zip(names, tensors, strict=True)))

        if not self.native:
            return eager
        part = f" ({number + 1} of {len(self._pieces)})" if len(self._pieces) > 1 else ""
        try:
            return _compiled(f"{self.name}{part}", eager, list(self.tensors.values()))
        except Exception as error:  # noqa: BLE001  # whatever it is, torch goes on, slower
            _log.warning(
                "%s%s could not be compiled, it runs in torch, several times slower: %s: %s",
                self.name,
                part,
                type(error).__name__,
                (str(error).strip().splitlines() or ["no more is known"])[0],
            )
            return eager


def _in_turn(pieces: Sequence[Piece]) -> Piece:
    def all_of_them(tensors: Mapping[str, Tensor]) -> None:
        for piece in pieces:
            piece(tensors)

    return all_of_them


def _compiled(name: str, function: Run, tensors: list[Tensor]) -> Run:
    """The function as native code, from the disk or compiled now."""
    from torch.fx.experimental.proxy_tensor import make_fx

    _let_inductor_use_onednn()
    examples = [tensor.clone() for tensor in tensors]
    with _one_thread():
        graph = make_fx(lambda *given: function(list(given)))(*examples)
    path = cache_folder() / f"{name.split()[0]}-{_key(graph, tensors)}.pt2"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _log.info("compiling %s, once on this machine: some 10 s", name)
        started = time.perf_counter()
        # One worker of a machine compiles, the others wait for it and load.
        with open(path.with_suffix(".lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                _compile(graph, tensors, path)
        _log.info("compiled %s in %.0f s", name, time.perf_counter() - started)
    return torch._inductor.aoti_load_package(str(path)).loader.run


def _key(graph: torch.fx.GraphModule, tensors: Sequence[Tensor]) -> str:
    """Names what the machine code depends on: operations, forms of the tensors, versions, processor."""
    names = [str(node.target) for node in graph.graph.nodes if node.op == "get_attr"]
    constants = [f"{name} {getattr(graph, name).tolist()}" for name in names]
    forms = [f"{t.dtype} {tuple(t.shape)} {t.stride()}" for t in tensors]
    parts = [str(FORMAT), str(graph.graph), *constants, *forms, torch.__version__, machine()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _compile(graph: torch.fx.GraphModule, tensors: list[Tensor], path: Path) -> None:
    """Compile ahead of time; the package is whole or not there."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about its own code
        before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        try:
            exported = torch.export.export(graph, tuple(tensors))
            made = torch._inductor.aoti_compile_and_package(
                exported,
                package_path=f"{folder}/made.pt2",
                inductor_configs={"compile_threads": 1, "cpp.threads": 1},
            )
            Path(str(made)).rename(path)
        finally:
            if before is None:
                del os.environ["TORCHINDUCTOR_CACHE_DIR"]
            else:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


class _one_thread:
    """Traced and compiled code is for one thread: a worker has one core."""

    def __enter__(self) -> None:
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *unused: object) -> None:
        torch.set_num_threads(self._threads)


def _let_inductor_use_onednn() -> None:
    """Let a traced oneDNN product be compiled to a call of oneDNN.

    Inductor itself takes that operation only with weights that never change, which it packs.
    """
    from torch._inductor import ir, lowering, mkldnn_ir

    operation = torch.ops.mkldnn._linear_pointwise.default
    if operation in _taught:
        return

    def product(x: Any, weight: Any, bias: Any, attr: str, scalars: Any, algorithm: Any) -> Any:
        realize = ir.ExternKernel.realize_input
        inputs = [realize(x), realize(weight)]
        for matrix in inputs:
            matrix.freeze_layout()
        constants = [attr, scalars or [-1], algorithm]
        if bias is None:
            constants.insert(0, None)
        else:
            inputs.append(ir.ExternKernel.require_contiguous(realize(bias)))
        size = [x.get_size()[0], weight.get_size()[0]]
        layout = ir.FixedLayout(device=x.get_device(), dtype=x.get_dtype(), size=size)
        return ir.TensorBox.create(mkldnn_ir.LinearUnary(layout, inputs, constants))

    lowering.register_lowering(operation, type_promotion_kind=None)(product)
    _taught.add(operation)
