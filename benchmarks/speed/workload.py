"""What everybody computes in `python -m benchmarks.speed`: PPO with two 64-64 tanh nets, observations normalised."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

EPOCHS = 10


@dataclass(frozen=True)
class Workload:
    """One iteration: `rollout_len` environment steps, then 10 epochs in minibatches of `batch_size`.

    Attributes:
        iterations: of a run; the first is not counted.
    """

    env_id: str
    rollout_len: int
    batch_size: int
    iterations: int

    @property
    def name(self) -> str:
        """For tables and for --works."""
        return f"{self.env_id} {self.rollout_len}/{self.batch_size}"

    @property
    def gradient_steps(self) -> int:
        """In one iteration."""
        return EPOCHS * self.rollout_len // self.batch_size

    def as_kept(self) -> dict[str, Any]:
        """For the file of rows."""
        return asdict(self) | {"epochs": EPOCHS}

    def quick(self) -> Workload:
        """As few iterations as give a figure at all."""
        return replace(self, iterations=2)


# As many iterations for all, so that all are at the same stage of learning and simulate the same falls and strides.
WORKLOADS = (
    Workload("Hopper-v5", 2048, 64, 20),
    Workload("HalfCheetah-v5", 2048, 64, 20),
    Workload("Hopper-v5", 16384, 2048, 6),
    Workload("HalfCheetah-v5", 16384, 2048, 6),
)
