"""Where the time of all workers goes: shares for a row of metrics, and the table of `--profile`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.parallel.stopwatch import MEASURED, SHARES, WITHIN_OTHER
from helpers.parallel.workers import Workers


def share_metrics(seconds: np.ndarray, *, workers: Workers) -> dict[str, float]:
    """A lap's shares of its time by name, each the mean over the workers; collective."""
    shares = seconds / seconds.sum()
    workers.sum_(shares)
    means = (shares / workers.size).tolist()
    return {f"time/share_{name}": share for name, share in zip(SHARES, means, strict=True)}


def profile(workers: Workers) -> str | None:
    """Where an iteration's time went since the start: a table, on the root; collective."""
    watch = workers.stopwatch
    gathered = workers.gather_json([watch.laps, watch.totals()])
    if gathered is None or not watch.laps:
        return None
    return profile_table([totals for _, totals in gathered], laps=watch.laps)


def profile_table(totals: Sequence[Sequence[Sequence[float]]], *, laps: int) -> str:
    """The table of `profile`, from every worker's `Stopwatch.totals`."""
    table = np.array(totals)  # (workers, parts, 2)
    measured, everything = table[:, :-1, 0] / laps, table[:, -1, 0] / laps  # s an iteration
    calls = table[:, :-1, 1].mean(0) / laps
    columns = dict(zip(MEASURED, measured.T, strict=True))
    columns["other"] = everything - sum(columns[name] for name in SHARES[:-1])
    columns["the rest of it"] = columns["other"] - sum(columns[name] for name in WITHIN_OTHER)
    many = len(table) > 1
    lines = [
        f"where an iteration's time went: mean of {laps} iterations"
        + (f" and {len(table)} workers" if many else ""),
        f"{'':16}{'ms':>10}{'share':>9}{'calls':>9}{'us a call':>11}"
        + (f"{'min ms':>10}{'max ms':>10}" if many else ""),
    ]
    for name in (*SHARES, *WITHIN_OTHER, "the rest of it"):
        seconds = columns[name]
        count = calls[MEASURED.index(name)] if name in MEASURED else 0.0
        label = name if name in SHARES else f"  {name}"
        line = f"{label:16}{1e3 * seconds.mean():10.2f}{seconds.mean() / everything.mean():9.1%}"
        line += f"{count:9.4g}{1e6 * seconds.mean() / count:11.1f}" if count else f"{'':20}"
        lines.append(
            line + (f"{1e3 * seconds.min():10.2f}{1e3 * seconds.max():10.2f}" if many else ""),
        )
    total = f"{'all':16}{1e3 * everything.mean():10.2f}{1:9.1%}{'':20}"
    lines.append(
        total + (f"{1e3 * everything.min():10.2f}{1e3 * everything.max():10.2f}" if many else ""),
    )
    return "\n".join(line.rstrip() for line in lines)
