"""The report of a search: Markdown and HTML with its pictures inside, and the best settings as a task file."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.algorithms import SCHEMA
from helpers.durable import write_atomically
from swarm.task_text import task_lines
from swarm.tune.report.figures import draw_importances, draw_returns, draw_schedules
from swarm.tune.report.importance import importances
from swarm.tune.results import TrialResults, best_of, read_results
from swarm.tune.space import Space
from swarm.tune.table import shown
from swarm.tune.trial.names import shown_number

BEST, MARKDOWN, PAGE = "best.yaml", "report.md", "report.html"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #22262b; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid #e4e7eb; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
img { max-width: 100%; height: auto }
code, pre { font-size: 13px; background: #f5f6f8 }
pre { padding: .6rem .8rem; overflow-x: auto }
div.wide { overflow-x: auto }
"""


def write_report(folder: Path, *, metric: str, mode: str, space: Space) -> dict[str, Path]:
    """Write report.md, report.html, best.yaml and the pictures; where they are, by what they are.

    Raises:
        OSError: the folder cannot be written.
    """
    trials = [each for each in read_results(folder) if each.reports]
    best = best_of(trials, metric, mode)
    if best is None:
        return {}
    pictures = folder / "figures"
    pictures.mkdir(exist_ok=True)
    drawn = {"Returns": pictures / "returns.png"}
    draw_returns(drawn["Returns"], trials, best, metric)
    if any(each.taken for each in trials):
        drawn["Settings over the course of the search"] = pictures / "schedules.png"
        draw_schedules(pictures / "schedules.png", trials, best, space)
    shares = importances(trials, metric, space)
    if shares:
        drawn["Which setting mattered"] = pictures / "importance.png"
        draw_importances(pictures / "importance.png", shares)
    write_atomically(folder / BEST, _task_file(folder, best, metric))
    blocks = _blocks(
        folder,
        trials,
        best,
        metric=metric,
        mode=mode,
        space=space,
        shares=shares,
        drawn=drawn,
    )
    write_atomically(folder / MARKDOWN, _markdown(folder, blocks))
    write_atomically(folder / PAGE, _page(folder, blocks))
    return {"report": folder / PAGE, "best settings": folder / BEST, "best run": best.run}


def _task_file(folder: Path, best: TrialResults, metric: str) -> str:
    """The settings that the best trial ended with, as main.py reads them."""
    config = SCHEMA.load_config(best.run / "config.yaml")
    lines = [f"# Trial {best.number:03d} of {folder.name}: {metric} {shown(best.value(metric))}."]
    if best.taken:
        lines.append(
            "# PBT changed its settings on the way: these are the last ones; report.md has the schedule.",
        )
    lines.append(f"#   python main.py --config={folder / BEST}")
    lines.append("")
    return "\n".join([*lines, *task_lines(config)]) + "\n"


Block = tuple[str, Any]  # kind (heading, text, table, code, picture) and content


