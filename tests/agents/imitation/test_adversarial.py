"""Reward models: what a minibatch holds and weighs, what rewards say about a task's end, native code against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.base import Transitions
from agents.demonstrations.dataset import LOOP, flatten_demos
from agents.imitation.adversarial import AdversarialReward
from agents.imitation.inputs import SMALLEST_SD, InputBuilder, InputNormalizers, expert_weights
from agents.imitation.networks import ShapedReward
from agents.nn.distributions import gaussian_log_prob
from helpers.demos.load import read_demos
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from helpers.trackers.skrl_metrics import Tracking
from tests.agents.builders import OBSERVATION_DIM, SPACES, random_rollout, small_agent, small_config

ENVIRONMENTS = 4


def transitions(rows: int, seed: int = 0, *, kind: str = "continuous") -> Transitions:
    """Some that the policy made, a third of them terminated."""
    rng = np.random.default_rng(seed)
    actions = rng.normal(size=(rows, 3)).astype(np.float32)
    return Transitions(
        observations=rng.normal(1.0, 3.0, (rows, OBSERVATION_DIM)),
        actions=rng.integers(0, 4, rows) if kind == "discrete" else actions,
        rewards=np.zeros(rows),
        next_observations=rng.normal(1.0, 3.0, (rows, OBSERVATION_DIM)),
        terminated=rng.random(rows) < 0.3,
        truncated=np.zeros(rows, bool),
    )


def model_of(config: Any, *, kind: str = "continuous", log_prob: Any = None) -> AdversarialReward:
    """A discriminator alone, no learner below."""
    import gymnasium

    workers = Workers.solo()
    demos = flatten_demos(
        read_demos(config, None),
        config,
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_DIM,)),
        action_space=SPACES[kind],
    )
    return AdversarialReward(
        InputBuilder(OBSERVATION_DIM, SPACES[kind], config),
        demos=demos,
        normalizers=InputNormalizers(OBSERVATION_DIM, demos, config),
        log_prob=log_prob,
        config=config,
        workers=workers,
        streams=Streams(config.seed),
        environments=range(ENVIRONMENTS),
        tracking=Tracking(interval=0, workers=workers),
    )


class OneMinibatch:
    """One minibatch of the policy, whatever the places, which is all there is."""

    def __init__(self, seed: int, config: Any) -> None:
        self.all = transitions(config.d_batch_size, seed)
        self.end_rate = float(self.all.terminated.mean())

    def __call__(self, uniforms: np.ndarray) -> Transitions:
        return self.all


# A minibatch


@pytest.mark.parametrize("wraps", [False, True])
def test_weights_make_means_and_loops_count_as_in_the_value_of_an_end(wraps: bool) -> None:
    config = small_config("gail", precision="float64", wrap_absorb=wraps)
    model = model_of(config)
    model.batch.draw(OneMinibatch(0, config))
    t = model.tensors
    ended = int(transitions(16).terminated.sum())
    assert ended > 1
    assert t["policy.weight"].sum().item() == pytest.approx(1.0)
    if wraps:
        assert len(t["policy.weight"]) == 17
        loops = ended * config.gamma / (1 - config.gamma)
        assert t["policy.weight"][-1].item() == pytest.approx(loops / (16 + loops))
    else:
        assert t["expert.weight"].sum().item() == pytest.approx(1.0)
        np.testing.assert_allclose(t["policy.weight"], 1 / 16)


def test_an_expert_s_loop_is_not_one_of_the_steps_that_were_left_out() -> None:
    """One transition out of 5 is kept and stands for 5; the loop is always kept, and stands for those to come."""
    config = small_config("gail", precision="float64", wrap_absorb=True)
    model = model_of(config)
    model.batch.draw(OneMinibatch(0, config))
    is_loop = (model.tensors["expert.absorbing"] == 1.0).numpy()
    shown = model.demos.transitions.extras["step"] == LOOP
    assert shown.sum() == 2 and 0 < is_loop.sum() < 16
    weights = model.tensors["expert.weight"].numpy()
    loops = config.gamma / (1 - config.gamma)
    np.testing.assert_allclose(weights[is_loop] / weights[~is_loop][0], loops / 5)


def test_an_episode_shorter_than_the_rate_stands_for_its_own_length() -> None:
    """Of 40 steps one is kept, whatever the rate beyond 40: it stands for 40."""
    settings = {"precision": "float64", "wrap_absorb": True}
    config = small_config("gail", **settings, expert_demo_subsample_rate=100)
    given = model_of(config).demos.transitions
    is_loop = given.extras["step"] == LOOP
    assert is_loop.sum() == 2 and (~is_loop).sum() == 4
    weights = expert_weights(given, config)
    np.testing.assert_allclose(weights[~is_loop], 1.0)
    np.testing.assert_allclose(weights[is_loop], config.gamma / (1 - config.gamma) / 40)


def test_rows_of_expert_and_policy_are_made_alike() -> None:
    """A demonstration with its absorbing state, and the same transitions as the policy's: the same rows."""
    config = small_config("gail", precision="float64", wrap_absorb=True, state_state=True)
    model = model_of(config)
    given = model.demos.transitions
    is_step = given.extras["step"] != LOOP
    own = Transitions(
        observations=given.observations[is_step, :-1],
        actions=given.actions[is_step],
        rewards=given.rewards[is_step],
        next_observations=given.next_observations[is_step, :-1],
        terminated=given.next_observations[is_step, -1] == 1,
        truncated=given.truncated[is_step],
    )
    count = int(is_step.sum())
    rooms = model.rows.make_buffers(len(given.rewards)), model.rows.make_buffers(count + 1)
    model.rows.fill_expert(rooms[0], given)
    model.rows.fill_policy(rooms[1], own)
    moments = {"offset": model.tensors["offset"], "scale": model.tensors["scale"]}
    expert, policy = (model.rows.rows(room, **moments).numpy() for room in rooms)
    np.testing.assert_array_equal(expert[is_step], policy[:-1])
    for loop in expert[~is_step]:
        np.testing.assert_array_equal(loop, policy[-1])
    absorbing = [0.0] * OBSERVATION_DIM + [1.0]
    assert policy[-1].tolist() == absorbing * 2


