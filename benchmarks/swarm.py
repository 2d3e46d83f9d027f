"""What a swarm survives, shown on real tmux and a real Slurm with real training: `python -m benchmarks.swarm WHAT`.

kills    50 spawners killed at random instants, and two spawners at once: every run starts exactly once
disturb  6 runs of 2 workers over 2 nodes meet a time limit, an scancel --signal=USR1, a scontrol requeue, a kill -9
         of a worker and a preemption: their final checkpoints equal those of runs that were left alone, bit for bit
secrets  a key in a flag, in the environment and in netrc is in no file, no tmux buffer, no process list

Each ends with status 0 where all held, and works in a folder of its own below /tmp.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from swarm.control import find_swarm
from swarm.plan import Plan
from swarm.status import RunStatus, last_row, run_statuses
from tests.slurm.cluster import PrivateSlurm, ensure_installed

ROOT = Path(__file__).resolve().parent.parent
YAML = """algo: ppo
env_id: CartPole-v1
num_timesteps: {steps}
num_envs: 4
rollout_len: 512
batch_size: 128
optim_epochs_per_iter: 4
eval_frequency: 20
eval_episodes: 2
save_frequency: {save}
runs_dir: {runs}
"""
ONE_MINUTE = "any:\n  debug: {time: 0-00:01:00}\n"


class Lab:
    """A folder with a config of so many steps, saved every so many iterations, and its swarms and runs."""

    def __init__(self, folder: Path, name: str, *, steps: int, save: int = 1000) -> None:
        self.home = folder / f"lab_{name}"
        self.home.mkdir(parents=True)
        self.config = self.home / "tiny.yaml"
        self.data = Path(os.environ.get("MILOZERO_DATA", folder)) / self.home.name
        self.config.write_text(YAML.format(steps=steps, save=save, runs="data/runs"))
        (self.home / "calibers.yaml").write_text(ONE_MINUTE)
        self.swarms = self.data / "swarms"
        self.log = self.home / "spawner.log"

    def command(self, *flags: str) -> list[str]:
        """The spawner's."""
        where = (f"--config={self.config}", f"--data_root={self.data}", "--deploy_now")
        return [sys.executable, str(ROOT / "spawner.py"), *where, *flags]

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        """A spawner at work."""
        with self.log.open("ab") as log:
            return subprocess.Popen(self.command(*flags), cwd=ROOT, stdout=log, stderr=log)

    def spawn(self, *flags: str) -> Plan:
        """Let a spawner finish; its swarm.

        Raises:
            RuntimeError: it refuses.
        """
        if self.start(*flags).wait() != 0:
            raise RuntimeError(self.log.read_text()[-2000:])
        return self.plan()

    def plan(self) -> Plan:
        """The one swarm that is here."""
        [name] = [path.name for path in self.swarms.iterdir()]
        return find_swarm(name, swarms=self.swarms)


