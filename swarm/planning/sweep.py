"""Sweeps: lists of choices -> trials, different ones, the same ones for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Literal

from helpers.config.settings import Scalar
from helpers.errors import ConfigurationError

SweepMode = Literal["random", "grid", "zip"]
MOST_RUNS = 10_000


def trials_of(
    lists: Mapping[str, Sequence[Scalar]],
    mode: SweepMode,
    *,
    num_trials: int | None,
    seed: int,
) -> list[dict[str, Scalar]]:
    """The combinations that a sweep takes.

    Args:
        lists: choices by key; different ones, save for "zip".
        mode: "random" draws, "grid" takes all combinations in order, "zip" the first choices of all
            lists together, then the second ones.
        num_trials: how many; None is all, which a random sweep does not offer.
        seed: of the random draws.

    Raises:
        ConfigurationError: there is no list, or there are fewer combinations.
    """
    if not lists:
        raise ConfigurationError(
            "--sweep has nothing to search: no setting of the YAML file is a list.",
            "Write values as p_lr: [1e-4, 3e-4], or omit --sweep.",
        )
    total = _combinations(lists, mode)
    if num_trials is None and mode == "random":
        raise ConfigurationError(
            "--sweep_mode=random needs the number of trials.",
            f"Write --num_trials=N, at most {total}, or --sweep_mode=grid for all {total}.",
        )
    if num_trials is not None and num_trials > total:
        raise ConfigurationError(
            f"--num_trials={num_trials} is more than the number of combinations: {total}.",
            f"Write --num_trials={total}, or add values to the lists.",
        )
    count = total if num_trials is None else num_trials
    refuse_too_many({"trials": count})
    return list(draw(lists, mode, count=count, seed=seed))


def _combinations(lists: Mapping[str, Sequence[Scalar]], mode: SweepMode) -> int:
    lengths = {key: len(choices) for key, choices in lists.items()}
    if mode != "zip":
        return prod(lengths.values())
    if len(set(lengths.values())) > 1:
        described = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise ConfigurationError(
            f"--sweep_mode=zip needs lists of the same length: {described}.",
            "Give all lists the same length, or use --sweep_mode=grid.",
        )
    return next(iter(lengths.values()))


def draw(
    lists: Mapping[str, Sequence[Scalar]],
    mode: SweepMode,
    *,
    count: int,
    seed: int,
) -> Iterator[dict[str, Scalar]]:
    """`count` different combinations; fewer are the beginning of more.

    Args:
        lists: choices by key.
        mode: as for `trials_of`.
        count: at most as many as there are.
        seed: of "random". A hash draws, for no library promises the same numbers for ever.
    """
    if mode == "zip":
        for index in range(count):
            yield {key: choices[index] for key, choices in lists.items()}
        return
    total = prod(len(choices) for choices in lists.values())
    indices = iter(range(count)) if mode == "grid" else _without_return(total, count, seed)
    for index in indices:
        combination = {}
        for key, choices in reversed(list(lists.items())):  # the last list turns fastest
            index, choice = divmod(index, len(choices))
            combination[key] = choices[choice]
        yield {key: combination[key] for key in lists}


def _without_return(total: int, count: int, seed: int) -> Iterator[int]:
    seen: set[int] = set()
    attempt = 0
    while len(seen) < count:
        digest = hashlib.sha256(f"sweep {seed} {attempt}".encode()).digest()
        index = int.from_bytes(digest, "big") % total
        attempt += 1
        if index not in seen:
            seen.add(index)
            yield index


def refuse_too_many(factors: Mapping[str, int]) -> None:
    """Refuse a swarm that nobody means.

    Args:
        factors: how many there are of each, by its name.

    Raises:
        ConfigurationError: their product is above `MOST_RUNS`.
    """
    total = prod(factors.values())
    if total > MOST_RUNS:
        described = " x ".join(f"{count} {noun}" for noun, count in factors.items())
        raise ConfigurationError(
            f"{described} = {total} runs, and a swarm has at most {MOST_RUNS}.",
            "Request fewer, for example with --sweep_mode=random --num_trials=100.",
        )
