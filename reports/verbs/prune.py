"""`prune [RUN ...]`: old checkpoints, or whole runs, are deleted by rule, after they were shown."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.errors import DONE, ConfigurationError, StorageError
from reports.verbs.options import add_places, add_where, reporter, screen_width
from reports.verbs.swarms import Verbs

if TYPE_CHECKING:
    from reports.runs.prune import Plan, Rule
    from reports.runs.uses import Use

_MOST_NAMED = 5
_WORD = "delete"


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "prune",
        help="delete old checkpoints, or whole runs, by rule; shows what, and deletes nothing without --yes",
    )
    add_places(verb)
    verb.add_argument(
        "--older_than",
        metavar="AGE",
        help="only runs that were last written to before: 30d, 12h",
    )
    verb.add_argument(
        "--state",
        metavar="STATE",
        action="append",
        default=[],
        help="only runs in this state (repeatable, or with commas), as `list` shows it: failed, stopped, done",
    )
    add_where(verb)
    what = verb.add_mutually_exclusive_group()
    what.add_argument(
        "--checkpoints",
        action="store_true",
        help="delete checkpoints, never the last and the best; the default",
    )
    what.add_argument(
        "--runs",
        action="store_true",
        help="delete whole run folders of runs without a checkpoint; with --all also of those that have one",
    )
    verb.add_argument(
        "--keep",
        type=int,
        metavar="N",
        help="the newest checkpoints of each run stay, beside the best; default: 1",
    )
    verb.add_argument(
        "--all",
        action="store_true",
        help="also the last and the best checkpoint, and what other runs begin from",
    )
    verb.add_argument("--yes", action="store_true", help="delete without asking")
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show what would go, and delete it where that is wanted; the exit code."""
    from reports.runs import prune, where
    from reports.runs.entry import STATES, measure, read_entry
    from reports.runs.find import find_named, find_runs, usual_place
    from reports.runs.table import size_in_short
    from reports.runs.uses import uses_of

    rule = _rule(arguments)
    states = [each.strip() for given in arguments.state for each in given.split(",")]
    for state in states:
        if state not in STATES:
            raise ConfigurationError(
                f"--state {state} is no state.",
                f"States: {', '.join(STATES)}.",
            )
    wanted = where.conditions(arguments.where)
    oldest = where.quantity("age", arguments.older_than) if arguments.older_than else 0.0
    found = find_named(arguments.names, arguments.runs_dir)
    now = time.time()
    entries = where.select([read_entry(folder, now) for folder in found.runs], wanted)
    chosen = [
        entry for entry in entries if entry.age >= oldest and (not states or entry.state in states)
    ]
    folders = [entry.folder for entry in chosen]
    users = dict.fromkeys([*find_runs([usual_place(None)]).runs, *found.runs])
    uses = uses_of(folders, users) if folders else {}
    plan = prune.plan(chosen, rule, uses, found.linked)
    leftovers = [] if arguments.where or states else found.leftovers
    remains = {folder: measure(folder).bytes for folder in leftovers}
    _show(plan, remains)
    if not plan.doomed and not remains:
        print("there is nothing to delete")
        print(f"next: {shlex.join([*reporter(arguments), 'list', *_places(arguments)])}")
        return DONE
    total = sum(each.bytes for each in plan.doomed) + sum(remains.values())
    told = f"{size_in_short(total)} of {_count(len(plan.doomed))}"
    print(f"to delete: {told}")
    if not arguments.yes and not _is_confirmed(told):
        print("nothing was deleted")
        print(f"next: {shlex.join([*reporter(arguments), *_words(arguments), '--yes'])}")
        return DONE
    freed, failures = _delete(plan, rule, uses, remains)
    print(f"freed {size_in_short(freed)}")
    if failures:
        raise StorageError(
            f"{len(failures)} could not be deleted: {failures[0]}.",
            "Mend permissions there and give the same command again.",
        )
    places = [] if arguments.runs else _places(arguments)  # names of runs may be no more
    if places or find_runs([usual_place(None)]).runs:
        print(f"next: {shlex.join([*reporter(arguments), 'list', *places])}")
    return DONE


