"""MP4 files: what is written can be read, and a failure leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imageio.v3
import numpy as np
import pytest

from helpers.display.video import write_mp4
from helpers.errors import StorageError


def grey(levels: list[int], *, height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    for level in levels:
        yield np.full((height, width, 3), level, np.uint8)


def test_frames_come_back(tmp_path: Path) -> None:
    levels = [20, 120, 220, 60]
    assert write_mp4(grey(levels), tmp_path / "a.mp4", fps=12.5) == 4
    video = imageio.v3.imread(tmp_path / "a.mp4", plugin="FFMPEG")
    assert video.shape == (4, 48, 64, 3)
    np.testing.assert_allclose(video.mean(axis=(1, 2, 3)), levels, atol=6)
    assert imageio.v3.immeta(tmp_path / "a.mp4", plugin="FFMPEG")["fps"] == 12.5
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_odd_sides_are_padded_and_views_accepted(tmp_path: Path) -> None:
    frames = (frame[::-1] for frame in grey([9, 9], height=33, width=51))
    write_mp4(frames, tmp_path / "a.mp4", fps=30)
    assert imageio.v3.imread(tmp_path / "a.mp4", plugin="FFMPEG").shape == (2, 34, 52, 3)


def test_a_failure_midway_keeps_the_earlier_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"earlier")

    def failing() -> Iterator[np.ndarray]:
        yield from grey([1, 2])
        raise RuntimeError("the simulator broke")

    with pytest.raises(RuntimeError, match="simulator"):
        write_mp4(failing(), path, fps=30)
    with pytest.raises(ValueError, match="frame 1 is"):
        write_mp4([*grey([1]), *grey([1], width=10)], path, fps=30)
    with pytest.raises(ValueError, match="at least one frame"):
        write_mp4([], path, fps=30)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_bytes() == b"earlier"


def test_what_ffmpeg_cannot_write_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as failure:
        write_mp4(grey([1] * 3), tmp_path / "nowhere" / "a.mp4", fps=30)
    assert str(tmp_path / "nowhere") in failure.value.problem
    assert "No such file" in failure.value.problem
