"""The loop: collect a rollout, update, evaluate, log, save, stop. It never asks which algorithm runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from agents.base import FINGERPRINTS, Agent, State, Transitions
from helpers.config.run import RunConfig
from helpers.episodes import Episode, run_episodes, shared_summary
from helpers.finite import Watch
from helpers.parallel.profile import share_metrics
from helpers.parallel.stopwatch import Stopwatch
from helpers.parallel.workers import Workers
from helpers.trackers.skrl_metrics import LENGTH, RETURN, REWARD

if TYPE_CHECKING:
    from helpers.checkpoints.policy_files import PolicyFiles
    from helpers.checkpoints.store import Checkpoint, Checkpoints
    from helpers.parallel.deadline import Deadline

EnvStep = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]


class VectorEnvironment(Protocol):
    """What the loop needs of a vector environment in SAME_STEP autoreset."""

    num_envs: int
    single_observation_space: Any
    single_action_space: Any
    backend: str  # what steps it, for the user to read

    @property
    def failures(self) -> int: ...  # how often a simulator failed, which truncated an episode

    @property
    def observations(self) -> np.ndarray: ...  # (N, obs_dim), what the last call arrived at

    @property
    def inexact_because(
        self,
    ) -> str: ...  # why a loaded state begins new episodes; "" if it resumes

    def reset(self, *, seed: Any = None) -> tuple[np.ndarray, dict[str, Any]]: ...
    def step(self, actions: np.ndarray) -> EnvStep: ...
    def successors(self, observations: np.ndarray, infos: Mapping[str, Any]) -> np.ndarray: ...
    def state_dict(self) -> State: ...
    def load_state_dict(self, state: State) -> None: ...
    def close(self) -> None: ...


class Tracker(Protocol):
    """Takes one row of metrics an iteration, and scalars at any step."""

    def log(self, row: Mapping[str, Any]) -> None: ...
    def scalars(self, values: Mapping[str, float], step: int) -> None: ...
    def sync(self) -> None: ...


class Progress(Protocol):
    """Shows a row to the person at the terminal."""

    def update(self, row: Mapping[str, Any]) -> None: ...
    def message(self, text: str) -> None: ...


@dataclass
class RolloutState:
    """Where a worker's environments stand between two rollouts.

    Attributes:
        observations: (N, obs_dim), what the policy sees next.
        returns, lengths: (N,), of the episodes under way.
        finished: (return, length) of the episodes that ended since `drain`.
    """

    observations: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray
    finished: list[tuple[float, int]]

    @classmethod
    def start(cls, observations: np.ndarray) -> RolloutState:
        """At the first step of every environment's first episode."""
        count = len(observations)
        return cls(observations, np.zeros(count), np.zeros(count, dtype=np.int64), [])

    def restart(self, observations: np.ndarray) -> None:
        """At the first step of new episodes: those under way were cut, and do not count."""
        self.observations = observations
        self.returns[:] = self.lengths[:] = 0

    def advance(self, observations: np.ndarray, rewards: np.ndarray, ended: np.ndarray) -> None:
        """One step of every environment."""
        self.observations = observations
        self.returns += rewards
        self.lengths += 1
        if not np.count_nonzero(ended):
            return
        for i in np.flatnonzero(ended):
            self.finished.append((float(self.returns[i]), int(self.lengths[i])))
            self.returns[i] = self.lengths[i] = 0

    def drain(self) -> tuple[np.ndarray, np.ndarray]:
        """(episodes, sum of returns, sum of lengths) and (largest return, -smallest) since the last call."""
        returns, lengths = [r for r, _ in self.finished], [n for _, n in self.finished]
        self.finished = []
        extremes = [max(returns, default=-np.inf), max((-r for r in returns), default=-np.inf)]
        totals = np.array([len(returns), sum(returns), sum(lengths)], dtype=np.float64)
        return totals, np.array(extremes)


