"""Checks that imported weights reproduce the original network's outputs, with networks rebuilt in plain torch.

They are rebuilt in float64 from the file's own tensors, by nothing but matrix products and one activation; ours are
the run's agent, as it acts, and its critics. Shapes: B observations, A action dimensions, K choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from agents.weights.migration.foreign_files import Foreign
from agents.weights.migration.moments import Moments
from agents.weights.migration.names import SQUASHED
from helpers.errors import CheckpointError

LIMIT = 1e-5  # of a difference, of outputs of 1 and less; of larger ones, relative to the largest
COUNT = 1000
_WITHIN = 4.9  # deviations from the mean: nobody cuts there
_SB3_LOG_STD = (-20.0, 2.0)
_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "elu": functional.elu,
    "silu": functional.silu,
    "gelu": functional.gelu,
}


@dataclass(frozen=True)
class Difference:
    """Between theirs and ours.

    Attributes:
        model: whose outputs, by our name.
        largest: difference.
        size: largest output.
    """

    model: str
    largest: float
    size: float

    @property
    def is_rounding(self) -> bool:
        """Whether it is nothing else."""
        return self.largest <= LIMIT * max(1.0, self.size)

    def __str__(self) -> str:
        return f"{self.model}: {self.largest:.1e} (outputs up to {self.size:.3g})"


class Rebuilt:
    """The networks of a file.

    Args:
        foreign: the file.
        names: theirs, by ours (see `agents.weights.migration.names`).
        algo: of ours.
        scale: (center, half) of the actions (A,), where the program stretches them from [-1, 1].
    """

    def __init__(
        self,
        foreign: Foreign,
        names: Mapping[str, str],
        *,
        algo: str,
        scale: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        self.foreign, self.algo, self.scale = foreign, algo, scale
        self.names = names
        self._activation = _ACTIVATIONS[str(foreign.activation)]

    def _weight(self, ours: str) -> Tensor:
        return self.foreign.weights[self.names[ours]].double()

    def _layer(self, ours: str, x: Tensor) -> Tensor:
        return x @ self._weight(f"{ours}.weight").T + self._weight(f"{ours}.bias")

    def last_hidden(self, model: str, x: Tensor) -> tuple[Tensor, str]:
        """The last hidden layer (B, width), and the name of the head."""
        count = sum(name.startswith(f"{model}.") for name in self.names if name.endswith("weight"))
        count -= f"{model}.log_std.weight" in self.names
        for k in range(count - 1):
            x = self._activation(self._layer(f"{model}.{k}", x))
        return x, f"{model}.{count - 1}"

    def _net(self, model: str, x: Tensor) -> Tensor:
        x, head = self.last_hidden(model, x)
        return self._layer(head, x)

    def standardise(self, observations: np.ndarray) -> Tensor:
        """As its networks take them."""
        moments, x = self.foreign.observations, torch.from_numpy(observations).double()
        if moments is None:
            return x
        mean, variance = torch.from_numpy(moments.mean), torch.from_numpy(moments.variance)
        x = (x - mean) / torch.sqrt(variance + moments.epsilon)
        return x.clamp(-moments.clip, moments.clip)

    def head(self, model: str, observations: np.ndarray) -> Tensor:
        """What a policy gives before squashing and stretching (B, A or K)."""
        return self._net(model, self.standardise(observations))

    def policy(self, observations: np.ndarray) -> Tensor:
        """Actions (B, A) as the environment takes them; logits or values (B, K)."""
        outputs = self.head("q_network" if self.algo == "dqn" else "policy", observations)
        if self.algo in SQUASHED:
            outputs = torch.tanh(outputs)
        if self.scale is None:
            return outputs
        center, half = (torch.from_numpy(each).double() for each in self.scale)
        return center + half * outputs

    def critic(self, model: str, observations: np.ndarray, actions: np.ndarray) -> Tensor:
        """Values (B,) in units of reward."""
        x = self.standardise(observations)
        if self.foreign.program == "CleanRL" and self.algo in SQUASHED:
            x = torch.cat([x, torch.from_numpy(actions).double()], -1)
        elif self.algo in SQUASHED and self.scale is not None:
            center, half = (torch.from_numpy(each).double() for each in self.scale)
            x = torch.cat([x, (torch.from_numpy(actions).double() - center) / half], -1)
        values, moments = self._net(model, x).squeeze(-1), self.foreign.values
        if moments is None:
            return values
        deviation = float(np.sqrt(moments.variance + moments.epsilon))
        return values.clamp(-moments.clip, moments.clip) * deviation + float(moments.mean)

    def log_std(self, observations: np.ndarray) -> Tensor:
        """Logarithms of the deviations (B, A) of Stable-Baselines3's SAC."""
        x, _ = self.last_hidden("policy", self.standardise(observations))
        return self._layer("policy.log_std", x).clamp(*_SB3_LOG_STD)


