"""The models of an agent as state_dicts whose names do not depend on how its networks are put together.

    policy | q_network       what chooses actions      layers.K.weight, layers.K.bias   from the input on
    value | critic_1 ...     what values them          norms.K.weight, norms.K.bias     where layers are normalised
    target_policy ...        slow copies               observation_mean, _variance, _count, where standardised

`agents.weights.policy` has the modules that they are loaded into. The tensors are views of the agent's state wherever
that holds tensors: what is written into them is written into the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.compute.flat_parameters import ALIGNMENT

State = dict[str, Tensor]
SQUASHED = ("sac", "crossq", "td3", "ddpg")  # actions in [-1, 1], stretched to the bounds
CLONED = ("bc", "dagger")  # likewise, where they are squashed
RETURN_EPSILON = 1e-8


def models_of(agent: Any) -> dict[str, State]:
    """The models of an agent as it stands, by name."""
    scale = getattr(getattr(agent, "learner", agent), "actions", None)  # PPO has none
    bounds = None if scale is None or scale.is_discrete else (scale.center, scale.half)
    return model_states(agent.config, agent.state_dict(), bounds=bounds)


def acting_config(config: Any) -> Any:
    """The configuration as that of what acts: of an imitation, its learner."""
    learner = getattr(config, "learner", None)
    return config.model_copy(update={"algo": learner}) if learner else config


def model_states(
    config: Any,
    state: Mapping[str, Any],
    *,
    bounds: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, State]:
    """The models in an agent's state.

    Args:
        config: the run's configuration.
        state: what `agent.state_dict()` gave, or a checkpoint has of it.
        bounds: (center, half) of the actions (A,), for algorithms that squash them.
    """
    if "learner" in state:  # an imitation acts by its learner
        return model_states(acting_config(config), state["learner"], bounds=bounds)
    algo, parameters = config.algo, state["parameters"]
    if algo == "ppo":
        models = {"policy": _net(parameters, "policy."), "value": _value_net(config, parameters)}
        models["value"] |= _return_scale(config, state["returns"])
    elif algo in CLONED:
        models = {"policy": _net(parameters, "policy.")}
    elif algo == "dqn":
        slow = _slow(parameters, "", state["kept"]["slow"])
        models = {
            "q_network": _net(parameters, "critic."),
            "target_q_network": _net(slow, "critic."),
        }
    else:
        models = _actor_and_critics(algo, parameters, state["kept"])
    moments = _moments(state["observations"])
    for name, model in models.items():
        if _is_standardised(config, name):
            model |= moments
        if algo in (*SQUASHED, *CLONED) and bounds is not None:
            center, half = (torch.from_numpy(np.ascontiguousarray(each)) for each in bounds)
            model |= {"action_center": center, "action_half": half}
    return models


def _actor_and_critics(
    algo: str,
    parameters: Mapping[str, Tensor],
    kept: Mapping[str, Tensor],
) -> dict[str, State]:
    """Policy, critics, and the slow copies that the algorithm has."""
    names = dict.fromkeys(
        ".".join(name.split(".")[:3]) + "."
        for name in parameters
        if name.startswith("critic.nets.")
    )
    critics = {f"critic_{i}": name for i, name in enumerate(names, 1)}
    if len(critics) == 1:
        critics = {"critic": critics["critic_1"]}
    prefixes = {"policy": "policy."} | critics
    models = {name: _net(parameters, prefix) for name, prefix in prefixes.items()}
    if algo == "crossq":
        statistics, start = kept["statistics"], 0  # the policy's come first, as in its segment
        for model in models.values():
            size = sum(2 * len(t) for name, t in model.items() if _is_norm(name))
            model["statistics"] = statistics[start : start + size]
            start += size
        return models
    is_of_critics = algo == "sac"
    slow = _slow(parameters, "critic." if is_of_critics else "", kept["slow"])
    for name, prefix in (critics if is_of_critics else prefixes).items():
        models[f"target_{name}"] = _net(slow, prefix)
    return models


def _is_norm(name: str) -> bool:
    return name.startswith("norms.") and name.endswith(".weight")


def _net(parameters: Mapping[str, Tensor], prefix: str) -> State:
    """A perceptron's parameters, renamed by their order from its input to its output."""
    found: State = {}
    counts = {"layers": 0, "norms": 0}
    place = ""
    for name, tensor in parameters.items():
        if not name.startswith(prefix):
            continue
        path, _, kind = name.removeprefix(prefix).rpartition(".")
        if kind == "weight" and "baseline" in path.split("."):
            place = "baseline"
        elif kind == "weight":
            series = "layers" if tensor.dim() == 2 else "norms"
            place = f"{series}.{counts[series]}"
            counts[series] += 1
        found[f"{place}.{kind}" if path else kind] = tensor
    return found


def _value_net(config: Any, parameters: Mapping[str, Tensor]) -> State:
    """PPO's critic, with the policy's hidden layers where they share them."""
    own = {name: tensor for name, tensor in parameters.items() if name.startswith("value.")}
    if config.shared_value:
        features = {n: t for n, t in parameters.items() if n.startswith("policy.features.")}
        own = {name.replace("policy.", "value.", 1): t for name, t in features.items()} | own
    return _net(own, "value.")


def _slow(parameters: Mapping[str, Tensor], prefix: str, flat: Tensor) -> dict[str, Tensor]:
    """The parameters by name in a flat vector of those whose names begin so, as `FlatParameters` lays it out."""
    found, start = {}, 0
    for name, tensor in parameters.items():
        if name.startswith(prefix):
            found[name] = flat[start : start + tensor.numel()].view(tensor.shape)
            start += -(-tensor.numel() // ALIGNMENT) * ALIGNMENT
    return found


def _is_standardised(config: Any, name: str) -> bool:
    """Whether a model's observations are standardised."""
    if name.endswith("policy"):
        return bool(config.p_batch_norm)
    if name == "value":
        return bool(config.v_batch_norm)
    # DQN acts by its critic, whose observations p_batch_norm rules there: see `agents.off_policy.learner`
    return bool(config.p_batch_norm if name == "q_network" else config.q_batch_norm)


def _moments(state: Mapping[str, Any]) -> State:
    count, m2 = float(state["count"]), np.asarray(state["m2"], dtype=np.float64)
    variance = m2 / count if count else np.ones_like(m2)
    return {
        "observation_mean": torch.from_numpy(np.array(state["mean"], dtype=np.float64)),
        "observation_variance": torch.from_numpy(np.array(variance)),
        "observation_count": torch.tensor(count, dtype=torch.float64),
    }


def _return_scale(config: Any, state: Mapping[str, Any]) -> State:
    """What turns a value of PPO's critic into rewards; 0 and 1 where it speaks in rewards."""
    center, sd, count = 0.0, 1.0, float(state["count"])
    if config.normalize_values and count:
        center, variance = float(state["mean"]), np.asarray(state["m2"]) / count
        sd = float(np.sqrt(variance + RETURN_EPSILON))
    return {
        "value_center": torch.tensor(center, dtype=torch.float64),
        "value_sd": torch.tensor(sd, dtype=torch.float64),
    }
