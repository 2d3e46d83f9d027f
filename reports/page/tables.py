"""A table once, written as Markdown, as LaTeX with booktabs, and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "<": r"$<$",
    ">": r"$>$",
}


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        name: of its files.
        title: what it shows.
        head: names of the columns.
        rows: texts.
        words: columns that are words, and stand on the left; the others are numbers.
        note: what stands below it.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int] = frozenset({0})
    note: str = ""


def to_markdown(table: Table) -> str:
    """With aligned columns."""
    cells = [
        [_one_line(cell).replace("|", "\\|") for cell in row] for row in (table.head, *table.rows)
    ]
    marks = ["---" if i in table.words else "---:" for i in range(len(table.head))]
    lines = ["| " + " | ".join(row) + " |" for row in (cells[0], marks, *cells[1:])]
    note = f"\n{table.note}\n" if table.note else ""
    return f"**{table.title}**\n\n" + "\n".join(lines) + f"\n{note}"


def to_latex(table: Table) -> str:
    r"""A `table` of booktabs: \usepackage{booktabs}."""
    columns = "".join("l" if i in table.words else "r" for i in range(len(table.head)))
    rows = [
        " & ".join(escape_tex(cell) for cell in row) + r" \\" for row in (table.head, *table.rows)
    ]
    caption = " ".join(filter(None, (f"{table.title}.", table.note)))
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape_tex(caption)}}}",
            rf"  \label{{tab:{table.name}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            f"    {rows[0]}",
            r"    \midrule",
            *(f"    {row}" for row in rows[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ],
    )


def to_csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """As spreadsheets read it; a text that a spreadsheet would execute is given an apostrophe."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([[_harmless(cell) for cell in row] for row in rows])
    return written.getvalue()


def escape_tex(text: str) -> str:
    """A text that LaTeX prints as it is."""
    escaped = "".join(_TEX.get(sign, sign) for sign in _one_line(text))
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _harmless(cell: object) -> object:
    is_formula = isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") and not _is_number(cell)
    return f"'{cell}" if is_formula else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