def test_actions_are_judged_as_they_reach_the_environment() -> None:
    """PPO's are kept as they were sampled; an expert's within the bounds could else be told by that alone."""
    config = small_config("gail", precision="float64")
    model = model_of(config)
    given = transitions(8)
    cut = Transitions(**{**vars(given), "actions": given.actions.clip(-1, 1)})
    assert (given.actions != cut.actions).any()
    np.testing.assert_array_equal(model.reward(given), model.reward(cut))


def test_without_demonstrations_only_the_policy_is_judged() -> None:
    config = small_config("gail", precision="float64", num_demos=0)
    model = model_of(config)
    for seed in range(200):
        model.update(OneMinibatch(seed, config))
    assert model.metrics()["discriminator/expert_logit"] == 0.0
    verdicts = model.reward(transitions(50, seed=7))
    assert verdicts.mean() < 0.5 * np.log(2.0)  # -log(1 - D) of a D that falls


# Standardisation


def test_moments_of_demonstrations_policy_or_both() -> None:
    for choice in ("demos", "policy", "both"):
        config = small_config("gail", precision="float64", d_moments=choice)
        model = model_of(config)
        moments, expert = model.normalizers, model.demos.transitions.observations
        states = np.random.default_rng(0).normal(5.0, 0.01, (30, 4, OBSERVATION_DIM))
        moments.collect(states)
        assert moments.update(Workers.solo()) == (choice != "demos")
        policy = states.reshape(-1, OBSERVATION_DIM)
        both = np.concatenate(
            [np.tile(expert, (len(policy), 1)), np.tile(policy, (len(expert), 1))],
        )
        known = {"demos": expert, "policy": policy, "both": both}[choice]
        np.testing.assert_allclose(moments.offset, known.mean(0), rtol=1e-10)
        np.testing.assert_allclose(
            1 / moments.scale,
            np.maximum(known.std(0), SMALLEST_SD),
            rtol=1e-9,
        )


