"""A run's agent and its networks, without environment and simulator.

agent = load_agent("data/runs/NAME")                   # its best checkpoint
actions, _ = agent.predict(observations, explore=False)

policy = agent.models()["policy"]                      # a torch module, see agents/nn/models.py
policy.load("data/runs/NAME/checkpoints/100000_policy.pt")

agent = make_agent_of("sac", observations=17, bounds=(low, high), p_perception_stack="mlp_256")
agent.models()["policy"].load("100000_policy.pt")      # a file that somebody has sent
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from agents.algorithms import SCHEMA
from agents.base import Agent
from agents.factory import make_agent
from agents.nn.models import PolicyModel
from helpers.checkpoints.policy_files import POLICIES, read_state
from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
from helpers.config.run import RunConfig
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

Bounds = tuple[np.ndarray, np.ndarray]
# The actions of an environment's id with its options, where they are known.
SpaceOf = Callable[[str, Mapping[str, Any]], gymnasium.Space | None]


def load_agent(
    run: str | Path,
    *,
    iter_num: str = "best",
    bounds: Bounds | None = None,
    action_space: gymnasium.Space | None = None,
) -> Agent:
    """The agent of a run folder, as a checkpoint has it.

    Args:
        run: the run folder.
        iter_num: best, latest or an iteration, as --iter_num.
        bounds: (low, high) of the actions; unset: as the run has them.
        action_space: of the environment, where the checkpoint does not contain it (bc, dagger).

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be trusted.
        ConfigurationError: the run is damaged, or its bounds of actions are not known.
    """
    return _load(Path(run), iter_num, bounds=bounds, space_of=lambda *_: action_space)[0]


def load_policy_model(
    path: Path,
    *,
    iter_num: str = "best",
    space_of: SpaceOf,
) -> tuple[PolicyModel, int, Bounds | None]:
    """(the model that acts, numbers of an observation, bounds of its actions where they are known) of a checkpoint.

    Args:
        path: a run folder, its checkpoints folder or a checkpoint.
        iter_num: as of `load_agent`.
        space_of: the actions of an environment's id with its options, where they are known.

    Raises:
        CheckpointError, ConfigurationError: as `load_agent`.
    """
    agent, size, space = _load(path, iter_num, space_of=space_of)
    models = agent.models()
    model: PolicyModel = next(models[name] for name in POLICIES if name in models)
    is_box = isinstance(space, gymnasium.spaces.Box)
    return model, size, (space.low, space.high) if is_box else None


def _load(
    path: Path,
    iter_num: str,
    *,
    bounds: Bounds | None = None,
    space_of: SpaceOf,
) -> tuple[Agent, int, Any]:
    checkpoint = resolve_checkpoint(path, iter_num)
    folder = checkpoint.resolve().parent.parent
    config: RunConfig = SCHEMA.load_config(folder / "config.yaml")
    _, shared, _ = read_shared(checkpoint)
    state = shared["agent"]
    learner = state.get("learner", state)
    size = len(learner["observations"]["mean"])
    known = space_of(config.env_id, config.environment_options)
    space = known or _action_space(learner, folder, bounds)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second one takes longer to start than small networks to make
    try:
        agent = _make(config, size, space, unseen=state.get("unseen"))
    finally:
        torch.set_num_threads(threads)
    agent.load_state_dict(state)
    return agent, size, space


def make_agent_of(
    algo: str,
    *,
    observations: int,
    bounds: Bounds | None = None,
    actions: int | None = None,
    choices: int | None = None,
    **settings: Any,
) -> Agent:
    """An untrained agent for a file of weights.

    Args:
        algo: the algorithm.
        observations: length of an observation.
        bounds: (low, high) of the actions; or
        actions: length of an action without bounds (ppo); or
        choices: number of discrete actions.
        settings: others than the defaults, by their names.

    Raises:
        ConfigurationError: a setting is unknown or wrong, or the actions are not said.
    """
    space: gymnasium.Space
    if bounds is not None:
        space = _box(*bounds)
    elif choices is not None:
        space = gymnasium.spaces.Discrete(choices)
    elif actions is not None:
        space = gymnasium.spaces.Box(-np.inf, np.inf, (actions,), np.float32)
    else:
        raise ConfigurationError(
            "the action space is not given.",
            "Give bounds=(low, high), actions=LENGTH or choices=NUMBER.",
        )
    config = SCHEMA.resolve(SCHEMA.layer_of({"algo": algo, **settings})).config
    return _make(config, observations, space)


def _make(
    config: RunConfig,
    observations: int,
    action_space: gymnasium.Space,
    *,
    unseen: Sequence[int] | None = None,
) -> Agent:
    config = config.model_copy(update={"task": "eval"})
    return make_agent(
        config,
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (observations,)),
        action_space=action_space,
        workers=Workers.solo(),
        streams=Streams(config.seed),
        environments=slice(0, 1),
        unseen=unseen,
    )


def _action_space(
    state: Mapping[str, Any],
    folder: Path,
    bounds: Bounds | None,
) -> gymnasium.Space:
    """The action space of a checkpoint."""
    parameters = state["parameters"]
    if bounds is not None:
        return _box(*bounds)
    if "sizes" in (saved := state.get("actions") or {}):
        return _choices_of(saved["sizes"], saved["starts"])
    if saved:
        return _box_of(**saved)
    if "policy.log_std" in parameters:
        return gymnasium.spaces.Box(-np.inf, np.inf, parameters["policy.log_std"].shape)
    if "actions" in state or "returns" in state:  # discrete actions
        acts = "policy." if "policy.head.weight" in parameters else "critic."
        rows = [
            len(each)
            for name, each in parameters.items()
            if name.startswith(acts) and each.dim() == 2 and "baseline" not in name
        ]
        return gymnasium.spaces.Discrete(rows[-1])
    for path in sorted((folder / "checkpoints").glob("*_policy.pt")):
        file = read_state(path)
        if "action_center" in file:
            return _box_of(file["action_center"].numpy(), file["action_half"].numpy())
    raise ConfigurationError(
        f"{folder} does not contain the action bounds.",
        "Give them: bounds=(env.action_space.low, env.action_space.high), or action_space=env.action_space.",
    )


def _choices_of(sizes: np.ndarray, starts: np.ndarray) -> gymnasium.Space:
    """One choice, of arrays (), or D of them, of arrays (D,)."""
    if not np.shape(sizes):
        return gymnasium.spaces.Discrete(int(sizes), start=int(starts))
    return gymnasium.spaces.MultiDiscrete(np.array(sizes), start=np.array(starts))


def _box_of(
    center: np.ndarray,
    half: np.ndarray,
    bounded: np.ndarray | bool = True,
) -> gymnasium.spaces.Box:
    low, high = center - half, center + half
    return _box(np.where(bounded, low, -np.inf), np.where(bounded, high, np.inf))


def _box(low: Any, high: Any) -> gymnasium.spaces.Box:
    low, high = (np.asarray(each, dtype=np.float32) for each in (low, high))
    return gymnasium.spaces.Box(low, high, dtype=np.float32)
