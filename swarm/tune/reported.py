"""What a trial reports to Ray: the metrics of Plato's document under their names, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from helpers.config.run import RunConfig
from helpers.trackers.jsonl import is_number

# Ray adds its own: training_iteration, time_total_s, pid, done ...
OF_RAY = (
    "done", "iterations_since_restore", "pid", "time_since_restore", "time_this_iter_s", "time_total_s",
    "timestamp", "timesteps_since_restore", "timesteps_total", "training_iteration", "episodes_total",
)  # fmt: skip
OF_DOCUMENT = (
    "agent_timesteps_total", "episode_len_mean", "episode_reward_max", "episode_reward_mean", "episode_reward_min",
    "episodes_this_iter", "num_agent_steps_sampled", "num_agent_steps_trained", "num_env_steps_sampled",
    "num_env_steps_sampled_this_iter", "num_env_steps_trained", "num_env_steps_trained_this_iter",
    "num_faulty_episodes", "num_healthy_workers", "num_in_flight_async_reqs", "num_remote_worker_restarts",
    "num_steps_trained_this_iter", "warmup_time",
)  # fmt: skip
COUNTERS = (
    "training_iteration",
    "timesteps_total",
    "time_total_s",
    "episodes_total",
    "iteration",
    "step",
)
OURS = ("iteration", "step", "report", "generation")
_GROUPS = re.compile(
    r"(rollout|time|update|policy|critic|value|reward|memory|discriminator|dataset|distillation|inverse_dynamics)/.+",
)


def is_reported(name: str, config: RunConfig) -> bool:
    """Whether trials report a metric of this name; of an algorithm's own, only that the name may be one."""
    if name.startswith("eval/"):
        return bool(config.eval_frequency)
    return name in (*OF_RAY, *OF_DOCUMENT, *OURS) or bool(_GROUPS.fullmatch(name))


def report_of(
    rows: Sequence[Mapping[str, Any]],
    *,
    before: Mapping[str, Any] | None,
    workers: int,
    restarts: int,
    warm_up: float,
    worst: float,
    awaited: Sequence[str] = (),
) -> dict[str, Any]:
    """The report of the iterations since the last one.

    Args:
        rows: of metrics.jsonl, at least one, in order.
        before: the last report; its returns stand where no episode has ended since.
        workers: of the trial.
        restarts: how often its process was started again.
        warm_up: seconds until its process was ready.
        worst: the return that stands before the first episode has ended.
        awaited: what decisions are made by; of an evaluation, the last one stands until the next.
    """
    last, before = rows[-1], before or {}
    ended = [row for row in rows if row.get("rollout/episodes")]
    episodes = sum(row["rollout/episodes"] for row in ended)
    steps = last["step"] - before.get("step", 0)
    found: dict[str, Any] = {
        "episode_reward_mean": before.get("episode_reward_mean", worst),
        "episode_reward_max": before.get("episode_reward_max", worst),
        "episode_reward_min": before.get("episode_reward_min", worst),
        "episode_len_mean": before.get("episode_len_mean", worst),
    }
    if ended:
        means = [(row["rollout/episodes"], row) for row in ended]
        found = {
            "episode_reward_mean": sum(n * row["rollout/return_mean"] for n, row in means)
            / episodes,
            "episode_reward_max": max(row["rollout/return_max"] for row in ended),
            "episode_reward_min": min(row["rollout/return_min"] for row in ended),
            "episode_len_mean": sum(n * row["rollout/length_mean"] for n, row in means) / episodes,
        }
    ours = {name: before.get(name, worst) for name in awaited if name.startswith("eval/")}
    ours |= {name: value for row in rows for name, value in row.items() if is_number(value)}
    return {
        **ours,
        **found,
        "episodes_this_iter": episodes,
        "timesteps_this_iter": steps,
        "agent_timesteps_total": last["step"],
        "num_agent_steps_sampled": last["step"],
        "num_agent_steps_trained": last["step"],
        "num_env_steps_sampled": last["step"],
        "num_env_steps_sampled_this_iter": steps,
        "num_env_steps_trained": last["step"],
        "num_env_steps_trained_this_iter": steps,
        "num_steps_trained_this_iter": steps,
        "num_faulty_episodes": 0,  # a run whose environment gives what is not finite ends
        "num_in_flight_async_reqs": 0,  # rollouts and updates take turns
        "num_healthy_workers": workers,
        "num_remote_worker_restarts": restarts,
        "warmup_time": warm_up,
    }