def random_observations(moments: Moments | None, dim: int) -> np.ndarray:
    """Standard normal ones (COUNT, obs_dim), or such as the moments say."""
    standard = np.random.default_rng(0).normal(size=(COUNT, dim)).clip(-_WITHIN, _WITHIN)
    if moments is not None:
        standard = moments.mean + standard * np.sqrt(moments.variance)
    return standard.astype(np.float32)


def compare(
    rebuilt: Rebuilt,
    agent: Any,
    *,
    observation_dim: int,
    action_space: gymnasium.Space,
) -> list[Difference]:
    """The differences of all models; of choices, those of what is chosen by, and how many choices are others.

    Raises:
        CheckpointError: one is more than rounding.
    """
    observations = random_observations(rebuilt.foreign.observations, observation_dim)
    models = agent.models()
    theirs = rebuilt.policy(observations)
    chosen, _ = agent.predict(observations, explore=False)
    if isinstance(action_space, gymnasium.spaces.Box):
        found = [_difference("policy", theirs, torch.from_numpy(chosen))]
        actions = np.random.default_rng(1).uniform(-1.0, 1.0, chosen.shape)
        if rebuilt.scale is not None:
            actions = rebuilt.scale[0] + rebuilt.scale[1] * actions
    else:
        name = "q_network" if "q_network" in models else "policy"
        with torch.no_grad():
            ours = models[name].outputs(torch.from_numpy(observations))
        found = [_difference(name, theirs, ours)]
        others = theirs.gather(-1, torch.from_numpy(chosen).unsqueeze(-1)).squeeze(-1)
        found.append(_difference("its choices", theirs.amax(-1), others))
        actions = np.zeros((COUNT, 0))
    actions = actions.astype(np.float32)
    for name, model in models.items():
        quick = name if f"{name}.0.weight" in rebuilt.names else name.removeprefix("target_")
        if name in ("target_policy", "target_q_network"):
            with torch.no_grad():
                values = model.outputs(torch.from_numpy(observations))
            found.append(_difference(name, rebuilt.head(quick, observations), values))
        elif name == "value" or "critic" in name:
            inputs = [observations] if name == "value" else [observations, actions]
            with torch.no_grad():
                values = model(*map(torch.from_numpy, inputs))
            found.append(_difference(name, rebuilt.critic(quick, observations, actions), values))
    wrong = [each for each in found if not each.is_rounding]
    if wrong:
        raise CheckpointError(
            f"{rebuilt.foreign.path}: our outputs differ from its own, {wrong[0]}; up to {LIMIT} is allowed.",
            "Nothing was written. Is the activation right (--migrate_activation)? Please report it otherwise.",
        )
    return found


def _difference(model: str, theirs: Tensor, ours: Tensor) -> Difference:
    largest = float((theirs - ours.double()).abs().max())
    return Difference(model, largest, float(theirs.abs().max()))


def deviations_apart(rebuilt: Rebuilt, agent: Any, observation_dim: int) -> tuple[float, float]:
    """Smallest and largest ratio of our SAC's deviations to theirs, over random observations."""
    observations = random_observations(rebuilt.foreign.observations, observation_dim)
    policy = agent.models()["policy"]
    with torch.no_grad():
        _, ours = policy.net.head(policy.standardise(torch.from_numpy(observations)))
    ratio = (ours.double() - rebuilt.log_std(observations)).exp()
    return float(ratio.min()), float(ratio.max())
