"""MiniGrid's empty room without its sentence: an environment of a package, wrapped in a file of one's own."""

from __future__ import annotations

import gymnasium
import minigrid  # noqa: F401  # registers its environments
from gymnasium.wrappers import FilterObservation


class Empty(gymnasium.Wrapper):
    """What lies before the agent (7 x 7 fields of 3 numbers) and where it looks.

    Args:
        size: of the room.
        render_mode: None or "rgb_array".
    """

    def __init__(self, size: int = 5, render_mode: str | None = None) -> None:
        env = gymnasium.make(f"MiniGrid-Empty-{size}x{size}-v0", render_mode=render_mode)
        super().__init__(FilterObservation(env, ["image", "direction"]))
