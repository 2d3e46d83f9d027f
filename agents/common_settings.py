"""Settings that several algorithms share, and the words they are given in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from helpers.config.schema import SWITCH_OF_ALL
from helpers.config.settings import Settings, read_switch, setting

LARGEST_BATCH = 10**9
ActionKind = Literal["continuous", "discrete", "both"]
STACK_PATTERN = r"mlp(_[1-9]\d{0,4}){1,8}"
STACK_FORM = "mlp_100 (two hidden layers of 100) or mlp_240_160 (layers of 240 and 160)"


def hidden_sizes(stack: str) -> tuple[int, ...]:
    """Widths of the hidden layers: "mlp_100" is (100, 100), "mlp_240_160" is (240, 160).

    Raises:
        ValueError: the text is no perception stack.
    """
    name, *widths = stack.split("_")
    sizes = tuple(int(width) for width in widths)
    if name != "mlp" or not sizes:
        raise ValueError(f"{stack!r} is no perception stack")
    return sizes * 2 if len(sizes) == 1 else sizes


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


def layer_norm_setting() -> Any:
    """Whether hidden layers are normalised."""
    return setting(
        False,
        "layer normalization after each hidden layer",
        group="optimisation",
    )


class ObservationSettings(Settings):
    """The switch over every `*_batch_norm` of an algorithm, and what actions it takes."""

    ACTIONS: ClassVar[ActionKind] = "both"

    batch_norm_all: bool | None = setting(
        None,
        "sets every *_batch_norm that is not given explicitly",
        group="observations",
        identity=False,
        example="true",
    )

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, values: Any) -> Any:
        """An instruction, not a state: what remains of it is the value of each `*_batch_norm`."""
        if not isinstance(values, Mapping) or values.get(SWITCH_OF_ALL) is None:
            return values
        try:
            switch = read_switch(values[SWITCH_OF_ALL])
        except ValueError:
            return values  # the field itself says what is wrong
        switched = {key: switch for key in cls.model_fields if key.endswith("_batch_norm")}
        return {**switched, **values, SWITCH_OF_ALL: None}
