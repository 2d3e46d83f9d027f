"""Refuses environments that nothing here can learn in, whatever the algorithm."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium
from gymnasium.spaces import Dict, Text, Tuple

from helpers.errors import ConfigurationError

_KINDS = tuple(
    kind
    for kind in vars(gymnasium.spaces).values()
    if isinstance(kind, type) and issubclass(kind, gymnasium.Space) and kind is not gymnasium.Space
)
_WRAPPERS = "docs/environments.md#wrappers-and-other-interfaces"


def refuse_unlearnable(env_id: str, env: gymnasium.Env) -> None:
    """Look at what a single environment says of itself.

    Raises:
        ConfigurationError: one of its spaces is none, or holds text or a kind of its own; or there are several rewards.
    """
    for name in ("action_space", "observation_space"):
        space = getattr(env, name)
        if not isinstance(space, gymnasium.Space):
            raise ConfigurationError(
                f"env_id={env_id}: its {name} is {space!r}, which is no gymnasium.spaces.Space.",
                "Give it one, such as gymnasium.spaces.Box(-1.0, 1.0, (3,)). Of an environment for the former gym: "
                f"{_WRAPPERS}.",
            )
    for path, kind in _without_numbers(env.observation_space, ""):
        raise ConfigurationError(
            f"env_id={env_id}: its observation{path and f' {path!r}'} is {kind}, which no algorithm here reads.",
            f"Leave it out or encode it as numbers, by a wrapper in a file of your own: {_WRAPPERS}.",
        )
    rewards = None if _is_wrapped(env) else getattr(env.unwrapped, "reward_space", None)
    count = (
        int(rewards.shape[0]) if isinstance(rewards, gymnasium.spaces.Box) and rewards.shape else 1
    )
    if count > 1:
        raise ConfigurationError(
            f"env_id={env_id} gives {count} rewards a step, and the algorithms here learn from one.",
            f"Weigh them into one, by a wrapper in a file of your own: {_WRAPPERS}.",
        )


def _is_wrapped(env: gymnasium.Env) -> bool:
    """Whether somebody else than Gymnasium has wrapped it, and may have weighed its rewards."""
    while isinstance(env, gymnasium.Wrapper):
        if not type(env).__module__.startswith("gymnasium."):
            return True
        env = env.env
    return False


def _without_numbers(space: gymnasium.Space, path: str) -> Iterator[tuple[str, str]]:
    """(where, what) of each part of a space that is text or of a package's own kind; names between slashes."""
    parts: list[tuple[str, gymnasium.Space]] = []
    if isinstance(space, Text):
        yield path.strip("/"), "text"
    elif not isinstance(space, _KINDS):
        yield path.strip("/"), f"in {type(space).__name__}"
    elif isinstance(space, Dict):
        parts = list(space.spaces.items())
    elif isinstance(space, Tuple):
        parts = [(str(place), part) for place, part in enumerate(space.spaces)]
    for name, part in parts:
        yield from _without_numbers(part, f"{path}/{name}")
