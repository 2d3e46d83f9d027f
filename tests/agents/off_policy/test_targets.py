"""Each algorithm's targets and policy losses against its equations, at networks that all differ from one another.

The equations are written out once more, in plain torch; target networks are moved away from those that they follow,
so that none can stand in for another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.off_policy.core.algorithm import Batch
from tests.agents.builders import OBSERVATION_DIM, SPACES, random_rollout, small_agent, small_config

ENVIRONMENTS, SAMPLES, ACTIONS = 4, 4, 3
ROWS = ENVIRONMENTS * SAMPLES


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape))


def agent_of(algo: str, **settings: Any) -> Any:
    """In float64, every parameter moved by noise of its own."""
    config = small_config(algo, precision="float64", **settings)
    agent = small_agent(config, SPACES["discrete" if algo == "dqn" else "continuous"])
    rng = np.random.default_rng(7)
    for each in filter(None, (agent.trainer.parameters, agent.trainer.targets)):
        each.values.add_(0.3 * normal(rng, len(each.values)))
    return agent


def batch_of(algo: str) -> Batch:
    rng = np.random.default_rng(8)
    names = ("policy_input", "next_policy_input", "critic_input", "next_critic_input")
    inputs = {name: normal(rng, ROWS, OBSERVATION_DIM) for name in names}
    action = (
        torch.from_numpy(rng.integers(0, 4, ROWS))
        if algo == "dqn"
        else normal(rng, ROWS, ACTIONS).tanh()
    )
    discount = torch.from_numpy(np.where(rng.random(ROWS) < 0.3, 0.0, 0.9))
    weight = torch.from_numpy(rng.random(ROWS))
    return Batch(
        **inputs,
        action=action,
        reward=normal(rng, ROWS),
        discount=discount,
        weight=weight,
    )


def sampled(net: Any, inputs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions and their log-densities, by the change of variables; deviations from exp(-5) to exp(2)."""
    mean, raw = net(inputs).chunk(2, -1)
    log_std = -5.0 + 7.0 * (torch.tanh(raw) + 1.0) / 2.0
    before = mean + log_std.exp() * noise
    action = torch.tanh(before)
    density = torch.distributions.Normal(mean, log_std.exp()).log_prob(before)
    return action, (density - torch.log(1.0 - action * action)).sum(-1)


def valued(critics: Any, inputs: Tensor, actions: Tensor) -> Tensor:
    """(C, B, ...)"""
    both = torch.cat([inputs, actions], -1)
    return torch.stack([net(both).squeeze(-1) for net in critics.nets])


