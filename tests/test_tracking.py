"""skrl's metrics, as the seed's table has them, read back: which, when, with which values, and after a stop."""

import copy
import json
import random
import re
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from helpers.trackers.skrl_metrics import NOISE
from helpers.trackers.tensorboard import GROUP
from tests import launch, resume_cases
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config
from tests.mpi.start import run as run_workers
from tests.mpi.tracked import ITERATIONS, SIZES, Recorder, make_loop

ALGORITHMS = ["sac", "td3", "ddpg", "crossq", "dqn", "ppo"]


def ranged(name):
    return {f"{name} ({kind})" for kind in ("max", "min", "mean")}


ALL = ranged("Reward / Instantaneous reward") | ranged("Reward / Total reward")
ALL |= ranged("Episode / Total timesteps")
CRITICS = {"Loss / Policy loss", "Loss / Critic loss"} | ranged("Q-network / Q1")
CRITICS |= ranged("Target / Target")
NOISY = ranged("Exploration / Exploration noise")
SOFT = CRITICS | ranged("Q-network / Q2") | {"Coefficient / Entropy coefficient"}
ACTOR_CRITIC = {"Loss / Policy loss", "Loss / Value loss"}
VALUES = {"Exploration / Exploration epsilon", "Loss / Q-network loss"} | ranged("Target / Target")
STD = {"Policy / Standard deviation"}
TABLE = {  # the columns of the seed's table: + always, - where such a function is enabled
    "dqn": ALL | VALUES,
    "ddpg": ALL | CRITICS | NOISY,
    "td3": ALL | CRITICS | NOISY | ranged("Q-network / Q2"),
    "sac": ALL | SOFT | {"Loss / Entropy loss"},  # -: the temperature is always learned
    "crossq": ALL | SOFT | {"Loss / Entropy loss"},
    "ppo": ALL | ACTOR_CRITIC | STD,
    "ppo with an entropy term": ALL | ACTOR_CRITIC | STD | {"Loss / Entropy loss"},
    "ppo of choices": ALL | ACTOR_CRITIC,
}


