"""Stable-Baselines3's `predict`, one observation at a time, for `python -m benchmarks.packages`: prints JSON.

It is started by the Python of .peers/sb3: observations, actions and widths of the hidden layers on the command line.
"""

import json
import sys
import time

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO


class Sized(gymnasium.Env):
    """An environment of given sizes; nothing happens in it."""

    def __init__(self, observations: int, actions: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observations,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (actions,), np.float32)


observations, actions, *hidden = map(int, sys.argv[1:])
torch.set_num_threads(1)
model = PPO(
    "MlpPolicy",
    Sized(observations, actions),
    policy_kwargs={"net_arch": hidden},
    device="cpu",
)
seen = np.zeros(observations, np.float32)
best = float("inf")
for _ in range(5):
    started = time.perf_counter()
    for _ in range(1000):
        model.predict(seen, deterministic=True)
    best = min(best, time.perf_counter() - started)
print(json.dumps({"actions_per_second": 1000 / best}))
