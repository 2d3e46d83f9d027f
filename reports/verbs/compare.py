"""`compare A B`: is one better, by how much, and how sure is that."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from helpers.errors import DONE
from reports.verbs.options import (
    add_results,
    asked_of,
    keys_of,
    others_of,
    others_words,
    reporter,
)
from reports.verbs.swarms import Verbs


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "compare",
        help="two swarms, runs or groups: the difference with its interval, a test, and a verdict",
    )
    verb.add_argument(
        "names",
        metavar="SWARM|RUN|FOLDER",
        nargs="+",
        help="the two groups; or, with --by or --of, where their runs are",
    )
    add_results(verb)
    verb.add_argument(
        "--of",
        metavar="GROUP",
        action="append",
        default=[],
        help="one of the groups to compare, where there are more than two; give it twice",
    )
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare them; the exit code."""
    from reports.build import Options, Picture, analyse
    from reports.figures import scores, style
    from reports.page.tables import to_markdown
    from reports.results.compare import (
        commits_table,
        compare,
        comparison_table,
        two_groups,
        verdict,
    )
    from reports.write import report_folder, write_report

    collected, grouping = two_groups(
        arguments.names,
        by=keys_of(arguments.by),
        of=keys_of(arguments.of),
        source=arguments.source,
        allow_mixed=arguments.allow_mixed,
        others=others_of(arguments),
    )
    one, other = (group.label for group in grouping.groups)
    options = Options(**asked_of(arguments))
    content = analyse(collected, options, grouping)
    compared = compare(content.scores, (one, other), content.scales, center=arguments.center)
    folder = report_folder(arguments.name or f"{collected.label}.compared")
    table = comparison_table(compared, arguments.center)
    content = replace(
        content,
        label=f"{one} and {other}",
        tables=[table, *content.tables, commits_table(grouping)],
        missing=[*content.missing, *compared.apart],
    )

    def improvement(where: Path) -> list[Picture]:
        found = {each.place: each.improvement for each in compared.tasks}
        if compared.overall is not None:
            found[compared.overall.place] = compared.overall.improvement
        title = f"Probability that a run of {one} is better than one of {other}"
        figure = scores.draw_probabilities(found)
        caption = "With 95 % intervals; a tie counts as half."
        return [Picture("better", title, caption, figure, style.save(figure, where / "better"))]

    told = verdict(compared)
    made = write_report(content, folder, verdict=told, extra=improvement)
    print(to_markdown(table))
    for line in content.missing:
        print(f"note: {line}")
    print(f"verdict: {told}")
    for what, path in made.items():
        print(f"{what}: {path}")
    command = [*reporter(arguments), "report", *arguments.names, *others_words(arguments)]
    print(f"next: {shlex.join(command)}")
    return DONE
