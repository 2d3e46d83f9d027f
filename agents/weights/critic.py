"""Saved critics without their training: raw observations (and actions) in, values in units of reward out.

critic = CriticModel.of_run("data/runs/NAME", "critic_1")
critic.load("data/runs/NAME/checkpoints/100000_critic_1.pt")       # written with --no-checkpoint_policy_only
values = critic(observations, actions)                             # (B,)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from agents.weights.saved_model import SharedModel, states_of_run
from agents.weights.states import acting_config
from helpers.errors import ConfigurationError


class CriticModel(SharedModel):
    """One critic of a run: the value of observations (PPO) or of observations and actions, in units of reward.

    Args:
        algo: what has learnt it: ppo, sac, td3, ddpg or crossq; DQN's is a `PolicyModel`.
        observations: length of an observation.
        actions: length of an action; 0 for PPO.
        perception_stack: the hidden layers, as --q_perception_stack (PPO: --v_perception_stack).
        standardised: --q_batch_norm (PPO: --v_batch_norm) of the run.
        layer_norm, precision: as in the run.
    """

    action_center: Tensor
    action_half: Tensor
    value_center: Tensor
    value_sd: Tensor

    def __init__(
        self,
        algo: str,
        *,
        observations: int,
        actions: int,
        perception_stack: str,
        standardised: bool = False,
        layer_norm: bool = False,
        precision: str = "float32",
    ) -> None:
        super().__init__(
            algo,
            observations=observations,
            inputs=observations + actions,
            outputs=1,
            perception_stack=perception_stack,
            standardised=standardised,
            layer_norm=layer_norm,
            precision=precision,
        )
        if algo == "ppo":
            self.register_buffer("value_center", torch.zeros((), dtype=torch.float64))
            self.register_buffer("value_sd", torch.ones((), dtype=torch.float64))
        else:
            self.register_buffer("action_center", torch.zeros(actions, dtype=self.dtype))
            self.register_buffer("action_half", torch.ones(actions, dtype=self.dtype))

    @classmethod
    def of_run(
        cls,
        run: str | Path,
        name: str,
        *,
        iter_num: str = "best",
        bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Self:
        """A critic of a run folder by name: value, critic, critic_1, target_critic_1 ...; see `PolicyModel.of_run`."""
        config, states = states_of_run(run, iter_num=iter_num, bounds=bounds)
        critics = [each for each in states if each == "value" or "critic" in each]
        if name not in critics:
            raise ConfigurationError(
                f"{config.algo} has no critic {name!r}.",
                f"Choose one of: {', '.join(critics) or 'none; its PolicyModel has the values'}.",
            )
        return cls.of_state(config, states[name])

    @classmethod
    def of_state(cls, config: Any, state: Mapping[str, Tensor]) -> Self:
        """The critic of a run's configuration and its state_dict, which tells the sizes."""
        config = acting_config(config)
        is_ppo = config.algo == "ppo"
        stack = config.v_perception_stack if is_ppo else config.q_perception_stack
        if is_ppo and config.shared_value:
            stack = config.p_perception_stack
        actions = len(state["action_half"]) if "action_half" in state else 0
        model = cls(
            config.algo,
            observations=state["layers.0.weight"].shape[1] - actions,
            actions=actions,
            perception_stack=stack,
            standardised="observation_mean" in state,
            layer_norm=config.layer_norm,
            precision=config.precision,
        )
        return model.take(state, source="the checkpoint")

    def forward(self, observations: Tensor, actions: Tensor | None = None) -> Tensor:
        """Values (B,) of raw observations (B, obs_dim) and actions (B, A) as the environment takes them."""
        x = self.standardise(observations)
        if actions is not None:
            scaled = (actions.to(self.dtype) - self.action_center) / self.action_half
            x = torch.cat([x, scaled], -1)
        values = self.outputs(x).squeeze(-1)
        return values * self.value_sd + self.value_center if self.algo == "ppo" else values
