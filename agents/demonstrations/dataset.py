"""An expert's episodes as flat transitions, and minibatches of them for every worker.

Every worker reads all demonstrations; a minibatch is cut among the workers. So all of them see equally many, and
the global minibatch is the same for any number of workers, also with rows for absorbing states.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.base import Transitions
from agents.demonstrations.absorbing_states import with_absorbing
from helpers.demos.checks import check_spaces
from helpers.demos.conform import conform
from helpers.demos.episode import Demo, Expected
from helpers.demos.load import Demos, subsample_steps
from helpers.demos.origins import check_bounds
from helpers.episodes import choice_sizes, first_choices
from helpers.errors import CheckpointError, ConfigurationError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

if TYPE_CHECKING:
    import gymnasium

LOOP = -1  # step index of an absorbing state's self-transition


@dataclass(frozen=True)
class Demonstrations:
    """Transitions of an expert, in the order of episodes and of their steps.

    Attributes:
        transitions: (B, ...), with extras `episode` (the index in its source), `step` (in its episode) and `rate`
            (every `rate`-th step of its episode was kept), int64. Each keeps its true successor, whatever
            subsampling left out after it. Of states alone, actions are (B, 0).
        seed: of the run; minibatches are drawn from its streams.
        record: what was used: for each episode its source, sha256, offset and steps.
    """

    transitions: Transitions
    seed: int
    record: tuple[Mapping[str, Any], ...] = ()

    def __len__(self) -> int:
        return len(self.transitions.rewards)

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 over all episodes and their steps that are used; empty of none."""
        used = [[each["sha256"], each["steps"]] for each in self.record]
        return hashlib.sha256(json.dumps(used).encode()).hexdigest() if used else ""

    def share(self, workers: Workers) -> Transitions:
        """This worker's contiguous part of all transitions; those of all workers are the whole."""
        return take_rows(self.transitions, workers.share(len(self)))

    def split_held_out(self, episodes: int) -> tuple[Demonstrations, Demonstrations]:
        """(those to learn from, those to judge by): whole episodes, drawn by the seed.

        Raises:
            ConfigurationError: nothing would be left to learn from.
        """
        there = np.unique(self.transitions.extras["episode"])
        if not 0 <= episodes < len(there):
            raise ConfigurationError(
                f"{episodes} of {len(there)} demonstrations cannot be held out.",
                f"Give --num_demos={episodes + 1} or more.",
            )
        drawn = Streams(self.seed).generator("demonstrations: held out").permutation(there)
        is_held = np.isin(self.transitions.extras["episode"], drawn[:episodes])
        return self._select(~is_held), self._select(is_held)

    def _select(self, rows: np.ndarray) -> Demonstrations:
        chosen = take_rows(self.transitions, rows)
        left = set(chosen.extras["episode"].tolist())
        record = tuple(each for each in self.record if each["episode"] in left)
        return replace(self, transitions=chosen, record=record)


def minibatch_rows(
    seed: int,
    count: int,
    index: int,
    *,
    batch_size: int,
    workers: Workers,
) -> np.ndarray:
    """Which of `count` transitions this worker's part of the global minibatch `index` holds, int64 (b,).

    Minibatches are cut from an endless sequence of shuffles of all transitions: each transition comes once a
    shuffle. They are a function of the run's seed and the index, so nothing about them needs saving.

    Args:
        seed: of the run.
        count: transitions of all workers, at least 1.
        index: of the minibatch, from 0 over the whole training.
        batch_size: transitions of all workers together.
        workers: who share it, equally many rows each.

    Raises:
        ConfigurationError: the workers cannot share it equally.
    """
    check_batch(batch_size, workers)
    first = index * batch_size
    mine = workers.share(batch_size)
    return sequence_rows(seed, count, first + mine.start, mine.stop - mine.start)


def sequence_rows(seed: int, count: int, first: int, number: int) -> np.ndarray:
    """`number` places, int64, from `first` on, of the endless sequence of shuffles of `count`."""
    places = np.arange(first, first + number)
    shuffles, offsets = np.divmod(places, count)
    rows = np.empty(len(places), dtype=np.int64)
    for shuffle in range(int(shuffles[0]), int(shuffles[-1]) + 1):
        here = shuffles == shuffle
        rows[here] = _order(seed, shuffle, count)[offsets[here]]
    return rows


def check_batch(batch_size: int, workers: Workers) -> None:
    """That workers can share a minibatch equally.

    Raises:
        ConfigurationError: they cannot.
    """
    if batch_size % workers.size:
        raise ConfigurationError(
            f"A minibatch of {batch_size} demonstrated transitions is not a multiple of {workers.size} workers.",
            f"Give --batch_size={-(-batch_size // workers.size) * workers.size}, or change the number of workers.",
        )


@lru_cache(maxsize=4)
def _order(seed: int, shuffle: int, count: int) -> np.ndarray:
    order = Streams(seed).generator("demonstrations: minibatches", shuffle).permutation(count)
    order.setflags(write=False)
    return order


def take_rows(transitions: Transitions, rows: slice | np.ndarray) -> Transitions:
    """Some rows of flat transitions."""
    return Transitions(
        observations=transitions.observations[rows],
        actions=transitions.actions[rows],
        rewards=transitions.rewards[rows],
        next_observations=transitions.next_observations[rows],
        terminated=transitions.terminated[rows],
        truncated=transitions.truncated[rows],
        extras={name: array[rows] for name, array in transitions.extras.items()},
    )


