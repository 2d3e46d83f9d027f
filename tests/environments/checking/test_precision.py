"""What --task=check_env says of float32, on numbers that move, rest, or tremble."""

from __future__ import annotations

import numpy as np

from environments.checking.checks import precision_checks
from environments.checking.walk import Walk


def walk_of(values: np.ndarray) -> Walk:
    steps = np.zeros((len(values), 2))
    return Walk(values, steps, steps > 0, steps > 0)


def test_a_clock_far_from_0_is_not_resolved_and_a_body_at_rest_is() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, 2, 4))
    values[..., 1] = 1.7e9 + 0.02 * np.arange(200)[:, None]  # seconds since 1970
    values[..., 2] = 1.0 + 1e-16 * values[..., 2]  # rounding of float64 alone
    values[..., 3] = 200.0 + np.cumsum(generator.random((200, 2)) < 0.3, axis=0)  # is pushed
    values[::2, :, 3] += 1e-6  # and creeps where it lies
    found = [each for each in precision_checks(walk_of(values)) if each.check == "precision"]
    assert [each.text.split(" of ")[0] for each in found if each.level == "warning"] == ["number 1"]


def test_a_large_picture_is_looked_at_within_little_memory() -> None:
    values = np.zeros((100, 2, 100_000), np.uint8)
    values[1::2] = 255
    assert [each.level for each in precision_checks(walk_of(values))] == ["ok"]
