"""An environment with two rewards, weighed into one: a treasure in the sea, and the time until it is found."""

from __future__ import annotations

import gymnasium
import mo_gymnasium
import numpy as np


class Treasure(gymnasium.Wrapper):
    """Deep Sea Treasure of mo-gymnasium.

    Args:
        price: of a step, in treasure.
        render_mode: None or "rgb_array".
    """

    def __init__(self, price: float = 1.0, render_mode: str | None = None) -> None:
        env = mo_gymnasium.make("deep-sea-treasure-v0", render_mode=render_mode)
        super().__init__(mo_gymnasium.wrappers.LinearReward(env, np.array([1.0, price])))
