"""Sixteen runs of two workers on this machine, pinned and not, under MPICH and Open MPI.

Each row is a swarm of `spawner.py --deployment local`: on which processors its workers were seen, how many processors'
worth of time they got, and their steps per second. Rounds alternate between all rows, for other programs may share the
machine; medians are told, and the load beside them. `python -m benchmarks.scaling.pinning`
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers.machine.processor import machine
from helpers.parallel.launch import mpiexec
from swarm.control import find_swarm
from swarm.plan import Plan
from swarm.status import last_row, run_statuses

ROOT = Path(__file__).resolve().parents[2]
RUNS = 16
SETTINGS = """algo: ppo
env_id: CartPole-v1
num_timesteps: {steps}
num_envs: 4
rollout_len: 512
batch_size: 128
optim_epochs_per_iter: 4
eval_frequency: 0
"""
# spawner.py with the mpiexec of Open MPI in the place of the one beside this Python
SPAWNER = """
import sys
import spawner
import swarm.planning.request as request
mpiexec = sys.argv.pop(1)
request.mpiexec = lambda: mpiexec
sys.exit(spawner.main(sys.argv[1:]))
"""
ROWS = {  # flags of the spawner, by name
    "all at once": (f"--max_parallel={RUNS}",),
    "as many as fit": (),
    "as many as fit, --pin": ("--pin",),
}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """What workers were seen to do: (process, processor) -> looks, processor time in seconds, and per run."""

    looks: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[int, float] = field(default_factory=dict)
    allowed: Counter[str] = field(default_factory=Counter)
    loads: list[float] = field(default_factory=list)

    def look(self, word: str) -> None:
        """At all workers with a word in their command line."""
        for pid, stat in workers(word):
            self.looks[pid, int(stat[36])] += 1
            self.seconds[pid] = (int(stat[11]) + int(stat[12])) / _TICKS
            self.allowed[allowed(pid)] += 1
        self.loads.append(os.getloadavg()[0])


def workers(word: str) -> Iterator[tuple[int, list[str]]]:
    """(process id, fields of its stat from the state on)."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            if b"python" in words[0] and any(word.encode() in each for each in words):
                yield int(path.name), (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue


def allowed(pid: int) -> str:
    """The processors that a process may use."""
    try:
        return ",".join(map(str, sorted(os.sched_getaffinity(pid))))
    except OSError:
        return "gone"


def measure(
    starter: str,
    flags: tuple[str, ...],
    environment: dict[str, str],
    steps: int,
) -> tuple[Seen, float, list[float]]:
    """(what was seen, seconds from the first start to the last end, steps per second of each run).

    Raises:
        RuntimeError: a run is not done.
    """
    folder = Path(tempfile.mkdtemp(prefix="milozero_pinning_"))
    (folder / "tiny.yaml").write_text(SETTINGS.format(steps=steps))
    where = (
        f"--config={folder / 'tiny.yaml'}",
        f"--data_root={folder}",
        f"--prefix={folder.name[-8:]}",
    )
    began = time.monotonic()
    command = [sys.executable, "-c", SPAWNER, starter, *where, f"--num_seeds={RUNS}"]
    subprocess.run(
        [*command, "--deployment=local", *flags, "--deploy_now"],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    [name] = [path.name for path in (folder / "swarms").iterdir()]
    plan: Plan = find_swarm(name, swarms=folder / "swarms")
    seen = Seen()
    while True:
        seen.look(f"--uuid={folder.name[-8:]}")
        states = {each.state for each in run_statuses(plan).values()}
        if not states & {"running", "queued", "claimed", "stopping"}:
            break
        time.sleep(0.2)
    seconds = time.monotonic() - began
    if states != {"done"}:
        raise RuntimeError(f"{folder}: {states}")
    rates = [float((last_row(run) or {})["time/steps_per_second"]) for run in plan.runs]
    shutil.rmtree(folder)
    return seen, seconds, rates


def main() -> int:
    """The table, a line for each row."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16_384)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--kinds", nargs="+", choices=["MPICH", "Open MPI"])
    arguments = parser.parse_args()
    open_mpi = {
        "MPI4PY_MPIABI": "openmpi",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    kinds: dict[str, tuple[str, dict[str, str]]] = {"MPICH": (mpiexec(), {})}
    if (found_mpiexec := shutil.which("mpiexec.openmpi")) is not None:
        kinds["Open MPI"] = (found_mpiexec, open_mpi)
    found: dict[tuple[str, str], list[tuple[Seen, float, list[float]]]] = defaultdict(list)
    print(f"{machine()}; {os.cpu_count()} processors", flush=True)
    for number in range(arguments.rounds):
        for kind in arguments.kinds or kinds:
            starter, environment = kinds[kind]
            for row in arguments.rows:
                one = measure(starter, ROWS[row], environment, arguments.steps)
                found[kind, row].append(one)
                print(f"round {number}: {kind}, {row}: {told([one], arguments.steps)}", flush=True)
    for (kind, row), all_of_it in found.items():
        print(f"| {kind} | {row} | {told(all_of_it, arguments.steps)} |")
    return 0


def told(measured: list[tuple[Seen, float, list[float]]], steps: int) -> str:
    """Processors in use, their time, steps/s of a run and of all together, load: medians."""
    cores = statistics.median(sum(seen.seconds.values()) / seconds for seen, seconds, _ in measured)
    used = sorted({core for seen, _, _ in measured for _, core in seen.looks})
    allowed = sum((seen.allowed for seen, _, _ in measured), Counter[str]())
    # hwloc binds a process to one processor after another while MPI begins
    sets = sorted(each for each, looks in allowed.items() if looks > allowed.total() / 5)
    rate = statistics.median(rate for _, _, rates in measured for rate in rates)
    total = statistics.median(RUNS * steps / seconds for _, seconds, _ in measured)
    load = statistics.median(load for seen, _, _ in measured for load in seen.loads)
    return (
        f"processors {used} | may use {' or '.join(sets)} | {cores:.2f} processors' time | "
        f"{rate:,.0f} steps/s a run | {total:,.0f} steps/s together | load {load:.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
