"""Gradient steps as native code: plain torch, traced once, compiled ahead of time and kept on disk.

A gradient step of small networks is a hundred small operations, each of which costs torch more than its
arithmetic. `Step` traces a gradient (gather, loss, backward) on tensors whose memory stays where it is, and has
Inductor make one function of it. What is traced is what `--no-compile` runs. Matrix products and Adam are
native in themselves (linear.py, flat.py): parameters that change within a traced function are copied by it.
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

from agents.linear import OPERATIONS, own_products
from helpers.native import cache_folder
from helpers.processor import machine

_log = logging.getLogger(__name__)
Piece = Callable[[Mapping[str, Tensor]], None]
Run = Callable[[list[Tensor]], Any]
FORMAT = 2  # of what is kept on disk


class Step:
    """A function of named tensors that changes some of them in place, as native code.

    Args:
        name: for messages and the cache.
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

    def __call__(self, **inputs: Tensor) -> None:
        """Take the step. `inputs` replace tensors of the same names."""
        if inputs:
            if not inputs.keys() <= self.tensors.keys():
                raise KeyError(f"{self.name} has no {sorted(inputs.keys() - self.tensors.keys())}")
            self.tensors.update(inputs)
        if self._run is None:
            self._run = self._prepared()
        self._run(list(self.tensors.values()))

    def _prepared(self) -> Run:
        """The piece as a function of the list of tensors."""
        names, piece = list(self.tensors), self.piece

        def eager(tensors: list[Tensor]) -> None:
            piece(dict(zip(names, tensors, strict=True)))

        if not self.native:
            return eager
        try:
            return _compiled(self.name, eager, list(self.tensors.values()))
        except Exception as error:  # noqa: BLE001  # whatever it is, torch goes on, slower
            _log.warning(
                "%s could not be compiled, it runs in torch, several times slower: %s: %s",
                self.name,
                type(error).__name__,
                (str(error).strip().splitlines() or ["no more is known"])[0],
            )
            return eager


def _compiled(name: str, function: Run, tensors: list[Tensor]) -> Run:
    """The function as native code, from the disk or compiled now."""
    from torch.fx.experimental.proxy_tensor import make_fx

    examples = [tensor.clone() for tensor in tensors]
    with _one_thread(), own_products():
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
                inductor_configs={
                    "compile_threads": 1,
                    "cpp.threads": 1,
                    "aot_inductor.custom_ops_to_c_shims": {
                        operation: [declaration] for operation, declaration in OPERATIONS.values()
                    },
                },
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
