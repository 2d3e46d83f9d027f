"""The only file that knows every algorithm."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agents.base import Agent
from agents.checks import check_actions

if TYPE_CHECKING:
    import gymnasium

    from agents.cloning.expert import Expert
    from helpers.demos.episode import Expected
    from helpers.parallel.workers import Workers
    from helpers.seeding import Streams


CLASSES = {
    "ppo": "PPO",
    "sac": "SAC",
    "td3": "TD3",
    "ddpg": "DDPG",
    "dqn": "DQN",
    "crossq": "CrossQ",
    "redq": "REDQ",
    "tqc": "TQC",
    "bc": "BC",
    "dagger": "Dagger",
}
MODULES = {
    "ppo": "on_policy.ppo",
    **{
        name: f"off_policy.{name}"
        for name in ("sac", "td3", "ddpg", "dqn", "crossq", "redq", "tqc")
    },
    **{name: f"cloning.{name}" for name in ("bc", "dagger")},
    "imitation": "imitation.agent",
    "maad": "imitation.maad",
}
IMITATIONS = ("gail", "airl", "sam", "dac", "red", "maad")  # a reward model over `config.learner`
OWN_PARTS = {"maad": ("GuidedPPO", "MAAD")}  # of its module: the learner, and what imitates with it


def make_agent(
    config: Any,
    *,
    observation_space: gymnasium.spaces.Box,
    action_space: gymnasium.Space,
    workers: Workers,
    streams: Streams,
    environments: slice,
    expected: Expected | None = None,
) -> Agent:
    """The agent that `config.algo` names, on this worker's `environments` (global indices).

    Args:
        observation_space, action_space: of one environment.
        config: the run's configuration.
        workers: who learns together.
        streams: the run's random streams.
        environments: this worker's.
        expected: what the environment asks of demonstrations; None compares them with one another.

    Raises:
        ConfigurationError: the algorithm does not take such actions, or such demonstrations.
    """
    check_actions(config, action_space)
    spaces: dict[str, Any] = {"observation_space": observation_space, "action_space": action_space}
    parts: dict[str, Any] = {
        **spaces,
        "config": config,
        "workers": workers,
        "streams": streams,
        "environments": environments,
    }
    if config.algo == "dagger" and config.task != "eval":
        parts["expert"] = load_expert(config, **spaces)
    is_imitation = config.algo in IMITATIONS
    name = config.learner if is_imitation else config.algo
    learner, imitator = OWN_PARTS.get(config.algo, (CLASSES[name], "ImitationAgent"))
    module = config.algo if config.algo in OWN_PARTS else name
    kind = getattr(import_module(f"agents.{MODULES[module]}"), learner)
    if MODULES[module].startswith("off_policy."):
        kind = partial(import_module("agents.off_policy.learner").OffPolicyLearner, kind)
    agent: Agent = kind(**parts)
    if not is_imitation:
        return agent
    from agents.demonstrations.dataset import load_demonstrations

    shown = config if config.task != "eval" else config.model_copy(update={"num_demos": 0})
    demos = load_demonstrations(shown, expected, **spaces)
    module = config.algo if config.algo in OWN_PARTS else "imitation"
    imitation: Agent = getattr(import_module(f"agents.{MODULES[module]}"), imitator)(
        agent,
        demos,
        **parts,
    )
    return imitation


def load_expert(config: Any, **spaces: Any) -> Expert:
    """The trained policy that `expert_policy` names, made as an evaluation makes it."""
    from agents.algorithms import SCHEMA
    from agents.cloning.expert import Expert, find_expert
    from helpers.parallel.workers import Workers
    from helpers.seeding import Streams

    source = find_expert(config, SCHEMA.load_config)
    theirs = source.config.model_copy(update={"task": "eval"})
    agent = make_agent(
        theirs,
        **spaces,
        workers=Workers.solo(),
        streams=Streams(theirs.seed),
        environments=slice(0, 1),
    )
    return Expert(source, agent, spaces["action_space"])
