"""The kernel is left out where it differs from the code in torch that a reader changes, or is the slower one."""

import re
from collections.abc import Callable

import pytest
import torch

from agents.compute import flat_parameters as flat
from agents.nn import actors as networks
from agents.nn import distributions
from agents.on_policy import guard as ppo_guard
from agents.on_policy import losses, ppo
from agents.on_policy.native_steps import NativeSteps
from agents.on_policy.torch_steps import TorchSteps
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config

SETTINGS = {"value_clip": 0.2, "p_ent_reg_scale": 0.01, "clip_norm": 0.5}


def first_update(kind="continuous", **settings):
    agent = small_agent(small_config(**SETTINGS | settings), SPACES[kind])
    assert (
        isinstance(agent.gradient_steps, NativeSteps) and agent.gradient_steps.in_torch is not None
    )
    agent.gradient_steps.in_torch._native = False  # what is compiled is tested elsewhere
    agent.update(random_rollout(agent, SPACES[kind]))
    return agent


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_the_kernel_stays_where_nothing_was_changed_and_not_a_bit_is_moved_by_asking(
    kind,
    monkeypatch,
    caplog,
):
    asked = first_update(kind)
    monkeypatch.setattr(ppo, "check_kernel", lambda steps, _: steps)
    unasked = first_update(kind)
    assert isinstance(asked.gradient_steps, NativeSteps) and not caplog.text
    assert torch.equal(asked.parameters.values, unasked.parameters.values)
    assert torch.equal(asked.optimizer.moment2, unasked.optimizer.moment2)


def scaled(function: Callable) -> Callable:
    """Its result, or the first one of several, times 1.1."""

    def changed(*arguments, **settings):
        result = function(*arguments, **settings)
        if isinstance(result, tuple):
            return (1.1 * result[0], *result[1:])
        return 1.1 * result

    return changed


LOSSES = {
    "continuous": ["gae", "ppo_clip_loss", "value_loss", "gaussian_log_prob", "gaussian_entropy"],
    "discrete": [
        "gae",
        "ppo_clip_loss",
        "value_loss",
        "categorical_log_prob",
        "categorical_entropy",
    ],
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, names in LOSSES.items() for name in names],
)
def test_whoever_changes_a_loss_gets_it_or_a_line(kind, name, monkeypatch, caplog):
    home = losses if hasattr(losses, name) else distributions
    monkeypatch.setattr(home, name, scaled(getattr(home, name)))
    agent = first_update(kind)
    assert isinstance(agent.gradient_steps, TorchSteps)
    assert len(re.findall("PPO's steps in C differ", caplog.text)) == 1


CHANGED = {
    "the clip": ("agents.on_policy.losses", "ppo_clip_loss", "clip_ratio"),
    "the value clip": ("agents.on_policy.losses", "value_loss", "value_clip"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_change_that_the_first_minibatch_does_not_show_is_seen(what, monkeypatch):
    _, name, setting = CHANGED[what]
    original = getattr(losses, name)

    def changed(*arguments, **settings):
        return original(*arguments, **settings | {setting: 1.1 * settings[setting]})

    monkeypatch.setattr(losses, name, changed)
    assert isinstance(first_update().gradient_steps, TorchSteps)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (networks.GaussianActor, "choose"),
        (networks.Critic, "forward"),
        (ppo.PPO, "loss"),
        (flat.FlatAdam, "_step_in_torch"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_so_does_whoever_changes_another_part(owner, name, monkeypatch, caplog):
    original = getattr(owner, name)
    if name == "_step_in_torch":

        def changed(self, rates, root, clip_norm):
            return original(self, [1.1 * rate for rate in rates], root, clip_norm)

    else:
        changed = scaled(original)
    monkeypatch.setattr(owner, name, changed)
    assert isinstance(first_update().gradient_steps, TorchSteps)
    assert "PPO's steps in C differ" in caplog.text


def test_a_term_without_a_gradient_at_the_start_is_seen(monkeypatch, caplog):
    original = ppo.PPO.loss

    def with_term(self, batch):
        loss, metrics = original(self, batch)
        beyond = torch.relu(self.actor.outputs(batch["policy_input"]).abs() - 1.0)
        return loss + beyond.mean(), metrics

    monkeypatch.setattr(ppo.PPO, "loss", with_term)
    assert isinstance(first_update().gradient_steps, TorchSteps)
    assert "differ from torch in" in caplog.text


def test_torch_is_used_where_the_kernel_is_slower(monkeypatch, caplog):
    monkeypatch.setattr(ppo_guard, "is_slower", lambda *_: True)
    assert isinstance(first_update().gradient_steps, TorchSteps)
    assert "are slower" in caplog.text


def test_adam_in_c_is_left_out_where_it_differs(monkeypatch, caplog):
    agent = small_agent(small_config(compile=True), SPACES["continuous"])
    optimizer = agent.optimizer
    agent.parameters.gradients.copy_(torch.linspace(-1, 1, len(agent.parameters.gradients)))
    before = agent.parameters.values.clone()
    original = flat.FlatAdam._step_in_torch

    def changed(self, rates, root, clip_norm):
        return original(self, [1.1 * rate for rate in rates], root, clip_norm)

    monkeypatch.setattr(flat.FlatAdam, "_step_in_torch", changed)
    sizes = {"policy": 1e-3, "value": 1e-3}
    optimizer.step_(sizes)
    assert "Adam's step in C differs" in caplog.text
    moved = (agent.parameters.values - before).abs().max().item()
    assert moved == pytest.approx(1.1e-3, rel=1e-3)  # a first step of Adam is the step size


def test_what_asking_costs():
    """0.5 s a run at most; some milliseconds, here by the clock of the processor."""
    import time

    agent = small_agent(small_config(), SPACES["continuous"])
    rollout = random_rollout(agent, SPACES["continuous"])
    agent.update(rollout)
    started = time.thread_time()
    agent.gradient_steps.is_checked = False
    agent.update(rollout)
    assert time.thread_time() - started < 0.5
