"""TensorBoard: one event file in a folder, x-axis global environment steps.

Written with TensorBoard's own record writer: neither TensorFlow nor torch is imported, 0.15 s instead of 1 s.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from helpers.config.run import RunConfig
from helpers.trackers.base import Session
from helpers.trackers.experiment_folder import event_file, experiment_folder
from helpers.trackers.jsonl import Row, is_number

FILE_NAME = "events.out.tfevents.milozero"  # "tfevents" is what TensorBoard looks for
FRAME = struct.Struct("<QI")  # a record: length, its checksum, the bytes, their checksum


class TensorBoardTracker:
    """Writes every number of a row as a scalar.

    A resumed run appends to the same file, behind a mark that makes TensorBoard forget what was
    beyond the checkpoint, so that the curve is one line.

    Args:
        folder: where the event file lies; made where it is missing.
        resume_step: the global environment step that the run continues from; None for a fresh run.
        file_name: of the event file.
    """

    name = "tensorboard"

    def __init__(
        self,
        folder: Path,
        *,
        resume_step: int | None,
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
        self._writer = RecordWriter(path.open("ab" if continued else "wb"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if resume_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=resume_step + 1, session_log=start))

    def log(self, row: Row) -> None:
        """Write a row's numbers, flushed."""
        numbers = {name: value for name, value in row.items() if is_number(value)}
        self.scalars({n: v for n, v in numbers.items() if n != "step"}, int(row["step"]))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write values by their tags, flushed; also those that are not finite."""
        summary = self._summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=value)
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

    def log(self, row: Row) -> None:
        """Nothing to do: rows are in the run folder."""


def make_tracker(config: RunConfig, session: Session) -> TensorBoardTracker | None:
    """The event file in the run folder, with --tensorboard."""
    if not config.tensorboard:
        return None
    return TensorBoardTracker(session.run_folder, resume_step=session.resume_step)


def make_table(config: RunConfig, session: Session) -> TableTracker | None:
    """The event file in the experiment's folder, if there is one."""
    folder = experiment_folder(config, session.run_folder)
    if folder is None:
        return None
    name = event_file(session.run_name)
    return TableTracker(folder, resume_step=session.resume_step, file_name=name)


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