# Rewards


@pytest.mark.parametrize("shape", ["gail", "log_d", "airl"])
def test_a_terminated_transition_is_paid_what_its_absorbing_state_is_worth(shape: str) -> None:
    config = small_config(
        "gail",
        precision="float64",
        wrap_absorb=True,
        state_only=True,
        reward_type=shape,
    )
    model = model_of(config)
    given = transitions(12)
    going_on = Transitions(**{**vars(given), "terminated": np.zeros(12, bool)})
    loop = torch.zeros(1, OBSERVATION_DIM + 1, dtype=torch.float64)
    loop[0, -1] = 1.0
    logit, _ = model.net(loop, torch.ones(1, dtype=torch.float64), model.tensors["vectors"])
    absorbing = {
        "gail": np.logaddexp(0.0, logit.item()),
        "log_d": -np.logaddexp(0.0, -logit.item()),
        "airl": logit.item(),
    }[shape]
    more = model.reward(given) - model.reward(going_on)
    worth = config.gamma / (1 - config.gamma) * absorbing
    np.testing.assert_allclose(more, given.terminated * worth, rtol=1e-9, atol=1e-12)


def test_a_reward_keeps_the_leading_shape_and_the_order() -> None:
    config = small_config("gail", precision="float64", wrap_absorb=True)
    model = model_of(config)
    flat = transitions(12)
    fields = {n: a.reshape(3, 4, *a.shape[1:]) for n, a in vars(flat).items() if n != "extras"}
    found = model.reward(Transitions(**fields))
    assert found.shape == (3, 4) and found.dtype == np.float64
    np.testing.assert_array_equal(found.reshape(-1), model.reward(flat))


def test_airl_s_logit_and_reward_subtract_the_log_probability() -> None:
    def log_prob(observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return observations[:, 0] - 2.0

    rewards = {}
    for choice in ("both", "discriminator", "none"):
        config = small_config("airl", precision="float64", d_log_prob=choice, spectral_norm=False)
        model = model_of(config, log_prob=None if choice == "none" else log_prob)
        assert isinstance(model.net, ShapedReward)
        rewards[choice] = model.reward(transitions(9))
    np.testing.assert_array_equal(rewards["discriminator"], rewards["none"])
    less = transitions(9).observations[:, 0] - 2.0
    np.testing.assert_allclose(rewards["none"] - rewards["both"], less, rtol=1e-9)


@pytest.mark.parametrize("learner", ["ppo", "sac"])
def test_log_probabilities_are_those_of_the_policy(learner: str) -> None:
    agent = small_agent(
        small_config("airl", learner=learner, precision="float64"),
        SPACES["continuous"],
    ).learner
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(6, OBSERVATION_DIM))
    if learner == "ppo":
        actions = rng.normal(size=(6, 3))
        mean = torch.from_numpy(agent.predict(seen, explore=False)[0].astype(np.float64))
        expected = gaussian_log_prob(torch.from_numpy(actions), mean, agent.actor.log_std)
        tolerance = 1e-6  # actions leave in float32
    else:
        noise = torch.from_numpy(rng.normal(size=(6, 3)))
        sampled, expected = agent.algorithm.actor.sample(torch.from_numpy(seen), noise=noise)
        actions, tolerance = sampled.detach().numpy(), 1e-6
    found = agent.log_prob(seen, actions)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=tolerance, atol=tolerance)


# Learning


def test_a_discriminator_learns_to_tell_and_its_penalty_to_hold() -> None:
    config = small_config("gail", precision="float64", d_lr=3e-3)
    model = model_of(config)
    for seed in range(150):
        model.update(OneMinibatch(seed, config))
        if seed == 99:
            model.metrics()
    metrics = model.metrics()
    assert metrics["discriminator/updates"] == 50.0
    assert metrics["discriminator/expert_logit"] > metrics["discriminator/policy_logit"] + 0.2
    free = small_config("gail", precision="float64", d_lr=3e-3, grad_pen=False)
    loose = model_of(free)
    for seed in range(150):
        loose.update(OneMinibatch(seed, free))
    rows = transitions(200, seed=999)
    assert model.reward(rows).std() < loose.reward(rows).std()


