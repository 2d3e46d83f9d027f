"""Writes the card of a run into its folder: Markdown beside its pictures, and one page that holds all of it."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.algorithms import SCHEMA
from helpers.display.learning_curve import draw_curve
from helpers.display.video import read_frames
from helpers.durable import write_atomically
from helpers.errors import StorageError, UserError
from helpers.run_folder.experiment import CONFIG_FILE
from helpers.run_folder.references import FILE as REFERENCES
from reports.card.content import Card, card_of
from reports.figures import style
from reports.figures.frames import draw_frames
from reports.page.html import render
from reports.page.tables import Table, to_markdown
from reports.series import METRICS

PAGE, TEXT = "card.html", "card.md"
CURVE, FRAMES = "learning_curve.png", "card_frames.png"
_PICTURES = 6  # of a strip
_VIDEO = re.compile(r"iter_(\d+)\w*\.mp4")
_WIDTHS = {CURVE: 800, FRAMES: 940}  # of a page
_SPECIAL = re.compile(r"([\\`*_\[\]#~])")


@dataclass(frozen=True)
class _Picture:
    """One of a card.

    Attributes:
        file: its name in the run folder.
        title, caption: beside it.
    """

    file: str
    title: str
    caption: str


def card_line(folder: Path) -> str:
    """Write the card of a run, and say where it is; why there is none, for the run is whole without it."""
    try:
        made, _ = write_card(folder)
    except UserError as error:
        return f"warning: the card is not written: {error.problem}"
    return f"card: {made['card']}"


def write_card(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Write the card of a run.

    Returns:
        The files by what they are, and what it lacks, in sentences.

    Raises:
        ConfigurationError: it is no run folder, or its config.yaml is damaged.
        StorageError: another of its files is damaged, or the card cannot be written.
    """
    card = card_of(folder)
    lacking: list[str] = []
    pictures = [*_curve(folder, lacking), *_strip(folder, lacking)]
    try:
        write_atomically(folder / TEXT, _markdown(card, pictures, lacking))
        write_atomically(folder / PAGE, _page(card, pictures, lacking, folder))
    except OSError as error:
        raise StorageError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}.",
            "Free space or fix permissions there.",
        ) from error
    made = {"card": folder / PAGE, "as text": folder / TEXT}
    return made, lacking


def _curve(folder: Path, lacking: list[str]) -> list[_Picture]:
    """The learning curve, drawn anew where what it shows is newer."""
    path = folder / CURVE
    if not (folder / METRICS).exists():
        lacking.append("There is no curve: it has no metrics.")
        return []
    if _time(path) <= max(_time(folder / METRICS), _time(folder / REFERENCES)):
        draw_curve(
            folder,
            unit=SCHEMA.load_config(folder / CONFIG_FILE).settings["num_timesteps"].unit,
        )
    caption = "Returns of evaluations with one standard deviation over their episodes, and of training; one seed."
    return [_Picture(CURVE, "Learning curve", caption)]


def _strip(folder: Path, lacking: list[str]) -> list[_Picture]:
    """Pictures of the video of the latest policy that was filmed."""
    path = folder / FRAMES
    videos = [
        (int(found[1]), each)
        for each in folder.glob("videos/*.mp4")
        if (found := _VIDEO.fullmatch(each.name))
    ]
    if not videos:
        path.unlink(missing_ok=True)
        lacking.append("There are no pictures: it was not filmed yet.")
        return []
    iteration, video = max(videos, key=lambda each: (each[0], -len(each[1].name)))
    if _time(path) <= _time(video):
        try:
            frames = read_frames(video, _PICTURES)
        except StorageError as error:
            path.unlink(missing_ok=True)
            lacking.append(f"There are no pictures: {error.problem}")
            return []
        with style.styled():
            style.save(draw_frames(frames), path.with_suffix(""), formats=("png",))
    caption = f"Pictures of videos/{video.name}, of the policy after iteration {iteration}, without exploration."
    return [_Picture(FRAMES, "An episode", caption)]


def _time(path: Path) -> int:
    """When a file was written, in ns; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _page(card: Card, pictures: list[_Picture], lacking: list[str], folder: Path) -> str:
    shown: list[Mapping[str, Any]] = [
        {
            "name": each.file.partition(".")[0],
            "title": each.title,
            "caption": each.caption,
            "data": base64.b64encode((folder / each.file).read_bytes()).decode(),
            "width": _WIDTHS[each.file],
        }
        for each in pictures
    ]
    return render("card.html.j2", title=card.name, card=card, pictures=shown, lacking=lacking)


def _markdown(card: Card, pictures: list[_Picture], lacking: list[str]) -> str:
    parts = [f"# {_plain(card.name)}", _plain(card.lead)]
    parts += ["## What it is for", _plain(" ".join(card.use))]
    parts += ["## Known limits", "\n".join(f"- {_plain(each)}" for each in card.limits)]
    for each in pictures:
        parts.append(f"![{each.title}]({each.file})\n\n{_plain(each.caption)}")
    parts += [_plain(each) for each in lacking]
    parts += [to_markdown(_plain_table(table)).strip() for table in card.tables]
    parts.append("## What may be done with it")
    parts += [
        f"{_plain(title)}:\n\n```bash\n{command}\n```" for title, command in card.commands.items()
    ]
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """A text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", html.escape(text, quote=False))


def _plain_table(table: Table) -> Table:
    rows = tuple(tuple(map(_plain, row)) for row in table.rows)
    return replace(table, head=tuple(map(_plain, table.head)), rows=rows, note=_plain(table.note))
