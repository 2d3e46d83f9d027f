"""A configuration -> an agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from agents.action_kinds import check_actions
from agents.algorithms import REGISTRY, SCHEMA
from agents.base import Agent
from agents.checks import check_demos, check_pictures, unseen_numbers
from agents.cloning.config import CloningConfig, DaggerConfig
from agents.demonstrations.dataset import flatten_demos
from agents.imitation.config import ImitationConfig
from helpers.config.run import RunConfig
from helpers.demos.load import Demos, read_demos

if TYPE_CHECKING:
    import gymnasium

    from agents.cloning.expert import Expert
    from helpers.demos.episode import Expected
    from helpers.parallel.workers import Workers
    from helpers.seeding import Streams


def make_agent(
    config: RunConfig,
    *,
    observation_space: gymnasium.spaces.Box,
    action_space: gymnasium.Space,
    workers: Workers,
    streams: Streams,
    environments: slice,
    expected: Expected | None = None,
    demos: Demos | None = None,
    unseen: Sequence[int] | None = None,
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
        unseen: numbers of an observation that an imitation's reward model does not see, as its checkpoint lists them;
            None asks `expected`.

    Raises:
        ConfigurationError: the algorithm does not take such actions, or such demonstrations.
    """
    check_actions(config, action_space)
    note = check_pictures(config, observation_space)
    if note and workers.is_root and config.task == "train":
        print(note, flush=True)
    spaces: dict[str, Any] = {"observation_space": observation_space, "action_space": action_space}
    parts: dict[str, Any] = {
        **spaces,
        "config": config,
        "workers": workers,
        "streams": streams,
        "environments": environments,
    }
    entry = REGISTRY[config.algo]
    if not isinstance(config, CloningConfig | ImitationConfig):
        return _make(entry.implementation, parts)
    if config.task == "eval":
        demos = Demos((), ())
    elif demos is None:
        demos = read_demos(config, expected)
        check_demos(config, demos)
    dataset = flatten_demos(demos, config, **spaces)
    if isinstance(config, ImitationConfig):
        learner = _make(entry.learner or REGISTRY[config.learner].implementation, parts)
        parts["unseen"] = unseen_numbers(config, expected) if unseen is None else list(unseen)
        return _make(entry.implementation, parts, learner, dataset)
    if isinstance(config, DaggerConfig) and config.task != "eval":
        parts["expert"] = load_expert(config, expected=expected, **spaces)
    return _make(entry.implementation, parts | {"demos": dataset})


def _make(implementation: str, parts: Mapping[str, Any], *first: Any) -> Agent:
    """An object of a class that is named with its module; of an off-policy algorithm, its learner."""
    module, _, name = implementation.rpartition(".")
    make: Any = getattr(import_module(module), name)
    if module.startswith("agents.off_policy."):
        from agents.off_policy.core.learner import OffPolicyLearner

        make = partial(OffPolicyLearner, make)
    return cast(Agent, make(*first, **parts))


def load_expert(config: DaggerConfig, *, expected: Expected | None = None, **spaces: Any) -> Expert:
    """The trained policy that `expert_policy` names, made as an evaluation makes it."""
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
        expected=expected,
    )
    return Expert(source, agent, spaces["action_space"])
