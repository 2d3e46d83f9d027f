"""Flat files of transitions, many episodes one after another: D4RL's HDF5, replay buffers and others as NPZ.

D4RL: `observations`, `actions`, `rewards`, `terminals`, `timeouts`, often `next_observations` (Fu et al.,
arXiv:2004.07219). Stable-Baselines3's replay buffer, whose arrays are (size, environments, ...), has `dones` for both
kinds of end, and `timeouts` for those that a limit caused; a ring that is full begins at `pos`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from helpers.demos.episode import Demo, Expected
from helpers.demos.hdf5 import ends_by_length
from helpers.errors import ConfigurationError

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "observations": ("observations", "obs", "states"),
    "actions": ("actions", "acts", "action"),
    "rewards": ("rewards", "rews", "reward"),
    "terminals": ("terminals", "terminations", "terminated"),
    "dones": ("dones", "done"),
    "timeouts": ("timeouts", "truncations", "truncated"),
    "next_observations": ("next_observations", "next_obs", "next_states"),
}
LAST_IS_LEFT_OUT = (
    ": the last step of each episode, whose successor is not in the file, is left out, and its end counts as a "
    "truncation."
)
_FIRST_ENDS = 100  # that are compared: a writer does the same at all of them
_CHUNK = 65_536  # rows that are compared at a time
_D4RL_NAME = re.compile(r"(halfcheetah|hopper|walker2d|ant|humanoid)[_-].*", re.IGNORECASE)
_D4RL_TASKS = {"halfcheetah": "HalfCheetah", "walker2d": "Walker2d"}
Rows = Callable[[str, int, int, int | None], np.ndarray]


@dataclass(frozen=True)
class Span:
    """The rows of one episode.

    Attributes:
        start, stop: of them.
        environment: which one of a buffer's; None where there is no such axis.
        end: "terminated", "truncated", or "either" where the file has one word for both.
    """

    start: int
    stop: int
    environment: int | None
    end: str


def column_names(found: Mapping[str, Any]) -> dict[str, str]:
    """What a file calls the columns that it has, by their names here."""
    return {
        name: next(each for each in others if each in found)
        for name, others in SYNONYMS.items()
        if any(each in found for each in others)
    }


def are_rows(found: Mapping[str, Any]) -> bool:
    """Whether these are the datasets or arrays of a flat file."""
    names = column_names(found)
    return "observations" in names and ("terminals" in names or "dones" in names)


@dataclass(frozen=True)
class FlatEpisodes:
    """Episodes of a flat file.

    Attributes:
        path: of the file.
        kind: what it is, for a reader.
        columns: the names of the columns that it has.
        spans: where the episodes lie.
        rows: reads rows of a column.
        notes: what is left out, a line each.
        origin: what the file says of its recording.
        knows_last: whether it has the true successor of the last step of an episode.
    """

    path: Path
    kind: str
    columns: frozenset[str]
    spans: tuple[Span, ...]
    rows: Rows
    notes: tuple[str, ...]
    origin: Mapping[str, Any]
    knows_last: bool

    @property
    def folder(self) -> Path:
        """Of the file."""
        return self.path.parent

    @property
    def names(self) -> list[str]:
        """Of the episodes, in their order."""
        return [f"{self.path}, episode {index}" for index in range(len(self.spans))]

    def read(self, index: int, *, expected: Expected | None = None) -> Demo:
        """One episode, not checked yet.

        Raises:
            ConfigurationError: the file does not say how it ended.
        """
        span, where = self.spans[index], self.names[index]
        arrays = {
            name: self.rows(name, span.start, span.stop, span.environment)
            for name in ("observations", "actions", "rewards", "next_observations")
            if name in self.columns
        }
        origin = dict(self.origin)
        count = span.stop - span.start
        ended = np.arange(count) == count - 1
        none = np.zeros(count, np.bool_)
        if span.end == "either":
            terminated, truncated, origin["ends"] = ends_by_length(ended, expected, where)
        else:
            is_end = span.end == "terminated"
            terminated, truncated = (ended if is_end else none), (none if is_end else ended)
        if "rewards" not in arrays:
            arrays["rewards"], origin["rewards"] = np.zeros(count), "not recorded: zeros"
        demo = Demo(
            observations=_vectors(arrays["observations"]),
            actions=arrays.get("actions"),
            rewards=arrays["rewards"],
            next_observations=_vectors(arrays.get("next_observations", arrays["observations"])),
            terminated=terminated,
            truncated=truncated,
            source=where,
            origin=origin,
        )
        return demo if self.knows_last else without_last_step(demo)


def _vectors(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


def without_last_step(demo: Demo) -> Demo:
    """An episode of states (T, obs_dim) whose last successor nobody wrote: T - 1 steps, cut there.

    Args:
        demo: of any successors; they are made of the states.
    """
    states, count = demo.observations, demo.length - 1
    return replace(
        demo,
        observations=states[:-1],
        actions=None if demo.actions is None else demo.actions[:-1],
        rewards=demo.rewards[:-1],
        next_observations=states[1:],
        terminated=np.zeros(count, np.bool_),
        truncated=np.arange(count) == count - 1,
        origin={**demo.origin, "ends": "cut: the state after the last step is not in the file"},
    )


def find_spans(
    size: int,
    flags: Mapping[str, np.ndarray],
    *,
    seams: np.ndarray | None,
    environment: int | None = None,
    begins_whole: bool = True,
) -> tuple[list[Span], int]:
    """(episodes, rows that belong to none) of one sequence of rows.

    Args:
        size: rows.
        flags: `terminals` or `dones`, and `timeouts`, bool (size,).
        seams: bool (size,), whether the next row does not begin where this one led; None where that is not known.
        environment: for the spans.
        begins_whole: whether the first row follows a reset.
    """
    timeouts = flags.get("timeouts")
    cut = np.zeros(size, np.bool_) if timeouts is None else timeouts
    if "terminals" in flags:
        terminated, either = flags["terminals"], np.zeros(size, np.bool_)
    else:
        known = flags["dones"] & ~cut
        terminated, either = (known, cut & False) if timeouts is not None else (cut, known)
    broken = np.zeros(size, np.bool_) if seams is None else seams.copy()
    ended = terminated | either | cut
    if timeouts is None:
        cut, broken = broken & ~ended, np.zeros(size, np.bool_)  # a limit that nobody marked
        ended = ended | cut
    broken &= ~ended
    spans, start, is_whole, used = [], 0, begins_whole, 0
    for row in np.flatnonzero(ended | broken).tolist():
        if is_whole and ended[row]:
            end = "terminated" if terminated[row] else "truncated" if cut[row] else "either"
            spans.append(Span(start, row + 1, environment, end))
            used += row + 1 - start
        start, is_whole = row + 1, bool(ended[row])
    return spans, size - used


def find_seams(rows: Rows, size: int, environment: int | None) -> np.ndarray:
    """Where a row does not lead to the next one's observation, bool (size,); the last row leads nowhere."""
    seams = np.zeros(size, np.bool_)
    for start in range(0, size - 1, _CHUNK):
        stop = min(start + _CHUNK, size - 1)
        led = rows("next_observations", start, stop, environment).reshape(stop - start, -1)
        begun = rows("observations", start + 1, stop + 1, environment).reshape(stop - start, -1)
        seams[start:stop] = (led != begun).any(axis=1)
    return seams


