"""The same numbers in other types are the same demonstrations, to every algorithm that learns from some."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from agents.algorithms import ALGORITHMS
from agents.checks import check_demos
from agents.cloning.config import CloningConfig
from agents.demonstrations.dataset import flatten_demos
from agents.imitation.config import ImitationConfig
from agents.imitation.inputs import InputBuilder
from environments.expected import expected_of
from helpers.demos.load import read_demos
from helpers.errors import ConfigurationError
from tests.helpers.demos.cases import steps_of, write_plain

LEARNERS = [
    name for name, kind in ALGORITHMS.items() if issubclass(kind, CloningConfig | ImitationConfig)
]
OPTIONAL = ("acs", "ep_lens", "ep_env_rets", "kinds")
SPACE = Box(-np.inf, np.inf, (4,), np.float32)
CHOICES = (np.int8, np.int32, np.uint8, np.int64, np.float32, np.float64, ">i4", "column")
VECTORS = (np.int8, np.int32, np.float32, np.float64, ">f4", "flat")


def judged(folder, learner, space):
    """(verdict, transitions) of an algorithm for the files of a folder."""
    env_id = "CartPole-v1" if isinstance(space, Discrete) else "Pendulum-v1"
    config = ALGORITHMS[learner].model_validate(
        {
            "algo": learner,
            "expert_path": str(folder),
            "expert_demo_subsample": False,
            "num_demos": 2,
        },
    )
    expected = expected_of(env_id)
    try:
        demos = read_demos(config, expected)
        check_demos(config, demos)
        size = expected.observation_size
        seen = Box(-np.inf, np.inf, (size,), np.float32)
        made = flatten_demos(demos, config, observation_space=seen, action_space=space)
    except ConfigurationError as error:
        return error.problem, None
    if isinstance(config, ImitationConfig) and made.transitions.actions.size:
        rows = InputBuilder(size, space, config)
        buffers = rows.make_buffers(len(made))
        rows.fill_expert(buffers, made.transitions)  # where int32 ended in a TypeError
    return "taken", made.transitions


def written(folder, steps, without=(), dtype=np.int64):
    actions = steps["actions"]
    if dtype == "column":
        actions = actions[:, None]
    elif dtype == "flat":
        actions = actions[:, 0]
    else:
        actions = actions.astype(dtype)
    changes = {"acs": actions} | {
        "terminated": steps["terminated"],
        "truncated": steps["truncated"],
    }
    if "kinds" in without:
        changes |= {"terminated": None, "truncated": None}
    changes |= {name: None for name in without if name != "kinds"}
    write_plain(folder / "demo000.h5", steps, **changes)
    write_plain(folder / "demo001.h5", steps, **changes)


def cartpole():
    steps = steps_of(0, 30, discrete=True)
    steps["actions"] = steps["actions"] % 2
    return steps | {name: steps[name][:, :4] for name in ("observations", "next_observations")}


def pendulum():
    steps = steps_of(0, 30)
    steps["actions"] = np.sign(steps["actions"][:, :1])
    return steps | {name: steps[name][:, :3] for name in ("observations", "next_observations")}


@pytest.mark.parametrize(
    ("steps", "dtypes", "space"),
    [
        (cartpole(), CHOICES, Discrete(2)),
        (pendulum(), VECTORS, Box(-2.0, 2.0, (1,), np.float32)),
    ],
    ids=["choices", "vectors"],
)
def test_every_type_gives_every_learner_the_same_numbers(tmp_path, steps, dtypes, space):
    for number, dtype in enumerate(dtypes):
        written(tmp_path / str(number), steps, dtype=dtype)
    for learner in LEARNERS:
        verdicts = [judged(tmp_path / str(number), learner, space) for number in range(len(dtypes))]
        for (verdict, made), dtype in zip(verdicts, dtypes, strict=True):
            assert verdict == "taken", (learner, dtype, verdict)
            for name in ("observations", "actions", "rewards", "next_observations", "terminated"):
                first = getattr(verdicts[0][1], name)
                assert first.dtype == getattr(made, name).dtype, (learner, dtype, name)
                np.testing.assert_array_equal(
                    first,
                    getattr(made, name),
                    err_msg=f"{learner} {dtype}",
                )


def test_every_subset_of_fields_is_judged_alike(tmp_path):
    steps, whole = cartpole(), {}
    for number, chosen in enumerate(itertools.product([False, True], repeat=len(OPTIONAL))):
        without = [name for name, is_left in zip(OPTIONAL, chosen, strict=True) if is_left]
        written(tmp_path / str(number), steps, without=without)
        for learner in LEARNERS:
            verdict, made = judged(tmp_path / str(number), learner, Discrete(2))
            if "acs" in without:
                is_missed = "has no actions" in verdict
                assert is_missed == (learner != "maad"), (
                    learner,
                    without,
                    verdict,
                )  # it learns from states
            else:
                assert verdict == "taken", (learner, without, verdict)
                first = whole.setdefault(learner, made)
                for name in ("observations", "actions", "rewards", "terminated", "truncated"):
                    np.testing.assert_array_equal(getattr(first, name), getattr(made, name))


def test_an_unknown_end_names_a_remedy_that_was_not_given(tmp_path):
    written(tmp_path, cartpole(), without=("kinds",))
    unknown = expected_of("docs/examples/cart.py:Cart")
    for learner in LEARNERS:
        config = ALGORITHMS[learner].model_validate(
            {"algo": learner, "expert_path": str(tmp_path), "num_demos": 2},
        )
        with pytest.raises(ConfigurationError) as caught:
            read_demos(config, unknown)
        assert "--expert_time_limit" in caught.value.remedy and "env_id" not in caught.value.remedy
        given = config.model_copy(update={"expert_time_limit": 30})
        assert read_demos(given, unknown).episodes[0].truncated[-1]
