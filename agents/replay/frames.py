"""Stacked frames of pictures, each kept once: an older frame of an observation is the newest one of an earlier row."""

from __future__ import annotations

import numpy as np

from agents.replay.record_layout import RecordLayout


class FrameStacks:
    """Puts stacks together again, as gymnasium.wrappers.FrameStackObservation made them.

    A row keeps the newest frame of its observation and of the next one. Before an episode's first row there is none:
    that row's frame stands in. The oldest rows of a full ring have lost what was before them, and are not sampled.

    Args:
        ring: whose records hold single frames.
        frames: K of an observation.
    """

    def __init__(self, ring: RecordLayout, frames: int) -> None:
        self.frames, self._ring = frames, ring
        self._rows, self._environments = ring.records.shape
        self._out: dict[tuple[int, int], np.ndarray] = {}

    def observations(self, index: np.ndarray, *, is_full: bool) -> np.ndarray:
        """Observations (B, K F) at flat places (B,), F numbers of a frame; overwritten by the next call."""
        fields = self._ring.flat
        newest = fields["observations"]
        stack = self._room(len(index), newest.shape[-1])
        place = np.array(index)
        stack[:, -1] = newest[place]
        for older in range(self.frames - 2, -1, -1):
            row, environment = np.divmod(place, self._environments)
            before = (row - 1) % self._rows * self._environments + environment
            begins = fields["terminated"][before] | fields["truncated"][before]
            if not is_full:
                begins |= row == 0
            place = np.where(begins, place, before)
            stack[:, older] = newest[place]
        return stack.reshape(len(index), -1)

    def next_observations(self, index: np.ndarray, *, is_full: bool) -> np.ndarray:
        """The next observations (B, K F) at flat places (B,); overwritten by the next call of either."""
        stack = self.observations(index, is_full=is_full)
        size = stack.shape[1] // self.frames
        stack[:, :-size] = stack[:, size:].copy()
        stack[:, -size:] = self._ring.flat["next_observations"][index]
        return stack

    def sampled_rows(self, uniforms: np.ndarray, *, position: int) -> np.ndarray:
        """Rows of a full ring for uniforms in [0, 1), none of which has lost a frame."""
        lost = self.frames - 1
        newer = (uniforms * (self._rows - lost)).astype(np.int64)
        return (position + lost + newer) % self._rows

    def _room(self, count: int, size: int) -> np.ndarray:
        key = count, size
        if key not in self._out:
            self._out[key] = np.zeros((count, self.frames, size), np.uint8)
        return self._out[key]
