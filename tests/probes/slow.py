"""Gymnasium environments that wait, crash, hang or die, for the processes that step them.

In the folder that CRASHES_IN names lie files by the names of seeds: an environment whose file is there does what it
says, once, and removes it.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

ID = "Probe/Slow-v0"


class Slow(gymnasium.Env[np.ndarray, np.ndarray]):
    """Counts its steps, draws a number at each, and ends after 10.

    Args:
        wait: seconds a step.
        refuses: whether it cannot be made.
    """

    metadata = {"render_modes": [], "render_fps": 10}
    dt = 0.1

    def __init__(self, wait: float = 0.0, *, refuses: bool = False) -> None:
        if refuses:
            raise RuntimeError("the licence server is away")
        self.wait, self.steps, self.number = wait, 0, -1
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def _observe(self) -> np.ndarray:
        return np.array([self.steps, self.np_random.random(), self.number])

    def reset(
        self,
        *,
        seed: int | None = None,
        options: Any = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.number = seed
        self.steps = 0
        return self._observe(), {"begun": True}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        time.sleep(self.wait)
        self.steps += 1
        self._misbehave()
        infos = {"odd": self.steps} if self.steps % 2 else {}
        return self._observe(), float(action.sum()), self.steps == 10, False, infos

    def _misbehave(self) -> None:
        folder = os.environ.get("CRASHES_IN")
        if folder is None or not (file := Path(folder) / str(self.number)).exists():
            return
        what = file.read_text()
        if not what.startswith("always"):
            file.unlink()
        match what.removeprefix("always "):
            case "raise":
                raise ZeroDivisionError("a muscle of no length")
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                os._exit(3)
            case "hang":
                time.sleep(1000)


def register() -> None:
    """Let Gymnasium know it."""
    if ID not in gymnasium.registry:
        gymnasium.register(ID, Slow, max_episode_steps=100)
