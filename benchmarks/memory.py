"""A replay memory of 1e6 HalfCheetah transitions: adding, sampling, saving, restoring, exporting, importing.

`python -m benchmarks.memory` writes docs/results/memory.md: seconds, bytes and peak memory of each, one after
the other in one process. What comes back is compared with what went in. 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agents.base import Transitions
from agents.replay.files import export_memory, load_memories, memory_id
from agents.replay.memory import ReplayMemory
from helpers.checkpoints.manifests import read_manifest
from helpers.checkpoints.store import Checkpoints
from helpers.free_space import format_bytes
from helpers.parallel.workers import Workers

ROOT = Path(__file__).resolve().parent.parent
OBSERVATION, ACTION = 17, 6
INCREMENTAL_BAR = 0.10  # of the bytes of a full save, after 1 % of new rows
SAMPLE_BAR = 40.0  # microseconds, uniform, one step, batch 256
BATCH = 256


def memory(options: argparse.Namespace, **changes: Any) -> ReplayMemory:
    """An empty one."""
    return ReplayMemory(
        rows=options.transitions // options.num_envs,
        environments=options.num_envs,
        observation_shape=(OBSERVATION,),
        observation_dtype="float32",
        action_shape=(ACTION,),
        action_dtype="float32",
        dtype="float32",
        **changes,
    )


def transitions(steps: int, num_envs: int, seed: int) -> Transitions:
    """Random ones: what they are costs nothing but their digits in a csv file."""
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal((steps, num_envs, *shape), dtype=np.float32)

    return Transitions(
        observations=numbers(OBSERVATION),
        actions=numbers(ACTION),
        rewards=numbers(),
        next_observations=numbers(OBSERVATION),
        terminated=rng.random((steps, num_envs)) < 0.001,
        truncated=rng.random((steps, num_envs)) < 0.001,
    )


def add_rows(made: ReplayMemory, rows: int, seed: int) -> None:
    """In parts, so that what is added takes little memory."""
    for start in range(0, rows, 10_000):
        made.add(transitions(min(10_000, rows - start), made.environments, seed + start))


def peak() -> float:
    """Bytes: the most that this process held at once since `reset_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return float("nan")


def reset_peak() -> None:
    """Begin to look for the most anew."""
    Path("/proc/self/clear_refs").write_text("5")


def measured(name: str, action: Callable[[], Any], size: Callable[[], int] | None = None) -> Any:
    """Do it, and tell what it took in a line of the table."""
    reset_peak()
    before = peak()
    started = time.perf_counter()
    result = action()
    seconds = time.perf_counter() - started
    written = format_bytes(size()) if size else ""
    LINES.append(
        f"| {name} | {seconds:.2f} | {written} | {format_bytes(before)} | {format_bytes(peak())} |",
    )
    print(LINES[-1], flush=True)
    return result


LINES: list[str] = []


def bytes_under(folder: Path) -> int:
    """Of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def bytes_written(checkpoint: Path, before: Path | None = None) -> int:
    """By the save that made a checkpoint, beside what has its place since the one before."""
    there = read_manifest(before).get("shards", {}) if before else {}
    manifest = read_manifest(checkpoint)
    new = [each for name, each in manifest["shards"].items() if there.get(name) != each]
    return sum(each["bytes"] for each in (*manifest["files"].values(), *new))


def microseconds(action: Callable[[Any], object], arguments: list[Any]) -> float:
    """The median of one call."""
    taken = []
    for argument in arguments:
        started = time.perf_counter()
        action(argument)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


def calls(options: argparse.Namespace, made: ReplayMemory) -> float:
    """Lines on adding and sampling; microseconds of a uniform sample."""
    rng = np.random.default_rng(0)
    each = BATCH // options.num_envs
    uniforms = list(rng.random((3000, options.num_envs, each)))
    into = made.sample(uniforms[0])
    del into["index"]
    uniform = microseconds(lambda u: made.sample(u, into), uniforms)
    one = transitions(1, options.num_envs, 0)
    lines = [("sample, uniform", uniform), ("add a step", microseconds(made.add, [one] * 1000))]
    for title, changes in (
        ("sample, 3 steps", {"n_step": 3}),
        ("sample, prioritised", {"priority_exponent": 0.6}),
    ):
        other = memory(options, **changes)
        add_rows(other, other.rows, 0)
        lines.append((title, microseconds(partial(other.sample, into=into), uniforms)))
    batch = other.sample(uniforms[0])
    errors = list(rng.random((1000, len(batch["index"]))))
    lines.append(
        (
            "update priorities",
            microseconds(lambda e: other.update_priorities(batch["index"], e), errors),
        ),
    )
    for title, value in lines:
        LINES.append(f"| {title} | {value:.1f} us | | | |")
        print(LINES[-1], flush=True)
    return uniform


def saving(options: argparse.Namespace, folder: Path, made: ReplayMemory) -> float:
    """Lines on checkpoints; the share of a full save's bytes that an incremental one writes."""
    checkpoints = Checkpoints(folder, workers=Workers.solo(), keep=2, identity={})

    def save(iteration: int) -> Path:
        state = {"memory": made.state_dict()}
        return checkpoints.save(iteration, shared={}, local=state, shards=made.shards())

    def restore(**changes: Any) -> ReplayMemory:
        reader = Checkpoints(folder, workers=Workers.solo(), keep=2, identity={})
        checkpoint = reader.load_latest()
        assert checkpoint is not None
        back = memory(options, **changes)
        back.load(checkpoint.local["memory"], checkpoint.shards)
        return back

    first, new = folder / "iter_000000", folder / "iter_000001"
    measured("full save", lambda: save(0), lambda: bytes_written(first))
    add_rows(made, made.rows // 100, 10**6)
    measured("incremental save, 1 % new", lambda: save(1), lambda: bytes_written(new, first))
    share = bytes_written(new, first) / bytes_written(first)
    back = measured("restore, proven twice", restore)
    compare(made, back)
    del back
    mapped = measured("restore into a mapped file", lambda: restore(folder=folder / "ring"))
    compare(made, mapped)
    return share


def compare(one: ReplayMemory, other: ReplayMemory) -> None:
    """Stop where two memories differ in a bit of what they hold."""
    assert one.filled == other.filled
    words = one._ring.words, other._ring.words
    assert all(
        (words[0][i : i + 10_000] == words[1][i : i + 10_000]).all()
        for i in range(0, len(words[0]), 10_000)
    )


def imported(options: argparse.Namespace, place: Path) -> ReplayMemory:
    """The memory that was exported."""
    back = memory(options)
    back.fill_from(load_memories(f"{place}/memories/*", num_envs=options.num_envs))
    return back


def exchanging(options: argparse.Namespace, folder: Path) -> None:
    """Lines on export and import."""
    made, id_ = memory(options), memory_id("run", 0)
    add_rows(made, made.rows, 0)
    for format_ in options.formats:
        place = folder / format_

        export = partial(export_memory, made.columns(), place, format_=format_, id_=id_)
        measured(f"export, {format_}", export, partial(bytes_under, place))
        compare(made, measured(f"import, {format_}", partial(imported, options, place)))
        shutil.rmtree(place)


def main() -> int:
    """Measure and tabulate; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--transitions", type=int, default=1_000_000)
    parser.add_argument("--num_envs", type=int, default=4)
    parser.add_argument("--formats", nargs="*", default=["pt", "np", "csv"])
    parser.add_argument("--folder", type=Path, default=ROOT / "data", help="on the disk to measure")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results" / "memory.md")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix=".memory-"))
    try:
        made = memory(options)
        add_rows(made, made.rows, 0)
        sample = calls(options, made)
        share = saving(options, folder / "checkpoints", made)
        del made
        exchanging(options, folder)
    finally:
        shutil.rmtree(folder)
    size = options.transitions * 168
    text = [
        "# The replay memory",
        "",
        f"Made by `python -m benchmarks.memory --transitions {options.transitions} --num_envs "
        f"{options.num_envs}`: HalfCheetah's transitions, {format_bytes(size)} of them, batches of {BATCH}. Peak "
        "memory is of the whole process during the step, before it what the process held already. Saves and exports "
        "are written through to the disk. What came back was compared bit by bit. "
        f"NumPy {np.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; load {os.getloadavg()[0]:.1f}.",
        "",
        "| | seconds | on the disk | held before | peak |",
        "|---|---|---|---|---|",
        *LINES,
        "",
        f"An incremental save writes {share:.1%} of a full one (bar {INCREMENTAL_BAR:.0%}); a uniform sample takes "
        f"{sample:.1f} us (bar {SAMPLE_BAR:.0f}).",
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(text) + "\n", encoding="utf-8")
    print(f"{text[-1]}\nwrote {options.output}")
    return int(share > INCREMENTAL_BAR or sample > SAMPLE_BAR)


if __name__ == "__main__":
    sys.exit(main())
