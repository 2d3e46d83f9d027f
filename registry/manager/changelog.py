"""What is written into the descriptions of models and versions, as Markdown: who did what, and when."""

from __future__ import annotations

import getpass
from datetime import datetime

from helpers.errors import ConfigurationError

HEADER = "# MODEL CHANGELOG\n"
LONGEST = 5000  # characters that MLflow's tables keep of a description
LONGEST_TEXT = 4000  # of one entry
_LEFT_OUT = "## **Earlier entries are in the descriptions of the versions.**\n"


def check_text(description: str | None) -> None:
    """Refuse a description that would be cut or cannot be stored.

    Raises:
        ConfigurationError: it is too long, or no valid Unicode.
    """
    if description is not None and len(description) > LONGEST_TEXT:
        raise ConfigurationError(
            f"The description has {len(description)} characters, and at most {LONGEST_TEXT} are kept.",
            "Shorten it.",
        )
    check_unicode(description or "")


def check_unicode(text: str) -> None:
    """Refuse what no database stores.

    Raises:
        ConfigurationError: it is no valid Unicode.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"{text[:40]!r} is no valid Unicode.",
            "Remove the broken character.",
        ) from error


def entry(title: str, description: str | None) -> str:
    """One entry: a title, the author, the date, and a description if there is one."""
    lines = [f"## **{title}**", f"### Author: {_author()}", f"### Date: {_now()}"]
    text = "\n".join(lines) + "\n"
    return text if not description else f"{text}### Description: \n{description}\n"


def appended(before: str | None, addition: str) -> str:
    """A description with one more entry; the oldest ones are dropped where all are too long together."""
    text = (before or "") + addition
    if len(text) <= LONGEST:
        return text
    entries = text.removeprefix(HEADER).split("\n## **")
    while len(entries) > 1 and len(HEADER + _LEFT_OUT + "\n## **".join(entries)) + 5 > LONGEST:
        del entries[0]
    return HEADER + _LEFT_OUT + "## **" + "\n## **".join(entries).removeprefix("## **")


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return "unknown"


def _now() -> str:
    return datetime.now().astimezone().strftime("%d/%m/%Y %H:%M:%S %Z")
