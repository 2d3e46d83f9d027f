"""Environments of slow simulators, stepped at once by processes beside this one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import socketpair
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from environments import same_step
from environments.processes.merging import cut_state, join_infos, join_states
from environments.processes.messages import ConnectionLost, Crashed, receive, send
from environments.processes.spaces import space_of
from environments.same_step import State
from helpers import errors
from helpers.errors import UserError

_LOG = logging.getLogger(__name__)
# The launcher's: a process that has them would take itself for one of its ranks.
_OF_THE_LAUNCHER = ("PMI_", "PMIX_", "PMI2_", "OMPI_", "HYDRA_", "HYDI_", "MPI_", "SLURM_PMI")
STEP_LIMIT = 120.0  # seconds that a step of all environments of a process may take
_BEGIN_LIMIT = 600.0  # seconds in which a process makes its environments
_CRASHES_IN_A_ROW = 2  # that are mended, without a single step in between
_HOME = Path(__file__).resolve().parents[2]


class Child:
    """A process with some of the environments.

    Args:
        part: which of the environments.
        wanted: what it is to make.

    Attributes:
        part: which of the environments.
        about: its description of them.
        restarts: how often it had to be started again.
    """

    def __init__(self, part: slice, wanted: Mapping[str, Any]) -> None:
        self.part, self.wanted, self.restarts = part, dict(wanted), 0
        self.about: dict[str, Any] = {}
        self._stepped, self._crashes = True, 0  # since its last step
        self._begin()

    def _begin(self) -> None:
        mine, theirs = socketpair()
        self._words = tempfile.TemporaryFile()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_OF_THE_LAUNCHER)}
        path = os.pathsep.join([str(_HOME), *filter(None, [kept.get("PYTHONPATH")])])
        command = ["-m", "environments.processes.child", str(theirs.fileno()), str(os.getpid())]
        self._process = subprocess.Popen(
            [sys.executable, *command],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._words,
            stderr=self._words,
            env=kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        theirs.close()
        self._connection = mine
        self.send(self.wanted)

    def hear_of_its_environments(self) -> None:
        """Wait until they are made."""
        self.about = self.receive(_BEGIN_LIMIT)

    def send(self, message: Any) -> None:
        """Ask for something; that nobody listens is found when the answer is waited for."""
        try:
            send(self._connection, message)
        except ConnectionLost:
            pass

    def receive(self, limit: float | None = None) -> Any:
        """The answer, waited for `STEP_LIMIT` unless another limit is given.

        Raises:
            UserError: as it was raised there, by a user's code too; that traceback is its cause.
            Crashed: an environment raised something else, the process is gone, or it took too long.
        """
        limit = STEP_LIMIT if limit is None else limit
        self._connection.settimeout(limit)
        try:
            answer = receive(self._connection)
        except TimeoutError:
            raise Crashed(f"no answer in {limit:g} s") from None
        except ConnectionLost:
            raise Crashed(self._last_words()) from None
        if "crashed" in answer:
            raise Crashed(answer["crashed"].strip())
        if "refused" in answer:
            kind, problem, remedy = answer["refused"]
            refusal = getattr(errors, kind, UserError)(problem, remedy)
            raise refusal from Crashed(answer["trace"])
        self._stepped = True
        return answer["done"]

    def _last_words(self) -> str:
        self._process.wait()
        self._words.seek(0)
        said = self._words.read()[-4000:].decode(errors="replace").strip()
        status = self._process.returncode
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return f"{said}\nthe process ended with {how}".strip()

    def restart(self, why: Crashed) -> np.ndarray:
        """Begin anew with other seeds after a crash; the first observations.

        Raises:
            UserError: it crashes again and again.
        """
        self.close()
        # The same seeds could lead to the same crash.
        self._crashes = 1 if self._stepped else self._crashes + 1
        while self._crashes <= _CRASHES_IN_A_ROW:
            self.restarts += 1
            again = np.random.SeedSequence([*self.wanted["seeds"], self.restarts])
            seeds = again.generate_state(len(self.wanted["seeds"])).tolist()
            self._stepped = False
            self._begin()
            try:
                self.hear_of_its_environments()
                self.send({"call": "reset", "seed": seeds, "options": None})
                observations: np.ndarray = self.receive()[0]
            except Crashed as error:
                why = error
                self.close()
                self._crashes += 1
                continue
            self._stepped = False
            return observations
        raise why.refusal(
            f"{self.wanted['env_id']}: a process of environments crashed {self._crashes} times in a row.",
            "Mend the environment; --env_processes=0 steps it in the worker, where a debugger sees it.",
        ) from why

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._words.close()


class ProcessVectorEnv(VectorEnv):
    """N environments in processes: a `SameStepEnv` with the numbers and the state of those without processes.

    What a user's code raises is raised here, as without processes. Where a process dies, is lost in a simulator or
    takes longer than `STEP_LIMIT`, it is started again, with other seeds. The episodes of
    its environments are truncated: reward 0, the last observation, and `infos["simulator_failed"]`.

    Args:
        env_id: canonical.
        seeds: one for each environment.
        options, backend, max_episode_steps: as `make_vector_env` takes them.
        processes: how many; no more than environments.

    Attributes:
        failures: how often a simulator or a process failed.
    """

    def __init__(
        self,
        env_id: str,
        *,
        seeds: Sequence[int],
        options: Mapping[str, Any],
        backend: str,
        max_episode_steps: int | None,
        processes: int,
    ) -> None:
        self.env_id, self.backend, self.seeds = env_id, backend, list(seeds)
        self.num_envs, self.render_mode = len(seeds), None
        parts = _shares(self.num_envs, processes)
        wanted = {
            "env_id": env_id,
            "options": dict(options),
            "backend": backend,
            "max_episode_steps": max_episode_steps,
            "cores": len(parts),
        }
        self._children = [Child(part, wanted | {"seeds": list(self.seeds[part])}) for part in parts]
        try:
            for child in self._children:
                child.hear_of_its_environments()
        except Crashed as error:
            self.close()
            raise error.refusal(
                f"{env_id} cannot be made in a process.",
                "Make it in the worker to see more: --env_processes=0.",
            ) from error
        except UserError:
            self.close()
            raise
        about = self._children[0].about
        self.max_episode_steps: int = about["max_episode_steps"]
        self.single_observation_space = space_of(about["observations"])
        self.single_action_space = space_of(about["actions"])
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.metadata = {
            "render_fps": about["render_fps"],
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self._observations = np.zeros(
            self.observation_space.shape or (self.num_envs,),
            self.observation_space.dtype,
        )
        self._awake = np.ones(self.num_envs, dtype=np.bool_)
        self._crashes = 0
        self._failures = [0] * len(self._children)

    @property
    def failures(self) -> int:
        """How often a simulator or a process failed."""
        return self._crashes + sum(self._failures)

    @property
    def inexact_because(self) -> str:
        """Why a saved state begins new episodes; "" where it resumes bit for bit."""
        first = self._children[0]
        first.send({"call": "inexact_because"})
        return str(self._receive(first))

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every environment, from its seed unless another is given.

        Raises:
            UserError: a process crashed.
        """
        if seed is None and options is None:
            seed = list(self.seeds)
        each = same_step.one_seed_each(seed, self.num_envs)
        chosen = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=np.bool_))
        asked = [child for child in self._children if chosen[child.part].any()]
        for child in asked:
            mine = None if options is None else {"reset_mask": chosen[child.part]}
            child.send({"call": "reset", "seed": each[child.part], "options": mine})
        infos = []
        for child in asked:
            observations, info = self._receive(child)
            self._observations[child.part] = observations
            infos.append((child.part, info))
        self._awake |= chosen
        return self.observations, join_infos(infos, self.num_envs)

    def step(
        self,
        actions: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every environment; processes all of whose environments rest are left alone."""
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), dtype=np.bool_)
        asked = [child for child in self._children if self._awake[child.part].any()]
        for child in asked:
            child.send({"call": "step", "actions": np.asarray(actions)[child.part]})
        infos = []
        for child in asked:
            part = child.part
            try:
                observations, rewards[part], terminated[part], truncated[part], info, failures = (
                    child.receive()
                )
            except Crashed as error:
                observations, info = self._replace(child, error)
                truncated[part] = self._awake[part]
            else:
                self._failures[self._children.index(child)] = failures
            self._observations[part] = observations
            infos.append((part, info))
        return (
            self.observations,
            rewards,
            terminated,
            truncated,
            join_infos(infos, self.num_envs),
        )

    def _replace(self, child: Child, error: Crashed) -> tuple[np.ndarray, dict[str, Any]]:
        """First observations and infos after a crash."""
        self._crashes += 1
        _LOG.warning(
            "%s: a process of environments crashed; its episodes are truncated, and it is started again.\n%s",
            self.env_id,
            error,
        )
        last = self._observations[child.part].copy()
        awake = self._awake[child.part]
        observations = child.restart(error)
        resting = np.flatnonzero(~awake)
        if len(resting):
            child.send({"call": "rest", "chosen": ~awake})
            child.receive()
            observations[resting] = last[resting]
        final = np.full(len(last), None, dtype=object)
        for index in np.flatnonzero(awake):
            final[index] = last[index]
        failed = {"simulator_failed": awake.copy(), "_simulator_failed": awake.copy()}
        info = {"final_obs": final, "_final_obs": awake.copy()}
        return observations, info | {"final_info": failed, "_final_info": awake.copy()}

    def _receive(self, child: Child) -> Any:
        try:
            return child.receive()
        except Crashed as error:
            raise error.refusal(
                f"{self.env_id}: a process of environments crashed.",
                "The last checkpoint is intact; --env_processes=0 steps it in the worker.",
            ) from error

    def rest(self, chosen: np.ndarray) -> None:
        """Step environments no more, where a mask (N,) is set, until they are reset."""
        for child in self._children:
            if chosen[child.part].any():
                child.send({"call": "rest", "chosen": chosen[child.part]})
                self._receive(child)
        self._awake &= ~chosen

    def successors(self, observations: np.ndarray, infos: Mapping[str, Any]) -> np.ndarray:
        """The true next observations (N, obs_dim): the last one of an episode where one ended."""
        return same_step.successors(observations, infos)

    def picture(self, index: int) -> Any:
        """There is none: what draws is in another process."""
        raise NotImplementedError("environments that are drawn are stepped without processes")

    @property
    def time_step(self) -> float | None:
        """Simulated seconds between two actions."""
        found: float | None = self._children[0].about["time_step"]
        return found

    @property
    def names(self) -> same_step.Names:
        """Of the components of an observation and of an action."""
        observations, actions = self._children[0].about["names"]
        return observations, actions

    @property
    def observations(self) -> np.ndarray:
        """A copy of what the last call arrived at, (N, obs_dim)."""
        return self._observations.copy()

    def state_dict(self) -> State:
        """As the environments without processes give it."""
        for child in self._children:
            child.send({"call": "state_dict"})
        return join_states([self._receive(child) for child in self._children])

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken, with whatever number of processes.

        Raises:
            CheckpointError: it was taken of others than these.
        """
        same_step.check_origin(state, self)
        for child in self._children:
            child.send({"call": "load_state_dict", "state": cut_state(state, child.part)})
        for child in self._children:
            self._observations[child.part] = self._receive(child)

    def close_extras(self, **_: Any) -> None:
        """End the processes."""
        for child in self._children:
            child.close()


def _shares(count: int, processes: int) -> list[slice]:
    """Of `count` environments, as equal as they can be."""
    bounds = np.linspace(0, count, min(processes, count) + 1).round().astype(int).tolist()
    return [slice(start, stop) for start, stop in zip(bounds, bounds[1:], strict=False)]
