"""The physical limit of a workload: physics on every core, and gradient steps at the kernel's own cost.

    python -m benchmarks.speed.limit --env_id=Hopper-v5 --rollout_len=2048 --batch_size=64

prints one line `RESULT {...}`; docs/speed.md says what the limit is and is not. Physics is a loop in C over
`mj_step`, one episode after another in one `MjData`, the actions drawn beforehand as an untrained policy
draws them. Of each figure the best of several takes is kept, since whatever disturbs a take only slows it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.contestants import ROOT
from benchmarks.speed.workload import EPOCHS

CORES = 2  # of the limit
TAKES = 5
NUM_ENVS, STEPS, TIMES = 16, 250, 2  # of the episodes that are played, and how often in a take


class Player:
    """Episodes of one task, ready to be played again in C."""

    def __init__(self, env_id: str, seed: int) -> None:
        import mujoco

        from environments.batched_mujoco.catalogue import make_task
        from environments.batched_mujoco.vector_env import BatchedMujocoEnv
        from environments.mujoco_warnings import route_mujoco_warnings

        route_mujoco_warnings()
        self.envs = BatchedMujocoEnv(env_id, make_task(env_id, {}), seeds=range(NUM_ENVS))
        self.model = self.envs.world.model
        self.data = mujoco.MjData(self.model)
        self.physics = mujoco.mjtState.mjSTATE_INTEGRATION
        low, high = self.model.actuator_ctrlrange.T
        noise = np.random.default_rng(seed).normal(size=(STEPS, NUM_ENVS, len(low)))
        self.episodes = self._record(np.clip(noise, low, high).astype(np.float32), seed)
        self.steps = sum(len(rows) for _, rows in self.episodes)
        self._play = load_loop()

    def _record(self, actions: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The state each episode begins in, and its controls (length, width)."""
        self.envs.reset(seed=[NUM_ENVS * seed + i for i in range(NUM_ENVS)])
        begun = [(0, self._state(i)) for i in range(NUM_ENVS)]
        episodes = []
        for step, action in enumerate(actions, start=1):
            _, _, terminated, truncated, _ = self.envs.step(action)
            is_last = step == len(actions)
            for i in np.flatnonzero(terminated | truncated | is_last):
                first, state = begun[i]
                episodes.append((state, np.ascontiguousarray(actions[first:step, i], np.float64)))
                begun[i] = (step, self._state(i))
        return episodes

    def _state(self, index: int) -> np.ndarray:
        import mujoco

        state = np.empty(mujoco.mj_stateSize(self.model, self.physics))
        mujoco.mj_getState(self.model, self.envs.simulations.datas[index], state, self.physics)
        return state

    def seconds(self) -> float:
        """All episodes once, by the clock on the wall; beginning them is not counted."""
        import mujoco

        model, data, seconds = self.model, self.data, 0.0
        places = [ctypes.c_void_p(each) for each in (model._address, data._address)]
        ctrl = ctypes.c_void_p(data.ctrl.ctypes.data)
        frame_skip = self.envs.task.frame_skip
        for state, rows in self.episodes:
            mujoco.mj_resetData(model, data)
            mujoco.mj_setState(model, data, state, self.physics)
            started = time.perf_counter()
            self._play(*places, ctrl, rows.ctypes.data, *rows.shape, frame_skip)
            seconds += time.perf_counter() - started
        return seconds


def load_loop() -> Any:
    """`play` of physics.c with MuJoCo's own `mj_step`.

    Raises:
        SystemExit: there is no C compiler.
    """
    import mujoco

    from helpers.machine.native import build

    library = build("benchmarks/speed/physics.c")
    if library is None:
        raise SystemExit("the limit takes a C compiler\n  install gcc")
    (shared,) = Path(mujoco.__file__).parent.glob("libmujoco.so*")
    step = ctypes.cast(ctypes.CDLL(str(shared)).mj_step, ctypes.c_void_p)
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    library.play.argtypes = [*[pointer] * 5, count, count, count]
    library.play.restype = None
    return lambda *arguments: library.play(step, *arguments)


def play_when_asked(env_id: str, seed: int) -> None:
    """A process of its own: a line comes in, all episodes are played, (steps, seconds) go out."""
    player = Player(env_id, seed)
    player.seconds()
    print("ready", flush=True)
    for line in sys.stdin:
        times = int(line)
        seconds = sum(player.seconds() for _ in range(times))
        print(json.dumps([times * player.steps, seconds]), flush=True)


