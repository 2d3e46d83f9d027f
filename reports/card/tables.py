"""The tables of a card."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.config.settings import Scalar, show
from helpers.display.numbers import format_duration
from helpers.run_folder.capsule import redact
from helpers.run_folder.changes import INPUTS
from helpers.run_folder.inputs import DEMONSTRATIONS
from helpers.run_folder.references import share_of_expert
from reports.card.facts import Facts
from reports.page.phrases import joined, number
from reports.page.tables import Table

_WHERE = {  # a run lies and is shown: no part of how it learns
    "algo", "env_id", "seed", "uuid", "runs_dir", "data_root", "task", "progress", "model_path", "num_timesteps",
}  # fmt: skip
_SPREAD = "± is the deviation over episodes, not over seeds. The best of many evaluations is flattered by chance."
DEMOS_CARD = "card.json"  # of helpers.demos.report
_LONGEST = 60  # characters of an origin
_MOST_DEMOS = 12
_GIBIBYTE = 1 << 30


def tables_of(facts: Facts) -> list[Table]:
    """Those that there is something in."""
    found = (evaluation_table(facts), demonstrations_table(facts), settings_table(facts))
    return [*(table for table in found if table.rows), capsule_table(facts)]


def evaluation_table(facts: Facts) -> Table:
    """What its policies return; of a run without an evaluation what training does."""
    head = (
        "policy",
        "iteration",
        "return, mean ± sd",
        "smallest",
        "largest",
        "length",
        "episodes",
        "how",
    )
    rows = [
        (
            each.policy,
            str(each.iteration),
            _figure(each.mean) + (f" ± {_figure(each.sd)}" if each.episodes > 1 else ""),
            _figure(each.low),
            _figure(each.high),
            _figure(each.length),
            str(each.episodes),
            each.how,
        )
        for each in facts.evaluations
    ]
    if not rows and facts.series.final is not None:
        row = facts.last
        figures = [
            row.get(f"rollout/{key}")
            for key in ("return_min", "return_max", "length_mean", "episodes")
        ]
        low, high, length, episodes = (_figure(each) for each in figures)
        mean = _figure(facts.series.final)
        iteration = str(row.get("iteration", "-"))
        rows = [("in training", iteration, mean, low, high, length, episodes, "exploring")]
    notes = [_SPREAD] if facts.evaluations else []
    share = share_of_expert(facts.final.mean, facts.references) if facts.final else None
    if share is not None:
        notes.append(
            f"Where 0 is a random policy and 1 the expert, the final policy is at {share:.2f}.",
        )
    return Table("evaluation", "Returns", head, tuple(rows), frozenset({0, 7}), " ".join(notes))


def _figure(value: object) -> str:
    is_there = isinstance(value, int | float) and math.isfinite(value)
    return number(float(value)) if is_there else "-"  # type: ignore[arg-type]


def settings_table(facts: Facts) -> Table:
    """Settings that differ from their defaults, without those of where it lies; secrets are not shown."""
    values = {key: getattr(facts.config, key) for key in facts.config.settings}
    rows = tuple(
        (key, _value(key, values[key]), _word(each.default), each.help_line)
        for key, each in facts.config.settings.items()
        if key not in _WHERE and values[key] != each.default
    )
    head = ("setting", "value", "default", "what it is")
    return Table(
        "settings",
        "Settings that differ from the defaults",
        head,
        rows,
        frozenset(range(4)),
    )


def _value(key: str, value: Scalar) -> str:
    return redact([f"--{key}={_word(value)}"])[0].partition("=")[2]


def _word(value: Scalar) -> str:
    return "none" if value is None else show(value)


def demonstrations_table(facts: Facts) -> Table:
    """What it imitates: the episodes that it learns from."""
    expert = facts.references.get("expert", {})
    demos = expert.get("demonstrations") or ()
    rows: list[tuple[str, ...]] = [
        (
            str(each["source"]).rpartition("/")[2],
            number(float(each["return"])),
            str(each["length"]),
            f"{each['steps']} (every {each['every']}. from {each['first_step']})",
            str(each["sha256"])[:12],
        )
        for each in demos[:_MOST_DEMOS]
    ]
    head: tuple[str, ...] = ("episode", "return", "length", "steps used", "sha256")
    read = [each for each in facts.capsule.get(INPUTS) or () if each["role"] == DEMONSTRATIONS]
    notes = [f"and {len(demos) - _MOST_DEMOS} more"] if len(demos) > _MOST_DEMOS else []
    if not demos:  # without rewards there are no returns: the files alone are known
        head = ("file", "bytes", "sha256")
        rows = [
            (str(e["name"]), f"{e['bytes']:,}", str(e["sha256"])[:12]) for e in read[:_MOST_DEMOS]
        ]
        notes = [f"and {len(read) - _MOST_DEMOS} more"] if len(read) > _MOST_DEMOS else []
    for name, each in facts.references.items():
        spread = f" ± {number(float(each['return_sd']))}" if each.get("return_sd") else ""
        notes.append(f"{name}: return {number(each['return_mean'])}{spread} ({each['source']})")
    notes += _origin(read, {str(each["sha256"]) for each in demos})
    words = frozenset({0, len(head) - 1})
    return Table(
        "demonstrations",
        "Demonstrations",
        head,
        tuple(rows),
        words,
        "; ".join(notes) + "." if notes else "",
    )


def _origin(read: Sequence[Mapping[str, Any]], digests: set[str]) -> list[str]:
    """Where they come from, by the card of --task=demos beside them, if that is of these episodes."""
    for folder in dict.fromkeys(Path(each["path"]).parent for each in read):
        try:
            card = json.loads((folder / DEMOS_CARD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if digests and digests <= {each["sha256"] for each in card["files"]}:
            origin = {
                name: each
                for name, each in card["origin"].items()
                if each and len(joined(map(str, each))) < _LONGEST
            }
            parts = "; ".join(
                f"{name.replace('_', ' ')} {joined(map(str, each))}"
                for name, each in origin.items()
            )
            return [f"their card: {folder / DEMOS_CARD} ({parts})"]
    return []


def capsule_table(facts: Facts) -> Table:
    """Code, versions, machine and time."""
    rows = tuple((name, text) for name, text in _capsule_rows(facts) if text)
    head = ("", "")
    return Table("capsule", "How it was made", head, rows, frozenset({0, 1}))


def _capsule_rows(facts: Facts) -> Iterable[tuple[str, str]]:
    capsule = facts.capsule
    code, hardware = capsule.get("code") or {}, capsule.get("hardware") or {}
    yield "commit", str(code.get("commit") or "not known")
    yield "uncommitted changes", _uncommitted(code)
    versions = capsule.get("versions") or {}
    yield "versions", ", ".join(f"{name} {each}" for name, each in versions.items()) or "not known"
    yield (
        "processor",
        ", ".join(
            str(hardware[key])
            for key in ("cpu", "processor", "instruction_set")
            if hardware.get(key)
        ),
    )
    yield "compiler", str(hardware.get("compiler") or "")
    yield "machine", _machine(hardware)
    yield "workers", str(capsule.get("world_size") or "not known")
    yield "gradient steps", _routes(capsule)
    starts = [each for each in capsule.get("starts") or () if isinstance(each, dict)]
    if starts and starts[0].get("time"):
        yield "first start", str(starts[0]["time"])[:16].replace("T", " ") + " UTC"
        yield "starts", str(len(starts))
    yield from _time(facts)


def _uncommitted(code: Mapping[str, Any]) -> str:
    if not code.get("commit"):
        return ""
    diff = str(code.get("diff") or "")
    lines = [
        each for each in diff.splitlines() if each[:1] in "+-" and each[:3] not in ("+++", "---")
    ]
    untracked = code.get("untracked") or ()
    parts = [f"{len(lines)} lines, sha256 {str(code.get('diff_sha256'))[:12]}"] if lines else []
    parts += [f"files without git: {joined(untracked)}"] if untracked else []
    return "; ".join(parts) or "none"


def _machine(hardware: Mapping[str, Any]) -> str:
    parts = (
        [f"{hardware['usable_cores']} of {hardware['cores']} cores"]
        if hardware.get("usable_cores")
        else []
    )
    parts += [f"{int(hardware['memory']) / _GIBIBYTE:.0f} GiB"] if hardware.get("memory") else []
    return ", ".join([*parts, *filter(None, [str(hardware.get("platform") or "")])])


def _routes(capsule: Mapping[str, Any]) -> str:
    """Native code or torch."""
    choices = (capsule.get("choices") or [{}])[0]
    routes = [each for name, each in choices.items() if name != "resume"]
    return " and ".join(sorted(set(routes)))


def _time(facts: Facts) -> Iterable[tuple[str, str]]:
    steps, elapsed = facts.series.last_step, facts.last.get("time/elapsed")
    yield "trained", f"{steps:,} {facts.unit}, {facts.last.get('iteration', 0):,} iterations"
    if isinstance(elapsed, int | float) and elapsed > 0 and math.isfinite(elapsed):
        yield (
            "time",
            f"{format_duration(elapsed)} of training, {steps / elapsed:,.0f} steps/s over all of it",
        )
