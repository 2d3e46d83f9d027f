"""SheepRL's PPO, started as its command line is, with its benchmark's settings: no logging, nothing saved.

It has no running normalisation of observations, which is a little less work than the others do.
"""

import os
import sys
import tempfile
from pathlib import Path

import torch
from sheeprl.algos.ppo import ppo
from sheeprl.cli import run

from benchmarks.speed.peers import work as todo
from benchmarks.speed.peers.work import Clock, Work, asked_work, report


def command_line(work: Work) -> list[str]:
    """The settings. Actor and critic have no layers in common: its encoder passes observations on."""
    width, depth = todo.HIDDEN[0], len(todo.HIDDEN)
    return [
        "sheeprl",
        "exp=ppo_benchmarks",
        "env=mujoco",
        f"env.id={work.env_id}",
        f"env.num_envs={work.num_envs}",
        "env.wrapper.render_mode=null",
        "fabric.accelerator=cpu",
        "num_threads=1",
        "algo.encoder.mlp_layers=0",
        f"algo.dense_units={width}",
        f"algo.actor.mlp_layers={depth}",
        f"algo.critic.mlp_layers={depth}",
        f"algo.total_steps={work.num_steps}",
        f"algo.rollout_steps={work.steps_per_env}",
        f"algo.per_rank_batch_size={work.batch_size}",
        f"algo.update_epochs={work.epochs}",
        f"algo.optimizer.lr={todo.STEP_SIZE}",
        f"algo.gamma={todo.GAMMA}",
        f"algo.gae_lambda={todo.GAE_LAMBDA}",
        f"algo.clip_coef={todo.CLIP_RATIO}",
        f"algo.vf_coef={todo.VALUE_SCALE}",
        f"algo.ent_coef={todo.ENTROPY_SCALE}",
        f"algo.max_grad_norm={todo.CLIP_NORM}",
    ]


def main() -> None:
    """Train and report."""
    work, clock = asked_work(), Clock()
    torch.set_num_threads(1)
    clock.watch(ppo, "train")
    sys.argv = command_line(work)
    root = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where it writes its logs
        run()
        os.chdir(root)
    report(work, clock.updates)


if __name__ == "__main__":
    main()
