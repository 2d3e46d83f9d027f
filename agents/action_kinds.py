"""Which algorithm takes which actions: one table, of which refusals, docs/environments.md and a test are made.

Each algorithm's configuration says its own in `ACTIONS`; imitations take what their learner takes. Nothing here imports
torch.
"""

from __future__ import annotations

import gymnasium
import numpy as np

from agents.algorithms import ALGORITHMS, SUGGESTED
from agents.cloning.config import CloningConfig
from agents.common_settings import BOUNDED, CHOICE, CHOICES, UNBOUNDED, WHOLE, ActionKind
from agents.imitation.config import LEARNERS, ImitationConfig
from helpers.config.run import RunConfig
from helpers.errors import ConfigurationError

_WORDS: dict[ActionKind, str] = {
    BOUNDED: "continuous actions within bounds",
    UNBOUNDED: "continuous actions without",
    CHOICE: "discrete actions, one choice each",
    CHOICES: "several choices in an action",
}
# The columns of the table, by Gymnasium's names.
COLUMNS: tuple[tuple[ActionKind, str], ...] = (
    (BOUNDED, "Box within bounds"),
    (UNBOUNDED, "Box, a bound missing"),
    (CHOICE, "Discrete"),
    (CHOICES, "MultiDiscrete, MultiBinary"),
)


def kind_of(space: gymnasium.Space) -> ActionKind:
    """What actions of a space are."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return CHOICE
    if isinstance(space, gymnasium.spaces.MultiDiscrete | gymnasium.spaces.MultiBinary):
        return CHOICES
    assert isinstance(space, gymnasium.spaces.Box), space
    if space.dtype.kind != "f":
        return WHOLE
    return BOUNDED if space.is_bounded() else UNBOUNDED


def kinds_taken(config: RunConfig) -> frozenset[ActionKind]:
    """What a run's algorithm takes, with its settings."""
    learner = config.learner_config if isinstance(config, ImitationConfig) else config
    kinds: frozenset[ActionKind] = getattr(learner, "ACTIONS", frozenset(dict(COLUMNS)))
    if isinstance(config, CloningConfig) and config.squash_actions:
        return kinds - {UNBOUNDED}
    return kinds


def check_actions(config: RunConfig, space: gymnasium.Space) -> None:
    """Refuse a space of actions that the algorithm does not take.

    Raises:
        ConfigurationError: it does not; or actions are of no numbers, or of whole numbers.
    """
    env_id = config.env_id
    if 0 in (space.shape or ()):  # C code would read before the first of them
        raise ConfigurationError(
            f"env_id={env_id} takes actions of no numbers: there is nothing to learn.",
            "Give it an actuator, or an action space of at least one number.",
        )
    kind, taken = kind_of(space), kinds_taken(config)
    if kind == WHOLE:
        raise ConfigurationError(
            f"env_id={env_id} takes whole numbers as actions ({space}), which no algorithm here learns.",
            "Let its action space be MultiDiscrete, which ppo, bc and imitations over ppo take, or a Box of floats "
            "that the environment rounds.",
        )
    if kind not in taken:
        raise ConfigurationError(
            f"{_learns(config)} takes {_words(taken)}, but env_id={env_id} has {words_of(space)}.",
            _remedy(config, kind),
        )


def _words(kinds: frozenset[ActionKind]) -> str:
    return " or ".join(words for kind, words in _WORDS.items() if kind in kinds)


def _learns(config: RunConfig) -> str:
    if isinstance(config, ImitationConfig):
        return f"learner={config.learner}"
    squashes = isinstance(config, CloningConfig) and config.squash_actions
    return f"algo={config.algo}{' with squash_actions' if squashes else ''}"


def words_of(space: gymnasium.Space) -> str:
    """Actions of a space, for a message."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return f"{space.n} discrete actions"
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        sizes = ", ".join(map(str, space.nvec.ravel()[:6])) + (
            ", ..." if space.nvec.size > 6 else ""
        )
        return f"{space.nvec.size} choices in each action (of {sizes})"
    assert isinstance(space, gymnasium.spaces.Box)
    size = int(np.prod(space.shape))
    missing = "" if space.is_bounded() else f" without finite bounds ({space})"
    return f"action vectors of length {size}{missing}"


def _remedy(config: RunConfig, kind: ActionKind) -> str:
    if isinstance(config, CloningConfig):
        return "Use --no-squash_actions: a linear output, clipped to the bounds that there are."
    if isinstance(config, ImitationConfig):
        able = [f"--learner={name}" for name, each in LEARNERS.items() if kind in _taken_by(each)]
    else:
        able = [f"--algo={name}" for name in SUGGESTED if kind in _taken_by(ALGORITHMS[name])]
    fitting = {
        BOUNDED: "an environment such as --env_id=CartPole-v1",
        UNBOUNDED: "a wrapper that gives the actions bounds",
    }.get(kind, "an environment such as --env_id=Pendulum-v1")
    if CHOICE in kinds_taken(config) and kind == CHOICES:
        fitting = "a wrapper that makes one Discrete of the choices"
    return f"Use {' or '.join(able)}, or {fitting}."


def _taken_by(config: type[RunConfig]) -> frozenset[ActionKind]:
    kinds: frozenset[ActionKind] = getattr(config, "ACTIONS", frozenset())
    return kinds


def table() -> str:
    """Which algorithm takes which actions, as Markdown; a test compares docs/environments.md with it."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, kind in ALGORITHMS.items():
        rows.setdefault(_row(kind), []).append(f"`{name}`")
    lines = [f"| algorithm | {' | '.join(title for _, title in COLUMNS)} |"]
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    lines += [f"| {', '.join(names)} | {' | '.join(row)} |" for row, names in rows.items()]
    return "\n".join(lines)


def _row(config: type[RunConfig]) -> tuple[str, ...]:
    if not issubclass(config, ImitationConfig):
        is_cloned = issubclass(config, CloningConfig)
        return tuple(
            (
                ("with `--no-squash_actions`" if is_cloned and kind == UNBOUNDED else "yes")
                if kind in _taken_by(config)
                else "no"
            )
            for kind, _ in COLUMNS
        )
    learners = _learners_of(config)
    return tuple(
        (
            "yes"
            if all(kind in _taken_by(LEARNERS[each]) for each in learners)
            else ", ".join(
                f"`--learner={each}`" for each in learners if kind in _taken_by(LEARNERS[each])
            )
        )
        for kind, _ in COLUMNS
    )


def _learners_of(config: type[ImitationConfig]) -> tuple[str, ...]:
    return config.settings_for({})["learner"].choices or tuple(LEARNERS)
