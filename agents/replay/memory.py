"""The replay memory: this worker's share of what the run has seen last, a ring of raw transitions.

A transition is one record, all of its columns side by side, so that a sample costs one look into memory, or
into a page of a file, and not one a column. Row t of the ring holds one step of each of this worker's N
environments: what lies above and below a record is the same environment a step earlier and later.

Nothing here draws a random number. What is sampled is a function of the uniforms that the caller gives, one
stream an environment, so that a run samples the same however its environments are spread over workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agents.base import RewardFunction, Transitions
from agents.replay import record_layout
from agents.replay.files import MemoryColumns
from agents.replay.frames import FrameStacks
from agents.replay.record_layout import RecordLayout, frame_shape, load_rows
from agents.replay.sum_tree import SumTree
from helpers.checkpoints.shards import Shard
from helpers.errors import CheckpointError, NumericalError

Batch = dict[str, np.ndarray]

PRIORITY_FLOOR = 1e-6  # added to every TD error: each transition keeps a positive probability
# a ring is saved in 64 blocks, of 256 KiB at least and 4 MiB at most
_SHARDS, _SMALLEST, _LARGEST = 64, 2**18, 2**22


class ReplayMemory:
    """A ring of `rows` steps of N environments; samples are the same number from each environment.

    Attributes:
        rows, environments: its size, R and N.
        added: rows that were ever added.
    """

    def __init__(
        self,
        *,
        rows: int,
        environments: int,
        observation_shape: tuple[int, ...],
        observation_dtype: np.dtype | str,
        action_shape: tuple[int, ...],
        action_dtype: np.dtype | str,
        dtype: np.dtype | str,
        n_step: int = 1,
        gamma: float = 0.99,
        priority_exponent: float = 0.0,
        folder: Path | None = None,
        on_full: Callable[[ReplayMemory], None] | None = None,
        workers_here: int = 1,
        frames: int = 1,
    ) -> None:
        """Take the memory, or the room on a disk, that a full ring needs.

        Args:
            rows: steps of each environment, the run's capacity over all its environments.
            environments: N, this worker's.
            observation_shape, observation_dtype: float32 or float64, uint8 for pixels.
            action_shape, action_dtype: () and int64 if they are discrete.
            dtype: of rewards and discounts.
            n_step: steps whose rewards are summed before a value is asked.
            gamma: discount a step.
            priority_exponent: 0 samples uniformly; alpha of arXiv:1511.05952, Eq. 1.
            folder: keeps the ring in a nameless file there, mapped into memory; gone with this process.
            on_full: called with this memory when its last row was written, before the first is overwritten.
            workers_here: how many workers of this machine take as much.
            frames: stacked in an observation, of each of which one copy is kept (frames.py); 1 keeps them whole.

        Raises:
            ConfigurationError: there is less memory, or disk, than that.
            StorageError: the folder cannot be written.
        """
        self.rows, self.environments = rows, environments
        self.added, self._generation = 0, 0
        self.ends = 0  # transitions in it that the task ended
        self._dtype = np.dtype(dtype)
        record = record_layout.record_dtype(
            observation=(np.dtype(observation_dtype), frame_shape(observation_shape, frames)),
            action=(np.dtype(action_dtype), action_shape),
            reward=self._dtype,
        )
        is_prioritised = priority_exponent > 0
        self._ring = RecordLayout(
            record_layout.allocate(
                rows,
                environments,
                record,
                folder=folder,
                beside=SumTree.bytes_for(rows, environments) if is_prioritised else 0,
                workers_here=workers_here,
            ),
        )
        self.observation_dtype = record["observations"].base
        self._columns = {name: self._ring.fields[name] for name in record.names or ()}
        self._stacks = FrameStacks(self._ring, frames) if frames > 1 else None
        self._tree = SumTree(rows, environments) if is_prioritised else None
        self._exponent = priority_exponent
        self._largest = np.ones(environments)  # priority of what is new, raised to the exponent
        self._priority_changes = 0
        self._n_step = n_step
        self._powers = gamma ** np.arange(n_step + 1)
        self._gamma = self._dtype.type(gamma)
        self._places = np.arange(environments)[:, None]
        self._scratch: dict[tuple[int, int], RecordLayout] = {}
        self._on_full = on_full

    @property
    def filled(self) -> int:
        """Rows that hold something."""
        return min(self.added, self.rows)

    @property
    def position(self) -> int:
        """The row that is written next."""
        return self.added % self.rows

    @property
    def capacity(self) -> int:
        """Transitions in a full ring, R N."""
        return self.rows * self.environments

    # Adding

    def add(self, transitions: Transitions) -> None:
        """Append T rows, arrays (T, N, ...), in place of the oldest."""
        steps, environments = transitions.rewards.shape
        if environments != self.environments:
            raise ValueError(f"{environments} environments for a memory of {self.environments}")
        start = 0
        while start < steps:
            position = self.position
            count = min(steps - start, self.rows - position)
            rows, given = slice(position, position + count), slice(start, start + count)
            if self.added >= self.rows:
                self.ends -= int(self._columns["terminated"][rows].sum())
            self.ends += int(transitions.terminated[given].sum())
            for name, column in self._columns.items():
                added = getattr(transitions, name)[given]
                if self._stacks is not None and name.endswith("observations"):
                    added = added[..., -column.shape[-1] :]  # the newest frame
                column[rows] = added
            if self._tree is not None:
                self._tree.fill(position, np.broadcast_to(self._largest, (count, environments)))
            self.added += count
            start += count
            if position + count == self.rows and self._on_full is not None:
                self._on_full(self)

    def cut(self) -> None:
        """Truncate the episodes under way: what is added next follows on nothing."""
        newest = (self.position - 1) % self.rows
        self._columns["truncated"][newest] |= ~self._columns["terminated"][newest]
        self._generation += 1  # its block is no longer what a checkpoint holds

    # Sampling

    def sample(self, uniforms: np.ndarray, into: Mapping[str, np.ndarray] | None = None) -> Batch:
        """A batch of N k transitions, k of each environment, those of one environment together.

        Args:
            uniforms: float64 (N, k) in [0, 1), each row from its environment's own stream.
            into: C-contiguous arrays to fill, by the names below; of the others only "index" and
                "probability" are given then.

        Returns:
            "observation", "action", "reward", "next_observation", "terminated", "truncated"; "discount",
            what multiplies the next value: gamma, or 0 where the task ended; "index" int64, row * N +
            environment; "probability" float64, only with priorities: among this environment's rows, so
            that (filled * probability) ** -beta is the importance weight (arXiv:1511.05952, section 3.4).

            With n_step > 1 the reward is sum_i gamma^i r_i over m steps, up to n, to the first end of an
            episode, or to the newest row; what comes next is that of the last of these steps, and the
            discount is gamma^m.
        """
        if not self.added:
            raise ValueError("an empty memory has nothing to sample")
        index, probability = self._draw(uniforms)
        first = last = self._take(index, 0)
        reward: np.ndarray = first.fields["rewards"]
        factor: Any = self._gamma
        if self._n_step > 1:
            reward, factor, end = self._look_ahead(index)
            last = self._take(end, 1)
        batch: Batch = {
            "observation": first.fields["observations"],
            "action": first.fields["actions"],
            "reward": reward,
            "next_observation": last.fields["next_observations"],
            "discount": np.logical_not(last.fields["terminated"]) * factor,
            "terminated": last.fields["terminated"],
            "truncated": last.fields["truncated"],
            "index": index,
        }
        if probability is not None:
            batch["probability"] = probability
        if self._stacks is not None:
            at = index if self._n_step == 1 else end
            batch |= self._stacks.pair(index, at, is_full=self.added >= self.rows)
        if into is None:
            return {name: array.copy() for name, array in batch.items()}
        for name, target in into.items():
            np.copyto(target, batch[name])
        places = {name: batch[name] for name in ("index", "probability") if name in batch}
        return places | dict(into)

    def _draw(self, uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Flat places (N k,), and the probability of each if they are not alike."""
        if self._tree is not None:
            rows, probability = self._tree.draw(uniforms)
            return (rows * self.environments + self._places).reshape(-1), probability.reshape(-1)
        index = np.empty(uniforms.shape, dtype=np.int64)
        if self._stacks is not None and self.added >= self.rows:
            index[:] = self._stacks.sampled_rows(uniforms, position=self.position)
        else:
            np.copyto(index, uniforms * self.filled, casting="unsafe")  # rounds down
        index *= self.environments
        index += self._places
        return index.reshape(-1), None

    def _take(self, index: np.ndarray, purpose: int) -> RecordLayout:
        """The records at flat places (B,), in scratch that the next call for this purpose overwrites."""
        key = (purpose, len(index))
        scratch = self._scratch.get(key)
        if scratch is None:
            records = np.zeros(len(index), dtype=self._ring.records.dtype)
            scratch = self._scratch[key] = RecordLayout(records)
        # "clip" lets numpy write straight into `out`; every index is in bounds
        self._ring.words.take(index, 0, scratch.words, "clip")
        return scratch

    def _look_ahead(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(sum of discounted rewards, gamma^m, place of the m-th step) of each sample, (B,)."""
        places, goes_on = self._ahead(index)
        rewards = self._ring.flat["rewards"][places] * self._powers[: self._n_step, None]
        steps = goes_on.sum(0)
        end = places[steps - 1, np.arange(len(index))]
        total = np.where(goes_on, rewards, 0.0).sum(0).astype(self._dtype)
        return total, self._powers[steps].astype(self._dtype), end

    def _ahead(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places (n, B) from each sample on, and whether a place is still one of its m steps, (n, B)."""
        row, environment = np.divmod(index, self.environments)
        ahead = (row + np.arange(self._n_step)[:, None]) % self.rows  # (n, B)
        places = ahead * self.environments + environment
        fields = self._ring.flat
        ended = fields["terminated"][places] | fields["truncated"][places]
        newest = (self.position - 1 - row) % self.rows  # steps from here to the newest row
        goes_on = np.ones(places.shape, dtype=np.bool_)
        for i in range(1, self._n_step):
            goes_on[i] = goes_on[i - 1] & ~ended[i - 1] & (i <= newest)
        return places, goes_on

    def relabel_rewards(self, index: np.ndarray, reward: RewardFunction) -> np.ndarray:
        """What `sample` gives as "reward" (B,), had the environment paid what `reward` says.

        It is asked once, for all steps of all samples, (n B,): the first of each, then the second ...
        Where a sample has m < n steps its last one stands in for the others, and counts once: so the
        form is always the same, and nothing is asked that does not belong to a sample.

        Args:
            index: where the samples lie, as `sample` gave it, before anything else is added.
            reward: of the policy and the discriminator of this moment.
        """
        places, goes_on = self._ahead(index)
        last = places[goes_on.sum(0) - 1, np.arange(len(index))]
        every = np.where(goes_on, places, last).reshape(-1)  # (n, B) -> (n B,)
        rewards = reward(self.transitions_at(every))
        discounted = np.reshape(rewards, places.shape) * self._powers[: self._n_step, None]
        total: np.ndarray = np.where(goes_on, discounted, 0.0).sum(0).astype(self._dtype)
        return total

    def transitions_at(self, index: np.ndarray) -> Transitions:
        """What lies at flat places (B,), row * N + environment: single steps, copies."""
        steps = self._take(index, 2).fields
        fields: dict[str, Any] = {name: np.array(steps[name]) for name in self._columns}
        if self._stacks is not None:
            seen = self._stacks.pair(index, index, is_full=self.added >= self.rows).items()
            fields |= {f"{name}s": each for name, each in seen}
        return Transitions(**fields)

    def update_priorities(self, index: np.ndarray, td_errors: np.ndarray) -> None:
        """Let a batch's absolute TD errors (B,) decide how often its transitions come again.

        Raises:
            NumericalError: one is not finite.
        """
        if self._tree is None:
            raise ValueError("this memory samples uniformly")
        masses = (np.abs(td_errors, dtype=np.float64) + PRIORITY_FLOOR) ** self._exponent
        if not np.isfinite(masses).all():
            raise NumericalError(
                "the TD error of a new priority is not finite",
                "the critic diverged: lower --q_lr; the last checkpoint is intact",
            )
        self._tree.set(index, masses)
        np.maximum.at(self._largest, index % self.environments, masses)
        self._priority_changes += 1

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """What is small; the rest are `shards`."""
        return {
            "rows": self.rows,
            "added": self.added,
            "generation": self._generation,
            "largest": self._largest.copy(),
            "priority_changes": self._priority_changes,
        }

    def shards(self, name: str = "memory") -> dict[str, Shard]:
        """The ring in blocks of rows, for a checkpoint; they refer to it.

        A block's version is the last row that was written into it, so that a save has to write no more
        than what is new. Priorities change everywhere all the time: theirs is one for all.
        """
        shards = {}
        for block, (start, stop) in enumerate(self._blocks()):
            # the round of the ring in which the block's first row was written
            lap = (self.added - 1 - start) // self.rows
            newest = min(stop + lap * self.rows, self.added)
            version = f"{self._generation}.{start}-{stop}.{newest}"
            shards[f"{name}.transitions.{block:04d}"] = Shard(
                version,
                self._ring.records[start:stop],
            )
            if self._tree is not None:
                version = f"{self._generation}.{start}-{stop}.{self.added}.{self._priority_changes}"
                leaves = self._tree.leaves[start:stop]
                shards[f"{name}.priorities.{block:04d}"] = Shard(version, leaves)
        return shards

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """(first, last + 1) rows of each block that holds something."""
        row_bytes = self._ring.records.dtype.itemsize * self.environments
        size = min(max(self.rows * row_bytes // _SHARDS, _SMALLEST), _LARGEST)
        count = max(1, size // row_bytes)
        for start in range(0, self.filled, count):
            yield start, min(start + count, self.filled)

    def load(
        self,
        state: Mapping[str, Any],
        shards: Mapping[str, np.ndarray],
        name: str = "memory",
    ) -> None:
        """Take over what `state_dict` and `shards` gave.

        Raises:
            CheckpointError: of another size or other columns.
        """
        if state["rows"] != self.rows:
            raise CheckpointError(
                f"The replay buffer has {self.rows} rows, but {state['rows']} in the checkpoint.",
                "Continue with the --mem_size and --num_envs of that run.",
            )
        self.added, self._generation = state["added"], state["generation"]
        load_rows(self._ring.records[: self.filled], shards, f"{name}.transitions")
        self.ends = int(self._columns["terminated"][: self.filled].sum())
        if self._tree is not None:
            masses = np.zeros((self.filled, self.environments))
            load_rows(masses, shards, f"{name}.priorities")
            self._tree.fill(0, masses)
        self._largest[:] = state["largest"]
        self._priority_changes = state["priority_changes"]

    # Export and import

    def columns(self) -> dict[str, np.ndarray]:
        """All of it, (filled, N, size) by skrl's names, oldest row first; use or copy it before the next step."""
        records = self._ring.records[: self.filled]
        if self.filled == self.rows and self.position:
            records = np.roll(records, -self.position, axis=0)
        return record_layout.as_columns(records)

    def fill_from(self, columns: MemoryColumns, environments: slice = slice(None)) -> None:
        """Hold what was exported, oldest row first, and nothing else.

        Args:
            columns: arrays (T, all environments, size) by skrl's names.
            environments: this worker's among them.

        Raises:
            ConfigurationError: it does not fit this memory: columns, shapes, dtypes, or too many rows.
        """
        count = record_layout.from_columns(columns, environments, self._ring.records)
        self.added, self._generation = count, self._generation + 1
        self.ends = int(self._columns["terminated"][:count].sum())
        if self._tree is not None:
            self._largest[:] = 1.0
            self._tree.fill(0, np.ones((count, self.environments)))
            self._tree.fill(count, np.zeros((self.rows - count, self.environments)))
