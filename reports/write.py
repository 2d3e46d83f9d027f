"""The folder of a report: what is written where, and that nothing else is overwritten."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from helpers.data_root import place
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError, StorageError
from reports.build import BEST, Content, Picture, draw, write_tables
from reports.figures import style
from reports.page import words
from reports.page.page import Page, Shown, to_html, to_pdf

REPORTS = "data/reports"
PAGE, PDF, METHODS = "report.html", "report.pdf", "methods.md"
_NAME = re.compile(r"[\w.+=@-]{1,120}")


def report_folder(name: str) -> Path:
    """Where a report of a name lies; one that is there is written anew, anything else is left alone.

    Raises:
        ConfigurationError: the name is none, or belongs to something else.
    """
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise ConfigurationError(
            f"--name {name!r} is no name of a folder.",
            "Use letters, digits and _ . + = @ -, such as --name=first_results.",
        )
    folder = place(REPORTS) / name
    try:
        is_other = folder.exists() and not (folder / PAGE).is_file() and not _is_begun(folder)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} is no folder that can be read: {error.strerror}.",
            "Give another --name.",
        ) from error
    if is_other:
        raise ConfigurationError(
            f"{folder} holds something that is no report.",
            "Give another --name, or move that folder away.",
        )
    return folder


def _is_begun(folder: Path) -> bool:
    """Whether it holds what a report that was interrupted leaves, and nothing else."""
    return {each.name for each in folder.iterdir()} <= {PDF, METHODS, BEST, "figures", "tables"}


def write_report(
    content: Content,
    folder: Path,
    *,
    verdict: str = "",
    extra: Callable[[Path], list[Picture]] | None = None,
) -> dict[str, Path]:
    """Write everything; the files that a reader wants first, by what they are.

    Args:
        content: what is said.
        folder: of `report_folder`.
        verdict: of a comparison.
        extra: draws further figures into a folder.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        with style.styled():
            pictures = draw(content, folder / "figures")
            if extra is not None:
                pictures = [*extra(folder / "figures"), *pictures]
            tables = write_tables(content, folder / "tables")
            page = _page(content, pictures, verdict)
            write_atomically(folder / PDF, to_pdf(page))
        write_atomically(folder / METHODS, " ".join(content.methods) + "\n")
        if content.best:
            write_atomically(folder / BEST, content.best)
        write_atomically(folder / PAGE, to_html(page))  # last: it says that the report is whole
    except OSError as error:
        raise StorageError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}.",
            "Free space or fix permissions there, or choose another place: --data_root before the verb.",
        ) from error
    made = {"page": folder / PAGE, "PDF": folder / PDF, "figures": folder / "figures"}
    made["tables"] = next(iter(tables.values())).parent
    return made | ({"best settings": folder / BEST} if content.best else {})


def _page(content: Content, pictures: list[Picture], verdict: str) -> Page:
    grouping = content.grouping
    runs = len(content.runs)
    lead = (
        f"{runs} run{'s' if runs != 1 else ''}: {words.joined((g.label for g in grouping.groups), most=6)} on "
        f"{words.joined(grouping.tasks, most=6)}."
    )
    shown = [Shown(p.name, p.title, p.caption, p.figure, p.files["png"]) for p in pictures]
    return Page(
        title=content.label,
        lead=lead,
        missing=content.missing,
        tables=content.tables,
        pictures=shown,
        methods=content.methods,
        verdict=verdict,
        codes={"The best settings": content.best} if content.best else {},
    )
