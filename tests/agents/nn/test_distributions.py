"""Several choices of different numbers, against torch's own distributions."""

from __future__ import annotations

import torch
from torch.distributions import Categorical

from agents.nn import distributions

SIZES = (3, 2, 4)


def test_independent_choices_add_up_and_what_there_is_not_has_no_probability() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, sum(SIZES), dtype=torch.float64, generator=generator)
    actions = torch.stack([torch.randint(0, n, (50,), generator=generator) for n in SIZES], -1)
    parts = [Categorical(logits=part) for part in logits.split(list(SIZES), -1)]
    log_prob = sum(part.log_prob(actions[:, i]) for i, part in enumerate(parts))
    entropy = sum(part.entropy() for part in parts)
    torch.testing.assert_close(distributions.product_log_prob(actions, logits, SIZES), log_prob)
    torch.testing.assert_close(distributions.product_entropy(logits, SIZES), entropy)
    padded = torch.softmax(distributions.by_choice(logits, SIZES), -1)
    assert padded[:, 1, 2:].abs().max() == 0.0 and padded[:, 0, 3].abs().max() == 0.0
    flat = distributions.product_log_softmax(logits, SIZES)
    torch.testing.assert_close(flat, torch.cat([part.logits for part in parts], -1))
