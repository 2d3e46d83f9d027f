"""SAC and TD3 of Stable-Baselines3, these and CrossQ of SBX: one environment, one update a step; prints a RESULT line.

Run as `python -m benchmarks.speed.peers.replay` in the virtual environment of either (`setup.sh` makes them).
"""

import argparse
import json
import time
import warnings
from typing import Any

import gymnasium

HIDDEN = [256, 256]
WIDE = [512, 512]  # CrossQ's critics, as ours
STEP_SIZE, BATCH = 3e-4, 256


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", choices=["sb3", "sbx"], required=True)
    parser.add_argument("--algo", choices=["sac", "td3", "crossq"], required=True)
    parser.add_argument("--env_id", default="HalfCheetah-v5")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--burst", type=int, default=1, help="steps, and updates, at a time")
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args()
    algorithm = chosen(options)
    architecture = {"pi": HIDDEN, "qf": WIDE} if options.algo == "crossq" else HIDDEN
    model = algorithm(
        "MlpPolicy",
        gymnasium.make(options.env_id),
        learning_rate=STEP_SIZE,
        batch_size=BATCH,
        learning_starts=200,
        train_freq=options.burst,
        gradient_steps=options.burst,
        policy_kwargs={"net_arch": architecture},
        seed=0,
        **({"device": "cpu"} if options.library == "sb3" else {}),
    )
    model.learn(500)  # compiles, and warms up
    started = time.perf_counter()
    model.learn(options.steps, reset_num_timesteps=False)
    seconds = time.perf_counter() - started
    print("RESULT " + json.dumps({"steps_per_second": options.steps / seconds}), flush=True)


def chosen(options: argparse.Namespace) -> Any:
    """The class of the algorithm."""
    if options.library == "sbx":
        import sbx

        return {"sac": sbx.SAC, "td3": sbx.TD3, "crossq": sbx.CrossQ}[options.algo]
    import stable_baselines3
    import torch

    torch.set_num_threads(options.threads)
    return {"sac": stable_baselines3.SAC, "td3": stable_baselines3.TD3}[options.algo]


if __name__ == "__main__":
    main()