def is_a_copy(observations: np.ndarray, next_observations: np.ndarray) -> bool:
    """Whether the last successor is its own observation, in an episode (T, obs_dim) that moved in every other step.

    Converters write so what they do not know, robomimic's of D4RL's files among them.
    """
    stood = (observations == next_observations).reshape(len(observations), -1).all(axis=1)
    return bool(len(stood) > 2 and stood[-1] and not stood[:-1].any())


def doubtful_ends(path: Path, rows: Rows, spans: Sequence[Span], size: int) -> tuple[bool, str]:
    """(whether no episode's last successor is known, a line that says what was found; empty where nothing was).

    `next_observations` that are the observations moved by one row have at an end the first state of the next episode.
    """
    followed, shifted, copied = 0, 0, 0
    looked_at = spans[:_FIRST_ENDS]
    for span in looked_at:
        last, environment = span.stop - 1, span.environment
        here = rows("observations", last, min(span.stop + 1, size), environment)
        led = rows("next_observations", last, span.stop, environment)
        if (led == here[:1]).all():
            whole = (span.start, span.stop, environment)
            copied += is_a_copy(rows("observations", *whole), rows("next_observations", *whole))
        followed += len(here) > 1
        shifted += bool(len(here) > 1 and (led == here[1:]).all())
    if copied and copied == len(looked_at):
        return (
            True,
            f"{path}: the last next_observations of each episode is a copy of its observation",
        )
    if shifted and shifted == followed:
        return True, f"{path}: next_observations at an end are the next row's observation"
    if shifted:
        return False, (
            f"{path}: after {shifted} of {followed} ends the next row continues from there: they are used as ends, but "
            "no reset followed."
        )
    return False, ""


