"""PPO's gradient step in C (kernels/ppo.c), for two separate tanh perceptrons in float32."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.flat import FlatAdam, FlatParameters
from agents.native import aligned, build
from agents.networks import Critic, GaussianActor
from agents.normalizer import ObservationNormalizer
from helpers.workers import Workers

MAX_LAYERS = 10
POINTER, INT, FLOAT, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_double


class Net(ctypes.Structure):
    """A perceptron: widths, and where its parameters lie in the flat vector."""

    _fields_ = [
        ("layers", INT),
        ("sizes", INT * (MAX_LAYERS + 1)),
        ("weights", INT * MAX_LAYERS),
        ("biases", INT * MAX_LAYERS),
    ]


DATA = (
    "policy_input",
    "value_input",
    "action",
    "old_log_prob",
    "advantage",
    "target",
    "old_value",
    "choice",
)
SETTINGS = (
    "clip_ratio",
    "value_clip",
    "baseline_scale",
    "entropy_scale",
    "clip_norm",
    "epsilon",
)


class Job(ctypes.Structure):
    """What the kernel works on; the order of the fields is that of kernels/ppo.c."""

    _fields_ = [
        *[(name, POINTER) for name in ("parameters", "gradients", "moment1", "moment2")],
        ("size", INT),
        ("policy_size", INT),
        ("policy", Net),
        ("value", Net),
        ("log_std", INT),
        *[(name, POINTER) for name in DATA],
        *[(name, FLOAT) for name in SETTINGS],
        ("work", POINTER),
    ]


def native_steps(
    actor: nn.Module,
    critic: Critic,
    *,
    parameters: FlatParameters,
    optimizer: FlatAdam,
    config: Any,
    workers: Workers,
) -> NativeSteps | None:
    """The kernel behind PPO's epochs; None where it does not apply or cannot be built."""
    fits = (
        config.compile
        and parameters.values.dtype == torch.float32
        and not config.shared_value
        and not config.layer_norm
        and max(len(_linears(actor)), len(_linears(critic))) <= MAX_LAYERS
    )
    library = build("ppo") if fits else None
    if library is None:
        return None
    return NativeSteps(library, actor, critic, parameters, optimizer, config, workers)


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


class NativeSteps:
    """Epochs of gradient steps, log-probabilities and the acting policy's head, in C."""

    def __init__(
        self,
        library: ctypes.CDLL,
        actor: nn.Module,
        critic: Critic,
        parameters: FlatParameters,
        optimizer: FlatAdam,
        config: Any,
        workers: Workers,
    ) -> None:
        self.library, self.workers = library, workers
        self.parameters, self.optimizer = parameters, optimizer
        self.outputs = _linears(actor)[-1].out_features
        self._start = parameters.values.data_ptr()
        self._job = Job(
            parameters=self._start,
            gradients=parameters.gradients.data_ptr(),
            moment1=optimizer.moment1.data_ptr(),
            moment2=optimizer.moment2.data_ptr(),
            size=len(parameters.values),
            policy_size=parameters.segments["policy"].stop,
            policy=self._net(actor),
            value=self._net(critic),
            log_std=self._offset(actor.log_std) if isinstance(actor, GaussianActor) else -1,
            clip_ratio=config.clip_ratio,
            value_clip=config.value_clip,
            baseline_scale=config.baseline_scale,
            entropy_scale=config.p_ent_reg_scale,
            clip_norm=config.clip_norm,
            epsilon=FlatAdam.EPSILON,
        )
        job = ctypes.POINTER(Job)
        library.work_size.restype, library.work_size.argtypes = INT, [job, INT]
        library.gradient.argtypes = [job, POINTER, INT, INT, POINTER]
        library.apply.restype, library.apply.argtypes = FLOAT, [job, INT, DOUBLE, DOUBLE]
        library.epoch.argtypes = [job, POINTER, INT, INT, INT, DOUBLE, DOUBLE, POINTER]
        library.log_probs.argtypes = [job, POINTER, INT, INT, POINTER]
        library.act.argtypes = [job, POINTER, INT, POINTER, POINTER, FLOAT, POINTER]
        self._work = np.empty(0, dtype=np.float32)
        self._batch = 0

    def _offset(self, parameter: Tensor) -> int:
        return (parameter.data_ptr() - self._start) // 4

    def _net(self, module: nn.Module) -> Net:
        layers = _linears(module)
        sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
        return Net(
            layers=len(layers),
            sizes=(INT * (MAX_LAYERS + 1))(*sizes),
            weights=(INT * MAX_LAYERS)(*(self._offset(layer.weight) for layer in layers)),
            biases=(INT * MAX_LAYERS)(*(self._offset(layer.bias) for layer in layers)),
        )

    def _reserve(self, batch: int) -> None:
        """Work space for batches up to this size."""
        if batch > self._batch:
            self._work = aligned(self.library.work_size(self._job, batch))
            self._job.work, self._batch = self._work.ctypes.data, batch

    def _bind(self, data: Mapping[str, Tensor]) -> None:
        """Let the job point at the rollout; `data` must live on until the call is over."""
        for name in DATA[:-1]:
            if name in data:
                setattr(self._job, name, data[name].data_ptr())
        self._job.choice = data["action"].data_ptr()

    def log_probs(self, data: Mapping[str, Tensor], order: Tensor) -> Tensor:
        """Log-probabilities (T * N,) of the rollout's actions."""
        count, batch = order.shape
        self._reserve(batch)
        self._bind(data)
        result = torch.empty(order.numel())
        self.library.log_probs(self._job, order.data_ptr(), count, batch, result.data_ptr())
        return result

    def epoch(
        self,
        data: Mapping[str, Tensor],
        order: Tensor,
        *,
        batch_size: int,
        step_sizes: Mapping[str, float],
    ) -> Tensor:
        """A step on each minibatch of `order` (M, b); this worker's share of the metrics (M, 6)."""
        count, batch = order.shape
        self._reserve(batch)
        self._bind(data)
        metrics = np.empty((count, 6), dtype=np.float32)
        sizes = (step_sizes["policy"], step_sizes["value"])
        start, row = order.data_ptr(), metrics.ctypes.data
        if self.workers.size == 1:
            step = self.optimizer.steps + 1
            self.library.epoch(self._job, start, count, batch, step, *sizes, row)
        else:
            gradients = self.parameters.gradients.numpy()
            for i in range(count):
                at = start + 8 * i * batch
                self.library.gradient(self._job, at, batch, batch_size, row + 24 * i)
                self.workers.sum_(gradients)
                norm = self.library.apply(self._job, self.optimizer.steps + 1 + i, *sizes)
                metrics[i, 5] = norm / self.workers.size
        self.optimizer.steps += count
        return torch.from_numpy(metrics)

    def head(
        self,
        observations: np.ndarray,
        normalizer: ObservationNormalizer | None,
    ) -> np.ndarray:
        """The policy's mean or logits (N, outputs) for raw float32 observations (N, obs_dim)."""
        batch, inputs = observations.shape
        self._reserve(batch)
        if normalizer is None:
            zeros_and_ones = np.repeat(np.array([[0.0], [1.0]], np.float32), inputs, axis=1)
            (offset, scale), limit = zeros_and_ones, float("inf")
        else:
            offset, scale, limit = normalizer.offset, normalizer.scale, normalizer.CLIP
        result = np.empty((batch, self.outputs), dtype=np.float32)
        self.library.act(
            self._job,
            observations.ctypes.data,
            batch,
            offset.ctypes.data,
            scale.ctypes.data,
            limit,
            result.ctypes.data,
        )
        return result
