"""The loss on what is held out: a mean over rows, in whatever pieces it is computed; rates as they are scheduled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.cloning import cloner as cloning
from tests.agents.cloning.test_cloner import bc


@pytest.mark.parametrize("chunk", [7, 60, 10_000])
def test_a_mean_over_rows_in_whatever_pieces(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = bc(held_out_demos=2)
    seen, made = agent._held_out_rows
    standard = agent.cloner._standardise(seen, agent.cloner._tensors)
    with torch.no_grad():
        errors = (agent.cloner.learner.act(standard, None) - made).square().mean(-1).numpy()
    monkeypatch.setattr(cloning, "CHUNK", chunk)
    assert len(seen) == 120 and np.ptp(errors) > 0.1
    assert agent.cloner.mean_loss(seen, made) == pytest.approx(errors.mean(), rel=1e-12)


def test_a_linear_schedule_falls_to_nothing_and_a_constant_one_stays() -> None:
    falling = bc(lr_schedule="linear", p_lr=0.01).cloner
    assert [falling.learning_rate(done) for done in (0.0, 0.25, 1.0, 1.5)] == [
        0.01,
        0.0075,
        0.0,
        0.0,
    ]
    staying = bc(lr_schedule="constant", p_lr=0.01).cloner
    assert [staying.learning_rate(done) for done in (0.0, 0.25, 1.0)] == [0.01] * 3


def test_samples_are_in_the_unit_of_the_deviation() -> None:
    policy = bc(cloning_loss="log_likelihood").cloner.policy
    seen = torch.randn(6, 5, dtype=torch.float64)
    noise = torch.randn(6, 3, dtype=torch.float64)
    mean, log_std = policy.head(seen)
    torch.testing.assert_close(policy.act(seen, noise), torch.tanh(mean + noise * log_std.exp()))
    torch.testing.assert_close(policy.act(seen, None), torch.tanh(mean))