def finish(
    plan: Plan,
    *,
    seconds: float,
    tend: Callable[[], object] = lambda: None,
) -> list[RunStatus]:
    """Wait until every run has ended.

    Raises:
        TimeoutError: they do not.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = list(run_statuses(plan).values())
        if all(each.state in ("done", "failed", "lost", "stopped", "planned") for each in found):
            return found
        if time.monotonic() > deadline:
            raise TimeoutError([(each.run.name, each.state, each.reason) for each in found])
        tend()
        time.sleep(0.5)


def starts(plan: Plan) -> list[int]:
    """How often each run really began, by its own capsule."""
    capsules = (run.folder / "capsule.json" for run in plan.runs)
    return [
        len(json.loads(path.read_text())["starts"]) if path.exists() else 0 for path in capsules
    ]


# kills


def kills(folder: Path, *, count: int, seed: int) -> bool:
    """Kill spawners, on each deployment in turn, then let one finish; then two at once."""
    generator = random.Random(seed)
    ways = (("tmux",), ("local",), ("slurm",), ("slurm", "--array"))
    fine = True
    with private_slurm(folder, cpus=2) as slurm:
        for number, way in enumerate(ways):
            share = (count + number) // len(ways)
            lab = Lab(folder, "_".join(way).replace("--", ""), steps=512)
            flags = [f"--deployment={way[0]}", *way[1:], "--num_seeds=6", "--num_workers=1"]
            landed = sum(kill_one(lab, flags, generator) for _ in range(share))
            plan = lab.spawn(*flags)
            fine &= told(plan, slurm, f"{share} spawners killed ({landed} before their end), {way}")
            lab = Lab(folder, "two_" + lab.home.name.removeprefix("lab_"), steps=512)
            both = [lab.start(*flags) for _ in range(2)]
            fine &= [each.wait() for each in both] == [0, 0]
            fine &= told(lab.plan(), slurm, f"two spawners at once, {way}")
    return fine


def kill_one(lab: Lab, flags: list[str], generator: random.Random) -> bool:
    """Whether a spawner died of it, at a random instant from its first file on."""
    spawner = lab.start(*flags)
    last_said = lab.log.stat().st_size
    while spawner.poll() is None and lab.log.stat().st_size == last_said:
        time.sleep(0.005)
    time.sleep(generator.uniform(0, 0.4))
    spawner.send_signal(signal.SIGKILL)
    return spawner.wait() == -signal.SIGKILL


def told(plan: Plan, slurm: PrivateSlurm, what: str) -> bool:
    """Say how a swarm ended; whether every run was done, and began once."""
    ended = finish(plan, seconds=240)
    counts = starts(plan)
    numbers = [each.submission.number for each in ended if each.submission]
    jobs = slurm.run("squeue", "-h", "--array", "-t", "all", "-o", "%j %k %o")
    submitted = sum(str(plan.folder.parents[1]) + "/" in line for line in jobs.splitlines())
    is_fine = all(each.state == "done" for each in ended) and set(counts) == {1}
    is_fine &= submitted in (0, len(plan.runs))
    print(
        f"{what}: {sum(not n for n in counts)} lost, {sum(n > 1 for n in counts)} twice of {len(counts)} runs; "
        f"Slurm jobs {submitted}; numbers {numbers} {'' if is_fine else 'NOT FINE'}",
        flush=True,
    )
    return is_fine


# disturb


def disturb(folder: Path, *, seconds: float) -> bool:
    """The same six runs, left alone and disturbed; whether they end with the same bits."""
    flags = ("--num_seeds=6", "--num_workers=2")
    probe = Lab(folder, "probe", steps=20_000).spawn("--deployment=local", "--num_workers=2")
    finish(probe, seconds=300)
    steps = int(seconds * float((last_row(probe.runs[0]) or {})["time/steps_per_second"]))
    alone = Lab(folder, "alone", steps=steps, save=20)
    began = time.monotonic()
    finish(alone.spawn(*flags, "--deployment=local", "--max_parallel=1"), seconds=1800)
    print(f"six runs left alone: {time.monotonic() - began:.0f} s", flush=True)
    with private_slurm(folder, cpus=2) as slurm:
        lab = Lab(folder, "disturbed", steps=steps, save=20)
        calibers = f"--calibers_file={lab.home / 'calibers.yaml'}"
        plan = lab.spawn(*flags, "--deployment=slurm", "--caliber=debug", "--cluster=any", calibers)
        (disturber := Disturber(plan, slurm)).work()
        ended = finish(plan, seconds=1800, tend=slurm.start_requeued)
    one, two, has_met_limit = proofs(alone.plan()), proofs(plan), False
    for each in ended:
        attempts = each.submission.attempts if each.submission else ()
        codes = [attempt.exit_code for attempt in attempts]
        has_met_limit |= each.run.config.seed >= len(disturber.deeds) and 75 in codes
        log = plan.log_file(each.run).read_text()
        whys = re.findall(r"stopped after iteration \d+ by ([\w ]+);", log)
        seed = each.run.config.seed
        is_equal = one[seed] == two[seed] and one[seed] is not None
        print(f"seed {seed}: {each.state}, statuses {codes} {whys}, equal: {is_equal}", flush=True)
    print(f"over {sorted(nodes_of(slurm))}", flush=True)
    print("" if has_met_limit else "no run met the time limit: choose more --seconds")
    return has_met_limit and one == two and all(each.state == "done" for each in ended)


class Disturber:
    """Does something to four of the runs, each when it has a first checkpoint."""

    def __init__(self, plan: Plan, slurm: PrivateSlurm) -> None:
        self._plan, self._slurm, ask = plan, slurm, slurm.run
        self.deeds: dict[str, Callable[[str], object]] = {
            "scancel --signal=USR1": lambda job: ask("scancel", "--batch", "--signal=USR1", job),
            "scontrol requeue": lambda job: ask("scontrol", "requeue", job),
            "kill -9 of a worker": self._kill_worker,
            "preemption": self._preempt,
        }

    def work(self) -> None:
        """Until all deeds are done; a run that nothing is done to meets the time limit."""
        deeds, spared = list(self.deeds.items()), set()
        while deeds:
            self._slurm.start_requeued()
            for name, each in run_statuses(self._plan).items():
                has_begun = (each.run.folder / "checkpoints" / "latest").exists()
                if each.state == "running" and has_begun and name not in spared and deeds:
                    what, deed = deeds.pop(0)
                    spared.add(name)
                    deed(each.job)
                    print(f"{what}: {name} (job {each.job})", flush=True)
            time.sleep(1)

    def _preempt(self, job: str) -> None:
        """Let a job of higher priority take its node: PreemptMode=CANCEL, no time of grace."""
        node = self._slurm.run("squeue", "-h", "-j", job, "-o", "%N").strip()
        head = "sbatch --partition=urgent --output=/dev/null --ntasks=2 --wrap=true".split()
        self._slurm.run(*head, f"--nodelist={node}")

    def _kill_worker(self, job: str) -> None:
        [run] = [each.run for each in run_statuses(self._plan).values() if each.job == job]
        workers = [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if is_worker(path, run.name)
        ]
        os.kill(max(workers), signal.SIGKILL)


def is_worker(path: Path, name: str) -> bool:
    """Whether a process is one of a run's Python processes."""
    try:
        words = path.read_bytes().split(b"\0")
    except OSError:
        return False
    return b"python" in words[0] and f"--uuid={name}".encode() in words


