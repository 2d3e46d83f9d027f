"""TensorBoard: one event file in a folder, x-axis global environment steps.

Written with TensorBoard's own record writer: neither TensorFlow nor torch is imported, 0.15 s instead of 1 s.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.config.run import RunConfig
from helpers.trackers.base import Session
from helpers.trackers.experiment_folder import event_file, experiment_folder
from helpers.trackers.jsonl import Row, is_number

FILE_NAME = "events.out.tfevents.milozero"  # "tfevents" is what TensorBoard looks for
SETTINGS = "settings"  # the tag of a text, in TensorBoard's plugin of that name
GROUP = (
    "z_skrl/"  # of skrl's metrics: TensorBoard sorts groups by name, so that ours stand before it
)
_STRING = 7  # tensorboard.compat.proto.types_pb2.DT_STRING
_HEAD = 512  # bytes in which the first two events begin
FRAME = struct.Struct("<QI")  # a record: length, its checksum, the bytes, their checksum


class TensorBoardTracker:
    """Writes every number of a row as a scalar, skrl's metrics as a group of their own, the settings as a text.

    A resumed run appends to the same file, behind a mark that makes TensorBoard forget what was
    beyond the checkpoint, so that the curve is one line.

    Args:
        folder: where the event file lies; made where it is missing.
        resume_step: the global environment step that the run continues from; None for a fresh run.
        settings: the configuration, shown with the run.
        file_name: of the event file.
    """

    name = "tensorboard"
    group = GROUP

    def __init__(
        self,
        folder: Path,
        *,
        resume_step: int | None,
        settings: Mapping[str, Any] | None = None,
        file_name: str = FILE_NAME,
    ) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / file_name
        continued = resume_step is not None and path.exists()
        if continued:
            _cut_broken_tail(path)
            # A run begun before there was the group keeps the tags of its curves.
            if not _has_settings(path):
                self.group, settings = "", None
        self._writer = RecordWriter(path.open("ab" if continued else "wb"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if resume_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=resume_step + 1, session_log=start))
        if settings:
            self._text(SETTINGS, settings_table(settings), resume_step or 0)

    def log(self, row: Row) -> None:
        """Write a row's numbers, flushed."""
        numbers = {name: value for name, value in row.items() if is_number(value)}
        self._scalars({n: v for n, v in numbers.items() if n != "step"}, int(row["step"]))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write skrl's metrics by their tags, flushed; also those that are not finite."""
        self._scalars({self.group + tag: value for tag, value in values.items()}, step)

    def _scalars(self, values: Mapping[str, float], step: int) -> None:
        summary = self._summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=value)
        self._write(self._event(wall_time=time.time(), step=step, summary=summary))

    def _text(self, tag: str, markdown: str, step: int) -> None:
        summary = self._summary()
        value = summary.value.add(tag=tag)
        value.metadata.plugin_data.plugin_name = "text"
        value.tensor.dtype = _STRING
        value.tensor.tensor_shape.dim.add(size=1)
        value.tensor.string_val.append(markdown.encode())
        self._write(self._event(wall_time=time.time(), step=step, summary=summary))

    def upload(self, run_folder: Path, files: Sequence[str]) -> None:
        """Nothing to do: TensorBoard keeps no files."""

    def close(self, exit_code: int) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, event: object) -> None:
        self._writer.write(event.SerializeToString())  # type: ignore[attr-defined]
        self._writer.flush()


class TableTracker(TensorBoardTracker):
    """An event file in a folder that the user named: skrl's metrics, not the rows."""

    name = "tensorboard of --experiment_directory"
    group = ""

    def log(self, row: Row) -> None:
        """Nothing to do: rows are in the run folder."""


def make_tracker(config: RunConfig, session: Session) -> TensorBoardTracker | None:
    """The event file in the run folder, with --tensorboard."""
    if not config.tensorboard:
        return None
    return TensorBoardTracker(
        session.run_folder,
        resume_step=session.resume_step,
        settings=config.model_dump(),
    )


def make_table(config: RunConfig, session: Session) -> TableTracker | None:
    """The event file in the experiment's folder, if there is one."""
    folder = experiment_folder(config, session.run_folder)
    if folder is None:
        return None
    name = event_file(session.run_name)
    return TableTracker(folder, resume_step=session.resume_step, file_name=name)


def settings_table(settings: Mapping[str, Any]) -> str:
    """A table in Markdown, a line a setting."""
    lines = [f"| `{name}` | {_shown(value)} |" for name, value in settings.items()]
    return "\n".join(["| setting | value |", "|---|---|", *lines])


def _shown(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _has_settings(path: Path) -> bool:
    """Whether an event file began with the settings; it does since skrl's metrics are a group."""
    with path.open("rb") as file:
        return SETTINGS.encode() in file.read(_HEAD)


def _cut_broken_tail(path: Path) -> None:
    """Drop a last record that a kill cut short: TensorBoard would read no further than it."""
    size = path.stat().st_size
    end = 0
    with path.open("rb") as file:
        while header := file.read(FRAME.size):
            if len(header) < FRAME.size:
                break
            length = FRAME.unpack(header)[0]
            if file.tell() + length + 4 > size:
                break
            end = file.seek(length + 4, 1)
    if end < size:
        with path.open("r+b") as file:
            file.truncate(end)
