"""Minibatches of a rollout, the same samples in each however many workers hold the rollout.

Shapes: T steps, N environments of this worker, M minibatches an epoch, b this worker's part of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from helpers.parallel.workers import Workers
from helpers.seeding import Streams

Batch = Mapping[str, Tensor]


def sample_orders(
    streams: Streams,
    *,
    environments: Sequence[int],
    iteration: int,
    epochs: int,
    rollout_len: int,
    count: int,
) -> Tensor:
    """Indices (epochs, M, b) into a flattened rollout (T * N,).

    Every minibatch takes equally many steps of each environment, and each environment is shuffled
    by a stream of its own: stratified sampling, independent of how environments are spread.
    """
    ordered = np.tile(np.arange(rollout_len), (epochs, 1))  # (epochs, T)
    orders = np.stack(
        [
            streams.generator("minibatches", index, iteration).permuted(ordered, axis=1)
            for index in environments
        ],
        axis=1,
    )  # (epochs, N, T)
    indices = orders * len(environments) + np.arange(len(environments))[:, None]
    indices = indices.reshape(epochs, len(environments), count, -1)  # (epochs, N, M, T / M)
    return torch.from_numpy(indices.transpose(0, 2, 1, 3).reshape(epochs, count, -1).copy())


def standardise(values: Tensor, order: Tensor, *, batch_size: int, workers: Workers) -> Tensor:
    """`values` (T * N,) less the mean and over the standard deviation of their global minibatch.

    One all-reduce for all M minibatches of the order; collective.
    """
    wide = values[order].double()  # (M, b)
    sums = torch.stack([wide.sum(1), wide.square().sum(1)])
    workers.sum_(sums)
    mean, square = sums / batch_size
    sd = (square - mean.square()).clamp_(min=0.0).sqrt()
    result = torch.empty_like(values)
    result[order] = ((wide - mean[:, None]) / (sd[:, None] + 1e-8)).to(values.dtype)
    return result