def _blocks(
    folder: Path,
    trials: Sequence[TrialResults],
    best: TrialResults,
    *,
    metric: str,
    mode: str,
    space: Space,
    shares: Sequence[tuple[str, float]],
    drawn: Mapping[str, Path],
) -> list[Block]:
    names = [each.name for each in space.dimensions]
    steps = sum(_steps(each) for each in trials)
    seconds = sum(_seconds(each) for each in trials)
    failed = sum(each.state == "ERROR" for each in trials)
    text = (
        f"{len(trials)} trials, {failed} of them failed; {steps:,} environment steps in {seconds / 3600:.2f} hours of "
        f"trials. Compared: {metric} ({mode}), as a trial reported it last."
    )
    blocks: list[Block] = [("heading", folder.name), ("text", text), ("heading", "Best settings")]
    blocks.append(
        (
            "text",
            f"Trial {best.number:03d}: {metric} {shown(best.value(metric))}. {_warning(metric)}",
        ),
    )
    blocks.append(("code", (folder / BEST).read_text(encoding="utf-8")))
    for title, path in drawn.items():
        blocks += [("heading", title), ("picture", path)]
        if path.name == "importance.png":
            blocks.append(("text", _importance_text(shares)))
    sign = -1 if mode == "max" else 1
    ordered = sorted(
        trials,
        key=lambda each: (each.value(metric) is None, sign * (each.value(metric) or 0.0)),
    )
    rows = [["trial", "state", metric, "steps", "hours", "take-overs", *names]]
    for each in ordered:
        values = [shown(each.settings().get(name)) for name in names]
        state = {"TERMINATED": "done", "ERROR": "failed"}.get(each.state, each.state.lower())
        rows.append(
            [f"{each.number:03d}", state, shown(each.value(metric)), f"{_steps(each):,}"]
            + [f"{_seconds(each) / 3600:.3f}", str(len(each.taken)), *values],
        )
    blocks += [("heading", "Trials"), ("table", rows)]
    lineage = [row for each in trials for row in _lineage(each)]
    if lineage:
        head = ["trial", "takes over", "at iteration", "settings before", "settings after"]
        blocks += [("heading", "Lineage"), ("table", [head, *lineage])]
    return blocks


def _warning(metric: str) -> str:
    if metric.startswith("eval/"):
        return "Evaluated without exploration. The best of many is flattered by chance: train it with seeds of its own."
    return (
        "A return of training, with exploration. The best of many is flattered by chance: "
        "train it with seeds of its own, and evaluate."
    )


def _importance_text(shares: Sequence[tuple[str, float]]) -> str:
    described = ", ".join(f"{name} {share:.0%}" for name, share in shares)
    return (
        f"{described}. Shares of the variance between results that a random forest explains by each setting (fANOVA, "
        "Optuna). With few trials they are a hint, and after take-overs the settings are not all there is to a result."
    )


def _steps(trial: TrialResults) -> int:
    return sum(int(each.get("timesteps_this_iter") or 0) for each in trial.reports)


def _seconds(trial: TrialResults) -> float:
    return sum(float(each.get("time_this_iter_s") or 0.0) for each in trial.reports)


def _lineage(trial: TrialResults) -> list[list[str]]:
    found = []
    for row in trial.taken:
        donor = shown_number(row["donor_folder"])
        before, after = (
            ", ".join(f"{key} {shown(value)}" for key, value in row[when].items())
            for when in ("before", "after")
        )
        found.append([f"{trial.number:03d}", donor, str(row["iteration"]), before, after])
    return found


def _markdown(folder: Path, blocks: Sequence[Block]) -> str:
    parts = []
    for index, (kind, content) in enumerate(blocks):
        if kind == "heading":
            parts.append(f"{'##' if index else '#'} {content}")
        elif kind == "code":
            parts.append(f"```yaml\n{content}```")
        elif kind == "picture":
            parts.append(f"![{content.stem}]({content.relative_to(folder)})")
        elif kind == "table":
            head, *rows = content
            lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
            parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
        else:
            parts.append(content)
    return "\n\n".join(parts) + "\n"


def _page(folder: Path, blocks: Sequence[Block]) -> str:
    parts = []
    for index, (kind, content) in enumerate(blocks):
        if kind == "heading":
            level = 2 if index else 1
            parts.append(f"<h{level}>{html.escape(content)}</h{level}>")
        elif kind == "code":
            parts.append(f"<pre>{html.escape(content)}</pre>")
        elif kind == "picture":
            data = base64.b64encode(content.read_bytes()).decode()
            parts.append(
                f'<img alt="{html.escape(content.stem)}" src="data:image/png;base64,{data}">',
            )
        elif kind == "table":
            head, *rows = content
            lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
            lines += [
                "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
                for row in rows
            ]
            parts.append(f'<div class="wide"><table>{"".join(lines)}</table></div>')
        else:
            parts.append(f"<p>{html.escape(content)}</p>")
    title = html.escape(folder.name)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
