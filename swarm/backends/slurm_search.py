"""A search of the tuner as a Slurm job of several nodes.

Ray's head is on the first node, its workers are on the others, and the tuner is beside the head.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from helpers.data_root import VARIABLE
from swarm.backends.base import DeploymentError, Searches, SearchJob


def render(job: SearchJob) -> str:
    """The script's text; every value is quoted."""
    log = job.folder / "slurm-%j.log"
    partition = [f"#SBATCH --partition={job.partition}"] if job.partition else []
    head = [
        "#!/bin/bash",
        f"#SBATCH --job-name={job.name}",
        f"#SBATCH --nodes={job.nodes}",
        "#SBATCH --ntasks-per-node=1",
        f"#SBATCH --cpus-per-task={job.cpus_per_node}",
        f"#SBATCH --time={job.time}",
        f"#SBATCH --output={log}",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        *partition,
    ]
    ray = shlex.quote(str(job.python.with_name("ray")))
    root = job.data_root
    data = "" if root is None else f"\nexport {VARIABLE}={shlex.quote(str(root))}"
    command = shlex.join(job.command)
    body = f"""
# Written by tuner.py. Ray's ports are open to the nodes of this job; a token keeps others out.
set -euo pipefail
cd {shlex.quote(str(job.repository))}
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
    {ray} start "$@" --num-cpus={job.cpus_per_node} --disable-usage-stats --block &
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


SEARCHES = Searches("tune.sbatch", "sbatch", render, submit)
