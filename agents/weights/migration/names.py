"""Which weight of another program becomes which of ours.

Ours are called by model and layer, from the input on: `policy.0.weight`, `critic_1.2.bias`, `policy.log_std`. Theirs
are known for Stable-Baselines3, CleanRL and rl_games; others are found by equal shapes, where that leaves one
possibility only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from agents.common_settings import stack_of
from agents.weights.migration.foreign_files import Foreign
from helpers.errors import ConfigurationError

# The layers of each model, input first; "*" stands for numbered ones in their order.
_LAYERS: Mapping[tuple[str, str], Mapping[str, Sequence[str]]] = {
    ("Stable-Baselines3", "ppo"): {
        "policy": ["mlp_extractor.policy_net.*", "action_net"],
        "value": ["mlp_extractor.value_net.*", "value_net"],
        "policy.log_std": ["log_std"],
    },
    ("Stable-Baselines3", "sac"): {
        "policy": ["actor.latent_pi.*", "actor.mu"],
        "policy.log_std": ["actor.log_std"],
        "critic_1": ["critic.qf0.*"],
        "critic_2": ["critic.qf1.*"],
        "target_critic_1": ["critic_target.qf0.*"],
        "target_critic_2": ["critic_target.qf1.*"],
    },
    ("Stable-Baselines3", "td3"): {
        "policy": ["actor.mu.*"],
        "target_policy": ["actor_target.mu.*"],
        "critic_1": ["critic.qf0.*"],
        "critic_2": ["critic.qf1.*"],
        "target_critic_1": ["critic_target.qf0.*"],
        "target_critic_2": ["critic_target.qf1.*"],
    },
    ("Stable-Baselines3", "ddpg"): {
        "policy": ["actor.mu.*"],
        "target_policy": ["actor_target.mu.*"],
        "critic": ["critic.qf0.*"],
        "target_critic": ["critic_target.qf0.*"],
    },
    ("Stable-Baselines3", "dqn"): {
        "q_network": ["q_net.q_net.*"],
        "target_q_network": ["q_net_target.q_net.*"],
    },
    ("CleanRL", "ppo"): {
        "policy": ["actor_mean.*|actor.*"],
        "value": ["critic.*"],
        "policy.log_std": ["actor_logstd"],
    },
    ("CleanRL", "sac"): {
        "policy": ["actor.fc*", "actor.fc_mean"],
        "policy.log_std": ["actor.fc_logstd"],
        "critic_1": ["qf1.fc*"],
        "critic_2": ["qf2.fc*"],
    },
    ("CleanRL", "td3"): {
        "policy": ["actor.fc*", "actor.fc_mu"],
        "critic_1": ["qf1.fc*"],
        "critic_2": ["qf2.fc*"],
    },
    ("CleanRL", "ddpg"): {"policy": ["actor.fc*", "actor.fc_mu"], "critic": ["qf1.fc*"]},
    ("CleanRL", "dqn"): {"q_network": ["network.*"]},
    ("rl_games", "ppo"): {
        "policy": ["a2c_network.actor_mlp.*", "a2c_network.mu|a2c_network.logits"],
        "value": ["a2c_network.critic_mlp.*|a2c_network.actor_mlp.*", "a2c_network.value"],
        "policy.log_std": ["a2c_network.sigma"],
    },
}
_PARTS = ("weight", "bias")
SQUASHED = ("sac", "td3", "ddpg")  # their actions are in [-1, 1], stretched to the bounds
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Mapped:
    """What was found out.

    Attributes:
        names: theirs, by ours.
        copied: our target networks that they do not have, which begin as copies of the online ones.
        left: theirs that nothing was made of.
    """

    names: Mapping[str, str]
    copied: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def layers_of(foreign: Foreign, algo: str) -> dict[str, list[str]]:
    """Names of their layers, input first, by our model; empty where the program's are not known."""
    found = {}
    for model, patterns in _LAYERS.get((foreign.program, algo), {}).items():
        layers: list[str] = []
        for pattern in patterns:
            alternatives = (_layers_in_order(foreign.weights, each) for each in pattern.split("|"))
            layers += next(filter(None, alternatives), [])
        found[model] = layers
    return found


def _layers_in_order(weights: Mapping[str, Tensor], pattern: str) -> list[str]:
    """The layers that a pattern stands for, in the order of their numbers."""
    form = re.compile(re.escape(pattern).replace(r"\*", r"(\d+)"))
    layers = (name.removesuffix(".weight") for name in weights if not name.endswith(".bias"))
    matches = filter(None, map(form.fullmatch, layers))
    return [each[0] for each in sorted(matches, key=lambda each: int("".join(each.groups()) or 0))]


def slots_of(algo: str, models: Mapping[str, State]) -> dict[str, Tensor]:
    """What is to be filled, by our names: views of an agent's state (see agents/nn/models.py)."""
    slots: dict[str, Tensor] = {}
    for model, state in models.items():
        for name, tensor in state.items():
            if name == "log_std":
                slots[f"{model}.log_std"] = tensor
            elif name.startswith(("layers.", "norms.", "baseline.")):
                slots[f"{model}.{name.removeprefix('layers.')}"] = tensor
    if algo == "sac":
        last = max(int(name.split(".")[1]) for name in slots if name.startswith("policy."))
        for part in _PARTS:
            both = slots.pop(f"policy.{last}.{part}")
            mean, log_std = both.chunk(2)
            slots[f"policy.{last}.{part}"], slots[f"policy.log_std.{part}"] = mean, log_std
    return slots


