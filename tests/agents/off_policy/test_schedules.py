"""What happens when: rates, exploration, copies to target networks, random numbers, moments of observations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.agents.builders import SPACES, random_rollout, small_agent, small_config


def agent_of(algo: str, **settings: Any) -> Any:
    config = small_config(algo, precision="float64", **settings)
    return small_agent(config, SPACES["discrete" if algo == "dqn" else "continuous"])


def rollout_of(agent: Any, index: int = 0) -> Any:
    kind = "discrete" if agent.config.algo == "dqn" else "continuous"
    return random_rollout(agent, SPACES[kind], iteration=index)


def test_a_linear_schedule_scales_every_rate_by_what_is_left() -> None:
    """A first step of Adam is the rate long, whatever the gradient."""
    for schedule, left in (("constant", 1.0), ("linear", 0.9)):
        agent = agent_of(
            "sac",
            lr_schedule=schedule,
            num_timesteps=640,
            learning_starts=60,
            p_lr=1e-3,
            q_lr=2e-3,
            temperature_lr=4e-3,
        )
        before = agent.parameters.values.clone()
        agent.update(rollout_of(agent))  # 64 steps of 640, and one update
        assert agent.updates == 1
        moved = (agent.parameters.values - before).abs()
        for segment, rate in (("policy", 1e-3), ("critic", 2e-3), ("temperature", 4e-3)):
            longest = moved[agent.parameters.segments[segment]].max().item()
            assert longest == pytest.approx(rate * left, rel=1e-3), segment


def test_delayed_steps_come_with_the_last_update_of_each_few() -> None:
    agent = agent_of("td3", policy_delay=3, learning_starts=32)
    taken: list[tuple[int, str]] = []
    minimise = agent.trainer.minimise

    def noted(name: str, **given: Any) -> None:
        taken.append((agent.updates, name))
        minimise(name, **given)

    agent.trainer.minimise = noted
    agent.update(rollout_of(agent))
    assert [update for update, name in taken if name == "policy"] == [2, 5]
    assert agent.trainer.optimizers["policy"].steps == 2 and agent.updates == 8


def test_target_networks_go_tau_of_the_way() -> None:
    agent = agent_of("sac", tau=0.1)
    trainer = agent.trainer
    behind = trainer.targets.values.clone()
    trainer.parameters.values.add_(1.0)
    ahead = trainer.parameters.values[trainer.parameters.segments["critic"]].clone()
    trainer.update_targets(0.1)
    torch.testing.assert_close(trainer.targets.values, 0.9 * behind + 0.1 * ahead)
    for algo in ("sac", "redq", "tqc", "ddpg", "td3"):
        agent = agent_of(algo)
        before = agent.trainer.targets.values.clone()
        agent.update(rollout_of(agent))
        assert (agent.trainer.targets.values != before).any(), algo


def test_a_copy_is_due_whenever_a_period_is_passed_not_met() -> None:
    """Rollouts of 16 steps and a period of 40: copies after 48, 80, 128 steps."""
    agent = agent_of(
        "dqn",
        target_period=40,
        rollout_len=16,
        steps_per_iteration=16,
        learning_starts=10**6,
    )
    copies = []
    agent.trainer.copy_to_targets = lambda: copies.append(agent.steps)
    for i in range(8):
        agent.update(rollout_of(agent, i))
    assert copies == [48, 80, 128]


def test_epsilon_falls_over_the_first_part_and_random_actions_are_all_there_are() -> None:
    agent = agent_of("dqn", num_timesteps=1000, exploration_fraction=0.5, epsilon_end=0.1)
    epsilons = [agent.algorithm.epsilon(steps) for steps in (0, 250, 500, 900)]
    assert epsilons == pytest.approx([1.0, 0.55, 0.1, 0.1])
    seen = torch.zeros(4000, 5, dtype=torch.float64)
    uniform = torch.rand(4000, 2, dtype=torch.float64)
    share = torch.tensor([0.3, 0.0], dtype=torch.float64)
    best = int(agent.algorithm.act(seen[:1], None))
    counts = np.bincount(agent.algorithm.act(seen, uniform - share), minlength=4) / 4000
    expected = np.full(4, 0.3 / 4)
    expected[best] += 0.7
    np.testing.assert_allclose(counts, expected, atol=0.03)


@pytest.mark.parametrize("algo", ["td3", "ddpg"])
def test_exploring_adds_noise_of_its_deviation_within_the_bounds(algo: str) -> None:
    agent = agent_of(algo, exploration_std=0.2)
    seen = torch.randn(500, 5, dtype=torch.float64)
    noise = torch.randn(500, 3, dtype=torch.float64)
    mode, explored = agent.algorithm.act(seen, None), agent.algorithm.act(seen, noise)
    torch.testing.assert_close(explored, (mode + 0.2 * noise).clamp(-1.0, 1.0))
    assert agent.algorithm.act(seen, 100.0 * noise).abs().max() == 1.0


def test_no_random_number_of_exploring_comes_twice() -> None:
    agent = agent_of("sac", learning_starts=0, updates_per_step=0.02)
    steps = []
    for i in range(4):
        steps += [agent._exploring.next().tobytes() for _ in range(agent.rollout_len)]
        agent.update(rollout_of(agent, i))
    assert len(set(steps)) == 4 * agent.rollout_len


def test_each_loss_has_random_numbers_of_its_own() -> None:
    agent, given = agent_of("sac"), {}
    for name, objective in agent.algorithm.objectives.items():

        def loss(
            batch: Any,
            noise: torch.Tensor,
            name: str = name,
            sound: Any = objective.loss,
        ) -> Any:
            given[name] = noise.clone()
            return sound(batch, noise)

        object.__setattr__(objective, "loss", loss)
    agent.trainer = agent._make_trainer(agent._make_spec())
    agent.update(rollout_of(agent))
    noise = agent.batch.tensors["noise"]
    assert noise.shape == (16, 6) and noise.unique().numel() == noise.numel()
    torch.testing.assert_close(torch.cat([given["critic"], given["policy"]], -1), noise)


def test_moments_take_in_each_observation_once_and_losses_use_the_newest() -> None:
    agent = agent_of("sac", batch_norm_all=True, steps_per_iteration=64, rollout_len=32)
    seen = []
    for i in range(4):
        rollout = rollout_of(agent, i)
        seen.append(rollout.observations.reshape(-1, 5))
        agent.update(rollout)
    every, moments = np.concatenate(seen), agent.observation_normalizer
    assert moments.count == len(every) == 128
    np.testing.assert_allclose(moments.mean, every.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, every.var(0), rtol=1e-10)
    np.testing.assert_array_equal(agent._offset, moments.offset)
    np.testing.assert_array_equal(agent._scale, moments.scale)


def test_networks_are_given_this_and_the_next_observation_standardised_and_actions_in_their_units() -> (
    None
):
    config = small_config("sac", precision="float64", p_batch_norm=True, q_batch_norm=False)
    import gymnasium

    low, high = np.float32([0.0, 2.0, -3.0]), np.float32([0.02, 10.0, 1.0])
    agent = small_agent(config, gymnasium.spaces.Box(low, high))
    agent._offset.fill_(0.5)
    agent._scale.fill_(3.0)
    t = {name: each.clone() for name, each in agent.trainer.tensors.items()}
    for name in ("observation", "next_observation"):
        t[name] = torch.randn(16, 5, dtype=torch.float64) * 4
    t["action"] = torch.rand(16, 3) * torch.from_numpy(high - low) + torch.from_numpy(low)
    batch = agent._batch_of(t)
    for name in ("", "next_"):
        raw = t[f"{name}observation"]
        torch.testing.assert_close(getattr(batch, f"{name}critic_input"), raw)
        expected = (3.0 * (raw - 0.5)).clamp(-10.0, 10.0)
        torch.testing.assert_close(getattr(batch, f"{name}policy_input"), expected)
    center, half = torch.from_numpy((low + high) / 2), torch.from_numpy((high - low) / 2)
    torch.testing.assert_close(
        batch.action.float(),
        (t["action"] - center) / half,
        rtol=1e-5,
        atol=1e-5,
    )