def _require_limits(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    if not shapes.keys() & {"dones", "timeouts", "next_observations"}:
        raise ConfigurationError(
            f"{path} has terminals alone: an episode that a time limit ended would run into the next one.",
            "Write timeouts, or next_observations, which show where an episode was cut, into the file as well.",
        )


def open_rows(
    path: Path,
    *,
    kind: str,
    shapes: Mapping[str, tuple[int, ...]],
    rows: Rows,
    origin: Mapping[str, Any],
    begins_whole: bool = True,
) -> FlatEpisodes:
    """The episodes of a flat file.

    Args:
        path: of it.
        kind: what it is, for a reader.
        shapes: of its columns, by their names here.
        rows: reads rows of a column, of one environment where there are several.
        origin: what it says of its recording.
        begins_whole: whether its first row follows a reset.

    Raises:
        ConfigurationError: its columns are not equally long, hold no whole episode, or do not show where a limit ended
            one.
    """
    sizes = {name: shape[0] if shape else -1 for name, shape in shapes.items()}
    if len(set(sizes.values())) != 1:
        listed = ", ".join(f"{name} {shapes[name]}" for name in shapes)
        raise ConfigurationError(
            f"{path} has columns of different lengths: {listed}.",
            "Write all of them for every step.",
        )
    _require_limits(path, shapes)
    size = sizes["observations"]
    is_buffer = len(shapes["observations"]) >= 3 and shapes["observations"][:2] == (
        shapes["rewards"][:2] if "rewards" in shapes else ()
    )
    environments = range(shapes["observations"][1]) if is_buffer else [None]
    compares = "next_observations" in shapes and ("timeouts" not in shapes or is_buffer)
    spans, left_out = [], 0
    for environment in environments:
        flags = {
            name: rows(name, 0, size, environment).reshape(-1).astype(np.bool_)
            for name in ("terminals", "dones", "timeouts")
            if name in shapes
        }
        seams = find_seams(rows, size, environment) if compares else None
        found, missed = find_spans(
            size,
            flags,
            seams=seams,
            environment=environment,
            begins_whole=begins_whole,
        )
        spans += found
        left_out += missed
    if not spans:
        raise ConfigurationError(
            f"{path} holds no whole episode: no step is marked as an end.",
            "Mark the last step of each episode: terminals (or dones), and timeouts where a limit ended it.",
        )
    unknown, said = True, f"{path} has no next_observations"
    if "next_observations" in shapes:
        unknown, said = doubtful_ends(path, rows, spans, size)
    if unknown:
        said += LAST_IS_LEFT_OUT
        left_out += sum(each.stop - each.start == 1 for each in spans)
        spans = [each for each in spans if each.stop - each.start > 1]
    notes = [said] if said else []
    if left_out:
        whole = "no whole episode" + (" of two steps and more" if unknown else "")
        notes.insert(0, f"{path}: {left_out:,} steps belong to {whole} and are left out.")
    if not spans:
        raise ConfigurationError(
            f"{path} holds only episodes of one step, and no true next_observations.",
            "Write the state after each step as next_observations.",
        )
    return FlatEpisodes(
        path,
        f"{kind}: {', '.join(shapes)}",
        frozenset(shapes),
        tuple(spans),
        rows,
        tuple(notes),
        origin,
        not unknown,
    )


def origin_by_name(path: Path) -> dict[str, Any]:
    """The environment in the name of a D4RL file: `hopper_medium-v2.hdf5` shows Hopper-v2."""
    match = _D4RL_NAME.fullmatch(path.stem)
    if match is None:
        return {}
    name = match[1].lower()
    return {"env_id": f"{_D4RL_TASKS.get(name, name.capitalize())}-v2"}
