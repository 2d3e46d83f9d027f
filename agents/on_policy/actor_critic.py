"""Actor and critic of PPO."""

from __future__ import annotations

import gymnasium
import torch
from torch import nn

from agents.common_settings import hidden_sizes
from agents.nn.actors import CategoricalActor, Critic, GaussianActor, make_actor, tanh_mlp
from agents.on_policy.config import PPOConfig


def make_actor_critic(
    observation_dim: int,
    action_space: gymnasium.Space,
    config: PPOConfig,
    *,
    seed: int,
) -> tuple[GaussianActor | CategoricalActor, Critic]:
    """Actor and critic with their perception stacks; with `shared_value`, on one of them."""
    make = {
        "generator": torch.Generator().manual_seed(seed),
        "dtype": getattr(torch, config.precision),
    }

    def stack(name: str) -> tuple[nn.Sequential, int]:
        sizes = hidden_sizes(name)
        layers = tanh_mlp(observation_dim, sizes, layer_norm=config.layer_norm, **make)
        return layers, sizes[-1]

    features, width = stack(config.p_perception_stack)
    actor = make_actor(features, width, action_space, std_init=config.policy_std_init, **make)
    if not config.shared_value:
        features, width = stack(config.v_perception_stack)
    return actor, Critic(features, width, **make)
