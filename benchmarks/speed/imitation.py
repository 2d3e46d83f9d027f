"""What a learned reward costs: SAM and DAC beside their learners alone, GAIL beside the `imitation` library's.

    benchmarks/speed/peers/setup.sh imitation                installs the peer, once
    .venv/bin/python -m benchmarks.speed.imitation --fresh   measures, and writes docs/results/speed_imitation-KIND.md

Interleaved, medians. SAM and DAC run as their task files have them, their learners with the same settings, on
HalfCheetah-v5. GAIL has iterations of 2048 steps on Hopper, minibatches of 64, ten epochs, networks of two layers of
64, and eight steps of the discriminator on 256 transitions of each side. Flags are those of benchmarks.speed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import yaml

from benchmarks.speed.bars import Bar, Table, library_of, order_of, spread
from benchmarks.speed.contestants import (
    OURS,
    PEERS,
    ROOT,
    Contestant,
    Figures,
    figures_in,
    figures_of,
    rows_of,
    said_by,
)
from benchmarks.speed.program import Program
from benchmarks.speed.report import bar_lines, measured_on

SHARE_BAR = 0.6  # of the learner's speed
PEER_BAR = 1.0  # one process each
SHARED = ("batch_size", "gamma", "layer_norm")  # settings that an imitation's learner has too
LEARNERS = {"sam": "sac", "dac": "td3"}
PEER = "imitation 1.0.1"
PEER_ENVS = (8, 16, 32)


@dataclass(frozen=True)
class Imitating:
    """An imitation.

    Attributes:
        algo: its name on command lines.
        workers: of ours; 0: of GAIL both 1 and 2, beside the peer.
        steps: environment steps of our run.
        iterations: of the peer.
    """

    algo: str
    workers: int
    steps: int
    iterations: int = 0

    @property
    def name(self) -> str:
        """For tables and for --works."""
        return self.algo.upper() + (f", {_workers(self.workers)}" if self.workers else "")

    def quick(self) -> Imitating:
        """As few steps as give a figure."""
        if self.algo == "gail":
            return replace(self, steps=2048 * 3, iterations=2)
        return replace(self, steps=3000)

    def as_kept(self) -> dict[str, Any]:
        """For the file of rows."""
        return asdict(self)


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count > 1)}"


def _rate(workers: int, *flags: str) -> Figures:
    """Steps per second of a training as users start it, from the end of its second row of metrics on."""
    return {"steps_per_second": figures_of(rows_of(workers, *flags)[1:])["steps_per_second"]}


def _task_of(algo: str) -> tuple[str, dict[str, Any]]:
    path = f"tasks/train_mujoco_{algo}.yaml"
    return path, yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def imitation(work: Imitating) -> Figures:
    """An imitation as its task file has it."""
    path, _ = _task_of(work.algo)
    return _rate(work.workers, f"--config={path}", "--expert_demo_subsample", *_length(work))


def learner(work: Imitating) -> Figures:
    """Its learner alone, with the settings that both have."""
    _, own = _task_of(work.algo)
    path, _ = _task_of(LEARNERS[work.algo])
    shared = [f"--{key}={own[key]}".lower() for key in SHARED if key in own]
    shared.append(f"--env_id={own['env_id']}")
    return _rate(work.workers, f"--config={path}", *shared, *_length(work))


def _length(work: Imitating) -> tuple[str, str]:
    return f"--num_timesteps={work.steps}", "--learning_starts=1000"


def gail(workers: int) -> Callable[[Imitating], Figures]:
    """Ours."""

    def run(work: Imitating) -> Figures:
        return _rate(
            workers,
            "--config=tasks/train_mujoco_gail.yaml",
            "--num_envs=16",
            "--rollout_len=2048",
            "--batch_size=64",
            "--optim_epochs_per_iter=10",
            "--p_perception_stack=mlp_64",
            "--v_perception_stack=mlp_64",
            "--d_perception_stack=mlp_64",
            "--d_batch_size=256",
            "--d_steps=8",
            f"--num_timesteps={work.steps}",
        )

    return run


def peer(num_envs: int) -> Callable[[Imitating], Figures]:
    """The library's."""

    def run(work: Imitating) -> Figures:
        command = [
            str(PEERS / "imitation" / "bin" / "python"),
            "-m",
            "benchmarks.speed.peers.imitation",
            "--env_id=Hopper-v4",
            f"--num_envs={num_envs}",
            f"--iterations={work.iterations}",
        ]
        return figures_in(said_by(command))

    return run


