"""What the learners that replay get right, against closed forms and counts."""

import numpy as np
import pytest
import torch

from agents.base import Transitions
from agents.nn import distributions
from helpers.trackers.skrl_metrics import NOISE
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config

CONTINUOUS = ("sac", "td3", "ddpg", "crossq", "redq", "tqc")
ALL = [(algo, "continuous") for algo in CONTINUOUS] + [("dqn", "discrete")]


@pytest.mark.parametrize(("algo", "kind"), ALL)
@pytest.mark.parametrize("num_envs", [1, 4, 16])
def test_updates_a_step_do_not_depend_on_the_number_of_environments(algo, kind, num_envs):
    settings = {
        "num_envs": num_envs,
        "learning_starts": 48,
        "updates_per_step": 0.5,
        "mem_size": 1600,
    }
    agent = small_agent(small_config(algo, **settings), SPACES[kind])
    counts = []
    for i in range(3):
        metrics = agent.update(random_rollout(agent, SPACES[kind], iteration=i))
        counts.append(metrics["update/count"])
    assert agent.steps == 192
    assert counts == [8, 32, 32]
    assert agent.updates == 72 == agent.trainer.optimizers["critic"].steps


def looping(agent, *, terminated: bool, truncated: bool) -> Transitions:
    """One state that pays 1 a step; each step is also the end of an episode, if asked for."""
    shape = (agent.rollout_len, len(agent.environments))
    observations = np.zeros((*shape, 5), dtype=agent.dtype)
    rng = np.random.default_rng(0)
    actions = (
        rng.integers(0, 4, shape)
        if agent.actions.is_discrete
        else rng.uniform(-1, 1, (*shape, 3)).astype(np.float32)
    )
    return Transitions(
        observations=observations,
        actions=actions,
        rewards=np.ones(shape, dtype=agent.dtype),
        next_observations=observations,
        terminated=np.full(shape, terminated),
        truncated=np.full(shape, truncated),
    )


@pytest.mark.parametrize(("algo", "kind"), ALL)
@pytest.mark.parametrize(
    ("terminated", "truncated", "value"),
    [(False, False, 2.0), (False, True, 2.0), (True, False, 1.0)],
    ids=["goes on", "cut by a limit", "ended by the task"],
)
def test_a_limit_is_no_death(algo, kind, terminated, truncated, value):
    """With gamma 0.5 the value is 1 / (1 - 0.5); only an end by the task leaves the reward alone."""
    settings = {"gamma": 0.5, "q_lr": 0.01, "updates_per_step": 4.0, "learning_starts": 0}
    if algo in ("sac", "crossq", "redq", "tqc"):
        settings |= {"temperature_init": 1e-6, "temperature_lr": 1e-9}
    if algo != "dqn" and algo != "crossq":
        settings["tau"] = 0.1
    if algo == "dqn":
        settings["target_period"] = 64
    if algo in ("redq", "tqc"):
        settings["num_critics"] = 3  # as right as ten, and quicker
    agent = small_agent(small_config(algo, **settings), SPACES[kind])
    for _ in range(8 if algo == "dqn" else 4):  # each renewal halves what is missing
        metrics = agent.update(looping(agent, terminated=terminated, truncated=truncated))
    name = "critic/value" if algo == "dqn" else "critic/value_1"
    assert metrics[name] == pytest.approx(value, abs=0.1)


@pytest.mark.timeout(900)  # compiles, on a machine that may do much else
@pytest.mark.parametrize(("algo", "kind"), ALL)
def test_compiled_steps_are_torch_s(algo, kind):
    has_delay = algo in ("td3", "crossq", "redq")  # one form is compiled, not two
    few = {"num_critics": 3} if algo in ("redq", "tqc") else {}
    tracks = algo in ("td3", "dqn")
    agents = [
        small_agent(
            small_config(
                algo,
                compile=compile,
                tensorboard=tracks,
                **({"policy_delay": 1} if has_delay else {}),
                **few,
            ),
            SPACES[kind],
        )
        for compile in (False, True)
    ]
    agents[1].trainer.begin()  # side by side
    for i in range(2):
        rollout = random_rollout(agents[0], SPACES[kind], iteration=i)
        for agent in agents:
            agent.update(rollout)
    assert agents[1].updates == 24
    torch.testing.assert_close(
        agents[0].parameters.values,
        agents[1].parameters.values,
        rtol=0,
        atol=1e-6,
    )
    if tracks:
        assert_tracked_alike(*agents)
    if algo == "crossq":  # acts by statistics that have moved since it was compiled
        observations = np.random.default_rng(0).normal(1.0, 3.0, size=(4, 5))
        for i in range(2, 4):
            actions = [agent.predict(observations, explore=True)[0] for agent in agents]
            np.testing.assert_allclose(actions[0], actions[1], atol=1e-4)
            rollout = random_rollout(agents[0], SPACES[kind], iteration=i)
            for agent in agents:
                agent.update(rollout)