def rollout_generator(
    environment: VectorEnvironment,
    agent: Agent,
    state: RolloutState,
    *,
    dtype: np.dtype,
    stopwatch: Stopwatch,
) -> Iterator[Transitions]:
    """Rollouts of `agent.rollout_len` steps of every environment, for ever; `state` moves along.

    Those of an agent that takes none are empty, and no environment is stepped.
    """
    if not agent.rollout_len:
        space = environment.single_action_space
        yield from repeat(Transitions.empty(0, state.observations, space, dtype))
    while True:
        rollout: Transitions | None = None
        for t in range(agent.rollout_len):
            observations = state.observations
            with stopwatch.policy:
                actions, _ = agent.predict(observations, explore=True)
            with stopwatch.physics:
                after, rewards, terminated, truncated, infos = environment.step(actions)
                successors = environment.successors(after, infos)
            if rollout is None:
                rollout = Transitions.empty(agent.rollout_len, observations, actions[0], dtype)
            rollout.observations[t] = observations
            rollout.actions[t] = actions
            rollout.rewards[t] = rewards
            rollout.next_observations[t] = successors
            rollout.terminated[t] = terminated
            rollout.truncated[t] = truncated
            state.advance(after, rewards, terminated | truncated)
        assert rollout is not None
        yield rollout


