"""What a trial reports: the document's metrics, over the iterations since the last report."""

import math

import pytest

from swarm.tune.reported import OF_DOCUMENT, report_of

ROW = {
    "iteration": 1,
    "step": 100,
    "rollout/episodes": 0,
    "rollout/return_mean": None,
    "policy/loss": 0.5,
}
ENDED = {
    "iteration": 2, "step": 200, "rollout/episodes": 2, "rollout/return_mean": 10.0, "rollout/return_max": 15.0,
    "rollout/return_min": 5.0, "rollout/length_mean": 20.0,
}  # fmt: skip
MORE = ENDED | {
    "iteration": 3,
    "step": 300,
    "rollout/episodes": 6,
    "rollout/return_mean": 30.0,
    "rollout/return_max": 90.0,
}


def report(rows, before=None, **others):
    own = {"workers": 2, "restarts": 1, "warm_up": 0.5, "worst": -math.inf}
    return report_of(rows, before=before, **own | others)


def test_returns_are_over_all_episodes_since_the_last_report():
    found = report([ROW, ENDED, MORE])
    assert found["episode_reward_mean"] == (2 * 10 + 6 * 30) / 8
    assert (found["episode_reward_max"], found["episode_reward_min"]) == (90.0, 5.0)
    assert (found["episodes_this_iter"], found["timesteps_this_iter"], found["iteration"]) == (
        8,
        300,
        3,
    )
    assert set(OF_DOCUMENT) <= set(found)
    assert (found["num_healthy_workers"], found["num_remote_worker_restarts"]) == (2, 1)


def test_where_no_episode_ended_the_last_returns_stand():
    assert report([ROW])["episode_reward_mean"] == -math.inf
    assert report([ROW], worst=math.inf)["episode_reward_mean"] == math.inf
    before = report([ENDED])
    after = report([ROW | {"step": 300}], before)
    assert (after["episode_reward_mean"], after["timesteps_this_iter"]) == (10.0, 100)


@pytest.mark.parametrize("rows", [[ROW], [ENDED, ROW]])
def test_an_evaluation_stands_until_the_next(rows):
    awaited = ("eval/return_mean", "episode_len_mean", "policy/nonsense")
    before = report(rows, awaited=awaited)
    assert before["eval/return_mean"] == -math.inf and "policy/nonsense" not in before
    evaluated = report([ROW | {"eval/return_mean": 7.0}], before, awaited=awaited)
    assert evaluated["eval/return_mean"] == 7.0
    assert report(rows, evaluated, awaited=awaited)["eval/return_mean"] == 7.0
