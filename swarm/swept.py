"""What was swept in a swarm: the settings in which its trials differ."""

from __future__ import annotations

from collections.abc import Sequence

from helpers.config.settings import show
from swarm.plan import Plan, Run

_ALGORITHM = "algo"
_NEVER = ("env_id", "seed", "uuid")


def swept_keys(runs: Sequence[Run]) -> tuple[str, ...]:
    """The settings that differ between trials of one environment, in the order of the files; none of one trial.

    Of several algorithms these are compared each with its own: what follows from the algorithm was not swept.
    """
    if len({run.trial for run in runs}) < 2:
        return ()
    families: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        families.setdefault((run.config.algo, run.config.env_id), []).append(run)
    keys: dict[str, None] = {}
    if len({algo for algo, _ in families}) > 1:
        keys[_ALGORITHM] = None
    for family in families.values():
        settings = family[0].config.settings
        keys |= {
            key: None
            for key, each in settings.items()
            if each.identity
            and key not in _NEVER
            and len({getattr(run.config, key) for run in family}) > 1
        }
    return tuple(keys)


def swept_settings(plan: Plan) -> dict[str, dict[str, str]]:
    """By run, its values of what was swept; empty ones where nothing was."""
    keys = swept_keys(plan.runs)
    return {
        run.name: {key: show(getattr(run.config, key, None)) for key in keys} for run in plan.runs
    }
