"""Batched MuJoCo against Gymnasium: every number of every step, bit for bit.

`python -m benchmarks.bit_identity` steps each of the eleven tasks beside as many environments from
`gymnasium.make`, with random and with saturated actions, and writes docs/results/bit_identity.md.
`tests/environments/test_batched_mujoco.py` does the same, shorter.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

ROOT = Path(__file__).resolve().parent.parent

KINDS = ("random", "saturated")
HELD = 5  # steps for which a saturated action stays


@dataclass
class Comparison:
    """What was compared, and how it came out.

    Attributes:
        steps: of one environment each.
        episodes: that ended.
        numbers: compared: observations, rewards, ends, final observations, info terms.
        different: whose bits, type, shape or name differ.
        largest: difference between two numbers.
        first: where the first difference was found.
    """

    steps: int = 0
    episodes: int = 0
    numbers: int = 0
    different: int = 0
    largest: float = 0.0
    first: str = ""

    def add(self, place: str, ours: Any, theirs: Any) -> None:
        """Compare an array, or a mapping of arrays."""
        if isinstance(theirs, Mapping):
            for name in sorted(set(ours) ^ set(theirs)):
                self._differs(f"{place}: {name} is on one side only", 1)
            for name in set(ours) & set(theirs):
                self.add(f"{place}/{name}", ours[name], theirs[name])
        elif theirs.dtype == object:
            for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
                if (mine is None) != (other is None):
                    self._differs(f"{place}[{index}]: {type(mine)}, {type(other)}", 1)
                elif other is not None:
                    self.add(f"{place}[{index}]", mine, other)
        elif (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            self._differs(f"{place}: {ours.dtype}{ours.shape}, {theirs.dtype}{theirs.shape}", 1)
        else:
            self.numbers += ours.size
            if ours.tobytes() != theirs.tobytes():
                gap = np.abs(np.subtract(ours, theirs, dtype=np.float64))
                unlike = np.count_nonzero(_bits(ours) != _bits(theirs))
                self._differs(f"{place}: by {np.nanmax(gap)}", unlike)
                self.largest = max(self.largest, float(np.nanmax(gap)))

    def _differs(self, where: str, count: int) -> None:
        self.different += count
        self.first = self.first or where


def _bits(array: np.ndarray) -> np.ndarray:
    """(size, bytes of a number) uint8."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(array.size, -1)


def action_sequence(space: Any, *, kind: str, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Actions for a batched Box: uniform within its bounds, or each coordinate at one of them."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    saturated = space.high
    for step in range(steps):
        if kind == "random":
            yield rng.uniform(space.low, space.high).astype(space.dtype)
            continue
        if step % HELD == 0:
            saturated = np.where(rng.random(space.shape) < 0.5, space.low, space.high)
        yield saturated


def compare(
    env_id: str,
    *,
    num_envs: int = 16,
    steps: int = 3000,
    seed: int = 0,
    kind: str = "random",
    options: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
) -> Comparison:
    """Step both sides from the same seeds with the same actions; halfway, reset both again."""
    from environments.batched_mujoco.catalogue import make_task
    from environments.batched_mujoco.vector_env import BatchedMujocoEnv

    seeds = [1000 * seed + index for index in range(num_envs)]
    options = dict(options or {})
    ours = BatchedMujocoEnv(
        env_id,
        make_task(env_id, options),
        seeds=seeds,
        max_episode_steps=max_episode_steps,
    )
    limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
    theirs = SyncVectorEnv(
        [lambda: gymnasium.make(env_id, **limit, **options)] * num_envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    found = Comparison(steps=steps * num_envs)
    _compare_call(found, "reset", ours.reset(), theirs.reset(seed=seeds))
    actions = action_sequence(theirs.action_space, kind=kind, steps=steps, seed=seed)
    for step, action in enumerate(actions):
        if step == steps // 2:
            again: dict[str, Any] = {"seed": None, "options": {}}
            _compare_call(found, "reset again", ours.reset(**again), theirs.reset(**again))
        mine, other = ours.step(action), theirs.step(action)
        _compare_call(found, f"step {step}", mine, other)
        found.episodes += int(np.count_nonzero(other[2] | other[3]))
    ours.close()
    theirs.close()
    return found


def _compare_call(found: Comparison, place: str, ours: Any, theirs: Any) -> None:
    names = ("observations", "rewards", "terminated", "truncated") if len(ours) == 5 else ("first",)
    for name, mine, other in zip((*names, "infos"), ours, theirs, strict=True):
        found.add(f"{place} {name}", mine, other)


def main() -> int:
    """Compare and tabulate; 1 where anything differs."""
    from environments.batched_mujoco.catalogue import TASKS
    from environments.mujoco_warnings import route_mujoco_warnings

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000, help="of each environment")
    parser.add_argument("--num_envs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=sorted(TASKS), metavar="ID")
    options = parser.parse_args()
    route_mujoco_warnings()
    lines = [
        "# Bit-identity",
        "",
        f"Made by `python -m benchmarks.bit_identity --steps {options.steps} --num_envs {options.num_envs} "
        f"--seeds {options.seeds}`: batched MuJoCo beside as many environments from `gymnasium.make`, from the same "
        "seeds, with the same actions. Compared are observations, rewards, `terminated`, `truncated`, `final_obs` "
        "and every term of `infos`, in value, type and shape. Random actions are uniform within the bounds; saturated "
        f"ones have each coordinate at one of its bounds, for {HELD} steps. MuJoCo {_version('mujoco')}, Gymnasium "
        f"{gymnasium.__version__}, NumPy {np.__version__}, {platform.machine()}.",
        "",
        "| task | actions | steps | episodes ended | numbers compared | not the same bits | largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    is_identical = True
    for env_id in options.tasks:
        for kind in KINDS:
            total = Comparison()
            for seed in range(options.seeds):
                found = compare(
                    env_id,
                    num_envs=options.num_envs,
                    steps=options.steps,
                    seed=seed,
                    kind=kind,
                )
                total.steps += found.steps
                total.episodes += found.episodes
                total.numbers += found.numbers
                total.different += found.different
                total.largest = max(total.largest, found.largest)
                if found.first:
                    print(f"{env_id}, seed {seed}: {found.first}", file=sys.stderr)
            is_identical &= total.different == 0
            lines.append(
                f"| {env_id} | {kind} | {total.steps:,} | {total.episodes:,} | {total.numbers:,} | "
                f"{total.different:,} | {total.largest} |",
            )
            print(lines[-1], flush=True)
    path = ROOT / "docs" / "results" / "bit_identity.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")
    return int(not is_identical)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


if __name__ == "__main__":
    sys.exit(main())
