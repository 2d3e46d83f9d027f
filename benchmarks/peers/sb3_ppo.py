"""Stable-Baselines3's PPO on the work that `benchmarks/speed.py` sets; prints one RESULT line.

Runs in a virtual environment of its own (`benchmarks/peers/setup.sh`). One thread and a serial vector
environment with observation and reward normalisation: its fastest configuration on two cores.
"""

import argparse
import json
import time

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize


class Clock(BaseCallback):
    """Wall-clock time at the start of every rollout."""

    def __init__(self):
        super().__init__()
        self.times = []

    def _on_rollout_start(self):
        self.times.append(time.perf_counter())

    def _on_step(self):
        return True

    def _on_training_end(self):
        self.times.append(time.perf_counter())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--env_id", required=True)
    parser.add_argument("--num_envs", type=int, default=16)
    parser.add_argument("--rollout_len", type=int, default=2048)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    environment = VecNormalize(make_vec_env(options.env_id, n_envs=options.num_envs, seed=0))
    model = PPO(
        "MlpPolicy",
        environment,
        n_steps=options.rollout_len // options.num_envs,
        batch_size=options.batch_size,
        n_epochs=options.epochs,
        policy_kwargs={
            "net_arch": {"pi": [64, 64], "vf": [64, 64]},
            "activation_fn": torch.nn.Tanh,
        },
        device="cpu",
        seed=0,
    )
    clock = Clock()
    model.learn(options.rollout_len * options.iterations, callback=clock)
    seconds = clock.times[-1] - clock.times[1]  # the first iteration warms up
    steps = options.rollout_len * (options.iterations - 1)
    print("RESULT " + json.dumps({"steps_per_second": steps / seconds}), flush=True)


if __name__ == "__main__":
    main()
