"""Vector environments whose values are known: when a learner misses one, the part named is broken."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

BOX = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)


UNIT = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
GOAL = 0.7  # the action that pays most


class Probe:
    """A vector environment of N copies that autoresets in the same step.

    Subclasses give `observe() -> (N, obs_dim)` and `pay(actions) -> (rewards, terminated)`. Where they
    do not look at actions, these may be of any space.
    """

    single_observation_space = BOX
    single_action_space: gymnasium.Space = gymnasium.spaces.Discrete(2)
    time_limit = 10**9
    failures = 0
    inexact_because = ""

    def __init__(
        self,
        num_envs: int = 4,
        *,
        seed: int = 0,
        action_space: gymnasium.Space | None = None,
    ) -> None:
        self.num_envs, self.rng = num_envs, np.random.default_rng(seed)
        if action_space is not None:
            self.single_action_space = action_space
        self.clock = np.zeros(num_envs, dtype=np.int64)
        self.start(np.ones(num_envs, dtype=bool))

    def start(self, which: np.ndarray) -> None:
        """Begin new episodes."""

    def observe(self) -> np.ndarray:
        return np.zeros((self.num_envs, 1), dtype=np.float32)

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(self.num_envs), np.ones(self.num_envs, dtype=bool)

    def reset(self, *, seed: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.clock[:] = 0
        self.start(np.ones(self.num_envs, dtype=bool))
        return self.observe(), {}

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        self.clock += 1
        rewards, terminated = self.pay(actions)
        truncated = self.clock >= self.time_limit
        final = self.observe()
        ended = terminated | truncated
        self.clock[ended] = 0
        self.start(ended)
        return self.observe(), rewards, terminated, truncated, {"final": final, "ended": ended}

    def successors(self, observations: np.ndarray, infos: Any) -> np.ndarray:
        return np.where(infos["ended"][:, None], infos["final"], observations)

    def state_dict(self) -> dict[str, Any]:
        return {"clock": self.clock.copy()}

    def load_state_dict(self, state: Any) -> None:
        self.clock[:] = state["clock"]

    def close(self) -> None:
        pass


class ConstantReward(Probe):
    """One step, reward 1: the value is 1. Broken otherwise: the value loss or its optimiser."""


class ObservedReward(Probe):
    """One step, reward = the observation, +-1: the value is it. Broken: backpropagation to inputs."""

    def start(self, which: np.ndarray) -> None:
        if not hasattr(self, "sign"):
            self.sign = np.ones(self.num_envs)
        self.sign[which] = self.rng.choice([-1.0, 1.0], which.sum())

    def observe(self) -> np.ndarray:
        return self.sign[:, None].astype(np.float32)

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.sign.copy(), np.ones(self.num_envs, dtype=bool)


class DelayedReward(Probe):
    """Two steps, reward 1 at the second: values gamma and 1. Broken: the discount."""

    def observe(self) -> np.ndarray:
        return self.clock[:, None].astype(np.float32)

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (self.clock == 2).astype(float), self.clock == 2


class EndlessReward(Probe):
    """Reward 1 for ever, cut every 5 steps: the value is 1/(1-gamma). Broken: truncation as death."""

    time_limit = 5

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(self.num_envs), np.zeros(self.num_envs, dtype=bool)


class ChosenReward(Probe):
    """One step, reward +1 for choice 1, -1 for choice 0. Broken: the policy loss's sign."""

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.where(actions == 1, 1.0, -1.0), np.ones(self.num_envs, dtype=bool)


class MatchedReward(ObservedReward):
    """One step, +1 where the choice fits the observation. Broken: samples paired wrongly."""

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fits = (actions == 1) == (self.sign > 0)
        return np.where(fits, 1.0, -1.0), np.ones(self.num_envs, dtype=bool)


class TargetReward(Probe):
    """One step, reward -(action - 0.7)^2. Broken: the Gaussian's log-density or its deviation."""

    single_action_space = UNIT

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        clipped = np.clip(actions[:, 0], -1.0, 1.0)
        return -np.square(clipped - GOAL), np.ones(self.num_envs, dtype=bool)


class MatchedTargetReward(ObservedReward):
    """One step, reward -(action - 0.7 observation)^2. Broken: the policy does not see the observation."""

    single_action_space = UNIT

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        miss = np.clip(actions[:, 0], -1.0, 1.0) - GOAL * self.sign
        return -np.square(miss), np.ones(self.num_envs, dtype=bool)