def proofs(plan: Plan) -> dict[int, str | None]:
    """By seed, the sha256 of the final checkpoint's manifest, which holds those of all its files."""
    found: dict[int, str | None] = {}
    for run in plan.runs:
        path = run.folder / "checkpoints" / "latest" / "manifest.json"
        found[run.config.seed] = (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
        )
    return found


def nodes_of(slurm: PrivateSlurm) -> set[str]:
    """Where jobs ran, by Slurm's own record."""
    text = (slurm.root / "log" / "jobcomp.txt").read_text()
    return set(re.findall(r"NodeList=(\S+)", text)) - {"(null)"}


# secrets


def canaries(folder: Path) -> bool:
    """A key by flag, one in the environment, one in netrc; whether none of them is found anywhere."""
    keys = [f"canary{secrets.token_hex(18)}" for _ in range(3)]
    home = folder / "home"
    home.mkdir()
    (home / ".netrc").write_text(f"machine api.wandb.ai\n login user\n password {keys[2]}\n")
    (home / ".netrc").chmod(0o600)
    os.environ |= {"HOME": str(home), "WANDB_API_KEY": keys[1], "WANDB_MODE": "offline"}
    seen: list[str] = []
    done = threading.Event()
    sampler = threading.Thread(target=sample_processes, args=(keys, seen, done), daemon=True)
    sampler.start()
    places = []
    with private_slurm(folder, cpus=2):
        for number, flags in enumerate(
            (
                ("--deployment=tmux", f"--wandb_api_key={keys[0]}"),
                ("--deployment=slurm", "--wandb_api_key", keys[0], "--array"),
                ("--deployment=local",),
                ("--deployment=slurm",),
            ),
        ):
            lab = Lab(folder, f"secrets_{number}", steps=1024)
            plan = lab.spawn(*flags, "--num_seeds=2", "--wandb_project=canary")
            finish(plan, seconds=240)
            places += [lab.home, lab.data]
            seen += tmux_hits(plan, keys)
    done.set()
    sampler.join()
    hits = [hit for place in places for hit in file_hits(place, keys)] + seen
    print(f"{len(hits)} hits of {len(keys)} canaries", *hits[:20], sep="\n", flush=True)
    return not hits


