"""What `python -m benchmarks.scaling` measures, and where: on this machine, or on two hosts emulated on it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
NETNS = ROOT / "benchmarks" / "scaling" / "netns"
HOSTS = ("10.77.0.1", "10.77.0.2")  # as benchmarks/scaling/netns/up.sh names them
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
PARTS = ("physics", "policy", "gradient", "allreduce", "other")
EPOCHS = 10
INSIDE = "MILOZERO_OWN_NETWORK"  # set in the network that `enter_namespaces` made


class EmulationError(Exception):
    """Two hosts cannot be emulated here: (what is missing, what to do)."""


@dataclass(frozen=True)
class Setting:
    """One thing to measure or to predict: PPO, 10 epochs, two 64-64 nets.

    Attributes:
        env_id, rollout_len, batch_size, num_envs: as main.py takes them, over all workers.
        workers: how many.
        hosts: over how many machines they are spread evenly.
        gigabits: what a host sends a second, Gbit/s; None: as fast as it can.
        cores: that the workers share, over all hosts.
    """

    env_id: str
    rollout_len: int
    batch_size: int
    num_envs: int
    workers: int
    hosts: int = 1
    gigabits: float | None = None
    cores: int = len(os.sched_getaffinity(0))

    @property
    def steps(self) -> int:
        """Gradient steps an iteration."""
        return EPOCHS * self.rollout_len // self.batch_size

    @property
    def each(self) -> float:
        """Environment steps of a worker an iteration."""
        return self.rollout_len / self.workers

    @property
    def strain(self) -> float:
        """Workers that share a core."""
        return max(1.0, self.workers / self.cores)

    @property
    def title(self) -> str:
        """For a table."""
        place = "" if self.hosts == 1 else f", {self.hosts} hosts, {rate_text(self.gigabits)}"
        return f"{self.env_id} {self.rollout_len}/{self.batch_size}, {self.workers} workers{place}"


def rate_text(gigabits: float | None) -> str:
    """A link's rate in words."""
    return "unlimited" if gigabits is None else f"{gigabits:g} Gbit/s"


def settings(
    workers: Sequence[int],
    rates: Sequence[float | None],
    env_ids: Sequence[str],
) -> list[Setting]:
    """All that is measured: the batch fixed and growing with the workers, one host and two."""
    found = []
    for env_id in env_ids:
        for count in workers:
            found.append(Setting(env_id, 2048, 64, 16, count))
            found.append(Setting(env_id, 8192, 512, 16, count))
            found.append(Setting(env_id, 16384, 2048, 16, count))
            if count > 1:
                found.append(Setting(env_id, 2048 * count, 64 * count, 16 * count, count))
    for rate in rates:
        for count in (each for each in workers if each % 2 == 0):
            for rollout_len, batch_size in ((2048, 64), (8192, 512), (16384, 2048)):
                found.append(Setting(env_ids[0], rollout_len, batch_size, 16, count, 2, rate))
    return found


def measure(setting: Setting, *, seconds: float) -> dict[str, float]:
    """Seconds an iteration in each part, mean over workers and over iterations but the first.

    Args:
        setting: what to run, through main.py.
        seconds: how long the run takes, roughly.
    """
    guess = setting.rollout_len / 20_000  # seconds of an iteration
    if setting.gigabits is not None:
        guess += setting.steps * 40e3 * 8 / (1e9 * setting.gigabits)
    iterations = 1 + max(3, round(seconds / guess))
    with tempfile.TemporaryDirectory() as folder:
        flags = [
            "main.py",
            f"--env_id={setting.env_id}",
            f"--rollout_len={setting.rollout_len}",
            f"--batch_size={setting.batch_size}",
            f"--num_envs={setting.num_envs}",
            f"--num_timesteps={setting.rollout_len * iterations}",
            f"--optim_epochs_per_iter={EPOCHS}",
            "--eval_frequency=0",
            "--uuid=scaling.seed00",
            f"--runs_dir={folder}",
            "--progress=none",
            "--wandb_mode=disabled",
        ]
        output(launch(flags, setting))
        lines = (Path(folder) / "scaling.seed00" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines[1:]]
    durations = [setting.rollout_len / row["time/steps_per_second"] for row in rows]
    return {
        part: statistics.fmean(
            row[f"time/share_{part}"] * duration
            for row, duration in zip(rows, durations, strict=True)
        )
        for part in PARTS
    }


