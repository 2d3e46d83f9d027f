"""The index of all kinds of machine that speed was measured on, made from the rows beside it: docs/results/speed.md.

docs/results.md and docs/speed.md have a table of the ranges over kinds, between two marks, which is written anew with
it. docs/results/speed.png, the picture in the README, shows PPO on the last kind.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kernels import native
from benchmarks.speed import imitation, replay, report
from benchmarks.speed.bars import Table, library_of
from benchmarks.speed.contestants import FLOOR, LIMIT, ROOT, SB3
from benchmarks.speed.program import RESULTS
from benchmarks.speed.workload import WORKLOADS, Workload
from helpers.durable import write_atomically

PROGRAMS = {  # by the name of their files: what the index calls their tables
    "speed": "PPO",
    "speed_replay": "SAC, TD3, CrossQ, SAM",
    "speed_imitation": "imitation",
    "speed_native": "gradient steps",
}
PAGES = ("docs/results.md", "docs/speed.md")
BEGIN = "<!-- ranges over kinds: python -m benchmarks.speed --index -->"
END = "<!-- end of ranges -->"
PEERS, OF_SB3, OF_LIMIT = "over the fastest other", "over Stable-Baselines3", "of the limit"
OF_MACHINE = "of what the machine can give"
Key = tuple[str, str]  # what, and the ratio's name


@dataclass
class Kind:
    """What was measured of one kind.

    Attributes:
        machines: of each program's rows, `identity["machine"]`.
        commits: likewise.
        ratios: medians.
        rivals: libraries that were the fastest other somewhere.
    """

    machines: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    ratios: dict[Key, float] = field(default_factory=dict)
    rivals: set[str] = field(default_factory=set)


def write(folder: Path, pages: Sequence[Path] | None = None) -> list[Path]:
    """The index into a folder of rows, and the ranges into pages; what was written.

    Args:
        folder: of NAME-KIND.json files; without any, nothing is written.
        pages: Markdown with the two marks; by default docs/results.md and docs/speed.md if the folder is docs/results.
    """
    kinds = gathered(folder)
    if not kinds:
        return []
    if pages is None:
        is_published = folder.resolve() == RESULTS.resolve()
        pages = [ROOT / name for name in PAGES] if is_published else []
    written = [folder / "speed.md"]
    write_atomically(written[0], text(kinds, folder))
    for path in sorted(folder.glob("speed-*.json"))[-1:]:
        kept = json.loads(path.read_text(encoding="utf-8"))
        written.append(folder / "speed.png")
        report.draw_summary(kept["rows"], kept["identity"]["machine"], written[-1])
    for page in pages:
        old = page.read_text(encoding="utf-8")
        new = with_ranges(old, kinds)
        if new != old:
            write_atomically(page, new)
            written.append(page)
    return written


def gathered(folder: Path) -> dict[str, Kind]:
    """All kinds of which there are rows, by name."""
    kinds: dict[str, Kind] = {}
    for program in PROGRAMS:
        for path in sorted(folder.glob(f"{program}-*.json")):
            kept = json.loads(path.read_text(encoding="utf-8"))
            kind = kinds.setdefault(path.stem.removeprefix(f"{program}-"), Kind())
            kind.machines[program] = kept["identity"]["machine"]
            kind.commits[program] = kept["identity"]["commit"]
            _add(kind, program, kept["rows"])
    return dict(sorted(kinds.items()))


def _add(kind: Kind, program: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """The main ratios of a program's rows."""
    if program == "speed":
        for work in WORKLOADS:
            _add_rivals(kind, _title(work), Table(rows, work.name), LIMIT)
    elif program == "speed_replay":
        for learner in replay.WORKS:
            _add_rivals(kind, learner.name, Table(rows, learner.name), FLOOR)
    elif program == "speed_imitation":
        for bar in imitation.bars(rows, ""):
            _keep(kind, (bar.work, bar.says), bar.ratios)
    else:
        dicts = [dict(row) for row in rows]
        for name, ratio in native.ratios(dicts).items():
            kind.ratios[f"gradient step, {name}", "native over torch"] = ratio
        share = native.share_of_peak(dicts)
        if share is not None:
            kind.ratios["gradient step, PPO", "of a core's peak"] = share


def _title(work: Workload) -> str:
    return f"PPO, {work.env_id}, {work.rollout_len} steps, minibatch {work.batch_size}"


