"""What is the same here as when a run was trained, and what differs, as far as bits depend on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.config.settings import show
from helpers.run_folder.capsule import code_state, native_code, of_environments, versions
from helpers.run_folder.changes import CHANGES, FILE, INPUTS, SETTING
from helpers.run_folder.inputs import Input, binding, changes_between, read_input
from reports.page.phrases import joined
from reports.replay.origin import Origin

_MOST_NAMED = 6
_PROOF = ("role", "name", "path", "bytes", "sha256")
_INEXACT = {"resume": "with new episodes"}  # main.py notes it among a worker's choices


@dataclass
class Conditions:
    """Lines on the conditions of a replay.

    Attributes:
        same: in a few words each.
        differs: what may change bits, and how it was and is.
        notes: what else there is to know of the run.
    """

    same: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def put(self, what: str, difference: str) -> None:
        """One that was looked at; "" where nothing differs."""
        if difference:
            self.differs.append(difference)
        else:
            self.same.append(what)

    def lines(self) -> list[str]:
        """As they are printed."""
        same = [f"the same here: {', '.join(self.same)}"] if self.same else []
        return [
            *same,
            *(f"differs: {each}" for each in self.differs),
            *(f"note: {each}" for each in self.notes),
        ]


def conditions_of(origin: Origin) -> Conditions:
    """Everything that is known of how a run was trained, compared with here and now."""
    capsule, found = origin.capsule, Conditions()
    code = code_state()
    begun = capsule["starts"][0]
    found.put(f"commit {_short(code['commit'])}", _commit(begun, code))
    found.put("uncommitted changes", _uncommitted(capsule, begun, code))
    for what, difference in _versions(capsule):
        found.put(what, difference)
    for what, difference in _machine(begun):
        found.put(what, difference)
    _files(capsule, found)
    _history(origin, found)
    return found


def _short(commit: object) -> str:
    return str(commit)[:10] if commit else "that is not known"


def _commit(begun: Mapping[str, Any], code: Mapping[str, Any]) -> str:
    then, now = begun.get("commit"), code["commit"]
    if then == now:
        return "" if then else "commit: not known, then nor now"
    return f"commit: {_short(then)} then, {_short(now)} now; git checkout {then} brings it back"


def _uncommitted(
    capsule: Mapping[str, Any],
    begun: Mapping[str, Any],
    code: Mapping[str, Any],
) -> str:
    then, now = begun.get("diff_sha256"), code["diff_sha256"]
    saved = capsule.get("code") or {}
    files = [set(each.get("untracked") or ()) for each in (saved, code)]
    if then == now:
        others = sorted(name for name in files[0] ^ files[1] if name.endswith(".py"))
        parts = f"uncommitted files: {joined(others, most=_MOST_NAMED)} were not there both times"
        return parts if others else ""
    words = [
        _lines(state.get("diff"), cut=bool(state.get("diff_is_cut"))) for state in (saved, code)
    ]
    parts = f"uncommitted changes: {words[0]} then, {words[1]} now"
    return f"{parts}; those of then are in capsule.json, code.diff" if saved.get("diff") else parts


def _lines(diff: object, *, cut: bool) -> str:
    """How much a diff changes."""
    if not isinstance(diff, str):
        return "not known"
    lines = [
        each
        for each in diff.splitlines()
        if each[:1] in ("+", "-") and not each.startswith(("+++", "---"))
    ]
    return f"{'more than ' if cut else ''}{len(lines)} lines" if lines else "none"


def _versions(capsule: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Of Python and of packages."""
    then = capsule.get("versions") or {}
    now = versions(of_environments(then))
    if not then:
        yield "", "versions: not known of then"
        return
    differing = {name: (then.get(name), now.get(name)) for name in [*then, *now]}
    parts = [
        f"{name} {old or 'none'} then, {new or 'none'} now"
        for name, (old, new) in differing.items()
        if old != new
    ]
    yield f"{len(then)} versions", f"versions: {'; '.join(parts)}" if parts else ""


