"""Networks as they leave a run: raw observations in, the environment's units out.

    policy = agent.models()["policy"]                # standardise -> network -> squash
    actions = policy(torch.as_tensor(observations))  # (B, A), or discrete actions (B,)
    torch.save(policy.state_dict(), "policy.pt")

The parameters are the agent's own, and a `state_dict` names them by their order, however the networks are composed:

    layers.K.weight, layers.K.bias     convolutions and linear layers, from the input on; the last is the head
    norms.K.weight, norms.K.bias       where layers are normalised; CrossQ's running numbers are `statistics`
    baseline.weight, baseline.bias     a dueling Q-network's second head
    log_std                            a Gaussian policy's

Shapes: B observations, A action dimensions, K discrete actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from agents.nn.action_scale import ActionScale
from agents.nn.batch_renorm import NormalisedNet
from agents.nn.critics import Critics, QNetwork
from agents.nn.normalizer import VARIANCE_EPSILON, ObservationNormalizer, ReturnNormalizer
from helpers.checkpoints.policy_files import read_state
from helpers.errors import CheckpointError


class Model(nn.Module):
    """A network behind a standardisation of observations.

    Args:
        net: the network; its parameters stay where they are.
        normalizer: standardises the observations, as it stands; None where they are taken raw.
    """

    observation_mean: Tensor
    observation_variance: Tensor

    def __init__(self, net: nn.Module, *, normalizer: ObservationNormalizer | None) -> None:
        super().__init__()
        self.net: Any = net
        self.standardised = normalizer is not None
        self.dtype = next(net.parameters()).dtype
        if normalizer is not None:
            variance = np.array(normalizer.variance, dtype=np.float64)
            count = torch.tensor(float(normalizer.count), dtype=torch.float64)
            self.register_buffer("observation_mean", torch.from_numpy(normalizer.mean.copy()))
            self.register_buffer("observation_variance", torch.from_numpy(variance))
            self.register_buffer("observation_count", count)

    def standardise(self, observations: Tensor) -> Tensor:
        """What the first layer is given (B, obs_dim) for raw observations (B, obs_dim)."""
        observations = observations.to(self.dtype)
        if observations.dim() != 2:
            raise ValueError(f"observations {tuple(observations.shape)}, expected (B, obs_dim)")
        if not self.standardised:
            return observations
        offset, scale = self.standardisation()
        if observations.shape[1] != len(offset):
            raise ValueError(f"observations of {observations.shape[1]} numbers, not {len(offset)}")
        limit = ObservationNormalizer.CLIP
        return ((observations - offset) * scale).clamp(-limit, limit)

    def standardisation(self) -> tuple[Tensor, Tensor]:
        """(offset, scale), (obs_dim,) each, of the standardisation, where there is one."""
        deviation = torch.sqrt(self.observation_variance + VARIANCE_EPSILON)
        return self.observation_mean.to(self.dtype), (1.0 / deviation).to(self.dtype)

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:  # type: ignore[override]
        """The tensors by name; those of the network are the agent's own."""
        buffers = {name: each for name, each in self.named_buffers() if "." not in name}
        return _tensors_by_name(self.net) | buffers

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        """Copy tensors in by name.

        Raises:
            CheckpointError: they are of another architecture.
        """
        return self.take(state_dict, source="the state_dict")

    def load(self, path: str | Path) -> Self:
        """Copy in a file that `torch.save(model.state_dict(), path)` wrote.

        Raises:
            CheckpointError: it cannot be read, or is of another architecture.
        """
        return self.take(read_state(Path(path)), source=str(path))

    def take(self, state: Mapping[str, Tensor], *, source: str) -> Self:
        """Copy tensors in by name; `source` says in errors whose they are.

        Raises:
            CheckpointError: they are of another architecture.
        """
        own = self.state_dict()
        here, there = (
            {name: tuple(tensor.shape) for name, tensor in each.items()} for each in (own, state)
        )
        for name in [*here, *there]:
            if here.get(name) != there.get(name):
                raise CheckpointError(
                    f"{source} has another architecture: {name} is {there.get(name, 'missing')} "
                    f"there and {here.get(name, 'missing')} here.",
                    "Load it into the models of its own run, or create them with that run's settings.",
                )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])
        return self


