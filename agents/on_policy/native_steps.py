"""PPO's gradient step in C (kernels/ppo.c), for two separate perceptrons of tanh or ReLU in float32."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.nn.actors import Critic, GaussianActor, MultiCategoricalActor
from agents.nn.normalizer import ObservationNormalizer
from agents.on_policy.config import PPOConfig
from agents.on_policy.torch_steps import KL, NORM, TorchSteps
from helpers.machine.native import aligned_empty, build
from helpers.parallel.workers import Workers

MAX_LAYERS = 10
KINDS = ("tanh", "relu")  # activations by their numbers in kernels/perceptron.h
CHUNK = 256  # rows that values are computed of at a time
POINTER, INT, FLOAT, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_double


class Net(ctypes.Structure):
    """A perceptron: its activation, widths, and where its parameters lie in the flat vector."""

    _fields_ = [
        ("activation", INT),
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
        ("acting", POINTER),
    ]


def native_steps(
    actor: nn.Module,
    critic: Critic,
    *,
    parameters: FlatParameters,
    optimizer: FlatAdam,
    config: PPOConfig,
    workers: Workers,
    in_torch: TorchSteps | None = None,
) -> NativeSteps | None:
    """The kernel behind PPO's epochs, in place of `in_torch`; None where it does not apply or cannot be built."""
    fits = (
        config.compile
        and parameters.values.dtype == torch.float32
        and not config.shared_value
        and not config.layer_norm
        and {config.p_activation, config.v_activation} <= set(KINDS)
        and not isinstance(actor, MultiCategoricalActor)
        and not (isinstance(actor, GaussianActor) and actor.log_std is None)
        and config.log_std_min is config.log_std_max is None
        and max(len(_linears(actor)), len(_linears(critic))) <= MAX_LAYERS
    )
    library = build("agents/on_policy/kernels/ppo.c") if fits else None
    if library is None:
        return None
    parts: tuple[Any, ...] = (parameters, optimizer, config, workers, in_torch)
    return NativeSteps(library, actor, critic, *parts)


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


