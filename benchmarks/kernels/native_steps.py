"""Gradient steps to be timed: agents on samples of noise, with HalfCheetah-v5's sizes and expert.

`make` gives a function of a number of steps, native or in eager torch; no environment is stepped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from agents.algorithms import ALGORITHMS
from agents.base import Transitions, environment_reward
from agents.factory import make_agent
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

ROOT = Path(__file__).resolve().parents[2]
OBSERVATION, ACTION = 17, 6
NUM_ENVS, ROLLOUT = 2, 2048
PPO_WIDTH = 64
Take = Callable[[int], None]


def make(kind: str, algo: str, batch_size: int, *, compile_: bool) -> Take:
    """Steps of this kind ("ppo", "replay", "imitation", "discriminator").

    Args:
        algo: whose.
        batch_size: samples of a minibatch.
        compile_: native, or torch as it stands.
    """
    makers = {
        "ppo": ppo,
        "replay": replay,
        "imitation": imitation,
        "discriminator": discriminator,
    }
    settings = {"compile": compile_, "num_timesteps": 10_000, "rollout_len": ROLLOUT}
    if kind == "discriminator":
        return discriminator(agent_of(algo, {**settings, "d_batch_size": batch_size}))
    return makers[kind](agent_of(algo, {**settings, "batch_size": batch_size}))


def agent_of(algo: str, settings: dict[str, Any]) -> Any:
    """An agent of one worker, otherwise as configured by default; demonstrations are HalfCheetah-v5's."""
    kind = ALGORITHMS[algo]
    fields = kind.settings_for(settings)
    own: dict[str, Any] = {"num_envs": NUM_ENVS}
    if "steps_per_iteration" in fields:
        own["steps_per_iteration"] = ROLLOUT
    if "expert_path" in fields:
        own |= {"expert_path": str(ROOT / "data/demos/HalfCheetah-v5"), "num_demos": 4}
    config = kind(**{"algo": algo, "env_id": "HalfCheetah-v5", **own, **settings})
    return make_agent(
        config,
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION,)),
        action_space=gymnasium.spaces.Box(-1.0, 1.0, (ACTION,), np.float32),
        workers=Workers.solo(),
        streams=Streams(0),
        environments=slice(0, NUM_ENVS),
    )


def rollout() -> Transitions:
    """Noise (T, N, ...), an episode's end in a hundred steps."""
    rng, shape = np.random.default_rng(0), (ROLLOUT // NUM_ENVS, NUM_ENVS)

    def normal(*more: int) -> np.ndarray:
        return rng.normal(size=(*shape, *more)).astype(np.float32)

    return Transitions(
        observations=normal(OBSERVATION),
        actions=rng.uniform(-1.0, 1.0, (*shape, ACTION)).astype(np.float32),
        rewards=normal(),
        next_observations=normal(OBSERVATION),
        terminated=rng.random(shape) < 0.01,
        truncated=np.zeros(shape, dtype=np.bool_),
    )


def ppo(agent: Any) -> Take:
    """Minibatches of a rollout in memory, one after the other."""
    generator = torch.Generator().manual_seed(0)

    def normal(*more: int) -> torch.Tensor:
        return torch.randn(ROLLOUT, *more, generator=generator)

    observations = normal(OBSERVATION)
    data = {"policy_input": observations, "value_input": observations, "action": normal(ACTION)}
    data |= {name: normal() for name in ("advantage", "target", "old_value")}
    order = torch.randperm(ROLLOUT, generator=generator).view(-1, agent.config.batch_size)
    data["old_log_prob"] = agent.gradient_steps.log_probs(data, order)

    def take(count: int) -> None:
        while count:
            now = order[: min(count, len(order))]
            agent.gradient_steps.epoch(data, now, {"policy": 1e-5, "value": 1e-5})
            count -= len(now)

    return take


def operations(batch_size: int) -> float:
    """Multiplications and additions of the matrix products of PPO's step, both nets, forward and backward."""
    total = 0.0
    for outputs in (ACTION, 1):
        sizes = (OBSERVATION, PPO_WIDTH, PPO_WIDTH, outputs)
        for i, (inputs, width) in enumerate(zip(sizes, sizes[1:], strict=False)):
            products = 2 if i == 0 else 3  # nothing lies before the observations
            total += 2.0 * products * batch_size * inputs * width
    return total


def replay(agent: Any) -> Take:
    """Gradient steps on a minibatch that was drawn before; drawing is not in them."""
    agent.memory.add(rollout())
    agent.batch.draw(environment_reward, progress=0.0)

    def take(count: int) -> None:
        for _ in range(count):
            agent.algorithm.update(agent.trainer)
            agent.trainer.updates += 1

    return take


def imitation(agent: Any) -> Take:
    """A step of the discriminator, and one of the learner on a minibatch whose rewards it gives."""
    there, learner = rollout(), agent.learner
    learner.memory.add(there)
    sample = _sample(there)

    def take(count: int) -> None:
        for _ in range(count):
            agent.model.update(sample)
            learner.batch.draw(agent.reward, progress=0.0)
            learner.algorithm.update(learner.trainer)
            learner.trainer.updates += 1

    return take


def discriminator(agent: Any) -> Take:
    """Steps of the discriminator alone, drawing its samples too."""
    sample = _sample(rollout())

    def take(count: int) -> None:
        for _ in range(count):
            agent.model.update(sample)

    return take


def _sample(there: Transitions) -> Any:
    """The policy's side of a minibatch."""
    from agents.imitation.agent import FromRollout

    sample = FromRollout(there)
    sample.end_rate = sample.ends / sample.count
    return sample
