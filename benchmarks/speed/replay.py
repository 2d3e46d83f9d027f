"""Off-policy algorithms beside the peers: environment steps a second with one update a step, interleaved, medians.

    benchmarks/speed/peers/setup.sh                       installs the peers, once
    .venv/bin/python -m benchmarks.speed.replay --fresh   measures, and writes docs/results/speed_replay-KIND.md

HalfCheetah-v5, minibatch 256, networks of two layers of 256, two critics; CrossQ's critics of 512; SAM as its task file
has it. The floor is the time of the same matrix products alone, one after another on each core, each by the fastest
routine here, with nothing in between: no gradient step in these routines can be faster. Flags are those of
benchmarks.speed.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.speed.bars import (
    AVX2,
    AVX512,
    Bar,
    Table,
    held_to,
    library_of,
    order_of,
    spread,
)
from benchmarks.speed.contestants import (
    FLOOR,
    OURS,
    PEERS,
    SB3,
    SBX,
    Contestant,
    Figures,
    figures_in,
    figures_of,
    rows_of,
    said_by,
)
from benchmarks.speed.program import Program
from benchmarks.speed.report import bar_lines, measured_on

ENV_ID, BATCH, WIDTH, INPUTS, ACTIONS = "HalfCheetah-v5", 256, 256, 17, 6
BURST = 8
# 2 workers, at least so many times the fastest peer; with AVX-512 the lowest round that was measured on Zen 5.
OVER_PEERS = {AVX2: {"SAC": 2.0, "TD3": 2.0}, AVX512: {"SAC": 1.96, "TD3": 2.0}}


@dataclass(frozen=True)
class Replay:
    """A learner that replays.

    Attributes:
        algo: its name on command lines.
        learning_starts: steps before the first update.
        steps: of our run.
        peer_steps, slow_steps: that a peer, and the slowest one, is timed for.
    """

    algo: str
    learning_starts: int = 1000
    steps: int = 6000
    peer_steps: int = 3000
    slow_steps: int = 1000

    @property
    def name(self) -> str:
        """For tables and for --works."""
        return {"crossq": "CrossQ"}.get(self.algo, self.algo.upper())

    def quick(self) -> Replay:
        """As few steps as give a figure."""
        return replace(self, steps=3000, peer_steps=200, slow_steps=100)

    def as_kept(self) -> dict[str, Any]:
        """For the file of rows."""
        return asdict(self)


def peer(
    library: str,
    *,
    threads: int = 1,
    burst: int = 1,
    one_core: bool = False,
) -> Callable[[Replay], Figures]:
    """benchmarks/speed/peers/replay.py in the virtual environment of a library."""

    def run(work: Replay) -> Figures:
        command = [
            *(["taskset", "-c", str(max(os.sched_getaffinity(0)))] if one_core else []),
            *(["env", f"OMP_NUM_THREADS={threads}", f"MKL_NUM_THREADS={threads}"]),
            str(PEERS / library / "bin" / "python"),
            "-m",
            "benchmarks.speed.peers.replay",
            f"--library={library}",
            f"--algo={work.algo}",
            f"--threads={threads}",
            f"--burst={burst}",
            f"--steps={work.slow_steps if library == 'sb3' else work.peer_steps}",
        ]
        return figures_in(said_by(command))

    return run


def ours(workers: int, *, burst: int = 0) -> Callable[[Replay], Figures]:
    """Steps per second of main.py, as users start it; `burst` steps, and updates, at a time."""

    def run(work: Replay) -> Figures:
        rollout = burst or workers
        settings = [
            f"--num_timesteps={work.steps}",
            f"--learning_starts={work.learning_starts}",
            f"--num_envs={workers}",
            f"--rollout_len={rollout}",
            f"--steps_per_iteration={1000 - 1000 % rollout}",
        ]
        if work.algo == "sam":
            chosen = ["--config=tasks/train_mujoco_sam.yaml", "--expert_demo_subsample"]
        else:
            chosen = [f"--algo={work.algo}", f"--env_id={ENV_ID}", f"--batch_size={BATCH}"]
        found = figures_of(rows_of(workers, *chosen, *settings)[1:])  # the second compiles
        return {"steps_per_second": found["steps_per_second"]}

    return run


def products(algo: str) -> list[tuple[int, int, int]]:
    """(rows, inputs, outputs) of every matrix product of an update, forward and backward."""

    def net(inputs: int, outputs: int) -> list[tuple[int, int]]:
        return [(inputs, WIDTH), (WIDTH, WIDTH), (WIDTH, outputs)]

    def forward(layers: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        return [(BATCH, a, b) for a, b in layers]

    def by_weights(layers: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        return [(b, BATCH, a) for a, b in layers]

    def by_inputs(layers: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        return [(BATCH, b, a) for a, b in layers]

    actor = net(INPUTS, 2 * ACTIONS if algo == "sac" else ACTIONS)
    critic = net(INPUTS + ACTIONS, 1)
    critics = 2 * (2 * forward(critic) + by_weights(critic) + by_inputs(critic[1:]))
    through = 2 if algo == "sac" else 1  # critics that the policy's gradient goes through
    policy = through * (forward(critic) + by_inputs(critic))
    policy += forward(actor) + by_weights(actor) + by_inputs(actor[1:])
    if algo == "td3":  # every second update
        return 2 * (critics + forward(actor)) + policy
    return critics + forward(actor) + policy


def floor(work: Replay) -> Figures:
    """Updates per second of the products alone, each by the fastest routine here, on both cores."""
    from benchmarks.kernels.products import fastest_product, least_seconds

    calls = [fastest_product(*size) for size in products(work.algo)]

    def all_of_them() -> None:
        for call in calls:
            call()

    (seconds,) = least_seconds({"floor": all_of_them}, count=1, takes=100).values()
    updates = 2 if work.algo == "td3" else 1
    return {"steps_per_second": 2 * updates / seconds}


WORKS = tuple(Replay(algo) for algo in ("sac", "td3", "crossq", "sam"))
BOTH = frozenset({"SAC", "TD3"})
OF_SBX = BOTH | {"CrossQ"}
CONTESTANTS = (
    Contestant(SB3, "1 thread", "sb3", peer("sb3"), BOTH),
    Contestant(SB3, "2 threads", "sb3", peer("sb3", threads=2), BOTH),
    Contestant(SBX, "all cores", "sbx", peer("sbx", threads=2), OF_SBX),
    Contestant(
        SBX,
        f"all cores, {BURST} steps at a time",
        "sbx",
        peer("sbx", threads=2, burst=BURST),
        OF_SBX,
    ),
    Contestant(
        SBX,
        f"one core, {BURST} steps at a time",
        "sbx",
        peer("sbx", burst=BURST, one_core=True),
        OF_SBX,
    ),
    Contestant(OURS, "1 worker", "", ours(1)),
    Contestant(OURS, "2 workers", "", ours(2)),
    Contestant(OURS, f"2 workers, {BURST} steps at a time", "", ours(2, burst=BURST)),
    Contestant(FLOOR, "both cores", "", floor, BOTH),
)


def bars(rows: Sequence[Mapping[str, Any]], instruction_set: str) -> list[Bar]:
    """SAC and TD3 over the fastest peer, known only once SBX on all cores, the fastest so far, is there."""
    found = []
    for name, least in OVER_PEERS[held_to(instruction_set)].items():
        table = Table(rows, name)
        mine = table.fastest_ours(2)
        fastest = (
            table.fastest_peer() if table.fastest(lambda each: library_of(each) == SBX) else None
        )
        of_what = f"{mine} over {fastest}" if mine and fastest else ""
        says = "2 workers over the fastest peer"
        found.append(Bar(name, says, least, table.ratios(mine, fastest), of_what))
    return found


def page(
    rows: Sequence[Mapping[str, Any]],
    identity: Mapping[str, Any],
    missing: Mapping[str, str],
) -> str:
    """Markdown."""
    machine = identity["machine"]
    rounds = len({row["round"] for row in rows})
    lines = [
        f"# Speed of the off-policy algorithms: {machine['kind']}",
        "",
        f"Made by `python -m benchmarks.speed.replay`: environment steps per second, {ENV_ID}, one update a step, "
        f"minibatch {BATCH}, SAM's 128, interleaved; medians (lowest to highest), rounds: {rounds}. Quote the ratios: "
        "machines differ. All kinds: [speed.md](speed.md). CrossQ's critics have two layers of 512 in both "
        "libraries. CleanRL is not among the peers: its code is on GitHub alone.",
        "",
        "## Bars",
        "",
        *bar_lines(bars(rows, machine["instruction_set"])),
    ]
    for work in WORKS:
        table = Table(rows, work.name)
        if table.rows:
            lines += ["", f"## {work.name}", "", *table_lines(table)]
    if missing:
        lines += ["", "## Left out", "", *(f"- {name}: {why}" for name, why in missing.items())]
    lines += ["", "## Measured on", "", *measured_on(rows, identity)]
    return "\n".join(lines) + "\n"


def table_lines(table: Table) -> list[str]:
    """A row a contestant; and what ours reaches of the floor."""
    fastest = table.fastest_peer()
    lines = ["| | steps/s | of the fastest peer |", "|---|---|---|"]
    if fastest is None:
        lines = ["| | steps/s |", "|---|---|"]
    names = {row["contestant"] for row in table.rows}
    for name in sorted(names, key=lambda each: order_of(each, CONTESTANTS)):
        ratios = table.ratios(name, fastest)
        cells = [f"**{name}**" if name == fastest else name]
        cells.append(spread(list(table.rates(name).values()), ",.0f"))
        if fastest is not None:
            cells.append(spread(ratios, ".2f") if ratios else "")
        lines.append(f"| {' | '.join(cells)} |")
    share = table.ratios(
        table.fastest_ours(2),
        table.fastest(lambda name: library_of(name) == FLOOR),
    )
    if share:
        lines += ["", f"MiloZero has {statistics.median(share):.2f} of the floor."]
    return lines


PROGRAM = Program(
    "speed_replay",
    works=WORKS,
    contestants=CONTESTANTS,
    page=page,
    bars=bars,
    sources=("benchmarks/speed/replay.py", "benchmarks/kernels/products.py"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """0: all bars are met, or it was a quick run; 1: one is missed or not measured; 2: it cannot measure."""
    return PROGRAM.main(__doc__ or "", argv)


if __name__ == "__main__":
    sys.exit(main())
