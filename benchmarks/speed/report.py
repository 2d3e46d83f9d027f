"""The page and the chart of `python -m benchmarks.speed`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.bars import Bar, Table, bars, library_of, order_of, spread
from benchmarks.speed.contestants import LIMIT, OURS
from benchmarks.speed.machine import machine_line
from benchmarks.speed.workload import EPOCHS, WORKLOADS, Workload

Rows = Sequence[Mapping[str, Any]]
QUIET = 0.1  # cores that others may take before a figure is doubtful
COLOURS = {OURS: "#1f77b4", LIMIT: "#444444"}
OF_A_PEER = "#b0b0b0"


def page(rows: Rows, identity: Mapping[str, Any], missing: Mapping[str, str]) -> str:
    """Markdown; `missing` says of contestants why they have no figures."""
    works = [work for work in WORKLOADS if Table(rows, work.name).rows]
    rounds = {row["round"] for row in rows}
    machine = identity["machine"]
    lines = [
        f"# Speed: {machine['kind']}",
        "",
        "Made by `python -m benchmarks.speed`; what is compared, how, and what the limit is: "
        "[docs/speed.md](../speed.md). Environment steps per second of PPO, everybody in turn in each round; "
        f"medians (lowest to highest), ratios of runs of the same round, rounds: {len(rounds)}. Quote the ratios, not "
        "the figures: machines differ. All kinds: [speed.md](speed.md).",
        "",
        f"![Environment steps per second](speed-{machine['kind']}.png)",
        "",
        "## Bars",
        "",
        *bar_lines(bars(rows, machine["instruction_set"])),
    ]
    for work in works:
        lines += ["", f"## {work.name}", "", *table_lines(work, Table(rows, work.name))]
    lines += ["", "## The limit", "", *limit_lines(works, rows)]
    if missing:
        lines += ["", "## Left out", ""]
        lines += [f"- {name}: {reason}" for name, reason in missing.items()]
    lines += ["", "## Measured on", "", *machine_lines(rows, identity)]
    return "\n".join(lines) + "\n"


def bar_lines(found: Sequence[Bar]) -> list[str]:
    """A table of what must hold."""
    lines = [
        "| work | what | at least | aim | measured | | compared |",
        "|---|---|---|---|---|---|---|",
    ]
    for bar in found:
        measured = spread(bar.ratios, ".3g") if bar.ratios else ""
        aim = "" if bar.aim is None else f"{bar.aim:g}"
        lines.append(
            f"| {bar.work} | {bar.says} | {bar.least:g} | {aim} | {measured} | {bar.verdict} | {bar.of_what} |",
        )
    return lines


def table_lines(work: Workload, table: Table) -> list[str]:
    """A row a contestant."""
    fastest, limit = table.fastest_peer(), table.fastest(lambda name: library_of(name) == LIMIT)
    lines = [
        "| | steps/s | of the fastest peer | of the limit | rollout, us a step | update, us a gradient step |",
        "|---|---|---|---|---|---|",
    ]
    for name in sorted({row["contestant"] for row in table.rows}, key=order_of):
        ratios = [table.ratios(name, other) for other in (fastest, limit)]
        shown = [spread(values, ".2f") if values else "" for values in ratios]
        rollout = statistics.median(table.column(name, "rollout_s").values())
        update = statistics.median(table.column(name, "update_s").values())
        title = f"**{name}**" if name == fastest else name
        lines.append(
            f"| {title} | {spread(list(table.rates(name).values()), ',.0f')} | {shown[0]} | {shown[1]} | "
            f"{1e6 * rollout / work.rollout_len:.1f} | {1e6 * update / work.gradient_steps:.1f} |",
        )
    return lines


def limit_lines(works: Sequence[Workload], rows: Rows) -> list[str]:
    """What the limit is made of."""
    lines = [
        "| work | physics on one core, steps/s | on two | two over one | gradient step of one worker, us | "
        "share of physics |",
        "|---|---|---|---|---|---|",
    ]
    for work in works:
        mine = [row for row in Table(rows, work.name).rows if row["contestant"] == LIMIT]
        if not mine:
            continue
        one, two = ([row[key] for row in mine] for key in ("physics_one_core", "physics_two_cores"))
        shares = [row["rollout_s"] / (row["rollout_s"] + row["update_s"]) for row in mine]
        lines.append(
            f"| {work.name} | {spread(one, ',.0f')} | {spread(two, ',.0f')} | "
            f"{statistics.median(b / a for a, b in zip(one, two, strict=True)):.2f} | "
            f"{spread([row['gradient_step_us'] for row in mine], ',.1f')} | "
            f"{100 * statistics.median(shares):.0f} % |",
        )
    return lines


def machine_lines(rows: Rows, identity: Mapping[str, Any]) -> list[str]:
    """Where and of what PPO's figures are."""
    iterations = ", ".join(
        f"{work['iterations']} of {name}" for name, work in identity["works"].items()
    )
    note = f"Iterations of a run, of which the first is not counted: {iterations}; {EPOCHS} epochs each."
    return measured_on(rows, identity, note)


