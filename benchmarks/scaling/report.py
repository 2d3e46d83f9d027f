"""The tables and the chart of `python -m benchmarks.scaling`, from what it measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.scaling.cost_model import (
    CostModel,
    Errors,
    Measured,
    Reduced,
    fit_errors,
    left_out_errors,
)
from benchmarks.scaling.runs import EPOCHS, PARTS, Setting, rate_text

CORES_OF_A_HOST = 16
WORKERS = (8, 16, 32, 64, 128, 256, 512)
WIRES = {1.0: 20e-6, 10.0: 5e-6, 100.0: 2e-6}  # Gbit/s: assumed seconds of a message on the wire
WELL_USED = 0.75
FIXED, FEWER, LARGE = "2048/64", "2048/512", "16384/2048"
GROWING, GROWING_FEWER = "2048 W/64 W", "2048 W/512 W"
WORKS = (FIXED, FEWER, LARGE, GROWING, GROWING_FEWER)
COLOURS = {
    "physics": "#4c72b0",
    "policy": "#8fb0d9",
    "gradient": "#dd8452",
    "allreduce": "#c44e52",
    "other": "#b0b0b0",
}


def cluster(env_id: str, work: str, workers: int, gigabits: float | None) -> Setting | None:
    """A setting on hosts of 16 cores each, one worker a core; None where the batch is too small."""
    rollout_len, batch_size, num_envs = {
        FIXED: (2048, 64, max(16, workers)),
        FEWER: (2048, 512, max(16, workers)),
        LARGE: (16384, 2048, max(16, workers)),
        GROWING: (2048 * workers, 64 * workers, 16 * workers),
        GROWING_FEWER: (2048 * workers, 512 * workers, 16 * workers),
    }[work]
    if num_envs > batch_size:
        return None
    hosts = -(-workers // CORES_OF_A_HOST)
    cores = hosts * CORES_OF_A_HOST
    return Setting(env_id, rollout_len, batch_size, num_envs, workers, hosts, gigabits, cores)


def report(measured: Sequence[Measured], reduced: Sequence[Reduced], facts: dict[str, Any]) -> str:
    """docs/results/scaling.md."""
    model = CostModel.fit(measured, reduced)
    lines = [
        "# Scaling",
        "",
        f"Made by `python -m benchmarks.scaling --rounds {facts['rounds']} --seconds {facts['seconds']:g}`: "
        "real runs through `main.py`, all in turn, the first iteration of each left out, median round. "
        f"{facts['cores']} cores of {facts['processor']}, kernel {facts['kernel']}, "
        f"OPENBLAS_CORETYPE={facts['OPENBLAS_CORETYPE']}, commit {facts['commit']}; load of the machine "
        f"{facts['load_lowest']:.1f} to {facts['load_highest']:.1f}. Quote ratios, not figures: machines differ. "
        "What it means: [docs/scaling.md](../scaling.md).",
    ]
    lines += ["", "## Where the time of an iteration goes", ""]
    lines += _shares(measured, model)
    lines += ["", "## One sum over the workers", ""]
    lines += _sums(reduced, model)
    lines += ["", "## The cost model", ""]
    lines += _coefficients(model)
    lines += _errors(measured, reduced)
    lines += ["", "## What it predicts", ""]
    lines += _predictions(model, max(each.setting.workers for each in measured))
    lines += ["", "## What it recommends", ""]
    lines += _recommendations(model)
    return "\n".join(lines) + "\n"


def _shares(measured: Sequence[Measured], model: CostModel) -> list[str]:
    cores = measured[0].setting.cores
    lines = [
        f"R/B: steps of a rollout, minibatch; {EPOCHS} epochs. Speed-up: over one worker with the same R/B, for a "
        "batch that grows (a minibatch of 64 for each worker) over one worker with 2048/64. "
        f"More workers than the {cores} cores are marked *: they share cores, and no speed-up is to be had.",
        "",
        f"| task | R/B | workers | hosts | steps/s | speed-up | {' | '.join(PARTS)} | model |",
        "|---|---|---|---|---|---|" + "---|" * (len(PARTS) + 1),
    ]
    alone = {_work(each.setting): each.rate for each in measured if each.setting.workers == 1}
    for each in measured:
        setting = each.setting
        mark = "*" if setting.workers > setting.cores else ""
        base = alone.get(_work(setting), alone.get((setting.env_id, 2048, 64)))
        hosts = "1" if setting.hosts == 1 else f"2, {rate_text(setting.gigabits)}"
        speedup = f"{each.rate / base:.2f}" if base else ""
        shares = " | ".join(f"{each.seconds[part] / each.total:.1%}" for part in PARTS)
        lines.append(
            f"| {setting.env_id} | {setting.rollout_len}/{setting.batch_size} | {setting.workers}{mark} | {hosts} | "
            f"{each.rate:,.0f} ({_range(each)}) | {speedup} | {shares} | "
            f"{model.total(setting) / each.total - 1:+.1%} |",
        )
    return lines


def _work(setting: Setting) -> tuple[str, int, int]:
    return setting.env_id, setting.rollout_len, setting.batch_size


def _range(each: Measured) -> str:
    rollout_len = each.setting.rollout_len
    return f"{rollout_len / each.highest:,.0f} to {rollout_len / each.lowest:,.0f}"


def _sums(reduced: Sequence[Reduced], model: CostModel) -> list[str]:
    lines = [
        "One after another, nothing between them. Sent: what left the first host, over the size of the array; a "
        "reduce-scatter and an allgather send 1.00 between two hosts. On one host the sum goes through memory.",
        "",
        "| workers | hosts | kB | us | model, us | sent |",
        "|---|---|---|---|---|---|",
    ]
    for each in reduced:
        setting = each.setting
        mark = "*" if setting.workers > setting.cores else ""
        hosts = "1" if setting.hosts == 1 else f"2, {rate_text(setting.gigabits)}"
        sent = f"{each.sent / each.size:.2f}" if setting.hosts > 1 else ""
        lines.append(
            f"| {setting.workers}{mark} | {hosts} | {each.size / 1000:g} | {1e6 * each.seconds:.1f} | "
            f"{1e6 * model.sum_seconds(setting, each.size):.1f} | {sent} |",
        )
    return lines


def _coefficients(model: CostModel) -> list[str]:
    lines = [
        "The laws stand in `benchmarks/scaling/cost_model.py`. Microseconds, unless it says otherwise.",
        "",
        "| task | c, a step | p, a call | q, an environment | g, a gradient step | h, a sample | i, an iteration | "
        "u, a step across hosts | j, an iteration | k, a step |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for env_id, laws in sorted(model.parts.items(), reverse=True):
        values = [
            *laws["physics"],
            *laws["policy"],
            *laws["gradient"],
            *laws["other"],
        ]
        lines.append(f"| {env_id} | " + " | ".join(f"{1e6 * value:.3g}" for value in values) + " |")
    a, b, latency, m, wire = model.sums
    late = ", ".join(
        f"{1e6 * seconds:.3g} us on {h}" for h, seconds in sorted(model.delays.items())
    )
    waits = [
        f"{rollouts:.1%} of the physics and {1e6 * steps:.3g} us a gradient step"
        for rollouts, steps in (model.waiting[False], model.waiting[True])
    ]
    lines += [
        "",
        f"Sums: within a host {1e6 * a:.3g} us for each doubling of its workers and {1e9 * b:.3g} us/kB; between hosts "
        f"{1e6 * latency:.3g} us a message, {1e9 * m:.3g} us/kB of processor and {wire:.3g} times the time on the "
        f"wire. Where workers share cores, by the number of hosts: {late or 'not measured'}, more. "
        f"Waiting, times sqrt(2 ln W): {waits[0]}; where workers share cores {waits[1]}.",
    ]
    return lines


def _errors(measured: Sequence[Measured], reduced: Sequence[Reduced]) -> list[str]:
    lines = [
        "",
        "Its errors in the seconds of an iteration. Left out: each setting is predicted by a model that was fitted to "
        "all the others.",
        "",
        "| settings | number | median, fitted | largest, fitted | median, left out | largest, left out |",
        "|---|---|---|---|---|---|",
    ]
    fitted, left_out = fit_errors(measured, reduced), left_out_errors(measured, reduced)
    groups = {
        "one host, a core for each worker": lambda s: s.hosts == 1 and s.strain == 1,
        "two hosts, a core for each worker": lambda s: s.hosts > 1 and s.strain == 1,
        "more workers than cores": lambda s: s.strain > 1,
    }
    for name, belongs in groups.items():
        members = [i for i, each in enumerate(measured) if belongs(each.setting)]
        if members:
            mine = Errors.of([fitted[i] for i in members])
            others = Errors.of([left_out[i] for i in members])
            lines.append(
                f"| {name} | {mine.count} | {mine.median:.1%} | {mine.largest:.1%} | "
                f"{others.median:.1%} | {others.largest:.1%} |",
            )
    return lines


def _predictions(model: CostModel, most: int) -> list[str]:
    wires = ", ".join(f"{1e6 * wire:g} us at {rate:g} Gbit/s" for rate, wire in WIRES.items())
    lines = [
        f"Hosts of {CORES_OF_A_HOST} cores like these, a worker on each core, so that up to {CORES_OF_A_HOST} workers "
        f"need no network. A message takes what it took between the emulated hosts, and on the wire {wires} "
        "(assumed). Environment steps per second, and in brackets the share of W times one worker's. Sum: of the "
        "gradients, each step, which is what PPO does. Average: of parameters and both moments, once an epoch, which "
        f"it does not offer. Nothing here was measured with more than {most} workers.",
    ]
    for env_id in sorted(model.parts, reverse=True):
        for work in WORKS:
            columns = [(every, rate) for every in (1, 0) for rate in WIRES]
            names = [f"{'sum' if every else 'average'}, {rate:g} Gbit/s" for every, rate in columns]
            lines += ["", f"**{env_id}, {work}**", "", "| workers | " + " | ".join(names) + " |"]
            lines += ["|---|" + "---|" * len(columns)]
            for workers in WORKERS:
                cells = [
                    predicted(model, env_id, work, workers, rate, every=every)
                    for every, rate in columns
                ]
                if None not in cells:
                    lines.append(f"| {workers} | " + " | ".join(map(_cell, cells)) + " |")
    return lines


def _recommendations(model: CostModel) -> list[str]:
    columns = [(every, rate) for every in (1, 0) for rate in WIRES]
    names = [f"{'sum' if every else 'average'}, {rate:g} Gbit/s" for every, rate in columns]
    lines = [
        f"The most workers, of those predicted, that are used to {WELL_USED:.0%} or more; "
        f"{CORES_OF_A_HOST} are one host.",
        "",
        f"| task | R/B | {' | '.join(names)} |",
        "|---|---|" + "---|" * len(columns),
    ]
    for env_id in sorted(model.parts, reverse=True):
        for work in WORKS:
            cells = []
            for every, rate in columns:
                used = [1]
                for workers in (2, 4, *WORKERS):
                    found = predicted(model, env_id, work, workers, rate, every=every)
                    if found is None or found[1] < WELL_USED:
                        break
                    used.append(workers)
                cells.append(str(used[-1]))
            lines.append(f"| {env_id} | {work} | {' | '.join(cells)} |")
    return lines


def predicted(
    model: CostModel,
    env_id: str,
    work: str,
    workers: int,
    gigabits: float,
    *,
    every: int = 1,
) -> tuple[float, float] | None:
    """(environment steps a second, share of W times one worker's); `every` 0 is once an epoch."""
    alone, setting = (cluster(env_id, work, count, gigabits) for count in (1, workers))
    if setting is None or alone is None:
        return None
    wired = replace(model, wire=WIRES[gigabits])
    apart = every or setting.rollout_len // setting.batch_size
    rate = setting.rollout_len / wired.total(setting, every=apart)
    return rate, rate / workers / (alone.rollout_len / model.total(alone))


def _cell(value: tuple[float, float] | None) -> str:
    assert value is not None
    rate, share = value
    text = f"{rate / 1e6:.2f} M" if rate >= 1e6 else f"{rate / 1e3:.0f} k"
    return f"{text} ({share:.0%})"


def draw(measured: Sequence[Measured], reduced: Sequence[Reduced], path: Path) -> None:
    """Shares with 1 to 4 workers, the model beside what was measured, and what it predicts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    model = CostModel.fit(measured, reduced)
    env_id = measured[0].setting.env_id
    figure = Figure(figsize=(16, 5), layout="constrained")
    FigureCanvasAgg(figure)
    bars, scatter, curves = figure.subplots(1, 3)
    _draw_bars(bars, [each for each in measured if each.setting.env_id == env_id])
    for hosts, marker in ((1, "o"), (2, "s")):
        group = [each for each in measured if each.setting.hosts == hosts]
        if group:
            scatter.loglog(
                [1e3 * each.total for each in group],
                [1e3 * model.total(each.setting) for each in group],
                marker,
                label=f"{hosts} host{'s' * (hosts > 1)}",
                alpha=0.7,
            )
    ends = [1e3 * f(each.total for each in measured) for f in (min, max)]
    scatter.plot(ends, ends, color="grey", linewidth=1)
    scatter.set_xlabel("measured, ms an iteration")
    scatter.set_ylabel("cost model, ms an iteration")
    scatter.legend(frameon=False)
    for every, style in ((1, "-"), (0, "--")):
        for rate, colour in zip(WIRES, ("#c44e52", "#dd8452", "#4c72b0"), strict=True):
            points = [
                (workers, found[0])
                for workers in WORKERS
                if (found := predicted(model, env_id, GROWING, workers, rate, every=every))
            ]
            label = f"{rate:g} Gbit/s, {'a sum each step' if every else 'average once an epoch'}"
            curves.loglog(*zip(*points, strict=True), style, color=colour, label=label)
    alone = cluster(env_id, GROWING, 1, None)
    assert alone is not None
    one = alone.rollout_len / model.total(alone)
    curves.loglog(
        WORKERS,
        [one * workers for workers in WORKERS],
        ":",
        color="grey",
        label="linear",
    )
    curves.set_xlabel("workers (predicted)")
    curves.set_ylabel(f"{env_id}, 64 a worker: environment steps/s")
    curves.set_xticks(WORKERS, [str(each) for each in WORKERS])
    curves.minorticks_off()
    curves.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _draw_bars(axes: Any, measured: Sequence[Measured]) -> None:
    group = [each for each in measured if each.setting.hosts == 1]
    positions = range(len(group))
    bottom = [0.0] * len(group)
    for part in PARTS:
        heights = [each.seconds[part] / each.total for each in group]
        axes.bar(positions, heights, bottom=bottom, label=part, color=COLOURS[part])
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_xticks(
        positions,
        [
            f"{each.setting.rollout_len}/{each.setting.batch_size}, {each.setting.workers}"
            + "*" * (each.setting.workers > each.setting.cores)
            for each in group
        ],
        rotation=90,
        fontsize=8,
    )
    axes.set_ylabel(f"{group[0].setting.env_id}, one host: share of the time")
    axes.set_xlabel("R/B, workers (*: more than cores)")
    axes.set_ylim(0, 1.18)
    axes.legend(frameon=False, ncols=len(PARTS), fontsize=8, loc="upper center")
