"""What a set of demonstrations is: figures, and the page that shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers.demos.episode import Demo
from helpers.episodes import summary

NEARLY = 0.01  # of the range between the bounds: tanh policies rarely reach these
_LISTED = 20  # episodes in the table; all are in the JSON
_ORIGINS = (
    "env_id",
    "run",
    "iteration",
    "deterministic",
    "policy_sha256",
    "env_options",
    "env_wrappers",
    "env_id_from",
    "converted",
    "rewards",
    "mujoco_version",
    "opensim_version",
    "gymnasium_version",
    "minari_dataset",
    "format",
    "ends",
)

Figures = dict[str, Any]


def figures_of(demos: Sequence[Demo], kept: Sequence[range]) -> Figures:
    """All figures of a card, as JSON takes them.

    Args:
        demos: at least one, checked.
        kept: the steps of each that subsampling leaves.
    """
    hashes = [demo.sha256 for demo in demos]
    returns, lengths = [d.return_ for d in demos], [d.length for d in demos]
    return {
        "episodes": len(demos),
        "steps": sum(lengths),
        "return": _spread(returns),
        "length": _spread([float(length) for length in lengths]),
        "terminated": sum(bool(demo.terminated[-1]) for demo in demos),
        "observations": _observations(demos),
        "actions": _actions(demos),
        "duplicates": len(hashes) - len(set(hashes)),
        "origin": {name: _origin_values(demos, name) for name in _ORIGINS},
        "steps_kept": sum(len(steps) for steps in kept),
        "sha256": hashlib.sha256("".join(hashes).encode()).hexdigest(),
        "files": [
            {
                "source": demo.source,
                "length": demo.length,
                "return": demo.return_,
                "end": "terminated" if demo.terminated[-1] else "truncated",
                "sha256": digest,
                "steps_kept": list(steps),
            }
            for demo, digest, steps in zip(demos, hashes, kept, strict=True)
        ],
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    found = summary(values, [len(values)])
    return {name: found[f"return_{name}"] for name in ("mean", "sd", "min", "max")}


def _observations(demos: Sequence[Demo]) -> Figures:
    return {
        "size": int(demos[0].observations.shape[1]),
        "dtype": str(demos[0].observations.dtype),
        "largest": max(float(np.abs(demo.observations).max()) for demo in demos),
    }


def _actions(demos: Sequence[Demo]) -> Figures | None:
    """Form, and how many numbers lie at a bound or nearly so; None where there are states alone."""
    arrays = [demo.actions for demo in demos if demo.actions is not None]
    if len(arrays) != len(demos):
        return None
    actions = np.concatenate(arrays)
    found: Figures = {"dtype": str(actions.dtype)}
    if actions.ndim == 1:
        values, counts = np.unique(actions, return_counts=True)
        found["counts"] = {str(v): int(n) for v, n in zip(values, counts, strict=True)}
        return found
    if actions.dtype.kind in "iu":
        found["choices"] = [
            {str(v): int(n) for v, n in zip(*np.unique(column, return_counts=True), strict=True)}
            for column in actions.T
        ]
        return found
    low, high = demos[0].origin.get("action_low"), demos[0].origin.get("action_high")
    is_known = low is not None and high is not None and np.shape(low) == actions.shape[1:]
    lower = np.asarray(low if is_known else actions.min(axis=0), dtype=actions.dtype)
    upper = np.asarray(high if is_known else actions.max(axis=0), dtype=actions.dtype)
    margin = (upper.astype(np.float64) - lower) * NEARLY
    found |= {
        "size": int(actions.shape[1]),
        "low": lower.tolist(),
        "high": upper.tolist(),
        "bounds": "of the environment" if is_known else "seen",
        "saturation": float(np.mean((actions <= lower) | (actions >= upper))),
        "nearly": float(np.mean((actions <= lower + margin) | (actions >= upper - margin))),
        "beyond": float(np.mean((actions < lower) | (actions > upper))),
    }
    return found


def _origin_values(demos: Sequence[Demo], name: str) -> list[Any]:
    """The values of an origin's entry among the episodes, each once; nothing where none says it."""
    values = [demo.origin[name] for demo in demos if name in demo.origin]
    return list(dict.fromkeys(value for value in values if isinstance(value, str | int | float)))


def page(
    figures: Mapping[str, Any],
    *,
    title: str,
    kind: str,
    refusals: Sequence[str] = (),
) -> str:
    """The card as text.

    Args:
        figures: of `figures_of`.
        title: where the demonstrations lie.
        kind: of which format they are.
        refusals: what else lies there and is refused, a line each.
    """
    origin = figures["origin"]
    what = ", ".join(map(str, origin["env_id"])) or "an environment that is not named"
    lines = [
        title,
        kind,
        f"{figures['episodes']} episodes, {figures['steps']:,} steps of {what}",
        f"{'':14}" + "".join(f"{name:>11}" for name in ("mean", "sd", "min", "max")),
    ]
    for name in ("return", "length"):
        cells = [figures[name][key] for key in ("mean", "sd", "min", "max")]
        lines.append(f"{name:14}" + "".join(f"{cell:11.2f}" for cell in cells))
    terminated, episodes = figures["terminated"], figures["episodes"]
    seen = figures["observations"]
    rows = {
        "ends": f"the task ended {terminated}, a limit cut {episodes - terminated}",
        "observations": f"{seen['size']} numbers, {seen['dtype']}, largest {seen['largest']:.4g}",
        "actions": _action_line(figures["actions"]),
        "not finite": "none",
        "duplicates": str(figures["duplicates"] or "none"),
        "subsampled": f"{figures['steps_kept']:,} of {figures['steps']:,} steps",
        "refused": str(len(refusals) or "none"),
    }
    rows |= {
        name.replace("_", " "): ", ".join(map(str, values))
        for name, values in origin.items()
        if values and name != "env_id"
    }
    rows["sha256"] = figures["sha256"]
    lines += [f"{name:17} {value}" for name, value in rows.items()]
    lines += ["", *_table(figures["files"])]
    lines += [f"refused: {line}" for line in refusals]
    return "\n".join(lines)


def _action_line(actions: Mapping[str, Any] | None) -> str:
    if actions is None:
        return "none: states alone"
    if "counts" in actions:
        shares = ", ".join(f"{value} x {count:,}" for value, count in actions["counts"].items())
        return f"whole numbers: {shares}"
    if "choices" in actions:
        seen = [f"{len(each)} values" for each in actions["choices"]]
        return f"{len(seen)} choices each, of {', '.join(seen[:8])}{' ...' if len(seen) > 8 else ''} seen"
    low, high = min(actions["low"]), max(actions["high"])
    where = (
        "their bounds"
        if actions["bounds"] != "seen"
        else "the extremes seen (bounds are not named)"
    )
    line = f"{actions['size']} numbers, {actions['dtype']}, {low:g} to {high:g}; "
    line += f"{actions['saturation']:.1%} at {where}, {actions['nearly']:.1%} within {NEARLY:.1%} of the range"
    return line + (f", {actions['beyond']:.1%} beyond" if actions["beyond"] else "")


def _table(files: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"{'length':>7} {'return':>12}  {'end':10}  {'sha256':12}  episode"]
    for each in files[:_LISTED]:
        numbers = f"{each['length']:7d} {each['return']:12.2f}  {each['end']:10}"
        lines.append(f"{numbers}  {each['sha256'][:12]}  {each['source'].rpartition('/')[2]}")
    if len(files) > _LISTED:
        lines.append(f"{'...':>7} {len(files) - _LISTED} more in the JSON file")
    return lines
