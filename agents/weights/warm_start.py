"""--init_from: an agent begins with what another one has learned.

From the same learner (PPO, and PPO inside GAIL; SAC, and SAC inside SAM ...) all is taken: networks, moments of the
optimizer, normalizers. From another one the policy is taken where it is the same function of the same layers, with its
normalizer, and critics of the same form. Counters, schedules, the replay buffer and the reward's history begin afresh.
The actions of both are compared before anything is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.nn.models import Model, PolicyModel
from agents.weights.architecture import ACTION, Architecture, Network
from agents.weights.describe import describe
from agents.weights.fit import REMEDY, Fit, Mismatch
from agents.weights.sources import Source, family
from helpers.checkpoints.policy_files import POLICIES
from helpers.errors import CheckpointError, ConfigurationError

# Of a state, what begins afresh: counts, schedules, scores, and what a run is known by.
_OWN = frozenset(
    (
        "iteration",
        "steps",
        "rollouts",
        "updates",
        "step_size_scale",
        "best_loss",
        "waited",
        "demonstrations",
        "expert",
        "unseen",
        "actions",
    ),
)
_PARTS = ("learner", "reward_model", "inverse_dynamics")  # states within a state
_OBSERVATIONS = 1000
LARGEST_DIFFERENCE = 1e-4  # of actions, relative to their size


@dataclass(frozen=True)
class Taken:
    """What was taken.

    Attributes:
        parts: in words.
        left: what begins afresh though the other has something by that name, in words.
        difference: the largest of the two policies' actions, over 1,000 observations.
    """

    parts: tuple[str, ...]
    left: tuple[str, ...]
    difference: float

    def line(self, source: Source) -> str:
        """For the person at the terminal, and the lineage."""
        where = source.origin.get("run") or source.file
        at = source.origin.get("iteration")
        begins = f"; {', '.join(self.left)} begin afresh" if self.left else ""
        return (
            f"begins with {' and '.join(filter(None, [', '.join(self.parts[:-1]), self.parts[-1]]))} of {where}"
            f"{f', iteration {at}' if at is not None else ''} ({source.algo}){begins}; "
            f"largest difference of actions: {self.difference:.1e}"
        )


def warm_start(agent: Any, source: Source, *, observations: int) -> Taken:
    """Let an agent that has not learned yet begin with a source.

    Args:
        agent: of this run.
        source: of `open_source`.
        observations: numbers of an observation of this run.

    Raises:
        ConfigurationError: the two do not fit, with what differs.
    """
    name, model = _policy_of(agent)
    theirs = source.policy or _as_ours(source, model, name)
    ours = describe(model, observations=observations)
    try:
        fit = Fit(theirs, ours)
        if source.config and family(source.config) == family(agent.config) and fit.same_units:
            taken = _take_all(agent, source)
        else:
            if (name != POLICIES[0]) != source.has_values:
                problem = "one network estimates values of actions, the other their probabilities"
                raise Mismatch(problem, "Begin with a run of the same algorithm")
            taken = _take_policy(agent, model, fit, source)
    except Mismatch as error:
        raise ConfigurationError(
            f"--init_from={source.file} ({source.algo}) does not fit this run ({agent.config.algo}): {error.problem}.",
            f"{error.remedy}, or begin without --init_from.",
        ) from None
    parts, left = taken
    return Taken(parts, left, _difference(theirs, _policy_of(agent)[1], source, observations))


def _policy_of(agent: Any) -> tuple[str, PolicyModel]:
    models = agent.models()
    name = next(each for each in POLICIES if each in models)
    return name, models[name]


def _as_ours(source: Source, model: PolicyModel, name: str) -> Architecture:
    """A bare file's policy, with this run's activations: the file does not record its own."""
    ours = model.state_dict()
    for key in [*ours, *source.tensors]:
        here, there = (
            tuple(each[key].shape) if key in each else "missing" for each in (ours, source.tensors)
        )
        if here != there:
            raise ConfigurationError(
                f"--init_from={source.file}: {key} is {there} there and {here} here.",
                f"{REMEDY} (--p_perception_stack, --p_batch_norm), or give its checkpoint instead of the file.",
            )
    kept = {key: tensor.clone() for key, tensor in ours.items()}
    model.take(source.tensors, source=str(source.file))
    made = describe(model, observations=_inputs(model, source))
    model.take(kept, source="this run")
    return made


def _inputs(model: PolicyModel, source: Source) -> int:
    if "observation_mean" in source.tensors:
        return len(source.tensors["observation_mean"])
    return int(source.tensors["layers.0.weight"].shape[1])


def _take_all(agent: Any, source: Source) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """From the same learner: everything that is learned."""
    mine, theirs = agent.state_dict(), source.state
    same_reward = "learner" in mine and "learner" in theirs and source.algo == agent.config.algo
    try:
        if same_reward:
            merged = _merge(mine, theirs)
        elif "learner" in mine:
            merged = mine | {"learner": _merge(mine["learner"], theirs.get("learner", theirs))}
        else:
            merged = _merge(mine, theirs.get("learner", theirs))
        agent.load_state_dict(merged)
    except CheckpointError as error:
        raise Mismatch(error.problem, error.remedy[:1].upper() + error.remedy[1:]) from None
    left = ("the reward model",) if "learner" in mine and not same_reward else ()
    return ("networks", "moments of the optimizer", "normalizers"), left


def _merge(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The other's state with this one's counters."""
    found = dict(mine)
    for key in mine:
        if key in _OWN or key not in theirs:
            continue
        found[key] = _merge(mine[key], theirs[key]) if key in _PARTS else theirs[key]
    return found


