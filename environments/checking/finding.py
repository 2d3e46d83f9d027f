"""What a check of an environment found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        level: "ok"; "note" for what is good to know; "warning" for what learns badly or resumes inexactly; "error" for
            what breaks or falsifies a training.
        check: its name, as docs/check_env.md lists it.
        text: what was found, with figures.
        remedy: what to do about a warning or an error.
    """

    level: Level
    check: str
    text: str
    remedy: str = ""
