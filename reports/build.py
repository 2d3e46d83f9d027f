"""A report of runs: figures, tables, a page and a PDF, in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from agents.algorithms import SCHEMA
from helpers.durable import write_atomically
from helpers.run_folder.experiment import CONFIG_FILE
from reports.collect import Collected
from reports.figures import learning, style
from reports.figures import scores as score_figures
from reports.figures import sweep as sweep_figures
from reports.figures.style import Look
from reports.page import result_tables, words
from reports.page.tables import Table
from reports.results.curves import Axis, curves_of
from reports.results.groups import Grouping, group_runs
from reports.results.references import Scale, scale_of
from reports.results.scores import Aggregates, Score, TaskScores, aggregate, all_scores
from reports.results.sweep import Sweep, find_sweep
from reports.series import Series
from swarm.task_text import task_lines

BEST = "best.yaml"


@dataclass(frozen=True)
class Options:
    """What is asked of a report.

    Attributes:
        by: settings that make the groups; empty: the runs' own settings.
        center: of seeds, in curves and tables.
        score: of a run.
        allow_mixed: whether runs of a group may differ in how they were trained and evaluated.
        columns: panels of curves beside one another, each 80 mm wide.
    """

    by: tuple[str, ...] = ()
    center: str = "iqm"
    score: Score = "final"
    allow_mixed: bool = False
    columns: int = style.MOST_COLUMNS


@dataclass(frozen=True)
class Picture:
    """A figure of a report, as it was written.

    Attributes:
        name: of its files.
        title, caption: beside it.
        figure: itself, for the PDF.
        files: by format.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    files: Mapping[str, Path]


@dataclass(frozen=True, eq=False)
class Content:
    """All that a report says, before it is written.

    Attributes:
        label: of the whole.
        grouping, scores, scales, aggregates, sweep: what was found.
        best: the task file of the best setting of a sweep; "" without one.
        tables: in their order.
        methods, missing: sentences.
    """

    label: str
    options: Options
    grouping: Grouping
    scores: Sequence[TaskScores]
    scales: Mapping[str, Scale]
    aggregates: Aggregates | None
    sweep: Sweep | None
    best: str
    tables: Sequence[Table]
    methods: Sequence[str]
    missing: Sequence[str]
    runs: Sequence[Series] = field(default_factory=tuple)

    @property
    def looks(self) -> dict[str, Look]:
        """How groups are drawn: with many of them the best ones have colours, the others are grey."""
        labels = [group.label for group in self.grouping.groups]
        if len(labels) > style.MOST_COLOURED:
            ranked = result_tables.ranked(self.scores, self.options.center)
            chosen = set(ranked[: style.MOST_COLOURED])
            labels = [label for label in labels if label in chosen]
        return style.looks(labels)


def analyse(
    collected: Collected,
    options: Options,
    grouping: Grouping | None = None,
) -> Content:
    """Everything that is to be said of runs.

    Args:
        collected: the runs.
        options: what is asked.
        grouping: of the runs; None: as the options have it.

    Raises:
        ConfigurationError: runs that do not belong together.
    """
    series = collected.series
    if grouping is None:
        grouping = group_runs(series, by=options.by, allow_mixed=options.allow_mixed)
    scores = all_scores(grouping, options.score)
    scales = {
        task: found for task in grouping.tasks if (found := scale_of(_of_task(grouping, task)))
    }
    aggregates = aggregate(scores, scales)
    sweep = find_sweep(
        series,
        collected.trials,
        grouping,
        scales,
        center=options.center,
        score=options.score,
    )
    missing = words.not_in_it(grouping, scores, collected.notes)
    if aggregates is not None and len(grouping.groups) > 1:
        missing += [f"Not in the scores over tasks: {each}." for each in aggregates.unknown]
    if sweep is not None:
        missing += [
            f"Not ranked, for it has no score on each task: {each}." for each in sweep.unscored
        ]
    return Content(
        label=collected.label,
        options=options,
        grouping=grouping,
        scores=scores,
        scales=scales,
        aggregates=aggregates,
        sweep=sweep,
        best="" if sweep is None else best_text(sweep, collected.label),
        tables=result_tables.tables_of(grouping, scores, aggregates, sweep, options.center),
        methods=words.methods(
            grouping,
            scores,
            center=options.center,
            score=options.score,
            scales=scales if aggregates is not None else {},
        ),
        missing=list(dict.fromkeys(missing)),
        runs=series,
    )


def best_text(sweep: Sweep, label: str) -> str:
    """The best setting of a sweep as a task file."""
    run = sweep.best.best_run
    assert run.folder is not None
    config = SCHEMA.load_config(run.folder / CONFIG_FILE)
    told = ", ".join(f"{key}={value}" for key, value in sweep.best.values.items())
    lines = [
        f"# The best of {len(sweep.settings)} settings of {label}: {told}.",
        f"# {words.with_interval(sweep.best.overall)} over {sweep.best.seeds} runs. The best of many is flattered by",
        "# chance: train it with other seeds before you report its return.",
        f"#   python main.py --config={BEST} --seed=100",
        "",
    ]
    return "\n".join([*lines, *task_lines(config)]) + "\n"


