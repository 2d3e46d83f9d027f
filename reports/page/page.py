"""One page with everything inside, and the same as a PDF."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from reports.figures import style
from reports.page.html import render
from reports.page.tables import Table

_PAGE = (8.27, 11.69)  # inches: A4
_LINE, _SMALL = 0.0158, 7.0  # a line by the page's height; points of what is set in columns
_CAPTION_WIDTH = 15.0  # characters an inch
_DETAILS = ("settings", "own_settings")  # tables that stand at the end


@dataclass(frozen=True)
class Shown:
    """A figure on a page: itself, and its PNG."""

    name: str
    title: str
    caption: str
    figure: Figure
    png: Path


@dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes:
        title, lead: its head.
        verdict: of a comparison, one sentence; "" without one.
        missing: what a reader would otherwise miss.
        tables, pictures: in their order.
        codes: titles and texts of files, such as the best settings.
        methods: sentences.
    """

    title: str
    lead: str
    missing: Sequence[str]
    tables: Sequence[Table]
    pictures: Sequence[Shown]
    methods: Sequence[str]
    verdict: str = ""
    codes: Mapping[str, str] = field(default_factory=dict)


def to_html(page: Page) -> str:
    """A page that needs nothing beside it, and runs nothing."""
    main = [each for each in page.tables if each.name not in _DETAILS]
    details = [each for each in page.tables if each.name in _DETAILS]
    contents = [
        ("missing", "What a reader should know"),
        ("tables", "Tables"),
        *((f"code{i}", title) for i, title in enumerate(page.codes)),
        ("figures", "Figures"),
        ("settings", "Settings"),
        ("methods", "Methods"),
    ]
    lacking = {
        "missing": page.missing,
        "tables": main,
        "figures": page.pictures,
        "settings": details,
    }
    return render(
        "report.html.j2",
        title=page.title,
        lead=page.lead,
        verdict=page.verdict,
        contents=[(name, words) for name, words in contents if lacking.get(name, True)],
        missing=page.missing,
        tables=main,
        details=details,
        codes=[
            {"id": f"code{i}", "title": title, "text": text}
            for i, (title, text) in enumerate(page.codes.items())
        ],
        pictures=[_picture(each) for each in page.pictures],
        methods=page.methods,
    )


def to_pdf(page: Page) -> bytes:
    """Text and tables on A4, then each figure with its caption; made within `style.styled()`."""
    written = io.BytesIO()
    without: Any = {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}
    with PdfPages(written, metadata=without | {"Title": page.title}) as pages:
        for sheet in _sheets(page):
            pages.savefig(sheet)
        for picture in page.pictures:
            width = picture.figure.get_size_inches()[0]
            told = textwrap.fill(f"{picture.title}. {picture.caption}", int(width * _CAPTION_WIDTH))
            text = picture.figure.text(0.01, -0.02, told, va="top", fontsize=7.5, color=style.INK)
            pages.savefig(picture.figure, bbox_inches="tight", pad_inches=0.25)
            text.remove()
    return written.getvalue()


def _picture(shown: Shown) -> dict[str, Any]:
    inches = shown.figure.get_size_inches()[0]
    return {
        "name": shown.name,
        "title": shown.title,
        "caption": shown.caption,
        "data": base64.b64encode(shown.png.read_bytes()).decode(),
        "width": round(float(inches) * 105),
    }


_Line = tuple[str, dict[str, Any]]


def _sheets(page: Page) -> list[Figure]:
    """Pages of text."""
    lines: list[_Line] = [*_wrapped(page.title, 62, fontsize=13, fontweight="bold"), ("", {})]
    lines += _wrapped(page.lead, 105)
    for text in filter(None, [page.verdict]):
        lines += [("", {}), *_wrapped(text, 92, fontsize=10, fontweight="bold")]
    if page.missing:
        lines += [("", {}), ("What a reader should know", {"fontweight": "bold"})]
        lines += [line for each in page.missing for line in _wrapped(f"- {each}", 105)]
    for table in page.tables:
        lines += [("", {}), *_table_lines(table)]
    for title, text in page.codes.items():
        lines += [("", {}), (title, {"fontweight": "bold"})]
        lines += [
            (part, {"family": "DejaVu Sans Mono", "fontsize": _SMALL}) for part in text.splitlines()
        ]
    lines += [("", {}), ("Methods", {"fontweight": "bold"}), *_wrapped(" ".join(page.methods), 105)]
    on_a_page = int(0.9 / _LINE)
    return [_sheet(lines[i : i + on_a_page]) for i in range(0, len(lines), on_a_page)]


def _wrapped(text: str, width: int, **look: Any) -> list[_Line]:
    return [(line, look) for line in textwrap.wrap(text, width)]


def _table_lines(table: Table) -> list[_Line]:
    """A table in letters of one width; smaller where it is wide."""
    sizes = [max(len(row[i]) for row in (table.head, *table.rows)) for i in range(len(table.head))]
    total = sum(sizes) + 2 * len(sizes)
    size = min(_SMALL, _SMALL * 112 / total)
    mono: dict[str, Any] = {"family": "DejaVu Sans Mono", "fontsize": size}

    def line(row: Sequence[str]) -> str:
        cells = zip(row, sizes, strict=True)
        return "  ".join(
            cell.ljust(wide) if i in table.words else cell.rjust(wide)
            for i, (cell, wide) in enumerate(cells)
        )

    rule = ("-" * (total - 2), mono)
    rows = [(line(row), mono) for row in table.rows]
    head = [(table.title, {"fontweight": "bold"}), rule, (line(table.head), mono), rule]
    return [*head, *rows, rule, *_wrapped(table.note, 105)]


def _sheet(lines: Sequence[_Line]) -> Figure:
    figure = Figure(figsize=_PAGE, facecolor="white")
    FigureCanvasAgg(figure)
    for place, (text, look) in enumerate(lines):
        height = 0.95 - place * _LINE
        figure.text(0.08, height, text, va="top", **{"fontsize": 8.5, "color": style.INK, **look})
    return figure