def soft(
    own: Any,
    inputs: Tensor,
    noise: Tensor,
    judge: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Value of a sampled action, and its entropy's."""
    action, log_prob = sampled(own.actor.net, inputs, noise)
    return judge(inputs, action) - own.temperature.log_value.exp() * log_prob


# The next value of each algorithm, from (algorithm, batch, noise)


def of_sac(own: Any, batch: Batch, noise: Tensor) -> Tensor:
    def least(_: Tensor, action: Tensor) -> Tensor:
        return valued(own.target_critics, batch.next_critic_input, action).min(0).values

    return soft(own, batch.next_policy_input, noise, least)


def of_redq(own: Any, batch: Batch, noise: Tensor) -> Tensor:
    """The least of the two critics with the largest numbers."""
    action, log_prob = sampled(own.actor.net, batch.next_policy_input, noise[:, :ACTIONS])
    values = valued(own.target_critics, batch.next_critic_input, action)
    least = [
        min(values[c, b] for c in sorted(range(4), key=lambda c: -float(noise[b, ACTIONS + c]))[:2])
        for b in range(ROWS)
    ]
    return torch.stack(least) - own.temperature.log_value.exp() * log_prob


def of_tqc(own: Any, batch: Batch, noise: Tensor) -> Tensor:
    """The mean of all quantiles but the four largest of two critics' fourteen."""
    action, log_prob = sampled(own.actor.net, batch.next_policy_input, noise)
    quantiles = valued(own.target_critics, batch.next_critic_input, action)
    least = [sorted(quantiles[:, b].reshape(-1).tolist())[:10] for b in range(ROWS)]
    return torch.tensor(least).double().mean(-1) - own.temperature.log_value.exp() * log_prob


def of_td3(own: Any, batch: Batch, noise: Tensor) -> Tensor:
    smoothed = torch.tanh(own.target_actor.net(batch.next_policy_input)) + (0.2 * noise).clamp(
        -0.25,
        0.25,
    )
    values = valued(own.target_critics, batch.next_critic_input, smoothed.clamp(-1.0, 1.0))
    return values.min(0).values


def of_ddpg(own: Any, batch: Batch, _: Tensor) -> Tensor:
    action = torch.tanh(own.target_actor.net(batch.next_policy_input))
    return valued(own.target_critic, batch.next_critic_input, action)[0]


def of_dqn(own: Any, batch: Batch, _: Tensor) -> Tensor:
    best = own.critic(batch.next_critic_input).argmax(-1)
    return own.target_critic(batch.next_critic_input)[torch.arange(ROWS), best]


def of_plain_dqn(own: Any, batch: Batch, _: Tensor) -> Tensor:
    return own.target_critic(batch.next_critic_input).max(-1).values


NOISE: dict[str, int] = {"redq": ACTIONS + 4, "ddpg": 0, "dqn": 0}
CASES: dict[str, tuple[Callable[[Any, Batch, Tensor], Tensor], dict[str, Any]]] = {
    "sac": (of_sac, {}),
    "redq": (of_redq, {"num_critics": 4}),
    "tqc": (of_tqc, {"num_critics": 2, "num_quantiles": 7, "dropped_quantiles": 2}),
    "td3": (of_td3, {"target_noise_clip": 0.25}),
    "ddpg": (of_ddpg, {}),
    "dqn": (of_dqn, {"dueling": True}),
    "dqn, not double": (of_plain_dqn, {"double": False}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_target_is_that_of_the_equation(name: str) -> None:
    equation, settings = CASES[name]
    algo = name.partition(",")[0]
    own, batch = agent_of(algo, **settings).algorithm, batch_of(algo)
    noise = normal(np.random.default_rng(9), ROWS, NOISE.get(algo, ACTIONS))
    _, numbers = own.critic_loss(batch, noise)
    with torch.no_grad():
        expected = batch.reward + batch.discount * equation(own, batch, noise)
    torch.testing.assert_close(numbers["critic/target"], expected, rtol=1e-6, atol=1e-6)


JUDGES: dict[str, Callable[[Tensor], Tensor]] = {
    "sac": lambda values: values.min(0).values,
    "redq": lambda values: values.mean(0),
    "tqc": lambda values: values.mean(-1).mean(0),
    "td3": lambda values: values[0],
    "ddpg": lambda values: values[0],
}


@pytest.mark.parametrize("algo", JUDGES)
def test_a_policy_s_loss_is_minus_what_it_is_worth(algo: str) -> None:
    own, batch = agent_of(algo, **CASES[algo][1]).algorithm, batch_of(algo)
    noise = normal(np.random.default_rng(9), ROWS, ACTIONS)
    critics = own.networks["critic"]

    def judge(_: Tensor, action: Tensor) -> Tensor:
        return JUDGES[algo](valued(critics, batch.critic_input, action))

    _, numbers = own.policy_loss(batch, noise)
    if algo in ("td3", "ddpg"):
        worth = judge(batch.policy_input, torch.tanh(own.actor.net(batch.policy_input)))
    else:
        worth = soft(own, batch.policy_input, noise, judge)
        assert own.target_entropy == -ACTIONS
    torch.testing.assert_close(numbers["policy/loss"], -worth.mean(), rtol=1e-6, atol=1e-6)


# CrossQ: this and the next action in one batch, each environment's samples normalised by themselves


def normalised(net: Any, rows: Tensor) -> Tensor:
    """A net's outputs (2, N, k), each environment's rows over this and the next state normalised together."""
    x = rows.reshape(2, ENVIRONMENTS, SAMPLES, -1)
    for i, (norm, layer) in enumerate(zip(net.norms, net.layers, strict=True)):
        x = torch.relu(x) if i else x
        groups = []
        for n in range(ENVIRONMENTS):
            flat = x[:, n].reshape(2 * SAMPLES, -1)
            scale = (flat.var(0, correction=0) + 1e-3).sqrt()
            groups.append(((flat - flat.mean(0)) / scale).reshape(2, SAMPLES, -1))
        x = torch.stack(groups, 1) * norm.weight + norm.bias
        x = x @ layer.weight.T + layer.bias
    return x.reshape(2, ROWS)


def fixed(net: Any, x: Tensor) -> Tensor:
    """A net's outputs by its running statistics."""
    place, running = 0, net.running_statistics()
    for i, (norm, layer) in enumerate(zip(net.norms, net.layers, strict=True)):
        width = len(norm.weight)
        mean, variance = running[place : place + width], running[place + width : place + 2 * width]
        place += 2 * width
        x = torch.relu(x) if i else x
        x = (x - mean) / (variance + 1e-3).sqrt() * norm.weight + norm.bias
        x = x @ layer.weight.T + layer.bias
    return x


def test_crossq_sees_both_actions_in_one_batch_and_learns_from_the_first() -> None:
    agent, batch = agent_of("crossq"), batch_of("crossq")
    own, noise = agent.algorithm, normal(np.random.default_rng(9), ROWS, ACTIONS)
    with torch.no_grad():
        action, log_prob = sampled(
            lambda inputs: fixed(own.actor.net, inputs),
            batch.next_policy_input,
            noise,
        )
    both = torch.cat([batch.critic_input, batch.next_critic_input])
    rows = torch.cat([both, torch.cat([batch.action, action])], -1)
    values, following = torch.stack([normalised(net, rows) for net in own.critics.nets]).unbind(1)
    bonus = own.temperature.log_value.exp().detach() * log_prob
    target = batch.reward + batch.discount * (following.min(0).values.detach() - bonus)
    expected = (batch.weight * (values - target) ** 2).mean(-1).sum()
    loss, numbers = own.critic_loss(batch, noise)
    torch.testing.assert_close(numbers["critic/target"], target, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    parameters = list(own.critics.parameters())
    for ours, theirs in zip(
        *(torch.autograd.grad(each, parameters) for each in (loss, expected)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_crossq_s_statistics_move_and_correct_after_the_warm_up() -> None:
    agent = small_agent(
        small_config("crossq", renorm_warm_up=5, policy_delay=2),
        SPACES["continuous"],
    )
    running = agent.algorithm.running
    before = running.statistics.clone()
    seen: list[tuple[int, float]] = []
    minimise = agent.trainer.minimise

    def noted(name: str, **given: Any) -> None:
        seen.append((agent.trainer.updates, float(running.renormalise)))
        minimise(name, **given)

    agent.trainer.minimise = noted
    agent.update(random_rollout(agent, SPACES["continuous"]))
    assert {on for update, on in seen if update < 5} == {0.0}
    assert {on for update, on in seen if update >= 5} == {1.0}
    moved = running.statistics != before
    for part in (moved[: running.boundary], moved[running.boundary :]):
        assert part.float().mean() > 0.9  # the policy's, and the critics'