def _rule(arguments: argparse.Namespace) -> Rule:
    """What is to go.

    Raises:
        ConfigurationError: flags that do not go together.
    """
    from reports.runs.prune import Rule

    if arguments.keep is not None and (arguments.runs or arguments.all):
        other = "--runs" if arguments.runs else "--all"
        raise ConfigurationError(
            f"--keep={arguments.keep} keeps checkpoints, {other} deletes them all.",
            f"Give one of the two: --keep, or {other}.",
        )
    if arguments.keep is not None and arguments.keep < 1:
        raise ConfigurationError(
            f"--keep={arguments.keep} is not 1 or more.",
            "The last checkpoint stays; --all deletes it, too.",
        )
    chooses = (arguments.names, arguments.older_than, arguments.state, arguments.where)
    if arguments.runs and not any(chooses):
        raise ConfigurationError(
            "--runs alone is every run.",
            "Say which: names, --state, --older_than or --where.",
        )
    return Rule(arguments.runs, arguments.keep or 1, arguments.all)


def _show(plan: Plan, remains: Mapping[Path, int]) -> None:
    """What would go, and why the rest stays."""
    from reports.runs.table import age_of, size_in_short, wrapped

    width = screen_width() - 2
    for each in plan.doomed:
        entry = each.entry
        print(entry.name)
        print(f"  {size_in_short(each.bytes)} of it; {entry.state}, {age_of(entry.age)} old")
        said = [each.words, *(f"warning: {line}" for line in each.warnings)]
        print("\n".join(f"  {line}" for text in said for line in wrapped(text, width)))
    for folder, size in remains.items():
        print(f"{folder}\n  {size_in_short(size)}, left by an interrupted prune")
    for why, names in plan.kept.items():
        more = len(names) - _MOST_NAMED
        told = ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        print("\n  ".join(wrapped(f"stays, {why}: {told}", width)))
    if plan.idle:
        print(f"nothing to delete: of {_count(plan.idle)}")


def _count(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs:,} runs"


def _is_confirmed(what: str) -> bool:
    """Whether a person at a terminal types the word; nobody is asked elsewhere."""
    if not _is_terminal():
        return False
    try:
        return input(f"Type {_WORD} to delete {what}: ").strip() == _WORD
    except EOFError:
        return False


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _delete(
    plan: Plan,
    rule: Rule,
    uses: Mapping[Path, Sequence[Use]],
    remains: Mapping[Path, int],
) -> tuple[int, list[str]]:
    """(bytes that were freed, what could not be deleted)."""
    from reports.runs import prune

    freed, failures = 0, []
    busy = prune.busy_in_swarms([each.entry.folder for each in plan.doomed])
    for each in plan.doomed:
        entry = each.entry
        try:
            if entry.folder in busy:
                raise prune.KeptError(busy[entry.folder])
            done = prune.delete(each, rule, uses.get(entry.folder, ()))
        except prune.KeptError as why:
            print(f"stays, {why}: {entry.name}")
        except OSError as error:
            failures.append(f"{error.filename or entry.folder}: {error.strerror or error}")
        else:
            freed += done.bytes if done is not None else 0
            print(f"deleted of {entry.name}: {done.words if done is not None else 'nothing'}")
    for folder, size in remains.items():
        try:
            prune.remove_doomed(folder)
            freed += size
        except OSError as error:
            failures.append(f"{error.filename or folder}: {error.strerror or error}")
    return freed, failures


def _places(arguments: argparse.Namespace) -> list[str]:
    """The words that say where."""
    return [*arguments.names, *(["--runs_dir", arguments.runs_dir] if arguments.runs_dir else [])]


def _words(arguments: argparse.Namespace) -> list[str]:
    """The command again."""
    words = ["prune", *_places(arguments)]
    if arguments.older_than:
        words += ["--older_than", arguments.older_than]
    for state in arguments.state:
        words += ["--state", state]
    if arguments.where:
        words += ["--where", *arguments.where]
    words += ["--runs"] if arguments.runs else ["--checkpoints"]
    words += ["--keep", str(arguments.keep)] if arguments.keep else []
    return words + (["--all"] if arguments.all else [])
