"""A discriminator's step against its equations, and how often it is taken, and of what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.imitation.agent import _FromMemory
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config
from tests.agents.equations import Equations, log_prob
from tests.agents.imitation.test_adversarial import OneMinibatch, model_of, transitions

SMOOTHED = {"real_ls_type": "soft-labels_0.1", "fake_ls_type": "soft-labels_0.2"}
ENDS = {"wrap_absorb": True, "spectral_norm": True}
DRAGAN = {"grad_pen_type": "dragan", "grad_pen_targ": 0.1}
CASES: dict[str, dict[str, Any]] = {
    "gail": {"algo": "gail", **SMOOTHED, "one_sided_pen": False},
    "gail, absorbing": {"algo": "gail", **SMOOTHED, **ENDS, "one_sided_pen": False},
    "gail, states and successors": {"algo": "gail", "state_state": True, **DRAGAN},
    "gail, without penalty": {"algo": "gail", "grad_pen": False},
    "purl": {"algo": "gail", "use_purl": True, "purl_eta": 0.4, "grad_pen_targ": 0.1},
    "airl": {"algo": "airl", "one_sided_pen": False},
    "airl, actions": {"algo": "airl", "state_only": False, **DRAGAN, "one_sided_pen": False},
    "airl, absorbing": {"algo": "airl", **ENDS, "grad_pen_targ": 0.0},
    "airl without densities": {"algo": "airl", "d_log_prob": "none", "grad_pen_targ": 0.1},
    "sam": {"algo": "sam", "real_ls_type": "soft-labels_0.1", "grad_pen_targ": 0.1},
    "dac": {"algo": "dac"},
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_that_of_the_equations(name: str) -> None:
    """Loss and its parts, and the gradient along random directions against differences of the equations."""
    config = small_config(
        **CASES[name],
        precision="float64",
        d_activation="tanh",
        d_ent_reg_scale=0.3,
        gamma=0.8,
    )
    has_density = config.algo == "airl" and config.d_log_prob != "none"
    model = model_of(config, log_prob=log_prob if has_density else None)
    for seed in range(3):  # the last one at other parameters than those it began with
        before, vectors = (model.tensors[n].detach().clone() for n in ("values", "vectors"))
        sample = OneMinibatch(seed, config)
        model.metrics()
        model.update(sample)
    assert sample.all.terminated.any()
    equations = Equations(model, sample.all, before=before, vectors=vectors)
    _, parts = equations.total(before)
    metrics = model.metrics()
    rng = np.random.default_rng(0)
    for part, value in parts.items():
        assert metrics[f"discriminator/{part}"] == pytest.approx(value, rel=1e-9), part
    if config.grad_pen:
        assert parts["penalty"] > 1e-3
    for _ in range(3):
        direction = torch.from_numpy(rng.normal(size=len(before)))
        step = 1e-5
        ahead, behind = (equations.total(before + s * step * direction)[0] for s in (1, -1))
        along = float(model.tensors["gradients"] @ direction)
        assert along == pytest.approx((ahead - behind) / (2 * step), rel=2e-4, abs=1e-5)


def test_purl_s_gate_closes_where_the_risk_is_negative() -> None:
    config = small_config(
        "gail",
        precision="float64",
        d_activation="tanh",
        use_purl=True,
        purl_eta=0.7,
        d_ent_reg_scale=0.0,
        grad_pen=False,
        d_lr=0.01,
    )
    model, gates = model_of(config), []
    for _ in range(60):
        before, vectors = (model.tensors[n].detach().clone() for n in ("values", "vectors"))
        sample = OneMinibatch(0, config)
        model.update(sample)
        equations = Equations(model, sample.all, before=before, vectors=vectors)
        values = {name: value.numpy() for name, value in model.parameters.views(before).items()}
        risk, gate = equations.risk(values), model.tensors["gate"].item()
        assert abs(risk) > 1e-9 and gate == float(risk > 0.0)
        gates.append(gate)
    assert {0.0, 1.0} == set(gates)


def test_vectors_of_spectral_norms_follow_their_matrices() -> None:
    config = small_config("gail", precision="float64", spectral_norm=True, d_lr=1e-2)
    model = model_of(config)
    for seed in range(300):
        model.update(OneMinibatch(seed, config))
    weights = [model.parameters.named[f"discriminator.net.weights.{i}"] for i in range(2)]
    vectors = model.tensors["vectors"].split([8, 8])
    for weight, vector in zip(weights, vectors, strict=True):
        largest = np.linalg.svd(weight.detach().numpy())[1][0]
        found = np.linalg.norm(weight.detach().numpy().T @ vector.numpy())
        assert 0.99 * largest < found <= largest * (1 + 1e-9)


# How often, and of what


@pytest.mark.parametrize(
    ("algo", "steps", "expected"),
    [
        ("gail", {"g_steps": 1, "d_steps": 2}, [2, 4, 6, 8]),
        ("gail", {"g_steps": 3, "d_steps": 2}, [2, 2, 2, 4]),
        ("sam", {"g_steps": 1, "d_steps": 1}, [8, 24, 40, 56]),  # a quarter of the steps after 32
        ("sam", {"g_steps": 3, "d_steps": 2}, [6, 16, 28, 38]),
    ],
)
def test_d_steps_for_every_g_steps(algo: str, steps: dict[str, int], expected: list[int]) -> None:
    agent = small_agent(small_config(algo, **steps), SPACES["continuous"])
    found = []
    for i in range(4):
        agent.update(random_rollout(agent, SPACES["continuous"], iteration=i))
        found.append(agent.model.updates)
    assert found == expected


def test_ends_are_counted_among_all_that_is_judged() -> None:
    for algo in ("gail", "sam"):
        agent = small_agent(small_config(algo, wrap_absorb=True), SPACES["continuous"])
        rollouts = [random_rollout(agent, SPACES["continuous"], iteration=i) for i in range(3)]
        first = rollouts[0].terminated
        assert first.any()
        assert agent._samples_of(rollouts[0]).end_rate == pytest.approx(first.mean())
        for rollout in rollouts[:2]:
            agent.update(rollout)
        rate = agent._samples_of(rollouts[2]).end_rate
        seen = rollouts[2:] if algo == "gail" else rollouts[:2]
        assert rate == pytest.approx(np.mean([each.terminated.mean() for each in seen]))


def test_a_memory_is_judged_from_its_first_row_to_its_last() -> None:
    agent = small_agent(small_config("sam", precision="float64"), SPACES["continuous"])
    rollout = random_rollout(agent, SPACES["continuous"])
    agent.update(rollout)
    for uniform, row in ((0.0, 0), (0.5, 8), (0.999, 15)):
        found = _FromMemory(agent.learner.memory)(np.full((4, 1), uniform))
        np.testing.assert_array_equal(found.observations, rollout.observations[row])


def test_a_learner_s_moments_can_begin_with_those_of_the_demonstrations() -> None:
    for is_asked in (False, True):
        config = small_config("gail", p_moments_from_demos=is_asked)
        agent = small_agent(config, SPACES["continuous"])
        shown, moments = agent.demos.transitions.observations, agent.learner.observation_normalizer
        assert moments.count == len(shown) * is_asked
        if is_asked:
            np.testing.assert_allclose(moments.mean, shown.mean(0, dtype=np.float64), rtol=1e-6)


def test_a_reward_is_cut_and_then_scaled() -> None:
    def rewards(**settings: Any) -> np.ndarray:
        return model_of(small_config("sam", precision="float64", **settings)).reward(given)

    given = transitions(12)
    given.terminated[:] = False
    plain = rewards()
    assert plain.std() > 0.05
    limit = float(np.median(np.abs(plain)))
    found = rewards(syn_rew_scale=2.5, syn_rew_clip=limit)
    np.testing.assert_allclose(found, 2.5 * plain.clip(-limit, limit), rtol=1e-12)


def test_the_policy_s_loop_has_the_mean_label() -> None:
    for kind, mean in (
        ("none", 0.0),
        ("soft-labels_0.3", 0.3),
        ("disturb-label_0.2", 0.2),
        ("random-uniform_0.0_0.5", 0.25),
    ):
        config = small_config("gail", precision="float64", wrap_absorb=True, fake_ls_type=kind)
        model = model_of(config)
        model.batch.draw(OneMinibatch(0, config))
        labels = model.tensors["policy.label"]
        assert len(labels) == 17 and labels[-1].item() == pytest.approx(mean, abs=1e-12)


def test_maad_is_guided_by_the_states_of_the_expert_beside_the_rollout() -> None:
    agent = small_agent(small_config("maad", precision="float64"), SPACES["continuous"])
    agent.update(random_rollout(agent, SPACES["continuous"]))
    states, actions = agent.learner.guide
    shown = agent.demos.transitions
    index = [int(np.flatnonzero((shown.observations == state).all(1))[0]) for state in states]
    assert len(states) == 64 and len(set(index)) == len(agent.demos)  # 32 states, each twice
    again = agent.inverse.actions().numpy()
    np.testing.assert_array_equal(actions.numpy(), again[index])
    assert again.std() > 0
