"""A policy's episodes before it is exported: its returns, and the observations that the package is compared at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import gymnasium
import numpy as np

from agents.base import Agent
from agents.factory import make_agent
from environments.expected import expected_of
from environments.factory import make_vector_env
from environments.ids import resolve_env_id, suite_of
from environments.simulators import packages_of
from environments.suites.gymnasium_suites import action_shape, make_env
from environments.suites.parts import FlatSpace
from helpers.config.run import RunConfig
from helpers.config.run_basics import PICTURES
from helpers.episodes import run_episodes, summary
from helpers.parallel.workers import Workers
from helpers.pictures import PictureSpace
from helpers.seeding import Streams

OBSERVATIONS = 1000
Names = tuple[list[str] | None, list[str] | None]
_MOST_ROUNDS = 50  # of evaluation, until there are enough observations


@dataclass(frozen=True)
class Evaluated:
    """A policy's episodes, and observations of them.

    Attributes:
        figures: seeds, returns, lengths and their summary.
        observations: (OBSERVATIONS, obs_dim) raw.
        space: of an action.
        seen: of an observation.
        environment: what the contract says of the environment.
        names: of the components of an observation and of an action.
    """

    figures: dict[str, Any]
    observations: np.ndarray
    space: gymnasium.Space
    seen: gymnasium.spaces.Box
    environment: dict[str, Any]
    names: Names


def evaluate(config: RunConfig, state: Mapping[str, Any]) -> tuple[Agent, Evaluated]:
    """The agent of a checkpoint, and its episodes from the seeds of --task=eval."""
    streams = Streams(config.seed)
    noise = Streams(streams.integer("trajectories"))
    agent: Agent | None = None
    pieces: list[np.ndarray] = []
    figures: dict[str, Any] = {}
    kept, first = 0, 0
    while kept < OBSERVATIONS and first < _MOST_ROUNDS * config.num_trajs:
        seeds = [streams.integer("trajectories", first + i) for i in range(config.num_trajs)]
        first += config.num_trajs
        environment = make_vector_env(config.env_id, seeds=seeds, **config.environment)
        if agent is None:
            agent = agent_in(config, environment, noise)
            agent.load_state_dict(state)
        explore = not config.deterministic
        episodes = run_episodes(environment, agent, seeds=seeds, explore=explore, keep_steps=True)
        described = environment
        environment.close()
        pieces += [each.steps["observations"] for each in episodes]
        kept += sum(each.length for each in episodes)
        if not figures:
            returns, lengths = [e.return_ for e in episodes], [e.length for e in episodes]
            figures = dict(summary(returns, lengths))
            figures |= {"seeds": seeds, "returns": returns, "lengths": lengths}
    assert agent is not None
    rows = np.concatenate(pieces)
    chosen = np.linspace(0, len(rows) - 1, min(OBSERVATIONS, len(rows))).astype(int)
    about = about_environment(described, resolve_env_id(config.env_id), config.environment_options)
    seen = described.single_observation_space
    space = described.single_action_space
    return agent, Evaluated(figures, rows[chosen], space, seen, about, described.names)


def about_environment(
    environment: Any,
    env_id: str,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What a contract says of the environment that the policy acts in."""
    return {
        "id": env_id,
        "suite": environment.backend,
        "versions": {name: version(name) for name in packages_of(env_id)},
        "time_step": environment.time_step,
        "max_episode_steps": environment.max_episode_steps,
        "options": {k: v for k, v in options.items() if not k.startswith(PICTURES)},
        "preprocessing": {
            k.removeprefix(PICTURES): v
            for k, v in options.items()
            if k.startswith(PICTURES) and k != f"{PICTURES}kept"
        },
        **_own_spaces(env_id, options),
    }


def agent_in(config: RunConfig, environment: Any, streams: Streams) -> Agent:
    """An untrained agent of a run's settings, for `num_trajs` environments."""
    return make_agent(
        config.model_copy(update={"task": "eval"}),
        observation_space=environment.single_observation_space,
        action_space=environment.single_action_space,
        workers=Workers.solo(),
        streams=streams,
        environments=slice(0, config.num_trajs),
        expected=expected_of(config.env_id, config.environment_options),
    )


def _own_spaces(env_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the environment's own observations are vectors, so that nobody need flatten them; its actions' shape."""
    if suite_of(env_id) != "gymnasium":
        return {"is_flat": True, "action_shape": None}
    env = make_env(env_id, render_mode=None, options=options)
    env.close()
    is_flat = not isinstance(env.observation_space, FlatSpace | PictureSpace)
    return {"is_flat": is_flat, "action_shape": action_shape(env)}
