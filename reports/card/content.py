"""What a card says of a run: what it is for, what limits it, how it was made, and what may be done with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import StorageError
from helpers.run_folder.changes import changes_in_words
from reports.card.facts import Facts, commands_of, read_facts
from reports.card.tables import tables_of
from reports.page.phrases import number
from reports.page.tables import Table

_FEW_EPISODES = 10
_STATES = {
    "done": "it has trained to its end",
    "running": "it still trains",
    "stopped": "it is unfinished",
    "failed": "it has failed",
    "diverged": "it has diverged",
    "missing": "it has not trained",
}


@dataclass(frozen=True)
class Card:
    """What a card says, before its pictures.

    Attributes:
        name: of the run.
        lead: what it is, and how it stands.
        use: sentences on what it is for.
        limits: sentences on what is known not to hold.
        tables: in their order.
        commands: by what they are for.
    """

    name: str
    lead: str
    use: Sequence[str]
    limits: Sequence[str]
    tables: Sequence[Table]
    commands: Mapping[str, str]


def card_of(folder: Path) -> Card:
    """The card of a run.

    Raises:
        ConfigurationError: it is no run folder, or its config.yaml is damaged.
        StorageError: its capsule, its references or an evaluation are damaged.
    """
    facts = read_facts(folder)
    try:
        return Card(
            folder.resolve().name,
            _lead(facts),
            _use(facts),
            list(_limits(facts)),
            tables_of(facts),
            commands_of(facts),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(
            f"{folder} has a capsule.json or a references.json that is damaged: {type(error).__name__} {error}.",
            "Restore it, or move it away: the card then says that it is not known.",
        ) from error


def _lead(facts: Facts) -> str:
    config, series = facts.config, facts.series
    state = _STATES[series.state] + (f" ({series.reason})" if series.reason else "")
    score = ""
    if facts.final is not None:
        score = f" The final policy returns {number(facts.final.mean)} (mean of {facts.final.episodes} episodes)."
    return (
        f"{config.algo} on {config.env_id}{_options(facts)}, seed {config.seed}: {series.last_step:,} of "
        f"{config.num_timesteps:,} {facts.unit}; {state}.{score}"
    )


def _options(facts: Facts) -> str:
    options = facts.series.settings.get("env_options")
    return f" with {options}" if options else ""


def _use(facts: Facts) -> list[str]:
    parts = [
        f"A policy that acts in {facts.config.env_id}{_options(facts)}.",
        "It is meant for research: to be looked at, compared with other runs, and begun from (--init_from).",
    ]
    if facts.references:
        parts.append(
            "It imitates: returns are those of the environment, which its training never sees.",
        )
    return parts


def _limits(facts: Facts) -> Iterable[str]:
    """What a reader would otherwise believe."""
    series, config = facts.series, facts.config
    if series.state != "done":
        yield f"{_STATES[series.state].capitalize()}: {series.reason or f'at {series.last_step:,} steps'}."
    yield f"It is one seed, {config.seed}: other seeds may do much better or worse, and a single run has no interval."
    yield from _measured(facts)
    if series.not_finite:
        yield f"{series.not_finite} returns are not finite; the curve leaves them out."
    if series.torn:
        yield f"{series.torn} lines of its metrics are damaged, and left out."
    code = facts.capsule.get("code") or {}
    if not facts.capsule:
        yield "It has no capsule.json: code, versions and machine are not known."
    elif not code.get("commit"):
        yield "Its code is not known: git could not say."
    elif code.get("dirty"):
        yield "Its code had uncommitted changes: the commit alone does not bring it back (capsule.json, code.diff)."
    choices = [each for each in facts.capsule.get("choices") or () if isinstance(each, dict)]
    if any(each.get("resume") for each in choices):
        yield "Its environment cannot be saved: a resumed run begins new episodes, and is not the uninterrupted one."
    for line in changes_in_words(facts.folder):
        yield f"It was {line}."
    yield "It was trained and evaluated in one simulated environment; nothing is known of another one, or of a machine."


def _measured(facts: Facts) -> Iterable[str]:
    final, best = facts.final, facts.best
    if final is None:
        parts = (
            "its returns are those of training, with exploration"
            if facts.series.final is not None
            else "it has no return"
        )
        yield f"It was never evaluated while it trained: {parts}."
        return
    if final.episodes < _FEW_EPISODES:
        yield f"It was evaluated on {final.episodes} episode{'s' if final.episodes > 1 else ''} only."
    if best is not None and best.mean - final.mean > max(best.sd, final.sd):
        yield (
            f"The final policy returns less than the one of iteration {best.iteration} ({number(final.mean)} and "
            f"{number(best.mean)}), which was chosen among its evaluations and is flattered by that."
        )