GAIL = Imitating("gail", 0, steps=2048 * 48, iterations=12)
WORKS = (
    *(Imitating(algo, workers, steps=9000) for algo in LEARNERS for workers in (1, 2)),
    GAIL,
)
_OF = {
    algo: frozenset(each.name for each in WORKS if each.algo == algo)
    for algo in (*LEARNERS, "gail")
}
CONTESTANTS = (
    *(Contestant(algo, "", "", imitation, _OF[algo]) for algo in LEARNERS),
    *(Contestant(f"{own} alone", "", "", learner, _OF[algo]) for algo, own in LEARNERS.items()),
    *(Contestant(PEER, f"{n} environments", "imitation", peer(n), _OF["gail"]) for n in PEER_ENVS),
    *(Contestant(OURS, _workers(n), "", gail(n), _OF["gail"]) for n in (1, 2)),
)


def beside(work: str, table: Table) -> str | None:
    """Whom the others are compared with: the learner alone, of GAIL the library's fastest."""
    if work == GAIL.name:
        return table.fastest(lambda name: library_of(name) == PEER)
    return table.fastest(lambda name: name.endswith("alone"))


def bars(rows: Sequence[Mapping[str, Any]], instruction_set: str) -> list[Bar]:
    """SAM and DAC have 0.6 of their learners' speed, GAIL is faster than the library's; with any instructions."""
    found = []
    for work in WORKS:
        table = Table(rows, work.name)
        other = beside(work.name, table)
        if work == GAIL:
            mine, says, least = f"{OURS}, {_workers(1)}", "1 worker over the library", PEER_BAR
        else:
            mine, says, least = work.algo, "over its learner alone", SHARE_BAR
        of_what = f"{mine} over {other}" if other else ""
        found.append(Bar(work.name, says, least, table.ratios(mine, other), of_what))
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
        f"# Speed of imitation: {machine['kind']}",
        "",
        "Made by `python -m benchmarks.speed.imitation`: environment steps per second, interleaved; medians (lowest "
        f"to highest), rounds: {rounds}. Quote the ratios: machines differ. All kinds: [speed.md](speed.md).",
        "",
        "## Bars",
        "",
        *bar_lines(bars(rows, machine["instruction_set"])),
    ]
    for work in WORKS:
        table = Table(rows, work.name)
        if table.rows:
            lines += ["", f"## {work.name}", "", *table_lines(table, beside(work.name, table))]
    if Table(rows, GAIL.name).rows:
        note = (
            "The library's Hopper is -v4, of Gymnasium 0.29 and MuJoCo 3.1: it knows no newer ones."
        )
        lines += ["", note]
    if missing:
        lines += ["", "## Left out", "", *(f"- {name}: {why}" for name, why in missing.items())]
    lines += ["", "## Measured on", "", *measured_on(rows, identity)]
    return "\n".join(lines) + "\n"


def table_lines(table: Table, other: str | None) -> list[str]:
    """A row a contestant."""
    lines = [f"| | steps/s | of {other or 'the library'} |", "|---|---|---|"]
    names = {row["contestant"] for row in table.rows}
    for name in sorted(names, key=lambda each: order_of(each, CONTESTANTS)):
        ratios = table.ratios(name, other)
        shown = spread(ratios, ".2f") if ratios else ""
        lines.append(f"| {name} | {spread(list(table.rates(name).values()), ',.0f')} | {shown} |")
    return lines


PROGRAM = Program(
    "speed_imitation",
    works=WORKS,
    contestants=CONTESTANTS,
    page=page,
    bars=bars,
    sources=(
        "benchmarks/speed/imitation.py",
        *(f"tasks/train_mujoco_{algo}.yaml" for algo in (*LEARNERS, *LEARNERS.values(), "gail")),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """0: all bars are met, or it was a quick run; 1: one is missed or not measured; 2: it cannot measure."""
    status = PROGRAM.main(__doc__ or "", argv)
    print("docs/sam.md and docs/gail.md quote these figures")
    return status


if __name__ == "__main__":
    sys.exit(main())
