"""Saved models without their training: raw observations in, deterministic actions or values out.

    model = PolicyModel.of_run("data/runs/NAME")                       # its best checkpoint
    model.load("data/runs/NAME/checkpoints/100000_policy.pt")          # another moment of the same run
    actions = model(torch.as_tensor(observations))                     # (B, A), or choices (B,)

    model = PolicyModel("sac", observations=17, actions=6, perception_stack="mlp_256")
    model.load("100000_policy.pt")                                     # a file that somebody has sent

A model that standardises its observations carries their moments, and one that squashes its actions carries their
bounds, as buffers. So a file alone gives the actions of the run for raw observations, to the last bit. Shapes: B
observations, A action dimensions or K choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from agents.common_settings import hidden_sizes
from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.compute.linear import Linear
from agents.nn.actors import Critic, make_actor
from agents.nn.normalizer import ObservationNormalizer
from agents.on_policy.config import PPOConfig
from agents.on_policy.native_steps import native_steps
from agents.weights.saved_model import SharedModel, states_of_run
from agents.weights.states import CLONED, SQUASHED, acting_config
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers


class PolicyModel(SharedModel):
    """The deterministic policy of a run: its mean, its most probable choice, or its most valued one.

    Args:
        algo: what has learnt it: ppo, sac, td3, ddpg, crossq or dqn.
        observations: length of an observation.
        actions: length A of an action, or number K of choices.
        perception_stack: the hidden layers, as --p_perception_stack (DQN: --q_perception_stack).
        discrete: whether PPO's actions are choices.
        standardised: --p_batch_norm of the run.
        layer_norm, duelling, precision: as in the run.
    """

    action_center: Tensor
    action_half: Tensor

    def __init__(
        self,
        algo: str,
        *,
        observations: int,
        actions: int,
        perception_stack: str,
        discrete: bool = False,
        standardised: bool = False,
        layer_norm: bool = False,
        duelling: bool = False,
        precision: str = "float32",
    ) -> None:
        super().__init__(
            algo,
            observations=observations,
            inputs=observations,
            outputs=2 * actions if algo in ("sac", "crossq") else actions,
            perception_stack=perception_stack,
            standardised=standardised,
            layer_norm=layer_norm,
            precision=precision,
        )
        self.observations, self.actions = observations, actions
        self.discrete = discrete or algo == "dqn"
        # whether `predict` may act as the run did, in C
        self.native = algo == "ppo" and not layer_norm
        self.baseline: nn.Module | None = None
        if algo == "ppo" and not discrete:
            self.log_std = nn.Parameter(torch.zeros(actions, dtype=self.dtype))
        if algo == "dqn" and duelling:
            width = hidden_sizes(perception_stack)[-1]
            self.baseline = Linear(width, 1, dtype=self.dtype)
        if algo in SQUASHED:
            self.register_buffer("action_center", torch.zeros(actions, dtype=self.dtype))
            self.register_buffer("action_half", torch.ones(actions, dtype=self.dtype))

    @classmethod
    def of_run(
        cls,
        run: str | Path,
        *,
        iter_num: str = "best",
        bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Self:
        """The policy of a run folder, as a checkpoint has it. Needs no environment and no simulator.

        Args:
            run: the run folder.
            iter_num: best, latest or an iteration, as in --iter_num.
            bounds: (low, high) of the actions, for SAC, TD3, DDPG and CrossQ; unset: as the run has them.

        Raises:
            CheckpointError: there is no such checkpoint, or it cannot be trusted.
            ConfigurationError: the run is damaged, or the bounds are not to be found.
        """
        config, states = states_of_run(run, iter_num=iter_num, bounds=bounds)
        name = "q_network" if config.algo == "dqn" else "policy"
        return cls.of_state(config, states[name])

    @classmethod
    def of_state(cls, config: Any, state: Mapping[str, Tensor]) -> Self:
        """The policy of a run's configuration and its state_dict, which tells the sizes."""
        if config.algo in CLONED:
            raise ConfigurationError(
                f"PolicyModel has no policies of algo={config.algo}.",
                "Evaluate the run by python main.py --task=eval --model_path=RUN, or read its tensors by read_state.",
            )
        layers = [t for name, t in state.items() if name.startswith("layers.") and t.dim() == 2]
        in_c = config.algo != "maad"  # whose steps are torch's
        config = acting_config(config)
        algo, outputs = config.algo, len(layers[-1])
        stack = config.q_perception_stack if algo == "dqn" else config.p_perception_stack
        model = cls(
            algo,
            observations=layers[0].shape[1],
            actions=outputs // 2 if algo in ("sac", "crossq") else outputs,
            perception_stack=stack,
            discrete=algo == "ppo" and "log_std" not in state,
            standardised="observation_mean" in state,
            layer_norm=config.layer_norm,
            duelling="baseline.weight" in state,
            precision=config.precision,
        )
        model.native &= in_c and config.compile and not getattr(config, "shared_value", False)
        return model.take(state, source="the checkpoint")

    def head(self, observations: Tensor) -> Tensor:
        """Means (B, A) before any squashing, logits (B, K), or values (B, K), of raw observations."""
        features = self.features(self.standardise(observations))
        outputs: Tensor = self.layers[-1](features)
        if self.baseline is not None:
            return self.baseline(features) + outputs - outputs.mean(-1, keepdim=True)
        return outputs.chunk(2, -1)[0] if self.algo in ("sac", "crossq") else outputs

    def forward(self, observations: Tensor) -> Tensor:
        """Actions (B, A) as the environment takes them, or choices (B,), for raw observations (B, obs_dim).

        PPO's are not clipped to the environment's bounds, as training does not clip them either: environments do.
        """
        return self._chosen(self.head(observations))

    def _chosen(self, head: Tensor) -> Tensor:
        if self.discrete:
            return head.argmax(-1)
        if self.algo == "ppo":
            return head
        return (self.action_center + self.action_half * torch.tanh(head)).float()

    def predict(self, observations: np.ndarray) -> np.ndarray:
        """`forward` for arrays, to the last bit as the run itself acts: PPO's usual networks act in C.

        That differs from torch by some 1e-7, since their tanh are not the same approximation.
        """
        observations = np.asarray(observations)
        with torch.inference_mode():
            if self.native and self.dtype == torch.float32:
                found = self._act_natively(observations)
                if found is not None:
                    return found
            actions: np.ndarray = self(torch.as_tensor(observations)).numpy()
        return actions

    def _act_natively(self, observations: np.ndarray) -> np.ndarray | None:
        """By PPO's kernel, with the parameters as they are now; None where it cannot be built."""
        make: dict[str, Any] = {"generator": torch.Generator(), "dtype": self.dtype}
        space: gymnasium.Space = gymnasium.spaces.Box(-1.0, 1.0, (self.actions,))
        if self.discrete:
            space = gymnasium.spaces.Discrete(self.actions)
        linears = [each for each in self.layers if isinstance(each, nn.Linear)]
        *hidden, last = linears
        copies = [nn.Linear(each.in_features, each.out_features) for each in hidden]
        actor = make_actor(nn.Sequential(*copies), last.in_features, space, std_init=1.0, **make)
        for copy, each in zip([*copies, actor.head], linears, strict=True):
            copy.load_state_dict(each.state_dict())
        critic = Critic(nn.Sequential(*copies), last.in_features, **make)
        with torch.inference_mode(mode=False):
            parameters = FlatParameters({"policy": actor, "value": critic})
            steps = native_steps(
                actor,
                critic,
                parameters=parameters,
                optimizer=FlatAdam(parameters),
                config=PPOConfig(),
                workers=Workers.solo(),
            )
        if steps is None:
            return None
        normalizer = None
        if self.standardised:
            normalizer = ObservationNormalizer(self.observations, dtype=np.dtype(np.float32))
            normalizer.offset, normalizer.scale = (each.numpy() for each in self.moments())
            addresses = (normalizer.offset.ctypes.data, normalizer.scale.ctypes.data)
            normalizer.addresses = (*addresses, normalizer.CLIP)
        return steps.act(observations, normalizer, None)
