"""Target networks of a trainer: what is copied to them, and that nothing else moves."""

from __future__ import annotations

import torch

from tests.agents.builders import SPACES, small_agent, small_config


def test_target_networks_are_copied_from_those_that_learn() -> None:
    agent = small_agent(small_config("dqn", precision="float64"), SPACES["discrete"])
    trainer = agent.trainer
    followed = trainer.parameters.values[trainer.parameters.segments["critic"]]
    assert torch.equal(trainer.targets.values, followed)  # from the beginning
    followed.add_(torch.linspace(-1.0, 1.0, len(followed), dtype=torch.float64))
    ahead = followed.clone()
    assert not torch.equal(trainer.targets.values, ahead)
    trainer.copy_to_targets()
    assert torch.equal(trainer.targets.values, ahead) and torch.equal(followed, ahead)
    followed.zero_()
    assert torch.equal(trainer.targets.values, ahead)  # a copy, not the same memory
