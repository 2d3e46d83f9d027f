"""MAAD: imitation of states alone, whose policy is drawn towards the actions that would have led through them.

One update, top to bottom: `MAAD.update`. Ramos et al., arXiv:2306.09805; docs/maad.md says what is learned, and how
it differs from the paper. Shapes: T steps, N environments of this worker, B the global minibatch, D transitions of
the expert, A action dimensions, K choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agents.base import Metrics, Transitions
from agents.demonstrations.dataset import Demonstrations, sequence_rows
from agents.imitation.agent import FromRollout, ImitationAgent
from agents.imitation.inputs import InputBuilder
from agents.imitation.inverse_dynamics import InverseDynamics
from agents.imitation.variants import MAADConfig
from agents.on_policy.ppo import PPO
from agents.on_policy.torch_steps import COLUMNS, TorchSteps
from helpers.errors import CheckpointError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

GUIDES = ("guide_input", "guide_action")
PREFIX = "inverse_dynamics."  # before the names of its arrays


class GuidedPPO(PPO):
    """A `Learner`: PPO whose loss has one term more, the distance of its actions from those of a guide.

    Attributes:
        guide: states (T * N, S), and actions there (T * N, A), scaled to [-1, 1] where they are bounded, or
            probabilities (T * N, K); for the next update.
    """

    def __init__(
        self,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space,
        **parts: Any,
    ) -> None:
        (size,) = observation_space.shape
        config: MAADConfig = parts["config"]
        self.rows, self.guide_scale = InputBuilder(size, action_space, config), config.guide_scale
        spaces: dict[str, Any] = {
            "observation_space": observation_space,
            "action_space": action_space,
        }
        super().__init__(**spaces, **parts)
        count = self.rollout_len * len(self.environments)
        self.guide = (
            np.zeros((count, size), dtype=self.dtype),
            torch.zeros(count, self.rows.actions, dtype=getattr(torch, self.config.precision)),
        )

    def make_steps(self, parts: dict[str, Any]) -> TorchSteps:
        """What can have another loss."""
        return TorchSteps(
            self.actor,
            self.critic,
            loss=self.loss,
            share=self.local_share,
            columns=(*COLUMNS, *GUIDES),
            **parts,
        )

    def extra_columns(self) -> dict[str, Tensor]:
        """The guide's."""
        states, actions = self.guide
        inputs = torch.from_numpy(self._policy_input(states))
        return dict(zip(GUIDES, (inputs, actions), strict=True))

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """PPO's, and `guide_scale` times the distance."""
        loss, metrics = super().loss(batch)
        outputs = self.actor.outputs(batch["guide_input"])
        if self.rows.is_discrete:
            distance = self.rows.distance(outputs, batch["guide_action"])
        else:
            if self.actions.is_identity:  # an old run's policy, whose unit is the environment's
                outputs = self.rows.unbounded_action(outputs)
            gap = outputs - batch["guide_action"]
            distance = gap.square().mean()
        loss = loss + self.guide_scale * distance
        return loss, metrics | {"policy/guide_loss": distance}


class MAAD(ImitationAgent):
    """An `Agent`: a reward for transitions between states, over PPO that is guided by inverse dynamics."""

    def __init__(
        self,
        learner: GuidedPPO,
        demos: Demonstrations,
        *,
        config: MAADConfig,
        workers: Workers,
        streams: Streams,
        **parts: Any,
    ) -> None:
        own: dict[str, Any] = {"config": config, "workers": workers, "streams": streams}
        super().__init__(learner, demos, **own, **parts)
        self.inverse = InverseDynamics(
            learner.rows,
            demos,
            self.normalizers,
            environments=self.environments,
            **own,
        )

    def begin(self) -> None:
        """That of every imitation, and the inverse dynamics' gradient."""
        super().begin()
        self.inverse.begin()

    def update(self, rollout: Transitions) -> Metrics:
        """Train the inverse dynamics, estimate the expert's actions, then update as every imitation; collective."""
        self.inverse.update(FromRollout(rollout))
        places = self._places()
        self.learner.guide = (
            np.ascontiguousarray(self.inverse.states()[places], dtype=self.learner.dtype),
            self.inverse.actions()[torch.from_numpy(places)],
        )
        metrics = super().update(rollout)
        return dict(metrics) | self.inverse.metrics()

    def _places(self) -> np.ndarray:
        """Which of the expert's transitions stand beside which of the rollout's (T * N,).

        Each environment has a part of its own of the endless sequence of shuffles, whichever worker steps it.
        """
        seed, count, steps = self.demos.seed, len(self.inverse.states()), self.rollout_len
        first = self.rollouts * self.config.learner_config.rollout_len
        parts = [
            sequence_rows(seed, count, first + steps * environment, steps)
            for environment in self.environments
        ]
        return np.stack(parts, axis=1).reshape(-1)

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """That of every imitation, and the inverse dynamics'."""
        return super().state_dict() | {"inverse_dynamics": self.inverse.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            CheckpointError: the state is of another architecture, or of other demonstrations.
        """
        super().load_state_dict(state)
        try:
            self.inverse.load_state_dict(state["inverse_dynamics"])
        except ValueError as error:
            raise CheckpointError(
                f"the checkpoint has another inverse dynamics model: {error}",
                "give its --idm_perception_stack",
            ) from error

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        own = self.inverse.synchronised_arrays()
        return super().synchronised_arrays() | {f"{PREFIX}{n}": array for n, array in own.items()}
