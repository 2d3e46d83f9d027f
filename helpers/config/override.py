"""--override: other values for the rest of a run, whose name and first settings stay what they were."""

from __future__ import annotations

from collections.abc import Iterable

from helpers.config.command_line import Layer
from helpers.config.schema import Parsed, Schema
from helpers.config.vocabulary import Unknown
from helpers.errors import ConfigurationError

# What a checkpoint's contents have the shape of, or what the run is.
_FIXED = frozenset(
    (
        "algo",
        "env_id",
        "env_options",
        "init_from",
        "init_iter_num",
        "layer_norm",
        "learner",
        "max_episode_steps",
        "mem_size",
        "memory_import",
        "num_critics",
        "num_envs",
        "num_quantiles",
        "precision",
        "seed",
        "shared_value",
    ),
)
_FIXED_ENDINGS = ("_perception_stack", "_batch_norm", "_activation", "dueling")


def may_change(keys: Iterable[str]) -> bool:
    """Whether a resumed run may have other values of these settings."""
    return not any(key in _FIXED or key.endswith(_FIXED_ENDINGS) for key in keys)


def override(schema: Schema, parsed: Parsed) -> tuple[Parsed, frozenset[str]]:
    """(the settings under --override, the keys that it names); what was parsed where there is none.

    Raises:
        ConfigurationError: a key is unknown, may not change or need not be overridden, or a value is wrong.
    """
    text = parsed.config.override
    if not text:
        return parsed, frozenset()
    layer, settings = Layer(), parsed.config.settings
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        key = schema.vocabulary.key(name)
        if key is None:
            unknown = [Unknown(name, f"{name} in --override")]
            raise schema.vocabulary.refusal(unknown, kind="key", dashes="")
        layer.put(key, value, shown=f"--override={pair}", name=f"--override={name}")
    for key in layer.values:
        if key not in settings:
            raise ConfigurationError(
                f"{layer.shown[key]}: algo={parsed.config.algo} does not use {key}.",
                "Override a setting of this run; its config.yaml has them all.",
            )
        if not may_change([key]):
            raise ConfigurationError(
                f"{layer.shown[key]}: a resumed run keeps its {key}.",
                "Start another run, from this one's weights: --init_from=RUN.",
            )
        if not settings[key].identity:
            raise ConfigurationError(
                f"{layer.shown[key]}: {key} may change whenever a run is resumed.",
                f"Give it as a flag: --{key}={layer.values[key]}.",
            )
    return schema.resolve(parsed.layer, layer), frozenset(layer.values)
