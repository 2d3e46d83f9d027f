"""The learners that replay on tasks with known values, and that each probe fails when its part is broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from agents.off_policy.core.algorithm import Batch
from tests.agents.builders import small_agent, small_config, train_on
from tests.probes import environments as probes

GAMMA = 0.8
ALL = ("sac", "td3", "ddpg", "crossq", "redq", "tqc", "dqn")

# Quick to learn, and without entropy in the values, so that they are those of the closed forms.
SETTINGS: dict[str, Any] = {
    "gamma": GAMMA,
    "rollout_len": 16,
    "batch_size": 64,
    "learning_starts": 160,
    "updates_per_step": 2.0,
    "mem_size": 4000,
    "p_perception_stack": "mlp_32_32",
    "q_perception_stack": "mlp_32_32",
    "p_lr": 1e-3,
    "q_lr": 1e-2,
}
NO_ENTROPY = {"temperature_init": 1e-6, "temperature_lr": 1e-9}
OWN: dict[str, dict[str, Any]] = {
    "sac": {"tau": 0.1, **NO_ENTROPY},
    "redq": {"tau": 0.1, "num_critics": 4, "policy_delay": 2, **NO_ENTROPY},
    "tqc": {"tau": 0.1, "num_critics": 2, "dropped_quantiles": 0, **NO_ENTROPY},
    "td3": {"tau": 0.1, "exploration_std": 0.3},
    "ddpg": {"tau": 0.1, "exploration_std": 0.3},
    # its critics act by running statistics, which follow the minibatches' by a hundredth an update
    "crossq": {
        "batch_size": 256,
        "updates_per_step": 1.0,
        "p_lr": 3e-3,
        "q_lr": 3e-3,
        "renorm_warm_up": 100,
        **NO_ENTROPY,
    },
    "dqn": {"target_period": 32, "exploration_fraction": 1.0, "epsilon_end": 0.5},
}

Tensors = Mapping[str, torch.Tensor]


def trained(algo: str, probe: probes.Probe, *, spoil: Any = None, seed: int = 0) -> Any:
    """An agent after 480 updates, CrossQ 640; `spoil` breaks it before the first."""
    steps = 800 if algo == "crossq" else 400
    settings = SETTINGS | OWN[algo] | {"num_timesteps": steps, "seed": seed}
    agent = small_agent(small_config(algo, **settings), probe.single_action_space, dim=1)
    if spoil is not None:
        spoil(agent)
    train_on(agent, probe, steps // 16)
    assert agent.updates == (640 if algo == "crossq" else 480)
    return agent


def value(agent: Any, observation: float) -> float:
    """Of the agent's own action there, by the mean of its critics."""
    inputs = np.full((1, 1), observation, dtype=np.float32)
    action, _ = agent.predict(inputs, explore=False)
    seen, chosen = torch.from_numpy(inputs), torch.from_numpy(action)
    with torch.no_grad():
        if agent.config.algo == "dqn":
            return float(agent.algorithm.critic(seen)[0, action[0]])
        chosen = agent.actions.to_networks(chosen)
        return float(agent.algorithm.networks["critic"](seen, chosen).mean())


def action(agent: Any, observation: float) -> float:
    """What the agent does there."""
    chosen, _ = agent.predict(np.full((1, 1), observation, dtype=np.float32), explore=False)
    return float(chosen.reshape(-1)[0])


# What is known of each probe


def a_constant_reward(agent: Any) -> None:
    """One step, reward 1."""
    assert value(agent, 0.0) == pytest.approx(1.0, abs=0.1)


def an_observed_reward(agent: Any) -> None:
    """One step, reward = observation."""
    assert value(agent, 1.0) == pytest.approx(1.0, abs=0.15)
    assert value(agent, -1.0) == pytest.approx(-1.0, abs=0.15)


def a_delayed_reward(agent: Any) -> None:
    """Reward 1 at the second step: gamma at the first."""
    assert value(agent, 1.0) == pytest.approx(1.0, abs=0.1)
    assert value(agent, 0.0) == pytest.approx(GAMMA, abs=0.1)


def the_action_that_pays(agent: Any) -> None:
    """Choice 1, or 0.7."""
    best = 1 if agent.actions.is_discrete else probes.GOAL
    assert action(agent, 0.0) == pytest.approx(best, abs=0.15)


