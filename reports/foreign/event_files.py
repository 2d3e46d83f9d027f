"""TensorBoard's event files: scalars and texts by tag, without TensorFlow and torch."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.errors import ConfigurationError

PATTERN = "*tfevents*"
_FRAME = struct.Struct("<QI")  # a record: length, its checksum, the bytes, their checksum
_CHECKSUM = 4
_TORN = b"\xff"  # no message begins so
_LONGEST = 1 << 30  # bytes of a record; more is no length


@dataclass
class Events:
    """What the event files of a folder hold.

    Attributes:
        scalars: by tag, (step, value, seconds since the first event, over all files).
        texts: by tag, the last one.
        last_step: of all events.
        torn: files that end in the middle of a record.
    """

    scalars: dict[str, list[tuple[int, float, float]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    last_step: int = 0
    torn: int = 0

    def curve(self, tag: str, *, mean: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(steps, values, seconds), each (T,).

        Args:
            tag: which.
            mean: of several values at a step their mean: they are episodes; else the last one: it was written anew.
        """
        by_step: dict[int, list[tuple[float, float]]] = {}
        for step, value, seconds in self.scalars.get(tag, []):
            by_step.setdefault(step, []).append((value, seconds))
        steps = sorted(by_step)
        values = [
            (
                math.fsum(value for value, _ in by_step[step]) / len(by_step[step])
                if mean
                else by_step[step][-1][0]
            )
            for step in steps
        ]
        times = [by_step[step][-1][1] for step in steps]
        return np.array(steps, np.int64), np.array(values, np.float64), np.array(times, np.float64)


def event_files(folder: Path) -> list[Path]:
    """Those directly in a folder, in the order in which they were begun."""
    return sorted(each for each in folder.glob(PATTERN) if each.is_file())


def read_events(folder: Path) -> Events:
    """All event files of a folder; one that a kill cut short is read up to there.

    Raises:
        ConfigurationError: a file cannot be read, or does not begin as an event file.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    events, before = Events(), 0.0
    for path in event_files(folder):
        first, last, count = math.nan, math.nan, 0
        for record in _records(path):
            event = Event()
            try:
                event.ParseFromString(record)
            except DecodeError:
                if not count:
                    raise _no_events(path) from None
                events.torn += 1
                break
            first = event.wall_time if not count else first
            last, count = event.wall_time, count + 1
            events.last_step = max(events.last_step, event.step)
            _take(events, event, before + event.wall_time - first)
        before += 0.0 if math.isnan(first) else last - first
    return events


def _records(path: Path) -> Iterator[bytes]:
    """The bytes of each record; those of a last one that is cut short are none that can be decoded."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}.",
            "Fix its permissions, or leave its folder out.",
        ) from error
    place = 0
    while place < len(content):
        if place + _FRAME.size > len(content):
            yield _TORN
            return
        length = _FRAME.unpack_from(content, place)[0]
        start = place + _FRAME.size
        place = start + length + _CHECKSUM
        if length > _LONGEST or place > len(content):
            if start == _FRAME.size:
                raise _no_events(path)
            yield _TORN
            return
        yield content[start : start + length]


def _no_events(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is no event file of TensorBoard, or damaged from its beginning.",
        "Leave its folder out, or copy the file anew.",
    )


def _take(events: Events, event: object, seconds: float) -> None:
    for value in event.summary.value:  # type: ignore[attr-defined]
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            number = value.simple_value
        elif kind == "tensor" and value.tensor.string_val:
            events.texts[value.tag] = value.tensor.string_val[0].decode("utf-8", "replace")
            continue
        elif kind == "tensor" and (number := _number(value.tensor)) is not None:
            pass
        else:
            continue
        events.scalars.setdefault(value.tag, []).append((event.step, number, seconds))  # type: ignore[attr-defined]


def _number(tensor: object) -> float | None:
    """A scalar as TensorFlow 2 writes it: a tensor of one float."""
    floats, doubles = tensor.float_val, tensor.double_val  # type: ignore[attr-defined]
    content = tensor.tensor_content  # type: ignore[attr-defined]
    if len(floats) == 1 or len(doubles) == 1:
        return float((floats or doubles)[0])
    if len(content) in (4, 8) and not tensor.tensor_shape.dim:  # type: ignore[attr-defined]
        return float(struct.unpack("<f" if len(content) == 4 else "<d", content)[0])
    return None