def assert_tracked_alike(in_torch, compiled):
    """What a compiled step tracks is what torch's does."""
    tables = []
    for agent in (in_torch, compiled):
        agent.tracking.collect()
        tables.append(agent.tracking.state_dict()["kept"])
    tables[0] = {tag: part for tag, part in tables[0].items() if not tag.startswith(NOISE)}
    assert len(tables[0]) >= 4 and tables[0].keys() == tables[1].keys()
    for tag, part in tables[0].items():
        assert tables[1][tag] == pytest.approx(part, rel=1e-4, abs=1e-5), tag


def test_the_squashed_density_is_that_of_the_change_of_variables():
    mean, log_std, noise = torch.randn(3, 7, 2, dtype=torch.float64).unbind()
    log_std = log_std.clamp(max=0.5)  # beyond, tanh rounds to 1 and the plain formula fails
    unsquashed = mean + noise * log_std.exp()
    base = torch.distributions.Normal(mean, log_std.exp())
    expected = base.log_prob(unsquashed) - torch.log(1 - torch.tanh(unsquashed) ** 2)
    ours = distributions.squashed_log_prob(unsquashed, noise, log_std)
    torch.testing.assert_close(ours, expected.sum(-1))


def test_the_squashed_density_stays_finite_far_out():
    far = torch.tensor([[30.0], [-30.0]])
    assert (
        distributions.squashed_log_prob(far, torch.zeros(2, 1), torch.zeros(2, 1)).isfinite().all()
    )


def test_warm_up_actions_fill_the_bounds_and_do_not_depend_on_the_policy():
    agents = [
        small_agent(
            small_config("sac", learning_starts=1000, temperature_init=t),
            SPACES["continuous"],
        )
        for t in (0.1, 1.0)
    ]
    first, second = (
        np.concatenate([agent.predict(np.zeros((4, 5)), explore=True)[0] for _ in range(200)])
        for agent in agents
    )
    np.testing.assert_array_equal(first, second)
    assert first.min() < -0.99 and first.max() > 0.99 and abs(first.mean()) < 0.05


def test_actions_are_scaled_to_the_bounds_and_back():
    import gymnasium

    space = gymnasium.spaces.Box(np.array([-2.0, 0.0, 1.0]), np.array([2.0, 1.0, 5.0]), dtype=float)
    agent = small_agent(small_config("td3", learning_starts=0), space)
    actions, _ = agent.predict(np.random.default_rng(0).normal(size=(4, 5)) * 100, explore=True)
    assert (space.low <= actions).all() and (actions <= space.high).all()
    inside = agent.actions.to_networks(torch.from_numpy(actions.astype(np.float32)))
    assert inside.abs().max() <= 1.0 + 1e-6
    np.testing.assert_allclose(agent.actions.to_environment(inside.numpy()), actions, atol=1e-5)


@pytest.mark.parametrize("format_", ["pt", "np", "csv"])
def test_an_exported_memory_is_imported_as_it_was(tmp_path, format_):
    export = {
        "memory_export": True,
        "memory_export_format": format_,
        "memory_export_directory": str(tmp_path),
        "mem_size": 128,
    }
    source = small_agent(small_config("sac", **export), SPACES["continuous"])
    for i in range(2):
        source.update(random_rollout(source, SPACES["continuous"], iteration=i))
    (path,) = (tmp_path / "memories").iterdir()  # full once, and exported then
    config = small_config("sac", mem_size=1280, memory_import=f"{tmp_path}/memories/*{path.suffix}")
    target = small_agent(config, SPACES["continuous"])
    rollout = random_rollout(target, SPACES["continuous"], iteration=2)
    target.update(rollout)
    assert target.memory.filled == 48  # 32 imported rows and a rollout of 16
    for name, column in source.memory.columns().items():
        imported = target.memory.columns()[name][:32]
        assert imported.dtype == column.dtype
        assert imported.tobytes() == column.tobytes(), name