def flatten_demos(
    demos: Demos,
    config: Any,
    *,
    observation_space: gymnasium.spaces.Box,
    action_space: gymnasium.Space,
) -> Demonstrations:
    """Episodes as flat transitions: subsampled and, with `wrap_absorb`, with absorbing states.

    Args:
        demos: read and checked; here they meet the environment's spaces.
        config: `expert_demo_subsample`, its rate, `wrap_absorb`, `expert_state_only`, `expert_mismatch`, `seed` and
            `precision`.
        observation_space: of the environment, before any absorbing state.
        action_space: of the environment, Box, Discrete or MultiDiscrete.

    Raises:
        ConfigurationError: they do not fit the spaces.
    """
    action_shape = tuple(action_space.shape or ())
    choices = choice_sizes(action_space) or None
    itself = Expected(
        "",
        action_size=action_shape[0] if action_shape else 0,
        choices=choices,
        action_low=getattr(action_space, "low", None),
        action_high=getattr(action_space, "high", None),
    )
    episodes = [conform(demo, itself) for demo in demos.episodes]
    check_spaces(
        episodes,
        observation_shape=tuple(observation_space.shape),
        action_shape=action_shape,
        choices=choices,
        first_choices=first_choices(action_space),
    )
    if config.expert_mismatch == "refuse":
        check_bounds(episodes, itself)
    pieces, record = [], []
    for index, demo in zip(demos.indices, episodes, strict=True):
        steps = subsample_steps(config, index, demo.length)
        rate, dtype = min(steps.step, demo.length), np.dtype(config.precision)
        piece = _rows(demo, np.asarray(steps), index, rate=rate, dtype=dtype)
        if config.wrap_absorb:
            piece = _with_absorbing(piece, demo, index)
        pieces.append(piece)
        record.append(
            {
                "episode": index,
                "source": demo.source,
                "sha256": demo.sha256,
                "offset": steps.start,
                "steps": list(steps),
            },
        )
    if not pieces:
        size, is_chosen = observation_space.shape[0], choices is not None
        pieces = [_no_transitions(config, size, action_shape, is_chosen=is_chosen)]
    return Demonstrations(
        transitions=_concatenate(pieces),
        seed=config.seed,
        record=tuple(record),
    )


def _rows(
    demo: Demo,
    steps: np.ndarray,
    index: int,
    *,
    rate: int,
    dtype: np.dtype[Any],
) -> Transitions:
    actions = np.empty((demo.length, 0)) if demo.actions is None else demo.actions
    actions = actions[steps]
    return Transitions(
        observations=demo.observations[steps].astype(dtype),
        actions=actions if actions.dtype == np.int64 else actions.astype(dtype),
        rewards=demo.rewards[steps].astype(dtype),
        next_observations=demo.next_observations[steps].astype(dtype),
        terminated=demo.terminated[steps],
        truncated=demo.truncated[steps],
        extras={
            "episode": np.full(len(steps), index, np.int64),
            "step": steps.astype(np.int64),
            "rate": np.full(len(steps), rate, np.int64),
        },
    )


def _with_absorbing(piece: Transitions, demo: Demo, index: int) -> Transitions:
    """The rows of an episode, continued in an absorbing state if the task ended it.

    The loop of that state is always kept, and the step that leads to it if it was drawn: as in the code of the paper's
    authors (Kostrikov et al., arXiv:1809.02925). Else most demonstrations would not show that their end lasts.
    """
    count = len(piece.rewards)
    is_drawn = bool(piece.terminated.any())
    rate, dtype = int(piece.extras["rate"][0]), piece.observations.dtype
    last = _rows(demo, np.array([demo.length - 1]), index, rate=rate, dtype=dtype)
    is_added = bool(demo.terminated[-1]) and not is_drawn
    whole = with_absorbing(_concatenate([piece, last]) if is_added else piece)
    rows = np.arange(len(whole.rewards))
    extras = dict(whole.extras)
    extras["episode"] = np.full(len(rows), index, np.int64)
    extras["rate"] = np.full(len(rows), rate, np.int64)
    extras["step"] = np.where(rows < count + is_added, whole.extras["step"], LOOP)
    return take_rows(replace(whole, extras=extras), np.delete(rows, count) if is_added else rows)


def _no_transitions(
    config: Any,
    observation_size: int,
    action_shape: tuple[int, ...],
    *,
    is_chosen: bool,
) -> Transitions:
    dtype, size = np.dtype(config.precision), observation_size + config.wrap_absorb
    columns = () if not action_shape else (0,) if config.expert_state_only else action_shape
    return Transitions(
        observations=np.empty((0, size), dtype),
        actions=np.empty((0, *columns), np.int64 if is_chosen else dtype),
        rewards=np.empty(0, dtype),
        next_observations=np.empty((0, size), dtype),
        terminated=np.empty(0, np.bool_),
        truncated=np.empty(0, np.bool_),
        extras={name: np.empty(0, np.int64) for name in ("episode", "step", "rate")},
    )


def _concatenate(pieces: Sequence[Transitions]) -> Transitions:
    def concatenate(name: str) -> np.ndarray:
        return np.concatenate([getattr(piece, name) for piece in pieces])

    return Transitions(
        observations=concatenate("observations"),
        actions=concatenate("actions"),
        rewards=concatenate("rewards"),
        next_observations=concatenate("next_observations"),
        terminated=concatenate("terminated"),
        truncated=concatenate("truncated"),
        extras={
            name: np.concatenate([piece.extras[name] for piece in pieces])
            for name in pieces[0].extras
        },
    )


def check_same(what: str, saved: str | None, found: str | None) -> None:
    """Refuse to resume a run with other demonstrations than it began with; None is nothing to compare.

    Raises:
        CheckpointError: it does not.
    """
    if saved and found and saved != found:
        raise CheckpointError(
            f"{what} of this run have changed since its start: sha256 {found[:12]} here, {saved[:12]} there.",
            "Use the original ones, or start another run with --uuid.",
        )