def curves(folder):
    """Every curve as TensorBoard shows it: {tag: [(step, value)]}."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


@pytest.mark.parametrize("name", TABLE)
def test_a_run_writes_exactly_the_metrics_of_the_table(tmp_path, name):
    algo = name.split()[0]
    env_id = "CartPole-v1" if name in ("dqn", "ppo of choices") else "Pendulum-v1"
    flags = {"tensorboard": "true", "num_timesteps": 960, "num_envs": 2, "seed": 1}
    if algo != "ppo":
        flags |= {"learning_starts": 50, "steps_per_iteration": 96}
    if name == "ppo with an entropy term":
        flags["p_ent_reg_scale"] = 0.01
    done = launch.run(resume_cases.settings(env_id, tmp_path, "tags.seed01", algo, **flags))
    assert done.returncode == 0, done.stderr
    found = curves(tmp_path / "tags.seed01")
    table = {tag.removeprefix(GROUP): points for tag, points in found.items() if " / " in tag}
    assert set(table) == TABLE[name]
    assert sorted(found)[-len(table) :] == sorted(GROUP + tag for tag in table)  # the last group
    assert {"iteration", "policy/loss" if algo != "dqn" else "critic/loss"} <= set(found)
    # every 250 steps, at the end of the rollout (12 steps; PPO: 96) that reaches them
    due = [288, 576, 768] if algo == "ppo" else [252, 504, 756]
    assert [step for step, _ in table["Reward / Instantaneous reward (max)"]] == due
    for group in ("Reward / Instantaneous reward", "Episode / Total timesteps"):
        lowest, mean, highest = (
            np.array([value for _, value in table[f"{group} ({kind})"]])
            for kind in ("min", "mean", "max")
        )
        assert (lowest <= mean).all() and (mean <= highest).all()
    if env_id == "Pendulum-v1":
        assert {value for _, value in table["Episode / Total timesteps (max)"]} == {200.0}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """(what was written by step, what the losses saw by step and worker), by algorithm and number of workers."""
    made, folder = {}, tmp_path_factory.mktemp("tracked")
    for workers in (1, 2):
        ended = run_workers(workers, "tracked.py", folder, *ALGORITHMS)
        assert ended.returncode == 0, ended.stderr
        for algo in ALGORITHMS:
            result = json.loads((folder / f"{algo}.json").read_text())
            shares = [dict(share) for share in result["seen"]]
            made[algo, workers] = dict(result["table"]), shares
    return made


def figures(values):
    return [max(values), min(values), sum(values) / len(values)]


def written(row, name):
    return [row[f"{name} ({kind})"] for kind in ("max", "min", "mean")]


def check_loop(table, rollout):
    """Rewards and episodes, by counting: a double loop over environments and steps."""
    end = ITERATIONS * 64
    due = [s for s in range(rollout, end + 1, rollout) if s // 20 > (s - rollout) // 20]
    assert list(table) == due
    before = 0
    for step in due:
        rewards, returns, lengths = [], [], []
        for i in range(4):
            length = i + 2
            for t in range(before // 4, step // 4):
                c = t % length + 1
                rewards.append(c - 10.0 * i)
                if c == length:
                    returns.append(length * (length + 1) / 2 - 10.0 * i * length)
                    lengths.append(length)
        row, before = table[step], step
        assert written(row, "Reward / Instantaneous reward") == pytest.approx(figures(rewards))
        assert written(row, "Reward / Total reward") == pytest.approx(figures(returns))
        assert written(row, "Episode / Total timesteps") == pytest.approx(figures(lengths))
    return due


def check_critics(table, shares, algo):
    """Extremes over every update and worker of what the losses saw, means over all samples."""
    checked = 0
    for step, row in table.items():
        updates = [update for share in shares for update in share[step]]
        assert ("Target / Target (max)" in row) == bool(updates)
        if not updates:
            continue
        targets = [target for _, targets in updates for target in targets]
        assert written(row, "Target / Target") == pytest.approx(figures(targets), rel=1e-12)
        critics = 0 if algo == "dqn" else len(updates[0][0])
        for k in range(critics):
            values = [value for values, _ in updates for value in values[k]]
            assert written(row, f"Q-network / Q{k + 1}") == pytest.approx(
                figures(values),
                rel=1e-12,
            )
        assert "Q-network / Q3 (max)" not in row and not (algo == "dqn" and "Q-network / Q1" in row)
        checked += 1
    assert checked > 10


def check_noise(table, due):
    """The streams' own numbers, times the deviation; nothing while actions are random."""
    streams, block = Streams(0), 100
    numbers = np.stack(
        [
            streams.generator("exploration", i, 0).standard_normal((block, 3), dtype=np.float64)
            for i in range(4)
        ],
        axis=1,
    )
    before = 0
    for step in due:
        mine = 0.1 * numbers[max(before, SIZES["learning_starts"]) // 4 : step // 4]
        before = step
        if not mine.size:
            assert f"{NOISE} (max)" not in table[step]
            continue
        assert written(table[step], NOISE) == pytest.approx(
            [mine.max(), mine.min(), mine.mean()],
            rel=1e-12,
        )


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_values_are_over_all_steps_environments_updates_and_workers(tracked, algo):
    alone, _ = tracked[algo, 1]
    table, shares = tracked[algo, 2]
    assert len(shares) == 2
    due = check_loop(table, rollout=64 if algo == "ppo" else 8)
    if algo != "ppo":
        check_critics(table, shares, algo)
    if algo in ("td3", "ddpg"):
        check_noise(table, due)
    assert alone.keys() == table.keys()
    near = 1e-6 if algo == "crossq" else 1e-9  # whose small minibatches magnify rounding
    for step in due:
        assert table[step] == pytest.approx(alone[step], rel=near, abs=near * 1e-3)


def test_losses_of_the_policy_are_over_its_own_updates():
    """Every 16th of the updates, one a step: one or two of them between writes 20 steps apart."""
    settings = SIZES | {
        "policy_delay": 16,
        "num_envs": 4,
        "learning_starts": 0,
        "updates_per_step": 1.0,
    }
    loop = make_loop(small_config("td3", **settings), Workers.solo(), recorder := Recorder())
    policy = loop.agent.trainer._steps["policy"]
    losses, made = [], policy.piece

    def watched(t):
        before = t["tracked"][0, 4].clone()
        made(t)
        losses.append((loop.agent.updates, float(t["tracked"][0, 4] - before)))

    policy.piece, before, counts = watched, 0, []
    for _ in range(2):
        loop.do_iteration()
    for step, row in recorder.table.items():
        mine = [loss for update, loss in losses if before <= update < step]
        before = step
        counts.append(len(mine))
        assert ("Loss / Policy loss" in row) == bool(mine)
        if mine:
            assert row["Loss / Policy loss"] == pytest.approx(np.mean(mine))
    assert set(counts) == {1, 2} and sum(counts) == 120 // 16


def test_epsilon_is_what_choices_were_made_by():
    recorder = Recorder()
    config = small_config("dqn", **SIZES | {"num_timesteps": 1000, "write_interval": 64})
    loop = make_loop(config, Workers.solo(), recorder)
    for _ in range(3):
        loop.do_iteration()
    for step, row in recorder.table.items():
        begun = [s for s in range(step - 64, step, 8) if s >= 32]
        epsilons = [max(0.05, 1.0 - s / 200 * 0.95) for s in begun]
        assert row["Exploration / Exploration epsilon"] == pytest.approx(np.mean(epsilons))
    assert list(recorder.table) == [64, 128, 192]


@pytest.mark.parametrize(
    ("settings", "due"),
    [
        ({}, [256, 504, 752]),  # 250
        ({"write_interval": "auto"}, [104, 200, 304, 400, 504, 600, 704]),  # 10_000 steps / 100
        ({"write_interval": 0}, []),
        ({"write_interval": -5}, []),
        ({"tensorboard": False}, []),
    ],
)
def test_writes_are_where_the_interval_says(settings, due):
    sizes = {k: v for k, v in SIZES.items() if k != "write_interval"}
    config = small_config("td3", **sizes | settings)
    loop = make_loop(config, Workers.solo(), recorder := Recorder())
    for _ in range(12):
        loop.do_iteration()
    assert list(recorder.table) == due
    assert ("tracked" in loop.agent.trainer.tensors) == bool(due)


# What tracking leaves alone


@pytest.mark.parametrize(
    ("algo", "kind"),
    [(algo, "continuous") for algo in ("sac", "td3", "ddpg", "crossq", "ppo")]
    + [("dqn", "discrete")],
)
def test_learning_and_metrics_are_the_same_without_it(algo, kind):
    agents = [small_agent(small_config(algo, tensorboard=on), SPACES[kind]) for on in (True, False)]
    for i in range(3):
        rollouts = [random_rollout(agent, SPACES[kind], iteration=i) for agent in agents]
        rows = [dict(a.update(r)) for a, r in zip(agents, rollouts, strict=True)]
        assert rows[0] == rows[1]
        agents[0].tracking.collect()
    assert torch.equal(*(agent.parameters.values for agent in agents))
    assert agents[0].tracking.state_dict()["kept"]
    assert agents[1].tracking.state_dict() == {}


# A user's own


def test_a_user_tracks_numbers_of_his_own():
    recorder = Recorder()
    loop = make_loop(small_config("td3", **SIZES), Workers.solo(), recorder)
    agent, calls = loop.agent, []
    predict = agent.predict

    def counted(observations, *, explore):
        agent.track_data("Mine / calls (max)", len(calls))
        calls.append(0)
        return predict(observations, explore=explore)

    agent.predict = counted
    agent.tracking.sources.append(lambda: agent.track_data("Mine / memory", agent.memory.filled))
    loop.do_iteration()
    agent.writer.add_scalar("Mine / at once", 0.5, global_step=1000)
    steps = [24, 40, 64]
    assert [recorder.table[s]["Mine / calls (max)"] for s in steps] == [5, 9, 15]
    assert [recorder.table[s]["Mine / memory"] for s in steps] == [6, 10, 16]
    assert recorder.table[1000] == {"Mine / at once": 0.5}


# Stopping


@pytest.mark.parametrize("algo", ["sac", "td3", "dqn", "ppo"])
def test_what_was_tracked_goes_on_after_a_save(algo):
    """Saved in the middle of a window: the values are those of a run that was not stopped."""
    settings: dict[str, Any] = {
        "write_interval": 150,
        "tensorboard": True,
    }  # an iteration is 64 steps
    if algo != "ppo":
        settings = SIZES | settings
    recorders, loops = [Recorder(), Recorder()], []
    for recorder in recorders:
        loops.append(make_loop(small_config(algo, **settings), Workers.solo(), recorder))
    for iteration in range(5):
        loops[0].do_iteration()
        if iteration == 0:
            agent, local = loops[0].agent, loops[1].agent
            state = copy.deepcopy((agent.state_dict(), agent.local_state_dict()))
            local.load_state_dict(state[0])
            shards = {name: shard.array.copy() for name, shard in agent.shards().items()}
            local.load_local_state_dict(state[1], shards)
            loops[1].environment.load_state_dict(loops[0].environment.state_dict())
            for name in ("observations", "returns", "lengths"):
                kept = getattr(loops[0].rollout_state, name).copy()
                setattr(loops[1].rollout_state, name, kept)
            kept = json.loads(json.dumps(loops[0].tracking.state_dict()))
            assert kept["kept"]
            loops[1].tracking.load_state_dict(kept)
            loops[1].iteration, loops[1].steps = 1, loops[0].steps
        else:
            loops[1].do_iteration()
    assert recorders[0].table == recorders[1].table
    assert list(recorders[0].table) == ([192, 320] if algo == "ppo" else [152, 304])


@pytest.mark.parametrize(
    ("algo", "env_id", "workers", "how"),
    [("sac", "Pendulum-v1", 2, "kill all"), ("ppo", "CartPole-v1", 1, "USR1")],
)
def test_the_curves_of_a_stopped_run_are_those_of_an_undisturbed_one(
    tmp_path,
    algo,
    env_id,
    workers,
    how,
):
    chosen = {"write_interval": 150, "save_frequency": 5}
    flags = {
        name: resume_cases.settings(env_id, tmp_path, f"{name}.seed00", algo, **chosen)
        + [f"--experiment_directory={tmp_path / 'experiments' / name}"]
        for name in ("undisturbed", "stopped")
    }
    done = launch.run(flags["undisturbed"], workers=workers)
    assert done.returncode == 0, done.stderr
    process = launch.start(flags["stopped"], workers=workers)
    folder = tmp_path / "stopped.seed00"
    iterations = resume_cases.iterations_of(algo)
    instant = random.Random(f"{algo} {how}").randrange(6, iterations * 5 // 8)
    launch.wait_for_rows(folder, instant, process)
    assert launch.interrupt(process, how) != 0
    assert 0 < len(launch.rows(folder)) < iterations
    done = launch.run(flags["stopped"], workers=workers)
    assert done.returncode == 0, done.stderr
    made = []
    for name in flags:
        (experiment,) = (tmp_path / "experiments" / name).iterdir()  # the second start found it
        assert re.fullmatch(
            rf"\d\d(-\d\d){{2}}_\d\d(-\d\d){{2}}-\d{{6}}_{algo}",
            experiment.name,
            re.I,
        )
        assert len(list(experiment.iterdir())) == 1
        assert not list((tmp_path / f"{name}.seed00").glob("*tfevents*"))
        made.append(curves(experiment))
    assert made[0] == made[1]
    assert len(made[0]["Reward / Instantaneous reward (max)"]) == 96 * iterations // 150
    assert launch.fingerprint(folder) == launch.fingerprint(tmp_path / "undisturbed.seed00")
