"""From a model to its architecture: the networks of `agents.nn` and `agents.cloning` as layers by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.cloning.policies import Choice, Choices, Likelihood, Regression
from agents.compute.linear import RectifiedLinear
from agents.nn.actors import CategoricalActor, Critic, GaussianActor, MultiCategoricalActor
from agents.nn.batch_renorm import EPSILON, BatchRenorm, NormalisedNet
from agents.nn.convolutions import BRIGHTEST, PictureLayers
from agents.nn.critics import DeterministicActor, QNetwork, SquashedGaussianActor
from agents.nn.models import CriticModel, Model, PolicyModel
from agents.nn.normalizer import ObservationNormalizer
from agents.nn.perceptrons import ACTIVATIONS
from agents.weights.architecture import ACTION, NOISE, OBSERVATION, Architecture, Layer
from helpers.errors import ConfigurationError

Bounds = tuple[np.ndarray, np.ndarray]
NAMES = {kind: name for name, kind in ACTIVATIONS.items()}
NO_LOG_STD = (-100.0, 100.0)  # beyond what a deviation in float32 can be
SEVERAL = (MultiCategoricalActor, Choices)  # choices in an action
CHOOSING = (CategoricalActor, Choice, QNetwork, *SEVERAL)
# The parts of a network, in their order.
PARTS: Mapping[type[nn.Module], tuple[str, ...]] = {
    **dict.fromkeys((QNetwork, GaussianActor, CategoricalActor, Critic), ("features", "head")),
    MultiCategoricalActor: ("features", "head"),
    **dict.fromkeys((SquashedGaussianActor, DeterministicActor), ("net",)),
    **dict.fromkeys((Regression, Likelihood, Choice, Choices), ("net",)),
}


def describe(
    model: Model,
    *,
    observations: int,
    bounds: Bounds | None = None,
    sampled: bool = False,
) -> Architecture:
    """The architecture of a model, with copies of its tensors.

    Args:
        model: one of `agent.models()`.
        observations: numbers of an observation.
        bounds: (low, high) of the actions, to which a policy's are clipped as environments do.
        sampled: whether the policy samples its actions, by noise that is given, instead of taking the most probable.

    Raises:
        ConfigurationError: a layer is of a class that is not known here, or the policy has nothing to sample.
    """
    writer = _Writer(model, observations)
    if isinstance(model, CriticModel):
        writer.critic(model)
    else:
        assert isinstance(model, PolicyModel)
        writer.policy(model, bounds, sampled)
    return writer.made


class _Writer:
    """Writes an architecture, layer by layer."""

    def __init__(self, model: Model, observations: int) -> None:
        dtype = str(model.dtype).removeprefix("torch.")
        self.made = Architecture(dtype, {OBSERVATION: observations}, {OBSERVATION: []})
        self._counts: dict[str, int] = {}
        if model.standardised:
            offset, scale = model.standardisation()
            limit = ObservationNormalizer.CLIP
            to = self.made.prefixes[OBSERVATION]
            self.add("standardise", to=to, offset=offset, scale=scale, limit=limit)

    def add(self, kind: str, *, to: list[Layer] | None = None, **parts: Any) -> None:
        """A layer, at the end of the body, or of `to`."""
        number = self._counts.get(kind, 0)
        self._counts[kind] = number + 1
        layer: Layer = {"kind": kind}
        for role, part in parts.items():
            if isinstance(part, Tensor):
                name = f"{kind}_{number}.{role}"
                self.made.tensors[name] = part.detach().to(getattr(torch, self.made.dtype)).clone()
                part = name
            layer[role] = part
        (self.made.layers if to is None else to).append(layer)

    def network(self, module: nn.Module) -> None:
        """The layers of a network, without what its outputs become."""
        if type(module) in NAMES:
            self.add(NAMES[type(module)])
        elif isinstance(module, QNetwork) and module.baseline is not None:
            self.dueling(module)
        elif type(module) in PARTS:
            for name in PARTS[type(module)]:
                self.network(getattr(module, name))
        else:
            self.layer(module)

    def layer(self, module: nn.Module) -> None:
        match module:
            case nn.Linear():
                self.add("linear", weight=module.weight, bias=module.bias)
                if isinstance(module, RectifiedLinear):
                    self.add("relu")
            case nn.LayerNorm():
                self.add("layer_norm", weight=module.weight, bias=module.bias, epsilon=module.eps)
            case nn.Sequential():
                for each in module:
                    self.network(each)
            case PictureLayers():
                self.picture(module)
            case NormalisedNet():
                self.normalised(module)
            case _:
                raise ConfigurationError(
                    f"A model has a layer {type(module).__name__}, which cannot be exported.",
                    "Add it to KINDS in agents/weights/architecture.py, and to `layer` in describe.py there.",
                )

    def picture(self, net: PictureLayers) -> None:
        channels, height, width = net.picture.shape
        self.add("picture", channels=channels, height=height, width=width, largest=BRIGHTEST)
        for each in net.convolutions:
            assert isinstance(each, nn.Conv2d)
            stride = each.stride[0]
            self.add("convolution", weight=each.weight, bias=each.bias, stride=stride)
            self.network(net.activation)
        self.add("flatten")
        self.network(net.connected)

    def dueling(self, net: QNetwork) -> None:
        self.network(net.features)
        assert net.baseline is not None
        self.add("dueling", advantages=self.branch(net.head), baseline=self.branch(net.baseline))

    def branch(self, module: nn.Module) -> list[Layer]:
        """The layers of a part that others stand beside."""
        outer, self.made.layers = self.made.layers, []
        self.network(module)
        made, self.made.layers = self.made.layers, outer
        return made

    def normalised(self, net: NormalisedNet) -> None:
        running = net.fixed().running
        for i, (norm, layer) in enumerate(zip(net.norms, net.layers, strict=True)):
            assert isinstance(norm, BatchRenorm) and isinstance(layer, nn.Linear)
            if i:
                self.network(net.activation)
            mean, variance = running[norm.place].chunk(2)
            self.add(
                "batch_norm",
                mean=mean,
                variance=variance,
                weight=norm.weight,
                bias=norm.bias,
                epsilon=EPSILON,
            )
            self.layer(layer)

    def policy(self, model: PolicyModel, bounds: Bounds | None, sampled: bool) -> None:
        net = model.net
        by_state = isinstance(net, GaussianActor) and net.log_std_head is not None
        if not (sampled and by_state):
            self.network(net)
        if sampled:
            if getattr(net, "noise", "normal") is None or not self.sample(net):
                raise ConfigurationError(
                    f"--no-deterministic: a {type(net).__name__} has no distribution to sample from.",
                    "Export it as it is: --deterministic.",
                )
        elif isinstance(net, SquashedGaussianActor | Likelihood):
            self.add("first_half")
        if isinstance(net, SquashedGaussianActor | DeterministicActor) or getattr(
            net,
            "squash",
            False,
        ):
            self.add("tanh")
        is_discrete = isinstance(net, CHOOSING)
        if is_discrete:
            self.choice(net, model.starts)
        elif model.is_stretched:
            self.add("scale", center=model.action_center, half=model.action_half)
        if bounds is not None and any(np.isfinite(each).any() for each in bounds):
            low, high = (torch.as_tensor(np.array(each)) for each in bounds)
            self.add("clip", low=low, high=high)
        if self.made.dtype != "float32" and not is_discrete:
            self.add("to_float32")  # as environments take actions

    def choice(self, net: Any, starts: np.ndarray) -> None:
        """From logits or values to choices as the environment counts them."""
        if isinstance(net, SEVERAL):
            self.add("argmax_each", sizes=list(net.sizes))
        else:
            self.add("argmax")
        if starts.any():
            self.add("count_from", starts=starts.ravel().tolist())

    def sample(self, net: Any) -> bool:
        """The layer that samples, and its noise; whether there is one."""
        match net:
            case GaussianActor():
                low, high = (
                    unbounded if given is None else given
                    for given, unbounded in zip(net.log_std_bounds, NO_LOG_STD, strict=True)
                )
                if net.log_std is not None:
                    self.add("add_noise", deviation=net.log_std.clamp(low, high).exp())
                else:
                    self.network(net.features)
                    assert net.log_std_head is not None
                    mean, log_std = self.branch(net.head), self.branch(net.log_std_head)
                    self.add("gaussian", mean=mean, log_std=log_std, low=low, high=high)
                noise, size = "normal", net.noise_dim
            case SquashedGaussianActor() | Likelihood():
                low, high = net.log_std_range
                self.add("sample", low=low, high=high)
                noise, size = "normal", self._outputs() // 2
            case CategoricalActor() | Choice() | MultiCategoricalActor() | Choices():
                self.add("add_gumbel_noise")
                noise, size = "gumbel", net.noise_dim
            case _:
                return False
        self.made.noise, self.made.sizes[NOISE] = noise, size
        return True

    def _outputs(self) -> int:
        last = [layer for layer in self.made.layers if layer["kind"] == "linear"][-1]
        return len(self.made.tensors[last["bias"]])

    def critic(self, model: CriticModel) -> None:
        if hasattr(model, "action_center"):
            self.made.sizes[ACTION] = len(model.action_center)
            to = self.made.prefixes.setdefault(ACTION, [])
            self.add("unscale", to=to, center=model.action_center, half=model.action_half)
        self.network(model.net)
        self.add("mean")
        if model.is_scaled:
            self.add("scale", center=model.value_center, half=model.value_sd)