class Orchestrator:
    """Trains an agent, iteration after iteration, so that it can stop anywhere and resume exactly.

    Args:
        agent: learns; this class calls `predict`, `update`, `state_dict` and, on it, knows `tracking`.
        environment: this worker's training environments.
        evaluation: this worker's evaluation environments, one an episode, and their seeds.
        config: the run's configuration.
        workers, checkpoints, tracker, progress, deadline: as their names say.
        elapsed: seconds that earlier sessions of this run trained.
        policies: writes models for sharing, where that is wanted.
        before_save: collective, before each checkpoint: keeps what a checkpoint relies on.

    Attributes:
        saved: the iteration of the last checkpoint.
        after_iteration: called with each row of metrics, once it is logged.
    """

    def __init__(
        self,
        agent: Agent,
        environment: VectorEnvironment,
        *,
        evaluation: tuple[VectorEnvironment | None, Sequence[int]],
        config: RunConfig,
        workers: Workers,
        checkpoints: Checkpoints,
        tracker: Tracker,
        progress: Progress,
        deadline: Deadline,
        elapsed: float = 0.0,
        policies: PolicyFiles | None = None,
        before_save: Callable[[], None] | None = None,
    ) -> None:
        self.agent, self.environment, self.config = agent, environment, config
        self.evaluation = evaluation
        self.workers, self.checkpoints, self.deadline = workers, checkpoints, deadline
        self.tracker, self.progress, self.elapsed = tracker, progress, elapsed
        self.policies, self.before_save = policies, before_save
        steps = agent.rollout_len * config.num_envs or 1
        self.steps_per_iteration = steps * agent.rollouts_per_iteration
        self.iteration = self.saved = self.steps = 0
        self.best_return: float | None = None
        self.rollout_state = RolloutState.start(environment.reset()[0])
        self.rollouts = rollout_generator(
            environment,
            agent,
            self.rollout_state,
            dtype=np.dtype(config.precision),
            stopwatch=workers.stopwatch,
        )
        self.tracking = agent.tracking
        self.tracking.writer.connect(tracker.scalars)
        self.tracking.sources.append(self._track_episodes)
        self._rewards = self.tracking.gather(REWARD)
        space = environment.single_observation_space
        self._watch = Watch(config.env_id, space, progress.message)
        self._episodes_tracked = self._failures_counted = 0
        self._is_new = True  # there is no checkpoint of it yet
        self.after_iteration: list[Callable[[Mapping[str, Any]], None]] = []

    @property
    def num_iterations(self) -> int:
        """The last iteration, as long as the settings stay what they are."""
        left = self.config.num_timesteps - self.steps
        return self.iteration + max(0, math.ceil(left / self.steps_per_iteration))

    def train(self, *, until: int | None = None, save: bool = True) -> str | None:
        """Iterate to the end, or to iteration `until`; why it stopped early, or None.

        Args:
            until: stop after this iteration.
            save: also after the last iteration of this call, where no checkpoint is due.
        """
        last = min(self.num_iterations, until or self.num_iterations)
        if self._is_new:
            self.save()  # a dry run: an unwritable disk is found before hours of work
            self._is_new = False
        stopwatch = self.workers.stopwatch
        stopwatch.start()
        while self.iteration < last and not self.is_done:
            row = self.do_iteration()
            is_best = self._evaluate_if_due(row)
            self._sync_check_if_due()
            lap = stopwatch.lap()  # logging and saving count into the next iteration
            seconds = float(lap.sum())
            self.elapsed += seconds
            row["time/elapsed"] = self.elapsed
            row["time/steps_per_second"] = self.steps_per_iteration / seconds
            row |= share_metrics(lap, workers=self.workers)
            with stopwatch.logging:
                self.tracker.log(row)
                self.progress.update(row)
                for call in self.after_iteration:
                    call(row)
            reason = self.deadline.should_stop(self.iteration)
            due = self.iteration % self.config.save_frequency == 0
            is_end = self.iteration == (last if save else self.num_iterations) or self.is_done
            if due or is_best or reason or is_end:
                self.save(best=is_best)
            if reason and self.iteration < last and not self.is_done:
                return reason
        return None

    @property
    def is_done(self) -> bool:
        """Whether the agent has nothing more to learn; the same on every worker."""
        return bool(getattr(self.agent, "is_done", False))

    def do_iteration(self) -> dict[str, Any]:
        """Sample rollouts, learn from each; the row of metrics."""
        metrics: dict[str, Any] = {}
        collecting = learning = 0.0
        step = self.steps
        steps = self.steps_per_iteration // self.agent.rollouts_per_iteration
        for _ in range(self.agent.rollouts_per_iteration):
            started = time.perf_counter()
            rollout = next(self.rollouts)
            collected = time.perf_counter()
            self._watch.look(self.iteration + 1, rollout.rewards, rollout.next_observations)
            with self.workers.stopwatch.gradient:
                metrics |= self.agent.update(rollout)
            collecting += collected - started
            learning += time.perf_counter() - collected
            self._rewards.add(rollout.rewards)
            self.tracking.advance(step, step + steps)
            step += steps
            if self.policies is not None:
                is_last = step >= self.config.num_timesteps or self.is_done
                self.policies.write_if_due(step, self.agent, since=steps, is_last=is_last)
        self.tracking.collect()
        metrics = self._episode_metrics() | metrics
        self.iteration += 1
        self.steps = step
        head = {"iteration": self.iteration, "step": step}
        return head | metrics | {"time/rollout": collecting, "time/update": learning}

    def _track_episodes(self) -> None:
        """Of those that ended since the last call."""
        episodes = self.rollout_state.finished[self._episodes_tracked :]
        self._episodes_tracked += len(episodes)
        self.tracking.spread(RETURN, np.array([return_ for return_, _ in episodes]))
        self.tracking.spread(LENGTH, np.array([length for _, length in episodes]))

    def _episode_metrics(self) -> dict[str, Any]:
        """Of the episodes that ended in this iteration, over all workers; collective."""
        (sums, extremes), self._episodes_tracked = self.rollout_state.drain(), 0
        failures = self.environment.failures
        sums = np.append(sums, float(failures - self._failures_counted))
        self._failures_counted = failures
        self.workers.sum_(sums)
        self.workers.max_(extremes)
        episodes, returns, lengths, failed = sums
        row: dict[str, Any] = {"rollout/episodes": int(episodes), "rollout/return_mean": None}
        if episodes:
            row["rollout/return_mean"] = float(returns / episodes)
            row["rollout/return_max"], row["rollout/return_min"] = extremes * (1.0, -1.0)
            row["rollout/length_mean"] = float(lengths / episodes)
        if failed:
            row["rollout/simulator_failures"] = int(failed)
        return row

    def _evaluate_if_due(self, row: dict[str, Any]) -> bool:
        """Evaluate every `eval_frequency` iterations and at the end; whether it was the best yet."""
        frequency = self.config.eval_frequency
        is_last = self.iteration >= self.num_iterations or self.is_done
        if not frequency or (self.iteration % frequency and not is_last):
            return False
        started = time.perf_counter()
        with self.workers.stopwatch.evaluation:
            summary = self.evaluate()
        row |= {f"eval/{name}": value for name, value in summary.items()}
        row["time/evaluation"] = time.perf_counter() - started
        if self.best_return is not None and summary["return_mean"] <= self.best_return:
            return False
        self.best_return = summary["return_mean"]
        return True

    def evaluate(self) -> dict[str, float]:
        """Deterministic episodes on their own seeds, shared by the workers."""
        environment, seeds = self.evaluation
        episodes: list[Episode] = []
        if seeds:
            physics = self.workers.stopwatch.evaluation_physics
            episodes = run_episodes(environment, self.agent, seeds=seeds, physics=physics)
        return shared_summary(episodes, workers=self.workers)

    def _sync_check_if_due(self) -> None:
        frequency = self.config.sync_frequency
        if frequency and self.iteration % frequency == 0:
            self.workers.assert_in_sync(self.agent.synchronised_arrays())

    # Saving

    def save(self, *, best: bool = False) -> None:
        """Commit a checkpoint of everything, on every worker; collective."""
        started = time.perf_counter()
        with self.workers.stopwatch.saving:
            self.tracker.sync()
            if self.before_save is not None:
                self.before_save()
            if self.policies is not None:
                self.policies.sync()
            self.checkpoints.save(
                self.iteration,
                shared={
                    "agent": self.agent.state_dict(),
                    "best_return": self.best_return,
                    "steps": self.steps,
                },
                local={
                    "environment": self.environment.state_dict(),
                    "observations": self.rollout_state.observations,
                    "returns": self.rollout_state.returns,
                    "lengths": self.rollout_state.lengths,
                    "agent": self.agent.local_state_dict(),
                    "tracking": self.tracking.state_dict(),
                },
                shards=self.agent.shards(),
                best=best,
            )
        self.saved = self.iteration
        self.deadline.note_save(time.perf_counter() - started)

    def load(self, checkpoint: Checkpoint, *, accepts_changes: bool = False) -> None:
        """Continue from a checkpoint as if nothing had happened; with accepted changes, by other files than it had."""
        self.iteration = self.saved = checkpoint.iteration
        self._is_new = False
        mine = self.agent.state_dict() if accepts_changes else {}
        other = {name: mine[name] for name in FINGERPRINTS if name in mine}
        self.agent.load_state_dict(checkpoint.shared["agent"] | other)
        self.agent.load_local_state_dict(checkpoint.local.get("agent", {}), checkpoint.shards)
        self.tracking.load_state_dict(checkpoint.local.get("tracking", {}))
        self.best_return = checkpoint.shared["best_return"]
        self.steps = checkpoint.shared.get("steps", self.iteration * self.steps_per_iteration)
        self.environment.load_state_dict(checkpoint.local["environment"])
        self._failures_counted = self.environment.failures
        self.rollout_state.observations = checkpoint.local["observations"]
        self.rollout_state.returns = checkpoint.local["returns"].copy()
        self.rollout_state.lengths = checkpoint.local["lengths"].copy()
        if self.environment.inexact_because:
            self.rollout_state.restart(self.environment.observations)
            getattr(self.agent, "cut_episodes", lambda: None)()
