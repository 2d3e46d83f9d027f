"""Whole episodes of an agent in a vector environment: one in each, from seeds of their own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from helpers.parallel.workers import Workers


class Predictor(Protocol):
    """What can choose actions (N, ...) for raw observations (N, obs_dim)."""

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]: ...


class RandomPolicy:
    """Acts by chance: uniformly within the bounds, or among the choices.

    Args:
        space: actions of N environments together.
        seed: of what it draws.
    """

    def __init__(self, space: Any, *, seed: int) -> None:
        self.space = copy.deepcopy(space)
        self.space.seed(seed)

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """N actions, whatever is observed."""
        actions: np.ndarray = self.space.sample()
        return actions, {}


@dataclass
class Episode:
    """One episode from reset to its end.

    Attributes:
        seed: what its environment was reset with.
        return_: sum of rewards.
        length: steps.
        terminated: whether the task ended it (else a limit did).
        steps: arrays (length, ...) by name, if they were kept.
    """

    seed: int
    return_: float = 0.0
    length: int = 0
    terminated: bool = False
    steps: dict[str, np.ndarray] = field(default_factory=dict)


def run_episodes(
    environment: Any,
    agent: Predictor,
    *,
    seeds: Sequence[int],
    explore: bool = False,
    keep_steps: bool = False,
    physics: AbstractContextManager[None] | None = None,
) -> list[Episode]:
    """One episode in each of the N environments, in their order.

    Every environment counts once, so short episodes are not drawn more often than long ones.

    Args:
        environment: a vector environment of len(seeds) environments in SAME_STEP autoreset; those whose episode
            has ended rest.
        agent: acts on raw observations.
        seeds: one an environment.
        explore: sample actions, instead of taking the policy's mode.
        keep_steps: store observations, actions (as executed), rewards, next_observations and ends.
        physics: takes the time of stepping, where somebody asks where it goes.
    """
    observations, _ = environment.reset(seed=list(seeds))
    count, stepping = len(seeds), physics or nullcontext()
    returns, lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
    done = np.zeros(count, dtype=bool)  # whether the task ended it
    kept: list[list[tuple[Any, ...]]] = [[] for _ in seeds]
    running = np.ones(count, dtype=bool)
    while running.any():
        actions, _ = agent.predict(observations, explore=explore)
        with stepping:
            after, rewards, terminated, truncated, infos = environment.step(actions)
        np.add(returns, rewards, out=returns, where=running)
        lengths += running
        if keep_steps:
            successors = environment.successors(after, infos)
            executed = clip_actions(actions, environment.single_action_space)
            for i in np.flatnonzero(running):
                ends = (bool(terminated[i]), bool(truncated[i]))
                kept[i].append((observations[i], executed[i], rewards[i], successors[i], *ends))
        ended = running & (terminated | truncated)
        if ended.any():
            done |= ended & terminated
            running &= ~ended
            environment.rest(ended)
        observations = after
    figures = zip(map(int, seeds), returns.tolist(), lengths.tolist(), done.tolist(), strict=True)
    episodes = [Episode(*figure) for figure in figures]
    if keep_steps:
        for episode, rows in zip(episodes, kept, strict=True):
            columns = [np.stack(column) for column in zip(*rows, strict=True)]
            episode.steps = dict(zip(STEP_NAMES, columns, strict=True))
    return episodes


def random_figures(environment: Any, *, seeds: Sequence[int]) -> dict[str, Any]:
    """What a random policy returns: the figures of `summary`, and of how many episodes.

    Args:
        environment: of as many environments as there are seeds; closed afterwards.
        seeds: one an environment; the actions are drawn from the first.
    """
    policy = RandomPolicy(environment.action_space, seed=seeds[0])
    episodes = run_episodes(environment, policy, seeds=seeds)
    environment.close()
    figures = summary([each.return_ for each in episodes], [each.length for each in episodes])
    return {"source": f"{len(episodes)} episodes", **figures}


STEP_NAMES = (
    "observations",
    "actions",
    "rewards",
    "next_observations",
    "terminated",
    "truncated",
)


def clip_actions(actions: np.ndarray, space: Any) -> np.ndarray:
    """Actions as the environment executes them."""
    if not hasattr(space, "low"):
        return actions
    return np.clip(actions, space.low, space.high).astype(space.dtype, copy=False)


def choice_sizes(space: Any) -> tuple[int, ...]:
    """Of how many each choice of an action is: of Discrete one, of MultiDiscrete several; empty of vectors."""
    if hasattr(space, "nvec"):
        return tuple(int(each) for each in space.nvec)
    return (int(space.n),) if hasattr(space, "n") else ()


def first_choices(space: Any) -> tuple[int, ...]:
    """The smallest of each choice."""
    return tuple(int(each) for each in np.ravel(space.start)) if choice_sizes(space) else ()


def summary(returns: Sequence[float], lengths: Sequence[int]) -> dict[str, float]:
    """Mean, standard deviation and range of returns, mean length, number of episodes."""
    return {
        "return_mean": float(np.mean(returns)),
        "return_sd": float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0,
        "return_min": float(np.min(returns)),
        "return_max": float(np.max(returns)),
        "length_mean": float(np.mean(lengths)),
        "episodes": len(returns),
    }


def shared_summary(episodes: Sequence[Episode], *, workers: Workers) -> dict[str, float]:
    """Statistics of the episodes of all workers, the same on each."""
    shares = workers.allgather_json([[e.return_, e.length] for e in episodes])
    returns, lengths = zip(*[pair for share in shares for pair in share], strict=True)
    return summary(returns, lengths)
