"""A stream for each seed, purpose and index, and the same one whenever it is asked for."""

from __future__ import annotations

from helpers.seeding import Streams

NAMES = [
    *(
        (purpose, first, second)
        for purpose in ("exploration", "evaluation")
        for first in range(3)
        for second in range(3)
    ),
    ("initialisation",),
    ("discriminator",),
]


def test_every_name_has_a_stream_of_its_own() -> None:
    """A purpose has always as many indices: an index 0 at the end is as none."""
    drawn = {
        Streams(seed).generator(*name).random(4).tobytes() for seed in (0, 1) for name in NAMES
    }
    integers = {Streams(seed).integer(*name) for seed in (0, 1) for name in NAMES}
    assert len(drawn) == len(integers) == 2 * len(NAMES)
    assert all(0 <= each < 2**31 for each in integers)
    one, other = (Streams(0).integer("trajectories", *indices) for indices in ((), (0,)))
    assert one == other


def test_a_name_has_the_same_stream_whenever_it_is_asked_for() -> None:
    streams = Streams(5)
    first = streams.generator("replay", 3).random(4)
    streams.generator("replay", 3).random(100)
    assert streams.generator("replay", 3).random(4).tobytes() == first.tobytes()
    assert Streams(5).integer("replay", 3) == streams.integer("replay", 3)