def map_names(
    foreign: Foreign,
    algo: str,
    slots: Mapping[str, Tensor],
    *,
    given: str | None,
    auto: bool,
) -> Mapped:
    """Find theirs for each of ours.

    Args:
        foreign: what the file holds.
        algo: what is to be filled.
        slots: ours.
        given: OURS=THEIRS pairs, which come first.
        auto: whether to look for the others, too.

    Raises:
        ConfigurationError: something is missing, left over, ambiguous or of another shape.
    """
    names = _given_names(foreign, slots, given)
    if auto:
        for ours, theirs in _known_names(foreign, algo, slots):
            names.setdefault(ours, theirs)
        _find_by_shape(foreign, slots, names)
    for ours, theirs in names.items():
        here, there = tuple(slots[ours].shape), tuple(foreign.weights[theirs].shape)
        if here != there:
            raise ConfigurationError(
                f"{ours} is {here} here, but {there} in {foreign.path} ({theirs}).",
                f"Give the file's environment and networks: {_advice(foreign, algo)}.",
            )
    missing = [ours for ours in slots if ours not in names]
    copied = [ours for ours in missing if ours.startswith("target_")]
    lacking = [ours for ours in missing if ours not in copied]
    if lacking:
        raise ConfigurationError(
            f"{foreign.path} has nothing for {shorten(lacking)}; it has {shorten(list(foreign.weights))}.",
            f"Its architecture must be ours: {_advice(foreign, algo)}; or map its weights by "
            f"--migrate_names={lacking[0]}=THEIRS,...",
        )
    left = [theirs for theirs in foreign.weights if theirs not in names.values()]
    if left and auto:
        raise ConfigurationError(
            f"{foreign.path} has weights that our {algo} does not have: {shorten(left)}.",
            f"Its architecture must be ours: {_advice(foreign, algo)}. If they are not needed, map all "
            "others by --migrate_names and give --no-migrate_auto.",
        )
    return Mapped(names, copied, left)


def _given_names(
    foreign: Foreign,
    slots: Mapping[str, Tensor],
    given: str | None,
) -> dict[str, str]:
    names: dict[str, str] = {}
    for pair in filter(None, (given or "").split(",")):
        ours, theirs = pair.split("=")
        for name, there, whose in (
            (ours, slots, "our weights"),
            (theirs, foreign.weights, "those in the file"),
        ):
            if name not in there:
                raise ConfigurationError(
                    f"--migrate_names: {name} is not among {whose}.",
                    f"These are: {', '.join(there)}.",
                )
        if ours in names:
            raise ConfigurationError(
                f"--migrate_names gives {ours} twice: {names[ours]} and {theirs}.",
                "Give each of ours once.",
            )
        names[ours] = theirs
    return names


def _known_names(
    foreign: Foreign,
    algo: str,
    slots: Mapping[str, Tensor],
) -> Iterator[tuple[str, str]]:
    """(ours, theirs) as the program calls them, where both are there."""
    for model, layers in layers_of(foreign, algo).items():
        for i, layer in enumerate(layers):
            for suffix in ("", *(f".{part}" for part in _PARTS)):
                ours = f"{model}{suffix}" if model.endswith("log_std") else f"{model}.{i}{suffix}"
                if ours in slots and f"{layer}{suffix}" in foreign.weights:
                    yield ours, f"{layer}{suffix}"


def _find_by_shape(foreign: Foreign, slots: Mapping[str, Tensor], names: dict[str, str]) -> None:
    """Take what alone has the shape of what alone still wants it.

    Raises:
        ConfigurationError: there are several.
    """
    form = {ours: (tuple(t.shape), _kind(ours)) for ours, t in slots.items() if ours not in names}
    free = {
        theirs: (tuple(t.shape), _kind(theirs))
        for theirs, t in foreign.weights.items()
        if theirs not in names.values()
    }
    for ours, wanted in form.items():
        fitting = [theirs for theirs, there in free.items() if there == wanted]
        rivals = [each for each, there in form.items() if there == wanted]
        if len(fitting) == len(rivals) == 1:
            names[ours] = fitting[0]
        elif fitting and not ours.startswith("target_"):
            raise ConfigurationError(
                f"{' and '.join(rivals)} may each be {' or '.join(fitting)} of {foreign.path}.",
                f"Give the mapping: --migrate_names={ours}={fitting[0]},...",
            )


def _kind(name: str) -> str:
    """The suffix that must be the same."""
    part = name.rpartition(".")[2]
    return part if part in _PARTS else "other"


def hidden_layers(foreign: Foreign, layers: Sequence[str]) -> tuple[int, ...]:
    """Widths of the hidden layers among `layers`, of which the last is the head."""
    widths = (foreign.weights.get(f"{layer}.weight") for layer in layers[:-1])
    return tuple(len(weight) for weight in widths if weight is not None)


def stacks_of(foreign: Foreign, algo: str) -> dict[str, Any]:
    """The perception stacks that the file's networks have, by setting."""
    layers = layers_of(foreign, algo)
    settings = {"policy": "p_perception_stack", "value": "v_perception_stack"}
    settings |= dict.fromkeys(("critic", "critic_1", "q_network"), "q_perception_stack")
    found = {}
    for model, setting in settings.items():
        widths = hidden_layers(foreign, layers.get(model, []))
        if widths:
            found[setting] = stack_of(widths)
    return found


def _advice(foreign: Foreign, algo: str) -> str:
    """Flags that the file's networks ask for."""
    flags = [f"--{setting}={stack}" for setting, stack in stacks_of(foreign, algo).items()]
    for layers in layers_of(foreign, algo).values():
        first = foreign.weights.get(f"{layers[0]}.weight") if layers else None
        if first is not None:
            flags.append(f"an --env_id of {first.shape[1]} observations")
            break
    return " ".join(flags) or "perceptrons without normalised layers"


def shorten(names: Sequence[str]) -> str:
    """The first of a list of names, and how many more there are."""
    most = 6
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
