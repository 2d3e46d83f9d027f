"""CleanRL's single file for PPO on continuous actions, run unchanged from its repository, on one torch thread.

It has no function to time an update by: what lies between the last step of a rollout and the first of the next
is the update. `setup.sh` fetches the repository, where it can be reached.
"""

import os
import runpy
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from gymnasium.vector import SyncVectorEnv

from benchmarks.speed.peers import work as todo
from benchmarks.speed.peers.work import Work, asked_work, report

PROGRAM = Path(sys.prefix, "repository", "cleanrl", "ppo_continuous_action.py")


def command_line(work: Work) -> list[str]:
    """Its flags."""
    return [
        str(PROGRAM),
        f"--env-id={work.env_id}",
        f"--num-envs={work.num_envs}",
        f"--num-steps={work.steps_per_env}",
        f"--num-minibatches={work.rollout_len // work.batch_size}",
        f"--update-epochs={work.epochs}",
        f"--total-timesteps={work.num_steps}",
        f"--learning-rate={todo.STEP_SIZE}",
        f"--gamma={todo.GAMMA}",
        f"--gae-lambda={todo.GAE_LAMBDA}",
        f"--clip-coef={todo.CLIP_RATIO}",
        f"--vf-coef={todo.VALUE_SCALE}",
        f"--ent-coef={todo.ENTROPY_SCALE}",
        f"--max-grad-norm={todo.CLIP_NORM}",
        "--no-anneal-lr",
        "--no-clip-vloss",
        "--no-cuda",
    ]


def main() -> None:
    """Train and report."""
    work = asked_work()
    torch.set_num_threads(1)
    steps: list[tuple[float, float]] = []  # when each began and ended
    step = SyncVectorEnv.step

    def timed_step(environment: SyncVectorEnv, actions: Any) -> Any:
        began = time.perf_counter()
        result = step(environment, actions)
        steps.append((began, time.perf_counter()))
        return result

    setattr(SyncVectorEnv, "step", timed_step)  # noqa: B010  its type is that of a method
    sys.argv = command_line(work)
    root, said = Path.cwd(), sys.stdout
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w", encoding="utf-8") as silence,
    ):
        os.chdir(folder)  # where it writes its logs
        sys.stdout = silence
        runpy.run_path(str(PROGRAM), run_name="__main__")
        sys.stdout = said
        os.chdir(root)
    steps.append((time.perf_counter(), time.perf_counter()))
    ends = range(work.steps_per_env, len(steps), work.steps_per_env)
    report(work, [(steps[i - 1][1], steps[i][0]) for i in ends])


if __name__ == "__main__":
    main()
