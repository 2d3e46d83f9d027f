"""MP4 files from pictures and pictures from them, with the ffmpeg program that the imageio-ffmpeg package carries."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from helpers.errors import StorageError

_TELL_EVERY = 10.0  # seconds


def write_mp4(
    frames: Iterable[np.ndarray],
    path: Path,
    *,
    fps: float,
    say: Callable[[str], None] | None = None,
) -> int:
    """Write a video; the file appears under its name only once it is complete.

    Args:
        frames: (height, width, 3) uint8, all of one size, at least one.
        path: ends in .mp4; its folder exists.
        fps: frames a second.
        say: for a line at the beginning and one every ten seconds.

    Returns:
        How many frames were written.

    Raises:
        StorageError: ffmpeg could not write the file.
        ValueError: there is no frame, or one of another size or type than the first.
    """
    # ffmpeg goes by the ending; the dot hides the unfinished file from a search for videos.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    try:
        told = frames if say is None else _told(frames, fps, say)
        count = _encode(told, temporary, fps=fps)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _told(
    frames: Iterable[np.ndarray],
    fps: float,
    say: Callable[[str], None],
) -> Iterator[np.ndarray]:
    """The frames, and meanwhile how many seconds of the video are there."""
    say("recording ...")
    last = time.monotonic()
    for count, frame in enumerate(frames):
        if time.monotonic() - last > _TELL_EVERY:
            last = time.monotonic()
            say(f"recording: {count / fps:.1f} s of video")
        yield frame


def _encode(frames: Iterable[np.ndarray], path: Path, *, fps: float) -> int:
    """Feed ffmpeg. `imageio_ffmpeg.write_frames` asks for neither its exit status nor its message: a disk that is
    full at the end would pass for a video.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            _command(first.shape, path, fps=fps),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=messages,
            start_new_session=True,  # a Ctrl-C or a launcher's signal is for us, not for ffmpeg
        )
        assert process.stdin is not None
        count = 0
        fed = False
        try:
            # Where ffmpeg gives up early, its exit status and message say why.
            with contextlib.suppress(BrokenPipeError), process.stdin:
                for count, frame in enumerate(itertools.chain([first], frames), start=1):
                    if frame.shape != first.shape or frame.dtype != np.uint8:
                        raise ValueError(f"frame {count - 1} is {frame.shape} {frame.dtype}")
                    process.stdin.write(np.ascontiguousarray(frame).data)
            fed = True
        finally:
            if not fed:
                process.kill()
            process.wait()
        messages.seek(0)
        lines = messages.read().decode(errors="replace").split("\n")
    if process.returncode:
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        raise StorageError(
            f"A video in {path.parent} could not be written: {reason}",
            "Free some space there, or choose another folder.",
        )
    return count


def _command(shape: tuple[int, ...], path: Path, *, fps: float) -> list[str]:
    """The ffmpeg command that encodes raw RGB from its standard input as H.264."""
    from imageio_ffmpeg import get_ffmpeg_exe

    height, width = shape[:2]
    return [
        get_ffmpeg_exe(),
        *("-v", "error", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps)),
        *("-i", "-", "-an"),
        # Players want 4:2:0 chroma, which wants even sides.
        *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-crf", "22", "-threads", "1", "-movflags", "+faststart"),
        str(path),
    ]


def read_frames(path: Path, count: int) -> list[tuple[float, np.ndarray]]:
    """Pictures of a video at even distances, the first and the last one among them.

    Args:
        path: of the video.
        count: how many, at least two; a shorter video has fewer.

    Returns:
        (seconds, (height, width, 3) uint8) each.

    Raises:
        StorageError: it cannot be read.
    """
    from imageio_ffmpeg import read_frames as read

    try:
        reader = read(str(path))
        meta = next(reader)
        reader.close()
        last = max(int(round(meta["duration"] * meta["fps"])) - 1, 0)
        wanted = sorted({round(i * last / (count - 1)) for i in range(count)})
        found = [
            (frame / meta["fps"], _frame(path, frame / meta["fps"], meta["size"]))
            for frame in wanted
        ]
    except (OSError, RuntimeError, LookupError, ValueError, subprocess.SubprocessError) as error:
        raise StorageError(
            f"{path} cannot be read as a video: {(str(error).splitlines() or [type(error).__name__])[0]}",
            "Film it again: --task=eval --record.",
        ) from error
    return [(second, picture) for second, picture in found if picture is not None]


def _frame(path: Path, second: float, size: tuple[int, int]) -> np.ndarray | None:
    """The picture at a time, found by the video's index; None behind its end."""
    from imageio_ffmpeg import get_ffmpeg_exe

    width, height = size
    place = ["-ss", f"{second:.6f}", "-i", str(path), "-frames:v", "1"]
    form = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-threads", "1", "-"]
    made = subprocess.run(
        [get_ffmpeg_exe(), "-v", "error", *place, *form],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    if len(made.stdout) != width * height * 3:
        return None
    return np.frombuffer(made.stdout, np.uint8).reshape(height, width, 3)
