"""The benchmark of --env_processes compares the same numbers."""

from __future__ import annotations

from benchmarks.scaling.processes import measure, page


def test_the_same_numbers_however_many_processes() -> None:
    sides = measure((1, 3), num_envs=4, wait=0.001, steps=60, rounds=2)
    assert [side.processes for side in sides] == [0, 1, 3]
    assert sides[0].digests[0] != sides[0].digests[1]  # each round is another walk
    assert all(side.digests == sides[0].digests for side in sides)
    assert "| 3 | " in page(sides, num_envs=4, wait=0.001, steps=60)