class PolicyModel(Model):
    """A policy without its exploration: its mean, its most probable action, or that of highest value.

    Args:
        net: the actor, with `outputs` and `act`.
        normalizer: as in `Model`.
        scale: stretches actions from [-1, 1] to the environment's bounds, counts choices from its first ones; None for
            choices from 0. Of a policy that does not squash they are the agent's own, and a file without them, from
            before such policies had units, sets them to those of the environment.

    Attributes:
        starts: what is added to choices: a number, or (D,) for D of them; 0 of most.
    """

    action_center: Tensor
    action_half: Tensor

    def __init__(
        self,
        net: Any,
        *,
        normalizer: ObservationNormalizer | None,
        scale: ActionScale | None = None,
    ) -> None:
        super().__init__(net, normalizer=normalizer)
        self.is_squashed = scale is not None and not scale.is_discrete and scale.squashes
        is_choice = scale is not None and scale.is_discrete
        self.starts = scale.starts if is_choice and scale is not None else np.zeros((), np.int64)
        _register_scale(self, scale)

    @property
    def is_stretched(self) -> bool:
        """Whether actions are others than the network gives."""
        if not hasattr(self, "action_half") or self.is_squashed:
            return self.is_squashed
        return bool(self.action_center.any() or (self.action_half != 1.0).any())

    def take(self, state: Mapping[str, Tensor], *, source: str) -> Self:
        """As of `Model`; also what a policy that does not squash was saved as before it had units."""
        if hasattr(self, "action_half") and not self.is_squashed and "action_half" not in state:
            raw = torch.zeros_like(self.action_center), torch.ones_like(self.action_half)
            state = {**state, "action_center": raw[0], "action_half": raw[1]}
        return super().take(state, source=source)

    def outputs(self, observations: Tensor) -> Tensor:
        """Means (B, A) before any squashing, logits (B, K), or values (B, K), of raw observations (B, obs_dim)."""
        outputs: Tensor = self.net.outputs(self.standardise(observations))
        return outputs

    def forward(self, observations: Tensor, noise: Tensor | None = None) -> Tensor:
        """Actions (B, A) as the environment takes them, or choices (B,) or (B, D), for raw observations (B, obs_dim).

        With noise (B, A or K), of the actor's distribution, they are samples. PPO's are not clipped to the
        environment's bounds: environments do that.
        """
        actions: Tensor = self.net.act(self.standardise(observations), noise=noise)
        if self.is_stretched:
            actions = self.action_center + self.action_half * actions
        if self.starts.any():
            actions = actions + torch.from_numpy(self.starts)
        return actions.float() if self.is_squashed else actions


class CriticModel(Model):
    """A critic: the value of observations, or of observations and actions, in units of reward.

    Args:
        net: maps (B, obs_dim [+ A]) to values (B,), (B, 1), or quantiles (B, M), whose mean is the value.
        normalizer: as in `Model`.
        scale: of the actions that it takes; None for a critic of observations alone.
        returns: turns its values into units of reward.
    """

    action_center: Tensor
    action_half: Tensor
    value_center: Tensor
    value_sd: Tensor

    def __init__(
        self,
        net: nn.Module,
        *,
        normalizer: ObservationNormalizer | None,
        scale: ActionScale | None = None,
        returns: ReturnNormalizer | None = None,
    ) -> None:
        super().__init__(net, normalizer=normalizer)
        _register_scale(self, scale)
        self.is_scaled = returns is not None
        if returns is not None:
            for name, number in (("value_center", returns.center), ("value_sd", returns.sd)):
                self.register_buffer(name, torch.tensor(number, dtype=torch.float64))

    def forward(self, observations: Tensor, actions: Tensor | None = None) -> Tensor:
        """Values (B,) of raw observations (B, obs_dim) and actions (B, A) as the environment takes them."""
        x = self.standardise(observations)
        if actions is not None:
            scaled = (actions.to(self.dtype) - self.action_center) / self.action_half
            x = torch.cat([x, scaled], -1)
        values: Tensor = self.net(x)
        values = values.mean(-1) if values.dim() > 1 else values
        return values * self.value_sd + self.value_center if self.is_scaled else values


def models_of(
    networks: Mapping[str, nn.Module],
    normalizers: Mapping[str, ObservationNormalizer | None],
    *,
    scale: ActionScale,
) -> dict[str, Model]:
    """The models of an off-policy algorithm: "policy", "critic" or "critic_1" and so on, or "q_network".

    Args:
        networks: by segment, "policy" and "critic"; others have no models.
        normalizers: of the observations that these take.
        scale: of the actions.
    """
    found: dict[str, Model] = {}
    for name, normalizer in normalizers.items():
        net = networks.get(name)
        if isinstance(net, Critics):
            count = len(net.nets)
            names = [f"{name}_{i}" for i in range(1, count + 1)] if count > 1 else [name]
            for each, critic in zip(names, net.nets, strict=True):
                found[each] = CriticModel(critic, normalizer=normalizer, scale=scale)
        elif net is not None:
            name = "q_network" if isinstance(net, QNetwork) else name
            found[name] = PolicyModel(net, normalizer=normalizer, scale=scale)
    return found


def _register_scale(model: nn.Module, scale: ActionScale | None) -> None:
    if scale is not None and not scale.is_discrete:
        for name, array in (("action_center", scale.center), ("action_half", scale.half)):
            own = array.copy() if scale.squashes else array
            model.register_buffer(name, torch.from_numpy(own))


def _tensors_by_name(net: nn.Module) -> dict[str, Tensor]:
    """A network's tensors, named by their order from its input to its output."""
    found: dict[str, Tensor] = {}
    counts = {"layers": 0, "norms": 0}
    place = ""
    for name, tensor in net.named_parameters():
        path, _, kind = name.rpartition(".")
        if kind == "weight" and "baseline" in path.split("."):
            place = "baseline"
        elif kind == "weight":
            series = "norms" if tensor.dim() == 1 else "layers"
            place = f"{series}.{counts[series]}"
            counts[series] += 1
        found[f"{place}.{kind}" if path else kind] = tensor.detach()
    for module in net.modules():
        if isinstance(module, NormalisedNet):
            found["statistics"] = module.running_statistics()
    return found