def _add_rivals(kind: Kind, title: str, table: Table, limit: str) -> None:
    mine, rival = table.fastest_ours(2), table.fastest_peer()
    sb3 = table.fastest(lambda name: library_of(name) == SB3)
    most = table.fastest(lambda name: library_of(name) == limit)
    for name, other in ((PEERS, rival), (OF_SB3, sb3), (OF_LIMIT, most)):
        _keep(kind, (title, name), table.ratios(mine, other))
    if rival is not None:
        kind.rivals.add(library_of(rival))


def _keep(kind: Kind, key: Key, ratios: Sequence[float]) -> None:
    if ratios:
        kind.ratios[key] = statistics.median(ratios)


def text(kinds: Mapping[str, Kind], folder: Path) -> str:
    """The index."""
    lines = [
        "# Speed, by kind of machine",
        "",
        "Made by `python -m benchmarks.speed --index` from the rows beside this page, and at the end of every "
        "measurement. A kind is a processor and the instructions that were used of it; each has tables of its own. "
        "What is compared, and how: [docs/speed.md](../speed.md).",
        "",
        f"| kind | processor | instructions | compiler | commit | {' | '.join(PROGRAMS.values())} | matrix products |",
        "|---|---|---|---|---|" + "---|" * (len(PROGRAMS) + 1),
    ]
    for name, kind in kinds.items():
        machine = next(iter(kind.machines.values()))
        links = [
            (
                f"[{'table' if program in kind.machines else 'old table'}]({program}-{name}.md)"
                if (folder / f"{program}-{name}.md").exists()
                else ""
            )
            for program in (*PROGRAMS, "linear")
        ]
        links[-1] = links[-1].replace("old table", "table")  # it keeps no rows
        commits = ", ".join(dict.fromkeys(kind.commits.values()))
        compilers = ", ".join(dict.fromkeys(each["compiler"] for each in kind.machines.values()))
        lines.append(
            f"| {name} | {machine['cpu']} | {machine['instruction_set']} | {compilers} | {commits} | "
            f"{' | '.join(links)} |",
        )
    lines += [
        "",
        "## Ratios",
        "",
        "Medians of the rounds; gradient steps by their least times. Environment steps per second are of 2 workers "
        "where nothing else is said; `of the limit`: of PPO's physical limit, and of the matrix products alone of "
        "those that replay.",
        "",
        f"| | | {' | '.join(kinds)} | all kinds |",
        "|---|---|" + "---|" * (len(kinds) + 1),
    ]
    for key in dict.fromkeys(key for kind in kinds.values() for key in kind.ratios):
        cells = [f"{kind.ratios[key]:.2f}" if key in kind.ratios else "" for kind in kinds.values()]
        lines.append(f"| {key[0]} | {key[1]} | {' | '.join(cells)} | {range_of(kinds, key)} |")
    return "\n".join(lines) + "\n"


def range_of(kinds: Mapping[str, Kind], key: Key) -> str:
    """ "4.56 to 5.10", or one number, or nothing."""
    values = [f"{value:.2f}" for value in sorted(_values(kinds, key))]
    return " to ".join(dict.fromkeys((values[0], values[-1]))) if values else ""


def _values(kinds: Mapping[str, Kind], key: Key) -> list[float]:
    return [kind.ratios[key] for kind in kinds.values() if key in kind.ratios]


def ranges(kinds: Mapping[str, Kind]) -> str:
    """The table of a page: what runs with 2 workers reach, from the lowest kind to the highest."""
    rivals = "/".join(sorted(set().union(*(kind.rivals for kind in kinds.values()))))
    other = f"{PEERS} ({rivals})" if rivals else PEERS
    lines = [
        f"| MiloZero, 2 workers; measured on {', '.join(kinds)} | {other} | {OF_SB3} | {OF_MACHINE} |",
        "|---|---|---|---|",
    ]
    titles = [_title(work) for work in WORKLOADS] + [work.name for work in replay.WORKS]
    for title in titles:
        cells = [range_of(kinds, (title, name)) for name in (PEERS, OF_SB3, OF_LIMIT)]
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_ranges(page: str, kinds: Mapping[str, Kind]) -> str:
    """A page with the table anew between its marks.

    Raises:
        ValueError: it does not have the two marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no marks for the ranges: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{ranges(kinds)}\n\n{END}{after}"
