"""A real Slurm for tests: slurmctld and one slurmd a node, on loopback, without systemd, in one scratch folder.

    with PrivateSlurm(Path(mkdtemp()), nodes=2) as slurm:
        subprocess.run(["sbatch", ...], env=os.environ | slurm.environment)

Its daemons are children of this process and die with it, also if it is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import getpass
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.patience import patience

PACKAGES = ("slurm-wlm", "munge")
_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "munged")
_LONGEST = 30.0  # seconds to come up, on a quiet machine
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_TEMPLATE = Path(__file__).with_name("slurm.conf.in")


class SlurmUnavailableError(RuntimeError):
    """Slurm is not here and cannot be installed; the message says why."""


def ensure_installed() -> None:
    """Install Slurm by apt where it is missing.

    Raises:
        SlurmUnavailableError: it is missing and this user, or this system, cannot install it.
    """
    trouble = install(PACKAGES, programs=_PROGRAMS)
    if trouble:
        raise SlurmUnavailableError(trouble)


def install(packages: Sequence[str], *, programs: Sequence[str]) -> str:
    """Install Debian packages where a program of theirs is missing; why that failed, or ""."""
    if not _missing(programs):
        return ""
    if os.geteuid() != 0:
        return f"{_missing(programs)[0]} is missing, and only root can install it"
    if shutil.which("apt-get") is None:
        return f"{_missing(programs)[0]} is missing, and there is no apt-get"
    apt = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    said = ""
    with open(Path(tempfile.gettempdir()) / "milozero_apt.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side, and apt-get does not wait
        for command in (apt, ["apt-get", "update"], apt):
            if not _missing(programs):
                return ""
            done = subprocess.run(
                command,
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            said = f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}"
    return said if _missing(programs) else ""


class PrivateSlurm:
    """A Slurm of its own.

    Args:
        root: an empty folder; holds configuration, state and logs.
        nodes: how many slurmd, named n1, n2, ...
        cpus: of each node, whatever the machine has.
        memory: of each node, in MB; not enforced.
    """

    def __init__(self, root: Path, *, nodes: int = 2, cpus: int = 4, memory: int = 8000) -> None:
        self.root, self.nodes = root, [f"n{number + 1}" for number in range(nodes)]
        self._cpus, self._memory = cpus, memory
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._ports = free_ports(nodes + 1)
        self._munge = root / "munge"
        self._waiting: dict[str, float] = {}  # requeued jobs, and since when they wait

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find it."""
        return {"SLURM_CONF": str(self.root / "slurm.conf")}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Bring everything up; returns when all nodes are idle.

        Raises:
            SlurmUnavailableError: it does not come up; the message ends with the logs.
        """
        for name in ("state", "spool", "log", "run"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        if os.geteuid() == 0:
            self._start_munge()
        self._write_login_environment()
        self._write_configuration(self._start_accounting())
        conf = str(self.root / "slurm.conf")
        self._start("slurmctld", "-D", "-c", "-f", conf)
        for node in self.nodes:
            self._start("slurmd", "-D", "-c", "-f", conf, "-N", node)
        self._wait(
            lambda: (
                sorted(set(self.run("sinfo", "-h", "-N", "-o", "%N %t").splitlines()))
                == [f"{node} idle" for node in self.nodes]
            ),
            "the nodes do not come up",
        )

    def stop(self) -> None:
        """End all jobs, then all daemons."""
        if (self.root / "slurm.conf").exists():
            self.run("scancel", "--full", "--signal=KILL", "-u", getpass.getuser())
            self.run("scancel", "-u", getpass.getuser())
            time.sleep(0.2)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(timeout=patience(5))
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def run(self, *command: str) -> str:
        """The output of a Slurm command; "" where it fails."""
        done = subprocess.run(
            command,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience(20),
            check=False,
        )
        return done.stdout if done.returncode == 0 else ""

    def start_requeued(self) -> None:
        """Let requeued jobs start after two seconds, where Slurm has them wait for two minutes.

        To be called until they run. Not sooner: a node refuses a credential of the same second
        in which it revoked the former one, and the job fails. Nor again and again: a start that
        keeps moving is never reached.
        """
        table = self.run("squeue", "-h", "--array", "-t", "PENDING", "-o", "%i %r")
        reasons = dict(line.split(" ", 1) for line in table.splitlines())
        now = time.monotonic()
        self._waiting = {
            job: self._waiting.get(job, now)
            for job, reason in reasons.items()
            if reason == "BeginTime"
        }
        for job, since in self._waiting.items():
            if now - since > 2:
                self._waiting[job] = now
                self.run("scontrol", "update", f"jobid={job}", "StartTime=now")

    def _start_accounting(self) -> str:
        """Lines of slurm.conf that say where accounting is, which is up; here there is none."""
        return "AccountingStorageType=accounting_storage/none"

    def _start_munge(self) -> None:
        self._munge.mkdir(exist_ok=True)
        self._munge.chmod(0o711)
        key = self._munge / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        munge_socket = self._munge / "munge.socket"
        self._start(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={munge_socket}",
            f"--pid-file={self.root}/run/munged.pid",
            f"--log-file={self.root}/log/munged.log",
            f"--seed-file={self._munge}/munged.seed",
            "--num-threads=2",
        )
        self._wait(munge_socket.exists, "munged does not come up")

    def _write_login_environment(self) -> None:
        """What a job under --export=NONE finds, from Slurm's cache.

        Slurm would ask `su -`, which runs the profile of whoever tests: a minute where pyenv waits for a lock.
        """
        cache = self.root / "state" / "env_cache"
        cache.mkdir(exist_ok=True)
        (cache / getpass.getuser()).write_text(f"PATH={os.defpath}\nLOGIN_ENVIRONMENT=1\n")

    def _write_configuration(self, accounting: str) -> None:
        has_munge = os.geteuid() == 0  # munged insists on folders that a plain user may not have
        host = socket.gethostname().split(".")[0]
        nodes = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs={self._cpus} RealMemory={self._memory} State=UNKNOWN"
            for name, port in zip(self.nodes, self._ports[1:], strict=True)
        ]
        text = _TEMPLATE.read_text()
        for key, value in {
            "ROOT": str(self.root),
            "HOST": host,
            "USER": getpass.getuser(),
            "CONTROL_PORT": str(self._ports[0]),
            "AUTH": "munge" if has_munge else "none",
            "AUTH_INFO": f"AuthInfo=socket={self._munge}/munge.socket" if has_munge else "",
            "ACCOUNTING": accounting,
            "NODES": "\n".join(nodes),
        }.items():
            text = text.replace(f"@{key}@", value)
        (self.root / "slurm.conf").write_text(text)

    def _start(self, *command: str) -> None:
        with (self.root / "log" / f"{command[0]}.console.log").open("ab") as log:
            daemon = subprocess.Popen(
                command,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._daemons.append(daemon)

    def _wait(self, is_ready: object, trouble: str) -> None:
        deadline = time.monotonic() + patience(_LONGEST)
        while not is_ready():  # type: ignore[operator]
            dead = [daemon.args for daemon in self._daemons if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = "\n".join(
                    path.read_text(errors="replace")[-500:]
                    for path in (self.root / "log").iterdir()
                )
                raise SlurmUnavailableError(f"{trouble} (ended: {dead}):\n{logs}")
            time.sleep(0.05)


def _missing(programs: Sequence[str]) -> list[str]:
    return [name for name in programs if shutil.which(name) is None]


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, of those that the system gives to nobody unasked."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    for port in random.SystemRandom().sample(range(10_000, max(first, 20_000)), 1000):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise SlurmUnavailableError(f"of 1000 ports below {first} there are no {count} free ones")
