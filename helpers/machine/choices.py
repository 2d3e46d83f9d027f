"""Which route this process takes where there are two for the same result: native code, or torch.

Their results differ in the last bits. So a run keeps its choices (capsule.json), and a resumed one obeys them
instead of measuring again; what was measured on a kind of machine is kept there, beside the native code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from helpers.durable import make_once, write_atomically

NATIVE, TORCH = "native", "torch"
_presets: dict[str, str] = {}
_made: dict[str, str] = {}


def set_presets(choices: Mapping[str, str]) -> None:
    """From now on `choose` gives these, by name, without asking."""
    _presets.clear()
    _presets.update(choices)


def preset(name: str) -> str | None:
    """What `choose` would give without asking; None: it would ask."""
    return _presets.get(name)


def choose(name: str, measure: Callable[[], str]) -> str:
    """`NATIVE` or `TORCH`: what the run began with, else what `measure` says; noted in `all_choices`."""
    choice = _presets.get(name) or measure()
    _made[name] = choice
    return choice


def all_choices() -> dict[str, str]:
    """All choices of this process, by name, and those that it would obey."""
    return dict(sorted((_presets | _made).items()))


def cached(path: Path, measure: Callable[[], str]) -> str:
    """What `measure` said on this kind of machine the first time; asks and keeps it if it never did.

    Of several processes that ask at once all are given the same answer. Where nothing can be written,
    it is asked each time.

    Args:
        path: a file in the cache folder, whose name says what is measured and on which machine.
        measure: gives `NATIVE` or `TORCH`.
    """
    found = _read(path)
    if found is not None:
        return found
    choice = measure()
    text = json.dumps({"choice": choice}) + "\n"
    try:
        if not make_once(path, text):  # of two at once, one is first
            found = _read(path)
            if found is None:  # damaged
                write_atomically(path, text)
            choice = found or choice
    except OSError:
        pass
    return choice


def _read(path: Path) -> str | None:
    try:
        choice = json.loads(path.read_text(encoding="utf-8"))["choice"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return choice if choice in (NATIVE, TORCH) else None
