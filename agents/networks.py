"""Networks, composed by their constructors, and the one flat vector their parameters live in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import gymnasium
import torch
from torch import Tensor, nn

from agents import losses
from helpers.errors import ConfigurationError

ALIGNMENT = 16  # elements: every parameter starts on a 64-byte boundary (float32)


def linear(
    inputs: int,
    outputs: int,
    *,
    gain: float,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> nn.Linear:
    """A linear layer, weights orthogonal with this gain, biases zero."""
    layer = nn.Linear(inputs, outputs, dtype=dtype)
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def perceptron(
    inputs: int,
    hidden: Sequence[int],
    *,
    layer_norm: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> nn.Sequential:
    """A perception stack: tanh layers of the widths in `hidden`, orthogonal with gain sqrt(2)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(
            linear(inputs, width, gain=math.sqrt(2.0), generator=generator, dtype=dtype),
        )
        if layer_norm:
            layers.append(nn.LayerNorm(width, dtype=dtype))
        layers.append(nn.Tanh())
        inputs = width
    return nn.Sequential(*layers)


class GaussianActor(nn.Module):
    """A diagonal Gaussian over unclipped actions, its standard deviation independent of the state.

    `features` maps observations (B, obs_dim) to (B, width). The head starts near zero (gain 0.01),
    so the first policy is centred whatever the observation.
    """

    noise = "normal"

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        actions: int,
        std_init: float,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = linear(width, actions, gain=0.01, generator=generator, dtype=dtype)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(std_init), dtype=dtype))
        self.noise_dim = actions

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (B, A): the mean, plus standard normal noise (B, A) times the deviation."""
        mean = self.head(self.features(observations))
        return mean if noise is None else torch.addcmul(mean, noise, self.log_std.exp())

    def log_prob_and_entropy(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density (B,) of actions (B, A), and the entropy, a scalar, in nats."""
        mean = self.head(self.features(observations))
        log_prob = losses.gaussian_log_prob(actions, mean, self.log_std)
        return log_prob, losses.gaussian_entropy(self.log_std)


class CategoricalActor(nn.Module):
    """A softmax over K choices; sampled by the Gumbel-max trick from noise given from outside."""

    noise = "gumbel"

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        actions: int,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = linear(width, actions, gain=0.01, generator=generator, dtype=dtype)
        self.noise_dim = actions

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Choices (B,) int64: the most probable, or with Gumbel noise (B, K) a sample."""
        logits = self.head(self.features(observations))
        return (logits if noise is None else logits + noise).argmax(-1)

    def log_prob_and_entropy(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability (B,) of choices (B,), and the mean entropy, a scalar, in nats."""
        logits = self.head(self.features(observations))
        log_prob = losses.categorical_log_prob(actions, logits)
        return log_prob, losses.categorical_entropy(logits).mean()


