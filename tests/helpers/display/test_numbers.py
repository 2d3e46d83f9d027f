"""Counts, durations and arrows as they are shown."""

import pytest

from helpers.display import numbers


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (80, "1m20s"),
        (3599, "59m59s"),
        (7500, "2h05m"),
        (97_200, "1d03h"),
    ],
)
def test_durations(seconds, text):
    assert numbers.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (999.9, "1k"), (16_384, "16.4k"), (1.23e6, "1.23M"), (3e9, "3G")],
)
def test_counts(value, text):
    assert numbers.count(value) == text


@pytest.mark.parametrize(
    ("values", "sign"),
    [([1.0], ""), ([1.0, 2.0], "↗"), ([2.0, 1.0], "↘"), ([0.0, 10.0, 5.1], "→"), ([3.0, 3.0], "→")],
)
def test_the_arrow_compares_with_the_evaluations_before(values, sign):
    assert numbers.trend(values, signs=True) == sign
