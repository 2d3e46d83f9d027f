"""The files that a run reads, each with its sha256 in the capsule, and what became of them since.

A file is known by its role and its name there, wherever its folder lies: one that was moved is the same. All of its
bytes are hashed each time, also of large files (1.1 s a GiB): sizes and times are unreliable on network file systems.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers.errors import ConfigurationError
from helpers.user_code import is_installed

TASK, MODEL, DEMONSTRATIONS, EXPERT = "task", "model", "demonstrations", "expert"
REPLAY, REGISTERED, INIT = "imported memory", "models to register", "init_from"
# What is read at the beginning alone, or has no part in learning: a change is reported and refuses nothing.
_TOLD = (REPLAY, REGISTERED, INIT)
_IN_ORDER = (DEMONSTRATIONS,)  # minibatches depend on it
_LARGEST_TEXT = 32_768  # bytes of a file whose text the capsule keeps
_TEXT_ENDINGS = (".py", ".xml", ".yaml", ".yml", ".json", ".toml", ".txt", ".csv")
_LONGEST_DIFFERENCE = 40  # lines
_MOST_NAMED = 4


@dataclass(frozen=True)
class Input:
    """A file as it was read.

    Attributes:
        role: what it is to the run, one of the words above.
        name: among the files of its role.
        path: where it was.
        bytes: its length.
        sha256: of its contents.
        text: of a small text file, so that a change can be shown; else None.
    """

    role: str
    name: str
    path: str
    bytes: int
    sha256: str
    text: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As the capsule keeps it."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Change:
    """What became of a file.

    Attributes:
        role, name: which.
        before, after: its sha256; None where it was not, or is not, read.
        difference: of its text, as a unified diff; "" where that is not known.
    """

    role: str
    name: str
    before: str | None
    after: str | None
    difference: str = ""

    @property
    def words(self) -> str:
        """In a few."""
        if self.before is None:
            return f"{self.name} ({self.role}) is new"
        if self.after is None:
            return f"{self.name} ({self.role}) is no longer read"
        return f"{self.name} ({self.role}) has changed (sha256 {self.before[:12]} there, {self.after[:12]} here)"


def read_input(role: str, name: str, path: Path) -> Input:
    """A file, hashed.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size, text = file.tell(), None
            if size <= _LARGEST_TEXT and path.suffix.lower() in _TEXT_ENDINGS:
                file.seek(0)
                text = file.read().decode(errors="replace")
    except OSError as error:
        raise ConfigurationError(
            f"{path} ({role}) cannot be read: {error.strerror or error}.",
            "Give a file that exists and may be read.",
        ) from error
    return Input(role, name, str(path.resolve()), size, digest, text)


def read_inputs(role: str, paths: Iterable[Path], folder: Path) -> list[Input]:
    """Files of one role, named by where they are in a folder; by their last parts where they are elsewhere.

    A `.venv` inside that folder is elsewhere too: a package's file has one name in every clone.
    """
    found: dict[str, Input] = {}
    for path in paths:
        place, count = path.resolve(), 1
        inside = place.is_relative_to(folder.resolve()) and not is_installed(place)
        name = str(place.relative_to(folder.resolve())) if inside else place.name
        while name in found and count < len(place.parts):
            count += 1
            name = "/".join(place.parts[-count:])
        found[name] = read_input(role, name, path)
    return list(found.values())


def changes_between(before: Sequence[Mapping[str, Any]], after: Sequence[Input]) -> list[Change]:
    """What is different; a file under another name is the same where no order depends on names."""
    found: list[Change] = []
    olds, news = [_from_json(each) for each in before], list(after)
    for role in dict.fromkeys(each.role for each in [*olds, *news]):
        old = [each for each in olds if each.role == role]
        new = [each for each in news if each.role == role]
        if [each.sha256 for each in old] != [each.sha256 for each in new]:
            found += _changes(role, old, new)
    return found


def _changes(role: str, old: Sequence[Input], new: Sequence[Input]) -> list[Change]:
    there, here = {each.name: each for each in old}, {each.name: each for each in new}
    found, gone = [], [there[name] for name in there.keys() - here.keys()]
    for name, each in here.items():
        was = there.get(name)
        if was is None and role not in _IN_ORDER:
            moved = next((one for one in gone if one.sha256 == each.sha256), None)
            if moved is not None:
                gone.remove(moved)
                continue
        if was is None:
            found.append(Change(role, name, None, each.sha256))
        elif was.sha256 != each.sha256:
            found.append(Change(role, name, was.sha256, each.sha256, _difference(was, each)))
    found += [Change(role, each.name, each.sha256, None) for each in gone]
    return sorted(found, key=lambda change: change.name)


def _difference(old: Input, new: Input) -> str:
    if old.text is None or new.text is None:
        return ""
    lines = list(
        difflib.unified_diff(
            old.text.splitlines(),
            new.text.splitlines(),
            f"{new.name}, as the run was trained",
            f"{new.name}, as it is",
            n=1,
            lineterm="",
        ),
    )
    if len(lines) > _LONGEST_DIFFERENCE:
        more = len(lines) - _LONGEST_DIFFERENCE
        lines = [*lines[:_LONGEST_DIFFERENCE], f"... and {more} lines more"]
    return "\n".join(lines)


def _from_json(saved: Mapping[str, Any]) -> Input:
    known: dict[str, Any] = {key: saved.get(key) for key in Input.__dataclass_fields__}
    return Input(**known)


def binding(changes: Iterable[Change]) -> list[Change]:
    """Those on which it depends what a run learns from now on."""
    return [each for each in changes if each.role not in _TOLD]


def in_words(changes: Sequence[Change]) -> str:
    """Some files and what became of them, in one line."""
    described = "; ".join(each.words for each in changes[:_MOST_NAMED])
    more = len(changes) - _MOST_NAMED
    return f"{described}; and {more} more" if more > 0 else described


def differences(changes: Iterable[Change]) -> str:
    """Their texts' differences, below one another."""
    return "\n".join(each.difference for each in changes if each.difference)


def digest_of(inputs: Iterable[Input]) -> dict[str, str]:
    """sha256 by role and name, for comparing workers."""
    return {f"{each.name} ({each.role})": each.sha256 for each in inputs}
