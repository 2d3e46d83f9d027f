"""Actor and critic of PPO."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from torch import nn

from agents.common_settings import hidden_sizes
from agents.nn.actors import CategoricalActor, Critic, GaussianActor, MultiCategoricalActor
from agents.nn.convolutions import PictureLayers
from agents.nn.perceptrons import hidden_stack
from agents.on_policy.config import PPOConfig
from helpers.episodes import choice_sizes
from helpers.errors import ConfigurationError
from helpers.pictures import Picture

Actor = GaussianActor | CategoricalActor | MultiCategoricalActor


def make_actor_critic(
    observations: int | Picture,
    action_space: gymnasium.Space,
    config: PPOConfig,
    *,
    seed: int,
) -> tuple[Actor, Critic]:
    """Actor and critic with their perception stacks; with `shared_value`, on one of them.

    Args:
        observations: numbers of one, or its form where the stacks take pictures.
        action_space: Box (A,) or Discrete.
        config: the run's configuration.
        seed: of the first weights.

    Raises:
        ConfigurationError: the actions are neither Box (A,) nor Discrete nor MultiDiscrete (D,).
    """
    make: dict[str, Any] = {
        "init": config.init,
        "generator": torch.Generator().manual_seed(seed),
        "dtype": getattr(torch, config.precision),
    }

    def stack(name: str, activation: str) -> tuple[nn.Module, int]:
        if isinstance(observations, Picture):
            layers = PictureLayers(observations, name, activation=activation, **make)
            return layers, layers.width
        sizes, norm = hidden_sizes(name), config.layer_norm
        kind: dict[str, Any] = {"activation": activation, "layer_norm": norm}
        return hidden_stack(observations, sizes, **kind, **make), sizes[-1]

    features, width = stack(config.p_perception_stack, config.p_activation)
    actor: Actor
    if isinstance(action_space, gymnasium.spaces.Discrete):
        actor = CategoricalActor(features, width, actions=int(action_space.n), **make)
    elif isinstance(action_space, gymnasium.spaces.MultiDiscrete):
        actor = MultiCategoricalActor(features, width, sizes=choice_sizes(action_space), **make)
    elif isinstance(action_space, gymnasium.spaces.Box) and len(action_space.shape) == 1:
        actor = GaussianActor(
            features,
            width,
            actions=action_space.shape[0],
            std_init=config.policy_std_init,
            by_state=config.state_dependent_std,
            log_std_bounds=(config.log_std_min, config.log_std_max),
            **make,
        )
    else:
        raise ConfigurationError(
            f"actions {action_space} are not supported",
            "choose an environment with actions in Box, Discrete, MultiDiscrete or MultiBinary",
        )
    if not config.shared_value:
        features, width = stack(config.v_perception_stack, config.v_activation)
    return actor, Critic(features, width, **make)
