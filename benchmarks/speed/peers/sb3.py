"""Stable-Baselines3's PPO: one torch thread, environments one after the other, its fastest on two cores."""

from collections.abc import Callable
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from benchmarks.speed.peers import work as todo
from benchmarks.speed.peers.work import Clock, asked_work, report


def run(algorithm: type[Any], *, tanh: Callable[..., Any]) -> None:
    """Train a PPO that takes Stable-Baselines3's arguments, and report."""
    work, clock = asked_work(), Clock()
    torch.set_num_threads(1)
    model = algorithm(
        "MlpPolicy",
        VecNormalize(make_vec_env(work.env_id, n_envs=work.num_envs, seed=0)),
        learning_rate=todo.STEP_SIZE,
        n_steps=work.steps_per_env,
        batch_size=work.batch_size,
        n_epochs=work.epochs,
        gamma=todo.GAMMA,
        gae_lambda=todo.GAE_LAMBDA,
        clip_range=todo.CLIP_RATIO,
        ent_coef=todo.ENTROPY_SCALE,
        vf_coef=todo.VALUE_SCALE,
        max_grad_norm=todo.CLIP_NORM,
        policy_kwargs={
            "net_arch": {"pi": list(todo.HIDDEN), "vf": list(todo.HIDDEN)},
            "activation_fn": tanh,
        },
        device="cpu",
        seed=0,
    )
    clock.watch(model, "train")
    model.learn(work.num_steps)
    report(work, clock.updates)


if __name__ == "__main__":
    run(PPO, tanh=torch.nn.Tanh)