def sample_processes(keys: list[str], seen: list[str], done: threading.Event) -> None:
    """Look at the arguments of all processes, 20 times a second and more.

    A spawner that is given its key by a flag has it there until Python has begun: a second, on a busy
    machine.
    """
    own = os.getpid()
    while not done.is_set():
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                text = path.read_bytes().decode(errors="replace")
                ticks = int((path.parent / "stat").read_text().rpartition(")")[2].split()[19])
            except OSError:
                continue
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
            is_starting = "spawner.py" in text and age < 1
            is_other = path.parent.name != str(own) and not is_starting
            if is_other and any(key in text for key in keys):
                seen.append(f"cmdline: {text.split(chr(0))[:3]}")
        done.wait(0.02)


def tmux_hits(plan: Plan, keys: list[str]) -> list[str]:
    """Panes and their history that show a key."""
    tmux = ["tmux", "-L", plan.launch.tmux_socket]
    panes = output(*tmux, "list-panes", "-a", "-F", "#{pane_id}").split()
    texts = {pane: output(*tmux, "capture-pane", "-p", "-S", "-", "-t", pane) for pane in panes}
    texts["buffers"] = output(*tmux, "list-buffers")
    return [f"tmux {name}" for name, text in texts.items() if any(key in text for key in keys)]


def output(*command: str) -> str:
    """Of a command that may fail."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def file_hits(place: Path, keys: list[str]) -> Iterator[str]:
    """Files below a folder that hold a key, but for the one that is there to hold it."""
    for path in sorted(place.rglob("*")):
        if path.is_file() and any(key.encode() in path.read_bytes() for key in keys):
            if path.name == "secrets.env" and path.stat().st_mode & 0o777 == 0o600:
                continue
            yield str(path)


@contextmanager
def private_slurm(folder: Path, *, cpus: int) -> Iterator[PrivateSlurm]:
    """A Slurm of two nodes, which this process's environment leads to."""
    ensure_installed()
    with PrivateSlurm(folder / "slurm", nodes=2, cpus=cpus) as slurm:
        os.environ |= slurm.environment
        yield slurm


def main() -> int:
    """Do what was asked for; 0 where all held."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("what", choices=["kills", "disturb", "secrets"])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=35, help="of a run alone, for disturb")
    parser.add_argument("--data_root", help="folder on another file system, for the runs")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="milozero_swarm_"))
    os.environ["TMUX_TMPDIR"] = str(folder)
    print(f"folder: {folder}", flush=True)
    if arguments.data_root is not None:
        os.environ["MILOZERO_DATA"] = tempfile.mkdtemp(prefix=folder.name, dir=arguments.data_root)
    try:
        is_fine = {
            "kills": lambda: kills(folder, count=arguments.kills, seed=arguments.seed),
            "disturb": lambda: disturb(folder, seconds=arguments.seconds),
            "secrets": lambda: canaries(folder),
        }[arguments.what]()
    finally:
        for socket in folder.glob("tmux-*/*"):
            output("tmux", "-S", str(socket), "kill-server")
    print("all held" if is_fine else "NOT all held")
    if is_fine and not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
