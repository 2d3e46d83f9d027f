"""A policy as an ONNX file, by torch's exporter, and acting by it with onnxruntime.

Opset 18 and IR version 10: onnxruntime 1.20 (2024) and later load them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.errors import CheckpointError

if TYPE_CHECKING:
    from agents.weights.architecture import Network

OPSET, IR_VERSION = 18, 10
BATCH = "batch"  # the name of the dynamic first dimension


def write_onnx(network: Network, path: Path, *, output: str) -> None:
    """Write `network` with its inputs (batch, size) by their names.

    Args:
        network: from `agents.weights.architecture`.
        path: the file.
        output: the name of what it gives.
    """
    import onnx
    import torch

    sizes = network.architecture.sizes
    forms = tuple(torch.zeros(2, size, dtype=network.dtype) for size in sizes.values())
    free = {0: torch.export.Dim(BATCH)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own use of torch
        program = torch.onnx.export(
            network.eval(),
            forms,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(sizes),
            output_names=[output],
            dynamic_shapes=(tuple(free for _ in forms),),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget_origin(model)
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _forget_origin(model: Any) -> None:
    """Drop what the exporter notes beside the graph: paths and lines of the machine that it ran on."""
    graph = model.graph
    for each in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del each.metadata_props[:]
    for each in graph.initializer:
        del each.metadata_props[:]


class OnnxModel:
    """Runs an ONNX file on one thread; large batches, too.

    Raises:
        CheckpointError: onnxruntime does not take the file.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(),
                options,
                providers=["CPUExecutionProvider"],
            )
        except (OSError, onnxruntime.capi.onnxruntime_pybind11_state.Fail, RuntimeError) as error:
            raise CheckpointError(
                f"{path} cannot be run: {' '.join(str(error).split())[:200]}.",
                "Export the policy again, or install a newer onnxruntime.",
            ) from error
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """What the model gives (B, ...) for its inputs (B, size), in their order and of their dtype."""
        given = dict(zip(self._names, inputs, strict=True))
        (result,) = self._session.run(None, given)
        return np.asarray(result)
