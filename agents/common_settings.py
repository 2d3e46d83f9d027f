"""Settings that several algorithms share, and the words they are given in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

from pydantic import model_validator

from helpers.config.schema import SHORTHANDS
from helpers.config.settings import Settings, read_switch, setting

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
STACK_PATTERN = r"mlp(_[1-9]\d{0,4}){1,8}|mlp_[1-9]\d{0,4}x[1-8]"
STACK_FORM = "mlp_100 (two hidden layers of 100), mlp_240_160 (layers of 240 and 160) or mlp_64x1 (one layer of 64)"


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
            spread = dict.fromkeys(filter(settings.fullmatch, cls.model_fields), value)
            values = {**spread, **values, shorthand: None}
        return values
