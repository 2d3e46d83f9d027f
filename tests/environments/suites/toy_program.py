"""What a user does with a new suite, in one process; test_table.py starts it beside a copy of environments/."""

from __future__ import annotations

import importlib
import os
import sys

import numpy as np

from environments.factory import make_vector_env
from environments.ids import suite_of
from environments.rendering import episode_frames
from helpers.errors import UserError
from main import main

SHORT = "--num_timesteps=160 --rollout_len=20 --num_envs=4 --batch_size=20 --no-compile --eval_episodes=1".split()


def run(*flags: str) -> None:
    """One command, its status and what it said, between lines that name it."""
    print(f"> {flags[0]}", flush=True)
    try:
        status = main(list(flags))
    except UserError as error:  # as the program's last lines would be
        print(error.problem, error.remedy, sep="\n", file=sys.stderr)
        status = error.exit_code
    print(f"> status {status}", flush=True)


def use(site: str, runs: str) -> None:
    """Everything, first without the package, which lies in the folder `site`."""
    assert suite_of("Toy-Left-v0").name == "toy"
    run("--task=check_env", "--env_id=Toy-Lefft-v0")
    run("--task=check_env", "--env_id=toy-left")
    sys.path.append(site)
    os.environ["PYTHONPATH"] += os.pathsep + site
    importlib.invalidate_caches()
    run("--task=check_env", "--env_id=toy-left")
    run("--task=check_env", "--env_id=toy-left", '--env_options={"pull": 1}')
    train = ["--env_id=toy-left", "--algo=ppo", "--uuid=toy.seed00", f"--runs_dir={runs}"]
    run("--task=train", *train, '--env_options={"push": 0.2}', *SHORT)
    run(
        "--task=eval",
        f"--model_path={runs}/toy.seed00",
        "--num_trajs=2",
        "--save_traj",
        f"--save_traj_dir={runs}",
    )
    run("--task=demos", f"--expert_path={runs}/Toy-Left-v0/toy.seed00")
    compare()


def compare() -> None:
    """One episode with pictures; and the same numbers by a process."""
    envs = make_vector_env("Toy-Right-v0", seeds=[3], render_mode="rgb_array")
    frames = list(episode_frames(envs, lambda seen: np.ones((len(seen), 1), np.float32)))
    print("> frames", len(frames), frames[0].shape, bool((frames[0] != frames[-1]).any()))
    both = [make_vector_env("Toy-Right-v0", seeds=[1, 2], processes=n) for n in (0, 1)]
    actions = np.array([[0.5], [-1.0]], np.float32)
    seen = [[envs.reset()[0], *(envs.step(actions)[0] for _ in range(25))] for envs in both]
    print("> processes", np.array_equal(*seen), [envs.backend for envs in both])
    for each in (envs, *both):
        each.close()


if __name__ == "__main__":
    use(*sys.argv[1:])
