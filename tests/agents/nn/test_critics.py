"""Actors and critics of the off-policy algorithms: their ranges, and that critics are several."""

from __future__ import annotations

import torch
from torch import nn

from agents.nn.critics import Critics, DeterministicActor, QNetwork, SquashedGaussianActor

SEEN = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


class Fixed(nn.Module):
    """Gives the same numbers whatever it is asked."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.numbers = torch.tensor(numbers, dtype=torch.float64)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.numbers.expand(len(rows), -1)


def test_every_critic_has_its_say() -> None:
    values = Critics([Fixed(1.0), Fixed(-2.0), Fixed(5.0)])(SEEN, SEEN)
    assert values[:, 0].tolist() == [1.0, -2.0, 5.0] and values.shape == (3, 6)


def test_a_dueling_network_s_advantages_are_from_their_mean() -> None:
    net = QNetwork(nn.Identity(), Fixed(1.0, 2.0, 6.0), Fixed(10.0))
    assert net(SEEN)[0].tolist() == [8.0, 9.0, 13.0]


def test_deviations_fill_their_range_and_noise_is_in_their_unit() -> None:
    for raw, log_std in ((-50.0, -3.0), (0.0, -1.0), (50.0, 1.0)):
        actor = SquashedGaussianActor(Fixed(0.2, raw), (-3.0, 1.0))
        mean, found = actor.head(SEEN)
        torch.testing.assert_close(found, torch.full_like(found, log_std))
        noise = torch.full_like(mean, 0.5)
        expected = torch.tanh(0.2 + 0.5 * found.exp())
        torch.testing.assert_close(actor.sample(SEEN, noise=noise)[0], expected)
        torch.testing.assert_close(actor.act(SEEN, noise=noise), expected)
        torch.testing.assert_close(actor.act(SEEN, noise=None), torch.tanh(mean))


def test_noise_on_a_deterministic_action_stays_within_the_bounds() -> None:
    actor = DeterministicActor(Fixed(0.3))
    noise = torch.linspace(-3.0, 3.0, 6, dtype=torch.float64)[:, None]
    expected = (torch.tanh(torch.tensor(0.3).double()) + noise).clamp(-1.0, 1.0)
    torch.testing.assert_close(actor.act(SEEN, noise=noise), expected)