def measure_allreduce(setting: Setting, *, seconds: float) -> list[dict[str, float]]:
    """`benchmarks.scaling.allreduce` on the workers of a setting."""
    printed = output(launch(["-m", "benchmarks.scaling.allreduce", f"{seconds / 10}"], setting))
    (line,) = [line for line in printed.splitlines() if line.startswith("RESULT ")]
    results: list[dict[str, float]] = json.loads(line.removeprefix("RESULT "))
    return results


def launch(arguments: Sequence[str], setting: Setting) -> list[str]:
    """The command that runs a Python program on the workers of a setting."""
    program = [sys.executable, *arguments]
    mpiexec = str(Path(sys.executable).with_name("mpiexec"))
    if setting.hosts == 1:
        count = ["-n", str(setting.workers)]
        return [mpiexec, *count, *program] if setting.workers > 1 else program
    agent = str(NETNS / "agent.sh")
    across = [mpiexec, "-launcher", "ssh", "-launcher-exec", agent, "-hosts", ",".join(HOSTS)]
    # Without these UCX notices that both hosts are one machine, and goes through its memory.
    across += ["-genv", "UCX_TLS", "tcp,self", "-genv", "UCX_NET_DEVICES", "cable"]
    across += ["-ppn", str(setting.workers // 2), "-n", str(setting.workers), *program]
    return [agent, HOSTS[0], shlex.join(across)]


def output(command: Sequence[str]) -> str:
    """What a command prints; if it fails, what it says is shown and this program ends."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | THREADS,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{shlex.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


# Two hosts


@contextmanager
def place(setting: Setting) -> Iterator[None]:
    """The emulated hosts of a setting, up while it is measured; nothing for a single host.

    Raises:
        EmulationError: this machine cannot emulate them.
    """
    if setting.hosts == 1:
        yield
        return
    rate = [] if setting.gigabits is None else [f"{round(1000 * setting.gigabits)}mbit"]
    up = subprocess.run([NETNS / "up.sh", *rate], capture_output=True, text=True, check=False)
    try:
        if up.returncode != 0:
            raise EmulationError(
                f"two hosts cannot be emulated: {(up.stderr or up.stdout).strip()}",
                "leave them out: --rates none, or --rates unlimited if a limit is what failed",
            )
        yield
    finally:
        subprocess.run([NETNS / "down.sh"], check=True)


def enter_namespaces() -> None:
    """Start this program again in a network of its own, as its root: what it sets up there ends with it.

    Raises:
        EmulationError: what is missing on this machine.
    """
    if os.environ.get(INSIDE):
        return
    for tool in ("ip", "unshare"):
        if shutil.which(tool) is None:
            raise EmulationError(
                f"two hosts cannot be emulated without `{tool}`.",
                "Install iproute2 and util-linux, or leave them out: --rates none.",
            )
    enter = ["unshare", "--net", "--mount"]
    if os.geteuid() != 0:
        enter += ["--user", "--map-root-user"]
    prepare = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"'
    enter += ["sh", "-c", prepare, "sh"]
    tried = subprocess.run([*enter, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise EmulationError(
            f"two hosts cannot be emulated: {tried.stderr.strip()}",
            "It takes root with CAP_SYS_ADMIN and CAP_NET_ADMIN, or a kernel that allows users namespaces of "
            "their own; or leave them out: --rates none.",
        )
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*enter, sys.executable, *sys.orig_argv[1:]])


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": os.uname().release,
        "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE", "unset"),
        "commit": commit.stdout.strip(),
    }