def physics_rates(env_id: str) -> tuple[float, float]:
    """Environment steps per second of one process, and of one on each core together."""
    command = [sys.executable, "-m", "benchmarks.speed.limit", "--play", f"--env_id={env_id}"]
    with ExitStack() as stack:
        players = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, f"--seed={seed}"],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                ),
            )
            for seed in range(CORES)
        ]
        for player in players:
            if _answer(player) != "ready":
                raise SystemExit("a process that plays episodes did not start")
        alone, together = 0.0, 0.0
        for _ in range(TAKES):
            alone = max(alone, _rate(players[:1]))
            together = max(together, _rate(players))
        for player in players:
            _pipe(player.stdin).close()
        return alone, together


def _rate(players: Sequence[subprocess.Popen[str]]) -> float:
    """Steps per second of these, all at the same time."""
    for player in players:
        _pipe(player.stdin).write(f"{TIMES}\n")
        _pipe(player.stdin).flush()
    answers = [json.loads(_answer(player)) for player in players]
    return sum(steps / seconds for steps, seconds in answers)


def _answer(player: subprocess.Popen[str]) -> str:
    return str(_pipe(player.stdout).readline()).strip()


def _pipe(pipe: Any) -> Any:
    assert pipe is not None
    return pipe


def gradient_seconds(env_id: str, rollout_len: int, batch_size: int) -> float:
    """One gradient step of the kernel of one worker, in epochs over a rollout in memory."""
    import gymnasium
    import torch

    from agents.factory import make_agent
    from agents.on_policy.config import PPOConfig
    from agents.on_policy.native_steps import NativeSteps
    from helpers.parallel.workers import Workers
    from helpers.seeding import Streams

    torch.set_num_threads(1)
    config = PPOConfig(
        algo="ppo",
        rollout_len=rollout_len,
        batch_size=batch_size,
        num_envs=NUM_ENVS,
        num_timesteps=rollout_len,
    )
    with gymnasium.make(env_id) as example:
        spaces = (example.observation_space, example.action_space)
    agent: Any = make_agent(
        config,
        observation_space=spaces[0],
        action_space=spaces[1],
        workers=Workers.solo(),
        streams=Streams(0),
        environments=slice(0, NUM_ENVS),
    )
    if not isinstance(agent.gradient_steps, NativeSteps):
        raise SystemExit("the limit takes the kernel, which was not built\n  install gcc")
    data, order = _samples(spaces, rollout_len, batch_size)
    sizes = {"policy": 1e-5, "value": 1e-5}
    data["old_log_prob"] = agent.gradient_steps.log_probs(data, order)
    best = float("inf")
    for _ in range(TAKES):
        started = time.perf_counter()
        for _ in range(4):
            agent.gradient_steps.epoch(data, order, sizes)
        best = min(best, time.perf_counter() - started)
    return best / (4 * len(order))


def _samples(spaces: Sequence[Any], rollout_len: int, batch_size: int) -> tuple[dict, Any]:
    """A rollout of noise as the kernel takes it, and minibatches of it (M, B)."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator)

    observations = normal(rollout_len, *spaces[0].shape)
    data = {"policy_input": observations, "value_input": observations}
    data["action"] = normal(rollout_len, *spaces[1].shape)
    data |= {name: normal(rollout_len) for name in ("advantage", "target", "old_value")}
    return data, torch.randperm(rollout_len, generator=generator).view(-1, batch_size)


def main() -> int:
    """Measure and print the RESULT line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--env_id", default="Hopper-v5")
    parser.add_argument("--rollout_len", type=int, default=2048)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        play_when_asked(options.env_id, options.seed)
        return 0
    alone, together = physics_rates(options.env_id)
    step = gradient_seconds(options.env_id, options.rollout_len, options.batch_size)
    physics = options.rollout_len / together
    update = EPOCHS * options.rollout_len / options.batch_size * step / CORES
    result = {
        "steps_per_second": options.rollout_len / (physics + update),
        "rollout_s": physics,
        "update_s": update,
        "physics_one_core": alone,
        "physics_two_cores": together,
        "gradient_step_us": 1e6 * step,
    }
    print("RESULT " + json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
