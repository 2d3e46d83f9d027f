"""A Slurm job of several nodes: Ray's head on the first, its workers on the others, and the tuner beside the head."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.data_root import VARIABLE, data_root
from helpers.durable import write_atomically
from swarm.backends.base import DeploymentError
from swarm.tune.task_file import Search

SCRIPT = "tune.sbatch"
_FLAGS = (
    "deployment",
    "deploy-now",
    "deploy_now",
    "num_nodes",
    "num-nodes",
    "cpus_per_node",
    "cpus-per-node",
)


def write_script(search: Search, argv: Sequence[str], *, repository: Path) -> Path:
    """The script, in the folder of the search; the same command of the tuner resumes it after a requeue."""
    search.folder.mkdir(parents=True, exist_ok=True)
    path = search.folder / SCRIPT
    write_atomically(path, render(search, argv, repository=repository, python=Path(sys.executable)))
    path.chmod(0o755)
    return path


def render(search: Search, argv: Sequence[str], *, repository: Path, python: Path) -> str:
    """The script's text; every value is quoted."""
    settings = search.settings
    log = search.folder / "slurm-%j.log"
    partition = [f"#SBATCH --partition={settings.partition}"] if settings.partition else []
    head = [
        "#!/bin/bash",
        f"#SBATCH --job-name={search.name}",
        f"#SBATCH --nodes={settings.num_nodes}",
        "#SBATCH --ntasks-per-node=1",
        f"#SBATCH --cpus-per-task={settings.cpus_per_node}",
        f"#SBATCH --time={settings.time}",
        f"#SBATCH --output={log}",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        *partition,
    ]
    ray = shlex.quote(str(python.with_name("ray")))
    root = data_root()
    data = "" if root is None else f"\nexport {VARIABLE}={shlex.quote(str(root.absolute()))}"
    command = shlex.join([str(python), "tuner.py", *_without_slurm(argv)])
    body = f"""
# Written by tuner.py. Ray's ports are open to the nodes of this job; a token keeps others out.
set -euo pipefail
cd {shlex.quote(str(repository))}
export OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token{data}
umask 077
RAY_AUTH_TOKEN="$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n')"
export RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${{nodes[0]}}"
address="$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | tr ' ' '\\n' | head -n 1)"
port=$((20000 + SLURM_JOB_ID % 20000))

start() {{  # node, arguments of ray start
  local node="$1"; shift
  srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" --export=ALL \\
    {ray} start "$@" --num-cpus={settings.cpus_per_node} --disable-usage-stats --block &
}}
start "$head" --head --node-ip-address="$address" --port="$port" --include-dashboard=false
for _ in $(seq 60); do
  if (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; then break; fi
  sleep 1
done
for node in "${{nodes[@]:1}}"; do
  start "$node" --address="$address:$port"
done

status=0
{command} --ray_address="$address:$port" || status=$?
{ray} stop --grace-period 10 >/dev/null 2>&1 || true
kill $(jobs -p) 2>/dev/null || true
exit "$status"
"""
    return "\n".join(head) + "\n" + body


def submit(path: Path) -> str:
    """Hand the script to Slurm; its answer.

    Raises:
        DeploymentError: Slurm is not there, or refuses.
    """
    try:
        done = subprocess.run(["sbatch", str(path)], capture_output=True, text=True, check=False)
    except OSError as error:
        raise DeploymentError(
            f"sbatch cannot be started: {error.strerror}.",
            f"Submit the script on a machine that has Slurm: sbatch {path}",
        ) from error
    if done.returncode:
        raise DeploymentError(
            f"Slurm refuses: {' '.join(done.stderr.split())[:200]}",
            f"Change what it names (--time, --partition, --num_nodes); the script is {path}.",
        )
    return done.stdout.strip()


def _without_slurm(argv: Sequence[str]) -> list[str]:
    """The arguments that the tuner itself takes inside the job."""
    kept, skip = [], False
    for word in argv:
        name, equals, _ = word.removeprefix("--").partition("=")
        if skip:
            skip = False
        elif word.startswith("--") and name in (
            *_FLAGS,
            "time",
            "partition",
            "ray_address",
            "ray-address",
        ):
            skip = not equals and name not in ("deploy-now", "deploy_now")
        else:
            kept.append(word)
    return kept