def _machine(begun: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What native code is made of."""
    for what, now in native_code().items():
        words, then = what.replace("_", " "), begun.get(what, "not known")
        yield f"{words} {now}", "" if then == now else f"{words}: {then} then, {now} now"


def _files(capsule: Mapping[str, Any], found: Conditions) -> None:
    """The files that the run read, as they lie where they were: task, model, demonstrations, weights."""
    saved = capsule.get(INPUTS)
    if saved is None:
        found.notes.append(
            "Which files it read is not recorded: the replay reads those that its settings name.",
        )
        return
    gone = [each for each in saved if not Path(each["path"]).is_file()]
    there = [each for each in saved if Path(each["path"]).is_file()]
    now = [read_input(each["role"], each["name"], Path(each["path"])) for each in there]
    for each in gone:
        found.differs.append(f"{each['role']}: {each['name']} is no longer at {each['path']}")
    for change in changes_between(there, now):
        found.differs.append(f"{change.role}: {change.words}")
    differing = {change.name for change in changes_between(there, now)}
    for role in dict.fromkeys(each["role"] for each in saved):
        names = [each["name"] for each in there if each["role"] == role]
        if names and not differing & set(names) and not any(each["role"] == role for each in gone):
            found.same.append(
                f"{len(names)} file{'s' if len(names) > 1 else ''} of {role}, by sha256",
            )


def _history(origin: Origin, found: Conditions) -> None:
    """What happened to it on its way."""
    capsule = origin.capsule
    starts = [each for each in capsule["starts"] if isinstance(each, dict)]
    if len(starts) > 1:
        found.notes.append(
            f"It was resumed {_times(len(starts) - 1)}; the replay is not, where nothing was changed.",
        )
    for what, key in (("commit", "commit"), ("uncommitted changes", "diff_sha256")):
        _same_at_all_starts(starts, what, (key,), found)
    _same_at_all_starts(starts, "machine", ("processor", "instruction_set", "compiler"), found)
    choices = [each for each in capsule.get("choices") or () if isinstance(each, dict)]
    if len(starts) > 1 and any(_INEXACT.items() <= each.items() for each in choices):
        found.differs.append(
            "resumes: the environment cannot be saved, so that it began new episodes each time; it can be equal up to "
            "its first resume at most",
        )
    for each in capsule.get(CHANGES, []):
        where = f"after iteration {each['iteration'] or 0}"
        if each["kind"] == SETTING:
            parts = f"{each['name']} {show(each['before'])} -> {show(each['after'])}"
            found.notes.append(f"Changed {where}: {parts}; the replay does the same.")
        elif each["kind"] == FILE:
            found.differs.append(
                f"{each['role']}: {each['name']} was another file until iteration {each['iteration'] or 0}; the replay "
                "has one from its beginning",
            )


def _same_at_all_starts(
    starts: list[dict[str, Any]],
    what: str,
    keys: tuple[str, ...],
    found: Conditions,
) -> None:
    values = list(dict.fromkeys(tuple(str(each.get(key)) for key in keys) for each in starts))
    if len(values) > 1:
        parts = joined(
            (", ".join(_short_word(word) for word in value) for value in values),
            most=_MOST_NAMED,
        )
        found.differs.append(f"{what}: its starts had {parts}; a replay has one")


def _short_word(word: str) -> str:
    return word[:10] if len(word) >= 40 else word


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def differences_after(origin: Origin, capsule: Mapping[str, Any]) -> list[str]:
    """What the capsule of the replay shows that could not be known before: the files that it read, its routes."""
    parts = []
    there, here = origin.capsule.get(INPUTS), capsule.get(INPUTS)
    if there and here:
        read = [Input(*(each.get(key) for key in _PROOF)) for each in here]
        parts += [f"{each.role}: {each.words}" for each in binding(changes_between(there, read))]
    then, now = _routes(origin.capsule), _routes(capsule)
    parts += [
        f"gradient steps: {name} was {then[name]} code then, and is {now[name]} code now"
        for name in sorted(then.keys() & now.keys())
        if then[name] != now[name]
    ]
    return parts


def _routes(capsule: Mapping[str, Any]) -> Mapping[str, str]:
    """Which code computes each gradient step, on the first worker: native or torch."""
    choices = capsule.get("choices") or [{}]
    return {name: each for name, each in choices[0].items() if name not in _INEXACT}
