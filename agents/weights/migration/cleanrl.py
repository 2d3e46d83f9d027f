"""What CleanRL's scripts save: `torch.save` of one state_dict (PPO, DQN), or of a tuple of them (SAC, TD3, DDPG).

    ppo_continuous_action   one: critic.0, actor_mean.0, actor_logstd (1, A)
    ppo                     one: critic.0, actor.0
    dqn                     one: network.0
    ddpg, td3               (actor, qf1), (actor, qf1, qf2): fc1, fc2, fc_mu; the bounds as action_scale, action_bias
    sac                     as td3, with fc_mean and fc_logstd; the script itself saves nothing

Activations are tanh (PPO) and ReLU (others), fixed in the scripts. Critics take actions in the environment's units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_NETWORKS = ("actor", "qf1", "qf2")
_RUN = re.compile(
    r"(?P<env_id>[^_].*?)__.+__\d+__\d+",
)  # CleanRL's folder: env_id__exp_name__seed__time
SUFFIX = ".cleanrl_model"


def parts_of(content: Any) -> dict[str, Any] | None:
    """All tensors by name, "actor.fc1.weight" of a tuple; None where it is no such file."""
    if isinstance(content, Sequence) and all(isinstance(each, Mapping) for each in content):
        named = zip(_NETWORKS, content, strict=False)
        return {f"{net}.{name}": tensor for net, state in named for name, tensor in state.items()}
    return dict(content) if isinstance(content, Mapping) and algorithms_of(content) else None


def algorithms_of(names: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of ours these names are of; empty where they are of none."""
    if "critic.0.weight" in names and ("actor.0.weight" in names or "actor_mean.0.weight" in names):
        return ("ppo",)
    if "network.0.weight" in names:
        return ("dqn",)
    if "actor.fc_mean.weight" in names:
        return ("sac",)
    if "actor.fc_mu.weight" in names:
        return ("td3",) if "qf2.fc1.weight" in names else ("ddpg",)
    return ()


def environment_of(path: Path) -> str | None:
    """The environment that the folder of a run is named after, where it is one of CleanRL's."""
    match = _RUN.fullmatch(path.absolute().parent.name)
    return match["env_id"] if match else None