def draw(content: Content, folder: Path) -> list[Picture]:
    """Draw and write all figures; made within `style.styled()`.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = [*_curves(content), *_scores(content), *_over_tasks(content), *_of_sweep(content)]
    return [
        Picture(name, title, caption, figure, style.save(figure, folder / name))
        for name, title, caption, figure in made
    ]


_Made = tuple[str, str, str, Figure]


def _of_task(grouping: Grouping, task: str) -> list[Series]:
    return [run for group in grouping.groups for run in group.of_task(task)]


def _counts(content: Content) -> str:
    """ "n = 5 seeds a group", with exceptions."""
    counts: dict[int, list[str]] = {}
    for each in content.scores:
        counts.setdefault(len(each.values), []).append(f"{each.label} on {each.task}")
    if len(counts) == 1:
        return f"n = {next(iter(counts))} seeds of each group on each task"
    usual = max(counts, key=lambda n: len(counts[n]))
    others = (
        f"n = {n} of {words.joined(named)}" for n, named in sorted(counts.items()) if n != usual
    )
    return f"n = {usual} seeds of each group, but {words.joined(others, most=6)}"


def _curves(content: Content) -> list[_Made]:
    center = content.options.center
    looks = content.looks
    grey = "" if len(looks) == len(content.grouping.groups) else (
        f" The {len(looks)} best of {len(content.grouping.groups)} groups have colours, the others are grey."
    )  # fmt: skip
    made = []
    axes: tuple[tuple[Axis, str, str], ...] = (
        ("steps", "curves", "environment steps"),
        (
            "seconds",
            "curves_time",
            "wall-clock time of training (each step at the median time of the seeds, starts of a run added up)",
        ),
    )
    for axis, name, told in axes:
        curves = {
            task: found
            for task in content.grouping.tasks
            if (found := curves_of(content.grouping.groups, task, axis=axis, center=center))
        }
        if not curves:
            continue
        figure = learning.draw_curves(
            curves,
            looks,
            axis=axis,
            ylabel=f"return ({words.SHORT_CENTERS[center]})",
            scales=content.scales,
            columns=content.options.columns,
        )
        caption = (
            f"Returns against {told}: {words.CENTER_NAMES[center]} of the seeds, with 95 % bootstrap intervals; "
            f"{_counts(content)}. A line is thin where fewer seeds are left.{grey}"
        )
        made.append(
            (name, f"Learning curves over {axis.replace('seconds', 'time')}", caption, figure),
        )
    return made


def _scores(content: Content) -> list[_Made]:
    looks = content.looks
    by_task = {
        task: [s for s in content.scores if s.task == task and s.label in looks]
        for task in content.grouping.tasks
    }
    by_task = {task: found for task, found in by_task.items() if any(len(s.values) for s in found)}
    if not by_task:
        return []
    center = content.options.center
    figure = score_figures.draw_scores(by_task, looks, center=center, xlabel="return")
    caption = (
        f"The score of each seed (open) and the {words.SHORT_CENTERS[center]} with its 95 % interval (filled); "
        f"{_counts(content)}."
    )
    return [("scores", "Scores of the seeds", caption, figure)]


def _over_tasks(content: Content) -> list[_Made]:
    looks = content.looks
    if content.aggregates is None:
        return []
    found = content.aggregates.only(looks)
    if len(found.table) < 2:
        return []
    over = f"{len(found.tasks)} task{'s' if len(found.tasks) > 1 else ''}, {_counts(content)}"
    made = [
        (
            "aggregates",
            "Normalised scores over tasks",
            f"Estimates over {over}, with 95 % intervals; 0 is random actions, 1 the reference.",
            score_figures.draw_aggregates(found, looks),
        ),
        (
            "profiles",
            "Performance profiles",
            f"The share of runs whose normalised score is above a level, with 95 % intervals; {over}.",
            score_figures.draw_profiles(found, looks),
        ),
    ]
    caption = (
        "How probably a run of the first group scores higher than a run of the second, mean over tasks, with 95 % "
        f"intervals; a tie counts as half; {over}."
    )
    figure = score_figures.draw_improvements(found.improvement)
    return [*made, ("improvement", "Probability of improvement", caption, figure)]


def _of_sweep(content: Content) -> list[_Made]:
    sweep = content.sweep
    if sweep is None or len(sweep.settings) < 2 or not sweep.keys:
        return []
    what = "normalised score" if sweep.is_normalised else "return"
    ylabel = f"{what} ({words.SHORT_CENTERS[content.options.center]})"
    return [
        (
            "effects",
            "The effect of each setting",
            f"A ring is one of {len(sweep.settings)} settings. The line is the mean of those with a value, with its "
            "95 % interval over them; what else differs between them is in it.",
            sweep_figures.draw_effects(sweep, ylabel=ylabel),
        ),
        (
            "parallel",
            "All settings at once",
            "A line is a setting; dark and thick is good.",
            sweep_figures.draw_parallel(sweep, ylabel=ylabel),
        ),
    ]


def write_tables(content: Content, folder: Path) -> dict[str, Path]:
    """Markdown, LaTeX and CSV of each table, and each run's score; the files by name.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, text in result_tables.files_of(
        content.tables,
        content.grouping,
        content.options.score,
    ):
        made[name] = folder / name
        write_atomically(made[name], text)
    return made
