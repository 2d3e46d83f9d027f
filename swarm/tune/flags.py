"""The command line of tuner.py beside a search: its help page, and `show`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from helpers.config import command_line
from helpers.config import help as help_pages
from helpers.config.settings import settings_of
from helpers.config.vocabulary import Vocabulary
from helpers.data_root import place, set_data_root
from helpers.errors import DONE, ConfigurationError
from swarm.tune import table
from swarm.tune.results import FOLDER
from swarm.tune.settings import TuneSettings

help_wanted = help_pages.help_wanted
_INTRO = """usage: python tuner.py --config FILE.yaml [--flag value ...]
       python tuner.py show NAME [--data_root DIR]

Searches settings: FILE.yaml has those of a run, and the sections `search`, `constraints` and `tune`, whose keys are
the flags below. The same command resumes an interrupted search. docs/tuning.md explains.
"""


def page(argv: Sequence[str]) -> str:
    """The page, or the script, that a command line asks for."""
    if help_pages.completion_wanted(argv):
        return help_pages.completion_script("tuner", settings_of(TuneSettings).values())
    return help_text()


def help_text(width: int | None = None) -> str:
    """The page of `python tuner.py -h`."""
    sections: dict[str, list[object]] = {}
    for each in settings_of(TuneSettings).values():
        sections.setdefault(each.group, []).append(each)
    page = help_pages.settings_page(sections, width=width)  # type: ignore[arg-type]
    head = page.index(next(iter(sections)))
    return _INTRO + "\n" + page[head:]


def show(words: Sequence[str]) -> int:
    """Print the table of a search, and where its report is.

    Args:
        words: its name or folder, and --data_root where there is one.

    Raises:
        ConfigurationError: there is no such search.
    """
    settings = settings_of(TuneSettings)
    only = Vocabulary([settings["data_root"]], program="tuner.py")
    layer, _ = command_line.read_flags(words[1:], only)
    set_data_root(layer.values.get("data_root"))
    where = place(str(settings["tune_dir"].default))
    name = words[0] if words else ""
    folder = Path(name) if (Path(name) / FOLDER).is_dir() else where / name
    if not name or not (folder / FOLDER).is_dir():
        known = sorted(path.parent.name for path in where.glob(f"*/{FOLDER}"))
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:5]
        raise ConfigurationError(
            f"There is no search {name or '(no name given)'} in {where}.",
            f"Give one of these: {', '.join(near)}." if near else "Start one: python tuner.py -h.",
        )
    kept = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    table.show(folder, metric=kept["metric"], mode=kept["mode"])
    if (folder / "report.html").exists():
        print(f"report: {folder / 'report.html'}")
    return DONE
