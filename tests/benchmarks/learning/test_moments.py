"""`python -m benchmarks.learning.moments`: what docs/normalization.md says of drifting streams."""

from __future__ import annotations

import pytest

from benchmarks.learning import moments


def test_what_is_merged_for_ever_follows_by_shares_and_what_forgets_at_its_own_pace() -> None:
    """The new kind is to be 96 % of all: then mean and deviation are within a tenth."""
    for before in (1, 4):
        found = moments.followed(moments.observations, before, longest=150)
        assert found is not None and 22 * before < found < 26 * before
    forgetting = [moments.followed(moments.returns, before, longest=60) for before in (20, 80)]
    assert all(each is not None and 25 < each < 45 for each in forgetting)
    assert moments.followed(lambda: moments.reward_model("policy"), 1, longest=60) == 24
    for name in (
        "a discriminator's, d_moments=both",
        "a discriminator's and RED's, d_moments=demos",
    ):
        assert moments.followed(moments.FOLLOWERS[name], 1, longest=60) is None
    assert moments.followed(moments.crossq, 5, longest=300) == pytest.approx(230, abs=5)


def test_each_has_a_floor_of_its_own() -> None:
    assert moments.size_of(moments.returns, 1e-5, batches=20) == pytest.approx(1.0, rel=0.05)
    assert moments.size_of(moments.observations, 1e-4, batches=20) == pytest.approx(
        0.5**0.5,
        rel=0.05,
    )
    floor = moments.size_of(lambda: moments.reward_model("policy"), 1e-3, batches=20)
    assert floor == pytest.approx(0.01, rel=0.05)
