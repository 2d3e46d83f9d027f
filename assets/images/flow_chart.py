"""Draws flow_chart.png, the flow of execution of one training run, with matplotlib alone.

Run it after a change of the flow: `python assets/images/flow_chart.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

WIDTH, HEIGHT = 160.0, 101.0  # the units of all coordinates below, a tenth of an inch each
INK, GREY, PAPER = "#1f2933", "#66727f", "#ffffff"
BLUE, GREEN, AMBER, SLATE = "#2f6fb2", "#2f855a", "#b7791f", "#52606d"
TINTS = {BLUE: "#e8f1fb", GREEN: "#e7f5ec", AMBER: "#fdf3dc", SLATE: "#f2f4f7"}


def rectangle(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    edge: str,
    fill: str,
    layer: float = 2,
    dashed: bool = False,
) -> None:
    """A rectangle with round corners; (x, y) is its lower left corner."""
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=1.4",
            edgecolor=edge,
            facecolor=fill,
            linewidth=1.4,
            linestyle=(0, (4, 2.5)) if dashed else "solid",
            zorder=layer,
        ),
    )


def text(
    axes: Axes,
    x: float,
    y: float,
    words: str,
    *,
    size: float = 10,
    colour: str = INK,
    bold: bool = False,
    code: bool = False,
    align: str = "left",
) -> None:
    """Words whose first line is centred on height y."""
    axes.text(
        x,
        y,
        words,
        fontsize=size,
        color=colour,
        fontweight="bold" if bold else "normal",
        family="DejaVu Sans Mono" if code else "DejaVu Sans",
        ha=align,
        va="top" if "\n" in words else "center",
        linespacing=1.45,
        zorder=6,
    )


def box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    title: str,
    place: str = "",
    body: str = "",
    colour: str = BLUE,
    shared: bool = False,
) -> None:
    """A step: its name, the file it lives in, what it does, and whether the workers agree in it."""
    rectangle(axes, x, y, width, height, edge=colour, fill=TINTS[colour], layer=4)
    top = y + height
    text(axes, x + 1.8, top - 2.7, title, size=11.5, bold=True)
    if place:
        text(axes, x + 1.8, top - 5.6, place, size=8.6, colour=colour, code=True)
    if body:
        axes.text(
            x + 1.8,
            top - (7.5 if place else 4.8),
            body,
            fontsize=9.4,
            color=INK,
            va="top",
            linespacing=1.4,
            zorder=6,
        )
    if shared:
        pill(axes, x + width - 7.2, top - 4.1)


def pill(axes: Axes, x: float, y: float) -> None:
    """The mark of a step in which all workers take part."""
    rectangle(axes, x, y, 5.6, 2.7, edge=GREEN, fill=GREEN, layer=5)
    text(axes, x + 2.8, y + 1.3, "MPI", size=8, colour=PAPER, bold=True, align="center")


def arrow(axes: Axes, *points: tuple[float, float], colour: str = SLATE) -> None:
    """A line through points, with a head at the last one."""
    if len(points) > 2:
        xs, ys = zip(*points[:-1], strict=True)
        axes.plot(xs, ys, color=colour, linewidth=1.8, solid_joinstyle="round", zorder=3)
    axes.add_patch(
        FancyArrowPatch(
            points[-2],
            points[-1],
            arrowstyle="-|>",
            mutation_scale=15,
            color=colour,
            linewidth=1.8,
            shrinkA=0,
            shrinkB=0,
            zorder=3,
        ),
    )


def draw_preparation(axes: Axes) -> None:
    """The left column: what main.py makes before the first step."""
    text(axes, 4, 92.8, "1  main.py prepares", size=13, bold=True, colour=BLUE)
    steps = (
        (
            "Configuration",
            "agents/algorithms.py",
            "default  <  YAML file  <  command line,\nchecked, then frozen",
        ),
        (
            "ExperimentInitializer",
            "helpers/run_folder/experiment.py",
            "name, run folder, random streams;\na new run, or the one to resume",
        ),
        (
            "Environments",
            "environments/factory.py",
            "MuJoCo, classic control or dm_control:\nthis worker's share of num_envs",
        ),
        (
            "Agent",
            "agents/factory.py",
            "agents/on_policy/ppo.py, made for the spaces\nof the environments",
        ),
    )
    for number, (title, place, body) in enumerate(steps):
        y = 73 - 17.5 * number
        box(axes, 4, y, 40, 13.5, title=title, place=place, body=body)
        if number:
            arrow(axes, (24, y + 17.5), (24, y + 13.5))
    arrow(axes, (44, 27.2), (48, 27.2), (48, 68.5), (55.6, 68.5))


def draw_workers(axes: Axes) -> None:
    """The panel of the loop, once for each worker; the first one lies on top."""
    for number in (2, 1, 0):
        shift = 1.7 * number
        rectangle(
            axes,
            52 + shift,
            32 + shift,
            101,
            54.5,
            edge="#9aa5b1",
            fill=PAPER if number == 0 else "#eef1f4",
            layer=1 - 0.1 * number,
        )
    text(
        axes,
        52,
        92.8,
        "2  The Orchestrator trains, on every worker",
        size=13,
        bold=True,
        colour=BLUE,
    )
    text(axes, 55.6, 83.6, "orchestrator.py", size=8.6, colour=BLUE, code=True)
    pill(axes, 81.5, 82.3)
    text(axes, 88.3, 83.6, "all workers take part, and agree bit for bit", size=9.4, colour=GREEN)
    text(axes, 150.4, 83.6, "worker 0 of 3", size=9.4, colour=GREY, align="right")


def draw_loop(axes: Axes) -> None:
    """What repeats: an iteration, and what is decided after it."""
    rectangle(axes, 55.6, 59, 94.8, 22, edge=BLUE, fill="#f7fafd", dashed=True)
    text(axes, 58.2, 78.3, "do_iteration()", size=11.5, bold=True)
    box(
        axes,
        58.2,
        61.4,
        41.5,
        14.3,
        title="rollout_generator()",
        place="agent.predict()  and  environment.step()",
        body="steps this worker's environments,\nand yields a rollout at a time",
    )
    box(
        axes,
        106.3,
        61.4,
        41.5,
        14.3,
        title="agent.update()",
        place="agents/on_policy/ppo.py",
        body="advantages, then epochs of minibatches;\ngradients averaged over the workers",
        shared=True,
    )
    arrow(axes, (99.7, 68.5), (106.3, 68.5))
    text(axes, 103, 70.2, "rollout", size=8.6, colour=GREY, align="center")

    width, gap, left, bottom, height = 21.3, 3.2, 55.6, 35.7, 13.3
    after = (
        ("evaluate()", "every eval_frequency\niterations, on seeds\nof its own", True),
        ("trackers", "metrics.jsonl, and\nTensorBoard, wandb\nwhere asked for", False),
        ("deadline", "time limit, signal or\nstop file: the same\nanswer everywhere", True),
        ("checkpoints", "every save_frequency,\nat the best return,\nand at each stop", True),
    )
    for number, (title, body, shared) in enumerate(after):
        x = left + number * (width + gap)
        box(axes, x, bottom, width, height, title=title, body=body, colour=AMBER, shared=shared)
        if number:
            arrow(axes, (x - gap, bottom + height / 2), (x, bottom + height / 2))
    first, last = left + width / 2, left + 3 * (width + gap) + width / 2
    arrow(axes, (first, 59), (first, 49))
    text(axes, first + 1.4, 54, "after each iteration", size=9.4, colour=GREY)
    arrow(axes, (last, 49), (last, 59))
    text(axes, last - 1.4, 54, "again, until num_timesteps", size=9.4, colour=GREY, align="right")
    arrow(axes, (90.7, 35.7), (90.7, 20))
    arrow(axes, (last, 35.7), (last, 26.2), (102, 26.2), (102, 20))


def draw_what_remains(axes: Axes) -> None:
    """Where everything lands, who reads it, and how a run ends."""
    text(axes, 52, 23, "3  The run folder remains", size=13, bold=True, colour=BLUE)
    box(
        axes,
        4,
        4,
        40,
        11.5,
        title="Exit status",
        body="0    done\n75  stopped early: the same command resumes",
        colour=SLATE,
    )
    rectangle(axes, 52, 4, 57, 16, edge=SLATE, fill=TINTS[SLATE], layer=4)
    text(axes, 53.8, 17.2, "data/runs/<name>/", size=11.5, bold=True)
    text(
        axes,
        53.8,
        14.7,
        "config.yaml   capsule.json   metrics.jsonl\n"
        "checkpoints/{latest,best,iter_000620,...}\n"
        "learning_curve.png   videos/",
        size=9.4,
        code=True,
    )
    box(
        axes,
        117,
        4,
        36,
        16,
        title="Afterwards",
        place="python main.py --task=eval ...",
        body="statistics, videos, trajectories,\nfrom the best checkpoint\nor any other one",
        colour=GREEN,
    )
    arrow(axes, (109, 12), (117, 12))


def draw() -> Figure:
    """The whole chart."""
    figure = Figure(figsize=(WIDTH / 10, HEIGHT / 10), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, HEIGHT)
    axes.axis("off")
    text(axes, 4, 97.6, "One run of MiloZero", size=17, bold=True)
    text(
        axes,
        52,
        97.6,
        "mpiexec -n 3 python main.py --config=tasks/train_mujoco_ppo.yaml",
        size=11,
        code=True,
        colour=GREY,
    )
    draw_preparation(axes)
    draw_workers(axes)
    draw_loop(axes)
    draw_what_remains(axes)
    return figure


def main() -> None:
    """Write the picture beside this file, or where --output says."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).with_suffix(".png")
    parser.add_argument("--output", type=Path, default=default)
    # without the version of matplotlib in the file, the same drawing is the same bytes
    draw().savefig(parser.parse_args().output, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