def measured_on(rows: Rows, identity: Mapping[str, Any], *notes: str) -> list[str]:
    """The machine, the sources, how quiet it was, these notes, and versions."""
    loads, others = [row["load"] for row in rows], [row["others"] for row in rows]
    disturbed = sum(other > QUIET for other in others)
    lines = [
        f"- {machine_line(identity['machine'])}.",
        f"- Commit {identity['commit']}, sources {identity['code']}.",
        f"- Load average before the runs {min(loads):.1f} to {max(loads):.1f}. Other programs took "
        f"{statistics.median(others):.2f} cores ({min(others):.2f} to {max(others):.2f}) during a run; more than "
        f"{QUIET} in {disturbed} of {len(rows)} runs.",
        *(f"- {note}" for note in notes),
        "",
        "| | versions |",
        "|---|---|",
    ]
    for name, versions in identity["versions"].items():
        said = ", ".join(f"{package} {version}" for package, version in versions.items())
        lines.append(f"| {name} | {said} |")
    return lines


def draw(rows: Rows, path: Path) -> None:
    """A panel a workload: a bar a contestant, from the lowest to the highest round a line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    works = [work for work in WORKLOADS if Table(rows, work.name).rows]
    names = {row["contestant"] for row in rows}
    columns = min(2, len(works))
    lines = -(-len(works) // columns)
    figure, axes = pyplot.subplots(
        lines,
        columns,
        figsize=(7.5 * columns, lines * (1.2 + 0.3 * len(names))),
        squeeze=False,
        layout="constrained",
    )
    for axis, work in zip(axes.flat, works, strict=False):
        _panel(axis, work, Table(rows, work.name))
    for axis in axes.flat[len(works) :]:
        axis.set_visible(False)
    count = len({row["round"] for row in rows})
    figure.suptitle(
        f"PPO, environment steps per second: medians, lowest and highest; rounds: {count}",
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_summary(rows: Rows, machine: Mapping[str, Any], path: Path) -> None:
    """The picture for a reader with one minute: each library's fastest configuration, small minibatches, two tasks."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    works = [work for work in WORKLOADS if work.rollout_len == 2048 and Table(rows, work.name).rows]
    figure, axes = pyplot.subplots(
        1,
        len(works),
        figsize=(9, 2.6),
        squeeze=False,
        layout="constrained",
    )
    for axis, work in zip(axes.flat, works, strict=True):
        _summary_panel(axis, work.env_id, Table(rows, work.name))
    figure.suptitle(
        f"PPO, environment steps per second, 2 cores ({machine['cpu']}, {machine['instruction_set']})",
        fontsize=10,
    )
    figure.savefig(path, dpi=150, metadata={"Software": None})
    pyplot.close(figure)


def _summary_panel(axis: Any, title: str, table: Table) -> None:
    names = sorted({row["contestant"] for row in table.rows}, key=order_of)
    bars: dict[str, float] = {}
    for name in names:
        library, rate = library_of(name), statistics.median(table.rates(name).values())
        label = name.rsplit(", ", 1)[0] if library == OURS else library
        if library != LIMIT:
            bars[label] = max(rate, bars.get(label, 0.0))
    for place, (label, rate) in enumerate(bars.items()):
        axis.barh(place, rate, color=COLOURS[OURS] if label.startswith(OURS) else OF_A_PEER)
        axis.text(rate, place, f" {rate:,.0f}", va="center", fontsize=8)
    axis.set_yticks(range(len(bars)), bars, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.18)
    axis.set_title(title, fontsize=9)
    axis.tick_params(axis="x", labelsize=8)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
    axis.spines[["top", "right"]].set_visible(False)


def _panel(axis: Any, work: Workload, table: Table) -> None:
    names = sorted({row["contestant"] for row in table.rows}, key=order_of)
    limit = table.fastest(lambda name: library_of(name) == LIMIT)
    for place, name in enumerate(names):
        rates = list(table.rates(name).values())
        middle = statistics.median(rates)
        colour = COLOURS.get(library_of(name), OF_A_PEER)
        axis.barh(place, middle, color=colour)
        axis.plot([min(rates), max(rates)], [place, place], color="black", linewidth=1)
        axis.text(max(rates), place, f" {middle:,.0f}", va="center", fontsize=8)
    if limit:
        height = statistics.median(table.rates(limit).values())
        axis.axvline(height, color=COLOURS[LIMIT], linestyle=":", linewidth=1)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_title(
        f"{work.env_id}, {work.rollout_len} steps, minibatch {work.batch_size}",
        fontsize=10,
    )
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
    axis.spines[["top", "right"]].set_visible(False)