def _take_policy(
    agent: Any,
    model: PolicyModel,
    fit: Fit,
    source: Source,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """From another learner: the policy, its normalizer, and critics of the same form."""
    parts, left = ["policy"], []
    own = model.state_dict()
    counts = {"layers": 0, "norms": 0}
    for i, (kind, tensor) in enumerate(fit.tensors()):
        series = "layers" if kind == "linear" else "norms"
        role = ("weight", "bias")[i % 2]
        target = own[f"{series}.{counts[series]}.{role}"]
        rows = min(len(tensor), len(target))  # means come first, deviations where both have them
        target[:rows].copy_(tensor[:rows])
        counts[series] += role == "bias"
    left += _take_deviation(own, fit, source)
    critics, others = _take_critics(agent, source)
    parts += critics
    left += others
    state = agent.state_dict()
    learner = state.get("learner", state)
    if "learning" in learner:  # a clone's second set of parameters, which learns
        learner["learning"] = learner["parameters"]
    if source.observations is not None:
        learner["observations"] = source.observations
        parts.append("observation normalizer")
    agent.load_state_dict(state)
    return tuple(parts), (*left, "the optimizer")


def _take_deviation(own: Mapping[str, Tensor], fit: Fit, source: Source) -> list[str]:
    """A Gaussian's deviation, where both have it in the same form; what is left."""
    theirs = dict(source.tensors)
    if source.agent is not None:
        theirs = _policy_of(source.agent)[1].state_dict()
    if "log_std" in own and "log_std" in theirs:
        own["log_std"].copy_(theirs["log_std"] + torch.as_tensor(fit.log_ratio))
        return []
    is_left = "log_std" in own or ("first_half" in fit.own_end and "first_half" not in fit.end)
    return ["the policy's deviation"] if is_left else []


def _take_critics(agent: Any, source: Source) -> tuple[list[str], list[str]]:
    """Critics and values of the same name and form; (what was taken, what was not)."""
    own = {name: each for name, each in agent.models().items() if name not in POLICIES}
    theirs = source.agent.models() if source.agent is not None else {}
    taken, left = [], []
    for name, model in own.items():
        if name in theirs and _same_form(theirs[name], model):
            mine, other = model.state_dict(), theirs[name].state_dict()
            for key in (
                each for each in mine if each.startswith(("layers.", "norms.", "baseline."))
            ):
                mine[key].copy_(other[key])
            taken.append(name)
        elif name.startswith("target_"):
            mine, other = (
                model.state_dict(),
                agent.models()[name.removeprefix("target_")].state_dict(),
            )
            for key, tensor in mine.items():
                tensor.copy_(other[key])  # a target network begins as what it follows
        else:
            left.append(name)
    return _grouped(taken), _grouped(left)


def _same_form(theirs: Model, ours: Model) -> bool:
    """Whether two critics are the same function of the same inputs, but for their numbers."""
    if type(theirs) is not type(ours):
        return False
    forms = []
    for model in (theirs, ours):
        try:
            made = describe(model, observations=1)
        except ConfigurationError:
            return False
        shapes = {name: tuple(tensor.shape) for name, tensor in made.tensors.items()}
        forms.append((made.prefixes, made.layers, shapes, made.sizes.get(ACTION)))
    scaled = getattr(ours, "is_scaled", False)  # in units of returns that the other has seen
    return forms[0] == forms[1] and not scaled


def _grouped(names: list[str]) -> list[str]:
    """critic_1 and critic_2 as "critics"."""
    return list(dict.fromkeys(name.rstrip("_0123456789") for name in names))


def _difference(theirs: Architecture, model: PolicyModel, source: Source, size: int) -> float:
    """The largest difference of actions over random observations such as the policy has seen.

    Raises:
        CheckpointError: the two act differently.
    """
    generator = np.random.default_rng(0)
    seen = generator.standard_normal((_OBSERVATIONS, size))
    if source.observations is not None:
        count = max(float(source.observations["count"]), 1.0)
        deviation = np.sqrt(np.asarray(source.observations["m2"]) / count)
        seen = np.asarray(source.observations["mean"]) + deviation * seen
    network = Network(theirs)
    with torch.no_grad():
        before = network(torch.as_tensor(seen, dtype=network.dtype)).double().numpy()
        after = model(torch.as_tensor(seen, dtype=model.dtype)).double().numpy()
    difference = float(np.abs(before - after).max())
    if difference > LARGEST_DIFFERENCE * max(1.0, float(np.abs(before).max())):
        raise CheckpointError(
            f"After --init_from={source.file} the policy acts differently: by up to {difference:.1e}.",
            "Please report this with both runs' config.yaml; begin without --init_from.",
        )
    return difference
