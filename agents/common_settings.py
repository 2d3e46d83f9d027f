"""Settings that several algorithms share, and the words they are given in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import model_validator

from helpers.config.schema import SHORTHANDS
from helpers.config.settings import Settings, cross_field_error, read_switch, setting

LARGEST_BATCH = 10**9
# What an environment's actions are: vectors within bounds, vectors that lack one, one choice, several choices, and
# vectors of whole numbers, which nothing takes.
ActionKind = Literal["bounded", "unbounded", "choice", "choices", "whole"]
BOUNDED: ActionKind = "bounded"
UNBOUNDED: ActionKind = "unbounded"
CHOICE: ActionKind = "choice"
CHOICES: ActionKind = "choices"
WHOLE: ActionKind = "whole"
ALL_ACTIONS: frozenset[ActionKind] = frozenset({BOUNDED, UNBOUNDED, CHOICE, CHOICES})
Activation = Literal["tanh", "relu", "elu", "silu", "gelu"]
Init = Literal["orthogonal", "default"]
STACK_PATTERN = r"mlp(_[1-9]\d{0,4}){1,8}|mlp_[1-9]\d{0,4}x[1-8]|cnn_[1-9]\d{0,4}|nature_cnn"
STACK_FORM = (
    "mlp_100 (two hidden layers of 100), mlp_240_160 (layers of 240 and 160) or mlp_64x1 (one layer of 64); "
    "of pictures, by ppo and dqn: nature_cnn or cnn_256"
)


class Convolution(NamedTuple):
    """A layer of a picture: filters of `kernel` x `kernel` pixels, `stride` apart, without padding."""

    filters: int
    kernel: int
    stride: int


def convolutions(stack: str) -> tuple[tuple[Convolution, ...], int] | None:
    """(layers, the width of the fully connected one behind them) of a stack of pictures; None of a perceptron's.

    "nature_cnn" is that of doi:10.1038/nature14236: 32 filters of 8 x 8 with stride 4, 64 of 4 x 4 with stride 2, 64 of
    3 x 3 with stride 1, then 512. "cnn_256" has 32 in place of the last 64, then 256.
    """
    first = Convolution(32, 8, 4), Convolution(64, 4, 2)
    if stack == "nature_cnn":
        return (*first, Convolution(64, 3, 1)), 512
    name, _, width = stack.partition("_")
    return ((*first, Convolution(32, 3, 1)), int(width)) if name == "cnn" else None


SMALLEST_PICTURE = 36  # pixels of a side that the three layers leave something of


def hidden_sizes(stack: str) -> tuple[int, ...]:
    """Widths of the hidden layers: "mlp_100" is (100, 100), "mlp_240_160" is (240, 160), "mlp_64x1" is (64,).

    Raises:
        ValueError: the text is no perception stack.
    """
    name, *widths = stack.split("_")
    if len(widths) == 1 and "x" in widths[0]:
        width, count = widths[0].split("x")
        return (int(width),) * int(count)
    sizes = tuple(int(width) for width in widths)
    if name != "mlp" or not sizes:
        raise ValueError(f"{stack!r} is no perception stack")
    return sizes * 2 if len(sizes) == 1 else sizes


def stack_of(widths: Sequence[int]) -> str:
    """The shortest text that `hidden_sizes` reads as these widths, of which there is one at least."""
    if len(set(widths)) > 1:
        return "_".join(["mlp", *map(str, widths)])
    return f"mlp_{widths[0]}" if len(widths) == 2 else f"mlp_{widths[0]}x{len(widths)}"


def clip_norm_setting(default: float) -> Any:
    """How far gradients are cut."""
    return setting(
        default,
        "maximum gradient norm, after averaging over workers; 0 or less is no limit",
        group="optimisation",
    )


def compile_setting() -> Any:
    """Whether gradient steps are native code."""
    return setting(
        True,
        "run gradient steps in native code if there is a C compiler; --no-compile is plain torch",
        group="optimisation",
    )


def activation_setting(default: Activation, whose: str, *, group: str) -> Any:
    """The activation function of a network's hidden layers."""
    return setting(default, f"activation function of {whose}", group=group)


def init_setting(default: Init) -> Any:
    """How first weights are drawn."""
    return setting(
        default,
        "initial weights: orthogonal with biases of 0, or torch's default, uniform in +-1/sqrt(inputs)",
        group="optimisation",
    )


def log_std_setting(default: float | None, *, is_upper: bool, how: str) -> Any:
    """A bound of the logarithm of a continuous policy's standard deviation."""
    return setting(
        default,
        f"{'upper' if is_upper else 'lower'} bound of a continuous policy's log standard deviation, {how}",
        group="policy",
        unit="nats, the deviation in half ranges of the action",
        example="2" if is_upper else "-5",
    )


