"""The only file that knows every algorithm."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agents.base import Agent

if TYPE_CHECKING:
    import gymnasium

    from helpers.seeding import Streams
    from helpers.workers import Workers


CLASSES = {
    "ppo": "PPO",
    "sac": "SAC",
    "td3": "TD3",
    "ddpg": "DDPG",
    "dqn": "DQN",
    "crossq": "CrossQ",
}


def make_agent(
    config: Any,
    *,
    observation_space: gymnasium.spaces.Box,
    action_space: gymnasium.Space,
    workers: Workers,
    streams: Streams,
    environments: slice,
) -> Agent:
    """The agent that `config.algo` names, on this worker's `environments` (global indices)."""
    module = import_module(f"agents.{config.algo}")
    agent: Agent = getattr(module, CLASSES[config.algo])(
        observation_space=observation_space,
        action_space=action_space,
        config=config,
        workers=workers,
        streams=streams,
        environments=environments,
    )
    return agent
