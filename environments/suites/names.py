"""Spellings of ids: what counts as the same name, and which known name is nearest to one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

VERSIONED_ID = re.compile(r"(?P<name>.+)-v(?P<version>\d+)")


def plain(name: str) -> str:
    """A name without case and underscores, by which spellings are compared."""
    return name.replace("_", "").lower()


def nearest_of(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one, case aside; None if none is like it."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def nearest_id(env_id: str, ids: Iterable[str]) -> str | None:
    """The known id most like this one, the newest version where only case and version differ; None if none is."""
    versions: dict[str, int] = {}
    ids = list(ids)
    for parts in filter(None, map(VERSIONED_ID.fullmatch, ids)):
        newest = max(int(parts["version"]), versions.get(parts["name"], 0))
        versions[parts["name"]] = newest
    name = VERSIONED_ID.sub(r"\g<name>", env_id)
    like = nearest_of(name, versions)
    if like is not None and plain(like) == plain(name):
        return f"{like}-v{versions[like]}"
    return nearest_of(env_id, ids)