def log_std_problem(low: float | None, high: float | None) -> tuple[str, str] | None:
    """(problem, remedy) of bounds that leave nothing between them; None where they do."""
    if low is None or high is None or low < high:
        return None
    return (
        f"log_std_min={low} is not below log_std_max={high}.",
        f"This works: --log_std_min={high - 1} --log_std_max={high}.",
    )


def layer_norm_setting() -> Any:
    """Whether hidden layers are normalised."""
    return setting(
        False,
        "layer normalization after each hidden layer",
        group="optimisation",
    )


class ObservationSettings(Settings):
    """The shorthands over every `*_batch_norm` and `*_activation` of an algorithm, and what actions it takes."""

    ACTIONS: ClassVar[frozenset[ActionKind]] = ALL_ACTIONS
    # where an algorithm takes pictures: what its settings are then, unless they are given
    OF_PICTURES: ClassVar[Mapping[str, Any] | None] = None

    perception_stack: str | None = setting(
        None,
        "sets every *_perception_stack of policy, value function and critics that is not given explicitly",
        group="optimisation",
        identity=False,
        form=STACK_FORM,
        pattern=STACK_PATTERN,
        example="nature_cnn",
    )
    batch_norm_all: bool | None = setting(
        None,
        "sets every *_batch_norm that is not given explicitly",
        group="observations",
        identity=False,
        example="true",
    )
    activation: Activation | None = setting(
        None,
        "sets every activation function of policy, value function and critics that is not given explicitly",
        group="optimisation",
        identity=False,
        example="relu",
    )

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, values: Any) -> Any:
        """Instructions, not a state: what remains of them is the value of each setting that they stand for."""
        if not isinstance(values, Mapping):
            return values
        for shorthand, settings in SHORTHANDS.items():
            value = values.get(shorthand)
            if value is None:
                continue
            try:
                value = read_switch(value) if shorthand == "batch_norm_all" else value
            except ValueError:
                continue  # the field itself says what is wrong
            if shorthand == "activation" and value not in get_args(Activation):
                continue
            if shorthand == "perception_stack" and not re.fullmatch(STACK_PATTERN, str(value)):
                continue
            spread = dict.fromkeys(filter(settings.fullmatch, cls.model_fields), value)
            values = {**spread, **values, shorthand: None}
        stacks = [values.get(key) for key in _STACKS if key in cls.model_fields]
        if cls.OF_PICTURES is not None and any(map(_is_of_pictures, stacks)):
            values = {**cls.OF_PICTURES, **values}
        return values

    @property
    def sees_pictures(self) -> bool:
        """Whether a network takes pictures as they are."""
        return any(_is_of_pictures(getattr(self, key, None)) for key in self.read_stacks())

    @model_validator(mode="after")
    def _check_pictures(self) -> ObservationSettings:
        """Convolutions where there is code for them, for all networks alike, of bytes as they are."""
        stacks = {key: getattr(self, key) for key in self.read_stacks() if hasattr(self, key)}
        seeing = {key: each for key, each in stacks.items() if _is_of_pictures(each)}
        every = {key: each for key in _STACKS if _is_of_pictures(each := getattr(self, key, None))}
        if every and self.OF_PICTURES is None:
            key, stack = next(iter(every.items()))
            raise cross_field_error(
                f"{key}={stack}: algo={getattr(self, 'algo', '')} has no networks of pictures.",
                "Use --algo=ppo, or --algo=dqn for discrete actions, or a perceptron: --perception_stack=mlp_256.",
            )
        if seeing and len(seeing) < len(stacks):
            (one, other), *_ = [each for each in stacks.items() if each[0] not in seeing]
            key, stack = next(iter(seeing.items()))
            raise cross_field_error(
                f"{one}={other} takes vectors, and {key}={stack} pictures.",
                f"Give all networks the same: --perception_stack={stack}.",
            )
        if seeing and getattr(self, "layer_norm", False):
            raise cross_field_error(
                "layer_norm=True is for the layers of perceptrons, and convolutions have none here.",
                "Omit --layer_norm, or use a perceptron: --perception_stack=mlp_64.",
            )
        for key in ("p_batch_norm", "v_batch_norm", "q_batch_norm") if seeing else ():
            if getattr(self, key, False):
                raise cross_field_error(
                    f"{key}=True normalizes observations by statistics, and pictures are divided by 255 instead.",
                    f"Omit it, or give --no-{key}.",
                )
        return self

    def read_stacks(self) -> tuple[str, ...]:
        """The settings of the stacks that this algorithm makes networks of."""
        return _STACKS


_STACKS = ("p_perception_stack", "v_perception_stack", "q_perception_stack")


def _is_of_pictures(stack: Any) -> bool:
    """Whether the text of a stack says convolutions; of what is no stack the field itself says so."""
    return (
        isinstance(stack, str) and re.fullmatch(r"cnn_[1-9]\d{0,4}|nature_cnn", stack) is not None
    )
