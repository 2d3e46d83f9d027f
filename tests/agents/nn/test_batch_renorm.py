"""Batch renormalisation against its equations, arXiv:1702.03275, Algorithm 1."""

from __future__ import annotations

import pytest
import torch

from agents.nn.batch_renorm import (
    MOMENTUM,
    BatchRenorm,
    NormalisedNet,
    RunningStatistics,
    Statistics,
)

WIDTH, GROUPS, SAMPLES = 3, 2, 5


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("on", [0.0, 1.0])
def test_a_group_is_corrected_towards_the_running_moments_by_constants(on: float) -> None:
    """r = sd / running sd in 1/3 to 3, d = (mean - running mean) / running sd in -5 to 5: no gradient passes them."""
    norm = BatchRenorm(WIDTH, start=0, dtype=torch.float64)
    with torch.no_grad():
        norm.weight.copy_(drawn(WIDTH, seed=1))
        norm.bias.copy_(drawn(WIDTH, seed=2))
    mean = torch.tensor(
        [0.3, -0.2, 40.0],
        dtype=torch.float64,
    )  # the last is beyond what is corrected
    variance = torch.tensor([0.5, 2.0, 0.01], dtype=torch.float64)
    statistics = Statistics(
        torch.cat([mean, variance]),
        groups=(1, GROUPS, SAMPLES),
        renormalise=torch.tensor([on], dtype=torch.float64),
    )
    x = drawn(GROUPS * SAMPLES, WIDTH).requires_grad_()
    found = norm(x, statistics)
    parts = []
    for rows in x.split(SAMPLES):
        deviation = (rows.var(0, correction=0) + 1e-3).sqrt()
        normal = (rows - rows.mean(0)) / deviation
        running = (variance + 1e-3).sqrt()
        r = (deviation / running).clamp(1 / 3, 3).detach()
        d = ((rows.mean(0) - mean) / running).clamp(-5, 5).detach()
        parts.append(normal * r + d if on else normal)
    expected = torch.cat(parts) * norm.weight + norm.bias
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    upstream = drawn(*found.shape, seed=3)
    for ours, theirs in zip(
        *(torch.autograd.grad((each * upstream).sum(), x) for each in (found, expected)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_running_moments_go_a_hundredth_of_the_way() -> None:
    make = {
        "activation": "relu",
        "init": "default",
        "generator": torch.Generator(),
        "dtype": torch.float64,
    }
    nets = [
        NormalisedNet(2, (), 1, start=0, **make),
        NormalisedNet(3, (), 1, start=4, **make),
    ]
    running = RunningStatistics(nets, torch.float64)
    begun = running.statistics.clone()
    for found in (running.policy_statistics, running.critic_statistics):
        found.copy_(drawn(10, seed=4))
    running.move_policy()
    torch.testing.assert_close(running.statistics[4:], begun[4:])
    running.move_critics()
    expected = begun + MOMENTUM * (drawn(10, seed=4) - begun)
    torch.testing.assert_close(running.statistics, expected)
    assert MOMENTUM == 0.01