def the_action_for_each_observation(agent: Any) -> None:
    """Choices 0 and 1, or -0.7 and 0.7."""
    low, high = (0, 1) if agent.actions.is_discrete else (-probes.GOAL, probes.GOAL)
    assert action(agent, -1.0) == pytest.approx(low, abs=0.15)
    assert action(agent, 1.0) == pytest.approx(high, abs=0.15)


# How each part is broken


def spoil_samples(agent: Any, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Let the networks see something else than what was sampled."""
    sound = agent._batch_of

    def spoilt(t: Tensors) -> Batch:
        batch = vars(sound(t)).copy()
        change(batch)
        return Batch(**batch)

    agent._batch_of = spoilt


def critics_that_never_step(agent: Any) -> None:
    sound = agent.trainer.minimise

    def minimise(name: str, **given: Any) -> None:
        if name != "critic":
            sound(name, **given)

    agent.trainer.minimise = minimise


def critics_that_see_nothing(agent: Any) -> None:
    def blind(batch: dict[str, torch.Tensor]) -> None:
        for name in ("critic_input", "next_critic_input"):
            batch[name] = torch.zeros_like(batch[name])

    spoil_samples(agent, blind)


def no_discount(agent: Any) -> None:
    spoil_samples(agent, lambda batch: batch.update(discount=(batch["discount"] > 0).float()))


def ends_that_are_none(agent: Any) -> None:
    spoil_samples(agent, lambda b: b.update(discount=torch.full_like(b["discount"], GAMMA)))


def a_policy_that_climbs_down(agent: Any) -> None:
    """Where the values are the policy, actions are remembered as the other choice."""
    if agent.actions.is_discrete:
        spoil_samples(agent, lambda batch: batch.update(action=1 - batch["action"]))
        return
    step = agent.trainer._steps["policy"]
    gradient = step.piece

    def uphill(t: Tensors) -> None:
        gradient(t)
        t["policy.gradients"].neg_()

    step.piece = uphill


def samples_paired_wrongly(agent: Any) -> None:
    def shift(batch: dict[str, torch.Tensor]) -> None:
        for name in ("critic_input", "policy_input"):
            batch[name] = batch[name].roll(1, 0)

    spoil_samples(agent, shift)


Probes = tuple[type[probes.Probe], type[probes.Probe]]  # for continuous actions, for choices
KNOWN: dict[Callable[[Any], None], Probes] = {
    a_constant_reward: (probes.ConstantReward, probes.ConstantReward),
    an_observed_reward: (probes.ObservedReward, probes.ObservedReward),
    a_delayed_reward: (probes.DelayedReward, probes.DelayedReward),
    the_action_that_pays: (probes.TargetReward, probes.ChosenReward),
    the_action_for_each_observation: (probes.MatchedTargetReward, probes.MatchedReward),
}
BROKEN = [
    (a_constant_reward, critics_that_never_step),
    (a_constant_reward, ends_that_are_none),
    (an_observed_reward, critics_that_see_nothing),
    (a_delayed_reward, no_discount),
    (the_action_that_pays, a_policy_that_climbs_down),
    (the_action_for_each_observation, samples_paired_wrongly),
]


def learned(algo: str, known: Callable[[Any], None], **how: Any) -> Any:
    if algo == "dqn":
        return trained(algo, KNOWN[known][1](), **how)
    return trained(algo, KNOWN[known][0](action_space=probes.UNIT), **how)


def named(value: Any) -> str:
    return getattr(value, "__name__", str(value)).replace("_", " ")


@pytest.mark.parametrize("known", KNOWN, ids=named)
@pytest.mark.parametrize("algo", ALL)
def test_what_is_known_is_learnt(algo: str, known: Callable[[Any], None]) -> None:
    known(learned(algo, known))


@pytest.mark.parametrize(("known", "spoil"), BROKEN, ids=named)
@pytest.mark.parametrize("algo", ALL)
def test_a_broken_part_is_found(
    algo: str,
    known: Callable[[Any], None],
    spoil: Callable[[Any], None],
) -> None:
    agent = learned(algo, known, spoil=spoil)
    with pytest.raises(AssertionError):
        known(agent)
