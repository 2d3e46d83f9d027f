"""How much the absorbing state counts on both sides of a discriminator's minibatches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.base import Transitions
from agents.demonstrations.dataset import take_rows
from helpers.demos.hdf5 import demo_path, write_demo
from tests.agents.builders import OBSERVATION_DIM, small_config
from tests.agents.imitation.test_adversarial import model_of, transitions


def test_an_expert_who_is_the_policy_has_as_many_ends_as_it(tmp_path: Path) -> None:
    """What both did is the same: so are the absorbing state's shares of both sides, in the mean of minibatches.

    An end a thousand steps weighs 99 of them, at one stroke on the policy's side, in small change on the expert's.
    """
    rng, length = np.random.default_rng(0), 500
    for index in range(2):
        states = rng.normal(1.0, 3.0, (length + 1, OBSERVATION_DIM))
        ends = np.arange(length) == length - 1
        steps = {
            "observations": states[:-1],
            "actions": rng.uniform(-1, 1, (length, 3)),
            "rewards": np.zeros(length),
            "next_observations": states[1:],
            "terminated": ends & (index == 0),
            "truncated": ends & (index == 1),
        }
        write_demo(demo_path(tmp_path, "made_up", index), steps, {"run": "both"})
    own = {"expert_path": str(tmp_path), "num_demos": 2, "expert_demo_subsample_rate": 20}
    config = small_config("gail", precision="float64", wrap_absorb=True, d_batch_size=64, **own)
    model = model_of(config)
    whole = transitions(2 * length)
    whole.terminated[:] = np.arange(2 * length) == 7

    class Uniform:
        end_rate = 1 / (2 * length)

        def __call__(self, uniforms: np.ndarray) -> Transitions:
            return take_rows(whole, (uniforms * 2 * length).astype(np.int64).reshape(-1))

    shares = np.zeros(2)
    for _ in range(3000):
        model.batch.draw(Uniform())
        model.batch.drawn += 1
        t = model.tensors
        shares += (t["expert.weight"] * t["expert.absorbing"]).sum(), t["policy.weight"][-1]
    shares /= 3000
    loops = config.gamma / (1 - config.gamma)
    assert shares[1] == pytest.approx(loops / (2 * length + loops), rel=0.1)
    assert shares[0] == pytest.approx(shares[1], rel=0.1)