class NativeSteps:
    """Epochs of gradient steps, values, advantages and the acting policy, in C.

    Attributes:
        names: of a step's metrics.
        in_torch: the same in torch, by which this is checked (guard.py).
        is_checked: whether it was.
    """

    names = (
        "policy/loss",
        "value/loss",
        "policy/entropy",
        KL,
        "policy/clip_fraction",
        NORM,
    )

    def __init__(
        self,
        library: ctypes.CDLL,
        actor: nn.Module,
        critic: Critic,
        parameters: FlatParameters,
        optimizer: FlatAdam,
        config: PPOConfig,
        workers: Workers,
        in_torch: TorchSteps | None,
    ) -> None:
        self.library, self.workers = library, workers
        self.in_torch, self.is_checked = in_torch, False
        self.parameters, self.optimizer = parameters, optimizer
        self.outputs = _linears(actor)[-1].out_features
        self._start = parameters.values.data_ptr()
        self._is_gaussian = isinstance(actor, GaussianActor)
        log_std = actor.log_std if isinstance(actor, GaussianActor) else None
        self._job = Job(
            parameters=self._start,
            gradients=parameters.gradients.data_ptr(),
            moment1=optimizer.moment1.data_ptr(),
            moment2=optimizer.moment2.data_ptr(),
            size=len(parameters.values),
            policy_size=parameters.segments["policy"].stop,
            policy=self._net(actor, config.p_activation),
            value=self._net(critic, config.v_activation),
            log_std=-1 if log_std is None else self._offset(log_std),
            clip_ratio=config.clip_ratio,
            value_clip=config.value_clip,
            baseline_scale=config.baseline_scale,
            entropy_scale=config.p_ent_reg_scale,
            clip_norm=config.clip_norm,
            epsilon=optimizer.epsilon,
        )
        job = ctypes.POINTER(Job)
        signatures = {
            "gradient": [job, POINTER, INT, INT, POINTER],
            "apply": [job, INT, DOUBLE, DOUBLE],
            "epoch": [job, POINTER, POINTER, INT, INT, INT, INT, DOUBLE, DOUBLE, POINTER],
            "log_probs": [job, POINTER, INT, INT, POINTER],
            "values": [job, POINTER, INT, INT, POINTER],
            "gae": [*[POINTER] * 5, INT, INT, FLOAT, FLOAT, POINTER],
            "prepare_to_act": [job, INT],
            "act": [job, POINTER, INT, INT, POINTER, POINTER, FLOAT, POINTER, POINTER],
        }
        for name, arguments in signatures.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, None
        library.apply.restype = FLOAT
        library.work_size.restype, library.work_size.argtypes = INT, [job, INT]
        self._work, self._acting = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32)
        self._batch = self._prepared = 0
        self._global_batch = config.batch_size
        self._gamma, self._lambda = config.gamma, config.gae_lambda
        inputs = self._job.policy.sizes[0]
        self._seen, self._seen_at = np.empty((0, inputs), dtype=np.float32), 0
        self._plain = np.repeat(np.array([[0.0], [1.0]], np.float32), inputs, axis=1)
        self._identity = (*(row.ctypes.data for row in self._plain), float("inf"))

    def _offset(self, parameter: Tensor) -> int:
        return (parameter.data_ptr() - self._start) // 4

    def _net(self, module: nn.Module, activation: str) -> Net:
        layers = _linears(module)
        sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
        return Net(
            activation=KINDS.index(activation),
            layers=len(layers),
            sizes=(INT * (MAX_LAYERS + 1))(*sizes),
            weights=(INT * MAX_LAYERS)(*(self._offset(layer.weight) for layer in layers)),
            biases=(INT * MAX_LAYERS)(*(self._offset(layer.bias) for layer in layers)),
        )

    def _reserve(self, batch: int) -> None:
        """Work space for batches up to this size."""
        if batch > self._batch:
            self._work = aligned_empty(self.library.work_size(self._job, batch))
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

    def gradient(self, data: Mapping[str, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
        """This worker's share of a minibatch's gradient (P,), and of its metrics (6,), the last of them 0."""
        self._reserve(len(index))
        self._bind(data)
        metrics = torch.zeros(6)
        at, batch = index.data_ptr(), len(index)
        self.library.gradient(self._job, at, batch, self._global_batch, metrics.data_ptr())
        return self.parameters.gradients.clone(), metrics

    def apply(self, learning_rates: Mapping[str, float]) -> None:
        """The next step of Adam along `parameters.gradients`; it is not counted."""
        rates = (learning_rates["policy"], learning_rates["value"])
        self.library.apply(self._job, self.optimizer.steps + 1, *rates)

    def epoch(
        self,
        data: Mapping[str, Tensor],
        order: Tensor,
        learning_rates: Mapping[str, float],
    ) -> Tensor:
        """A step on each minibatch of `order` (M, b); this worker's share of the metrics (M, 6)."""
        count, batch = order.shape
        self._reserve(batch)
        self._bind(data)
        metrics = np.empty((count, 6), dtype=np.float32)
        rates = (learning_rates["policy"], learning_rates["value"])
        start, row = order.data_ptr(), metrics.ctypes.data
        step, exchange = self.optimizer.steps + 1, self.workers.exchange
        gradients = self.parameters.gradients.numpy()
        if self.workers.size == 1 or exchange is not None:
            address = None
            if exchange is not None:
                exchange.reserve(gradients.nbytes)
                address = ctypes.addressof(exchange.shared)
                exchange.shared.seconds = 0.0
            self.library.epoch(
                self._job,
                address,
                start,
                count,
                batch,
                self._global_batch,
                step,
                *rates,
                row,
            )
            if exchange is not None:
                seconds = exchange.shared.seconds
                self.workers.stopwatch.add("allreduce", seconds, calls=count)
        else:
            for i in range(count):
                at = start + 8 * i * batch
                self.library.gradient(self._job, at, batch, self._global_batch, row + 24 * i)
                self.workers.sum_(gradients)
                norm = self.library.apply(self._job, step + i, *rates)
                metrics[i, 5] = norm / self.workers.size
        self.optimizer.steps += count
        self.forget()
        return torch.from_numpy(metrics)

    def values(self, inputs: Tensor) -> Tensor:
        """The critic's values (B,) of its inputs (B, in)."""
        result = torch.empty(len(inputs))
        batch = min(len(inputs), CHUNK)
        self._reserve(batch)
        self.library.values(self._job, inputs.data_ptr(), len(inputs), batch, result.data_ptr())
        return result

    def gae(
        self,
        rewards: np.ndarray,
        values: np.ndarray,
        *,
        next_values: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> np.ndarray:
        """`losses.gae` of contiguous float32 and bool arrays (T, N)."""
        advantages = np.empty_like(values)
        arrays = (rewards, values, next_values, terminated, truncated)
        self.library.gae(
            *(array.ctypes.data for array in arrays),
            *values.shape,
            self._gamma,
            self._lambda,
            advantages.ctypes.data,
        )
        return advantages

    # Acting

    def forget(self) -> None:
        """The parameters have changed: what acts takes them anew."""
        self._prepared = 0

    def act(
        self,
        observations: np.ndarray,
        normalizer: ObservationNormalizer | None,
        noise: np.ndarray | None,
    ) -> np.ndarray:
        """Actions (N, A) or (N,) for raw observations (N, obs_dim); noise (N, A or K), none: the mode."""
        if self._is_gaussian:
            return self._head(observations, normalizer, noise)
        logits = self._head(observations, normalizer, None)
        return (logits if noise is None else logits + noise).argmax(-1)

    def _head(
        self,
        observations: np.ndarray,
        normalizer: ObservationNormalizer | None,
        noise: np.ndarray | None,
    ) -> np.ndarray:
        """The policy's mean or logits (N, outputs); with noise, the actions of a Gaussian policy."""
        batch = len(observations)
        if batch > self._prepared:
            self._prepare(batch)
        if np.shape(observations) != self._seen[:batch].shape:
            raise ValueError(f"observations {np.shape(observations)}, expected (N, obs_dim)")
        self._seen[:batch] = observations
        result = np.empty((batch, self.outputs), dtype=np.float32)
        if normalizer is None:
            offset, scale, limit = self._identity
        else:
            offset, scale, limit = normalizer.addresses
        self.library.act(
            self._job,
            self._seen_at,
            batch,
            self._prepared,
            offset,
            scale,
            limit,
            None if noise is None else noise.ctypes.data,
            result.ctypes.data,
        )
        return result

    def _prepare(self, batch: int) -> None:
        """Take the parameters, and make room for `batch` observations."""
        if batch > len(self._seen):
            self._acting = aligned_empty(self.library.work_size(self._job, batch))
            self._job.acting = self._acting.ctypes.data
            self._seen = np.empty((batch, self._job.policy.sizes[0]), dtype=np.float32)
            self._seen_at = self._seen.ctypes.data
        self._prepared = len(self._seen)
        self.library.prepare_to_act(self._job, self._prepared)
