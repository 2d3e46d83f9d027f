"""The only file that knows every algorithm."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from agents.base import Agent
from agents.checks import check_actions, check_demos
from agents.cloning.config import CloningConfig
from agents.demonstrations.dataset import flatten_demos
from agents.imitation.config import ImitationConfig
from helpers.demos.load import Demos, read_demos

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
    "bc": "BC",
    "dagger": "Dagger",
}
MODULES = {
    "ppo": "on_policy.ppo",
    **{name: f"off_policy.{name}" for name in ("sac", "td3", "ddpg", "dqn", "crossq")},
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
    demos: Demos | None = None,
) -> Agent:
    """The agent that `config.algo` names, on this worker's `environments` (global indices).

    Args:
        observation_space, action_space: of one environment.
        config: the run's configuration.
        workers: who learns together.
        streams: the run's random streams.
        environments: this worker's.
        expected: what the environment asks of demonstrations; None compares them with one another.
        demos: what the run learns from, read and checked already; None lets this worker read them.

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
    make: Any = getattr(import_module(f"agents.{MODULES[module]}"), learner)
    if not isinstance(config, CloningConfig | ImitationConfig):
        return cast(Agent, make(**parts))
    if config.task == "eval":
        demos = Demos((), ())
    elif demos is None:
        demos = read_demos(config, expected)
        check_demos(config, demos)
    dataset = flatten_demos(demos, config, **spaces)
    if not is_imitation:
        return cast(Agent, make(demos=dataset, **parts))
    module = config.algo if config.algo in OWN_PARTS else "imitation"
    imitate: Any = getattr(import_module(f"agents.{MODULES[module]}"), imitator)
    return cast(Agent, imitate(make(**parts), dataset, **parts))


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
