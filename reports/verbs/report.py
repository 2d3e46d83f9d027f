"""`report SWARM|RUN|FOLDER ...`: figures, tables, a page and a PDF."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace

from helpers.errors import DONE
from reports.verbs.options import add_results, asked_of, others_of, others_words, reporter
from reports.verbs.swarms import Verbs


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "report",
        help="figures with intervals, tables for a paper and a page of runs; a sweep's best settings",
    )
    verb.add_argument(
        "names",
        metavar="SWARM|RUN|FOLDER",
        nargs="+",
        help="a swarm, a run of data/runs, a folder of runs, or a pattern like 'ppo.*'",
    )
    add_results(verb)
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write it; the exit code."""
    from reports.build import Options, analyse
    from reports.collect import collect
    from reports.page.tables import to_markdown
    from reports.write import report_folder, write_report

    collected = collect(
        arguments.names,
        source=arguments.source,
        others=others_of(arguments),
    )
    folder = report_folder(arguments.name or collected.label)
    options = Options(**asked_of(arguments))
    content = replace(analyse(collected, options), label=folder.name)
    made = write_report(content, folder)
    print(to_markdown(content.tables[0]))
    for line in content.missing:
        print(f"note: {line}")
    for what, path in made.items():
        print(f"{what}: {path}")
    if content.best:
        print(f"next: python main.py --config={shlex.quote(str(made['best settings']))} --seed=100")
    elif len(content.grouping.groups) > 1:
        two = [group.label for group in content.grouping.groups][:2]
        flags = [word for key in options.by for word in ("--by", key)]
        flags += [word for label in two for word in ("--of", label)]
        flags += ["--allow_mixed"] if options.allow_mixed else []
        flags += others_words(arguments)
        command = [*reporter(arguments), "compare", *arguments.names, *flags]
        print(f"next: {shlex.join(command)}")
    return DONE