def make_actor(
    features: nn.Module,
    width: int,
    action_space: gymnasium.Space,
    *,
    std_init: float,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> GaussianActor | CategoricalActor:
    """The actor that fits an action space: Box (A,) or Discrete.

    Raises:
        ConfigurationError: for any other space.
    """
    if isinstance(action_space, gymnasium.spaces.Discrete):
        choices = int(action_space.n)
        return CategoricalActor(features, width, actions=choices, generator=generator, dtype=dtype)
    if isinstance(action_space, gymnasium.spaces.Box) and len(action_space.shape) == 1:
        return GaussianActor(
            features,
            width,
            actions=action_space.shape[0],
            std_init=std_init,
            generator=generator,
            dtype=dtype,
        )
    raise ConfigurationError(
        f"actions of the form {action_space} are not supported",
        "choose an environment whose actions are a vector (Box) or one choice (Discrete)",
    )


class Critic(nn.Module):
    """State values (B,) of observations (B, obs_dim)."""

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = linear(width, 1, gain=1.0, generator=generator, dtype=dtype)

    def forward(self, observations: Tensor) -> Tensor:
        """Values (B,), never (B, 1)."""
        return self.head(self.features(observations)).squeeze(-1)


class FlatParameters:
    """Parameters of some modules moved into one flat vector, their gradients into another.

    The modules go on working: their parameters are views. One vector is one all-reduce, one clip,
    one Adam step and one block of a checkpoint.

    Attributes:
        values: (P,) all parameters, zero in the gaps that alignment leaves.
        gradients: (P,) their gradients, accumulated into by `backward`.
        segments: the slice of each module, by name; a parameter shared by two belongs to the first.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.named: dict[str, nn.Parameter] = {}
        self.segments: dict[str, slice] = {}
        places: list[tuple[nn.Parameter, int]] = []
        seen: set[int] = set()
        end = 0
        for module_name, module in modules.items():
            start = end
            for name, parameter in module.named_parameters():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    self.named[f"{module_name}.{name}"] = parameter
                    places.append((parameter, end))
                    end += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
            self.segments[module_name] = slice(start, end)
        self.values = torch.zeros(end, dtype=places[0][0].dtype)
        self.gradients = torch.zeros_like(self.values)
        for parameter, start in places:
            view = self.values[start : start + parameter.numel()].view(parameter.shape)
            view.copy_(parameter.data)
            parameter.data = view
            parameter.grad = self.gradients[start : start + parameter.numel()].view_as(view)

    def state_dict(self) -> dict[str, Tensor]:
        """Each parameter by name, a copy."""
        return {name: parameter.detach().clone() for name, parameter in self.named.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy values in by name.

        Raises:
            ValueError: names or shapes differ, that is, the architecture is another one.
        """
        shapes = {name: tuple(parameter.shape) for name, parameter in self.named.items()}
        given = {name: tuple(value.shape) for name, value in state.items()}
        if shapes != given:
            differing = sorted(
                name for name in shapes | given if shapes.get(name) != given.get(name)
            )
            name = differing[0]
            raise ValueError(f"{name} is {given.get(name)} there and {shapes.get(name)} here")
        for name, parameter in self.named.items():
            parameter.data.copy_(state[name])


class FlatAdam:
    """Adam (arXiv:1412.6980, Algorithm 1) on one flat vector, a step size a segment.

    Attributes:
        moment1, moment2: (P,) running means of the gradient and of its square.
        steps: updates so far.
    """

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-5  # epsilon as in every PPO code base, 1e-5

    def __init__(self, parameters: FlatParameters) -> None:
        self.parameters = parameters
        self.moment1 = torch.zeros_like(parameters.values)
        self.moment2 = torch.zeros_like(parameters.values)
        self.steps = 0

    def step(self, step_sizes: Mapping[str, float]) -> None:
        """Move the parameters against `gradients`; `step_sizes` by segment name."""
        self.steps += 1
        gradients = self.parameters.gradients
        self.moment1.lerp_(gradients, 1.0 - self.BETA1)
        self.moment2.mul_(self.BETA2).addcmul_(gradients, gradients, value=1.0 - self.BETA2)
        correction1 = 1.0 - self.BETA1**self.steps
        correction2 = math.sqrt(1.0 - self.BETA2**self.steps)
        denominator = self.moment2.sqrt().mul_(1.0 / correction2).add_(self.EPSILON)
        for name, size in step_sizes.items():
            segment = self.parameters.segments[name]
            self.parameters.values[segment].addcdiv_(
                self.moment1[segment],
                denominator[segment],
                value=-size / correction1,
            )

    def state_dict(self) -> dict[str, Tensor | int]:
        """Moments and step count."""
        return {
            "moment1": self.moment1.clone(),
            "moment2": self.moment2.clone(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: Mapping[str, Tensor | int]) -> None:
        """Take over what `state_dict` gave."""
        self.moment1.copy_(torch.as_tensor(state["moment1"]))
        self.moment2.copy_(torch.as_tensor(state["moment2"]))
        self.steps = int(state["steps"])


def clip_norm_(gradients: Tensor, limit: float) -> Tensor:
    """Scale a gradient down to a Euclidean norm of at most `limit` (<= 0: never); its norm before."""
    norm = torch.linalg.vector_norm(gradients)
    if limit > 0.0:
        gradients.mul_((limit / (norm + 1e-6)).clamp_(max=1.0))
    return norm
