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

    def pair(self, index: np.ndarray, last: np.ndarray, *, is_full: bool) -> dict[str, np.ndarray]:
        """Observations (B, K F) at flat places (B,), and the next ones at others: "observation", "next_observation".

        F are the numbers of a frame; `is_full` says whether the ring is.
        """
        after = self._stack(last, is_full=is_full)
        after[:, :-1] = after[:, 1:].copy()
        after[:, -1] = self._ring.flat["next_observations"][last]
        found = {
            "observation": self._stack(index, is_full=is_full),
            "next_observation": after,
        }
        return {name: each.reshape(len(index), -1) for name, each in found.items()}

    def _stack(self, index: np.ndarray, *, is_full: bool) -> np.ndarray:
        """(B, K, F) frames of the observations at flat places (B,)."""
        fields = self._ring.flat
        newest = fields["observations"]
        stack = np.empty((len(index), self.frames, newest.shape[-1]), newest.dtype)
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
        return stack

    def sampled_rows(self, uniforms: np.ndarray, *, position: int) -> np.ndarray:
        """Rows of a full ring for uniforms in [0, 1), none of which has lost a frame."""
        lost = self.frames - 1
        newer = (uniforms * (self._rows - lost)).astype(np.int64)
        return (position + lost + newer) % self._rows