def test_weight_decay_shrinks_what_no_gradient_holds() -> None:
    config = small_config("gail", precision="float64", d_weight_decay=10.0, d_lr=1e-3)
    plain = small_config("gail", precision="float64", d_lr=1e-3)
    decayed, kept = model_of(config), model_of(plain)
    start = decayed.parameters.values.clone()
    for model, settings in ((decayed, config), (kept, plain)):
        model.update(OneMinibatch(0, settings))
    np.testing.assert_allclose(
        decayed.parameters.values,
        kept.parameters.values - 0.01 * start,
        rtol=0,
        atol=1e-12,
    )


def test_purl_drops_a_risk_that_is_negative() -> None:
    """A verdict that is sure of everything: what remains is the expert's part, whose gradient alone counts."""
    config = small_config(
        "gail",
        precision="float64",
        use_purl=True,
        grad_pen=False,
        d_ent_reg_scale=0,
    )
    model = model_of(config)
    model.batch.draw(OneMinibatch(0, config))
    model._steps["risk"]()
    assert model.tensors["risk"].item() > 0.0  # at the start
    t = dict(model.tensors)
    t["gate"] = torch.zeros(1, dtype=torch.float64)
    loss, _ = model.loss(t)
    expert, _, _ = model._logits(t, model._sides(t))
    expected = config.purl_eta * (t["expert.weight"] * torch.nn.functional.softplus(-expert)).sum()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_red_pays_where_the_expert_was() -> None:
    config = small_config(
        "red",
        precision="float64",
        red_epochs=600,
        d_lr=3e-3,
        expert_demo_subsample=False,
        d_perception_stack="mlp_32",
    )
    agent = small_agent(config, SPACES["continuous"])
    agent.model.prepare()
    assert agent.model.updates == 600 * 10  # 160 transitions in minibatches of 16
    shown = agent.demos.transitions
    far = Transitions(**{**vars(shown), "observations": shown.observations + 20.0, "extras": {}})
    near = agent.model.reward(Transitions(**{**vars(shown), "extras": {}}))
    assert 0.6 < near.mean() <= 1.0
    assert agent.model.reward(far).mean() < 0.2
    width = agent.model.tensors["width"].item()
    assert width == pytest.approx(config.red_width * agent.model.expert_error())


@pytest.mark.parametrize(
    "settings",
    [
        {"algo": "sam", "n_step": 1},
        {"algo": "airl", "use_purl": True, "grad_pen_type": "dragan"},
    ],
    ids=lambda settings: settings["algo"],
)
def test_native_code_equals_torch(settings: dict[str, Any]) -> None:
    """24 steps of the discriminator, and the rewards after them, in float32."""

    def log_prob(observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return 0.1 * observations[:, 0]

    results = []
    for native in (True, False):
        config = small_config(**settings | {"compile": native})
        model = model_of(config, log_prob=log_prob if config.algo == "airl" else None)
        for seed in range(24):
            model.update(OneMinibatch(seed, config))
        results.append((model.parameters.values.numpy().copy(), model.reward(transitions(32, 5))))
    for native_, torch_ in zip(*results, strict=True):
        np.testing.assert_allclose(
            native_,
            torch_,
            rtol=1e-5,
            atol=1e-6 * max(1, abs(torch_).max()),
        )


def test_the_reward_of_a_sampled_batch_is_that_of_the_moment() -> None:
    """What is remembered is the environment's; the same transitions are paid otherwise after an update."""
    agent = small_agent(small_config("sam", precision="float64"), SPACES["continuous"])
    asked = []

    def keep(seen: Transitions) -> np.ndarray:
        rewards = agent.model.reward(seen)
        asked.append((agent.model.updates, seen, rewards))
        return rewards

    agent.reward = keep
    for i in range(2):
        agent.update(random_rollout(agent, SPACES["continuous"], iteration=i))
    _, seen, before = asked[0]
    assert asked[0][0] > 0 and asked[-1][0] > asked[0][0]
    assert (agent.model.reward(seen) != before).any()
