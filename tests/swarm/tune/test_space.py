"""Draws of a search space satisfy bounds and constraints, and PBT's explore rule brings any values to do so."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import ConfigurationError
from swarm.tune.space import Constraint, Dimension, Space, read_constraint, read_dimension

LAMBDA = Dimension("gae_lambda", ("gae_lambda",), "uniform", (0.9, 1.0))
LR = Dimension("lr", ("p_lr", "v_lr"), "loguniform", (1e-5, 1e-3))
BATCH = Dimension("batch_size", ("batch_size",), "randint", (128, 16384))
ROLLOUT = Dimension("rollout_len", ("rollout_len",), "randint", (2000, 160000))
ACTIVATION = Dimension("p_activation", ("p_activation",), "choice", ("tanh", "relu"))
RULES = tuple(
    read_constraint(text, str)
    for text in (
        "batch_size multiple_of num_envs",
        "rollout_len >= 2 * batch_size",
        "rollout_len multiple_of batch_size",
    )
)
SPACE = Space((LAMBDA, LR, BATCH, ROLLOUT), RULES, {"num_envs": 16, "seed": 3})


def fine(_):
    return ""


@given(
    gae_lambda=st.floats(-10, 10),
    lr=st.floats(1e-9, 10),
    batch_size=st.integers(1, 40000),
    rollout_len=st.integers(1, 400000),
)
def test_whatever_pbt_makes_of_settings_can_be_run(gae_lambda, lr, batch_size, rollout_len):
    values = {
        "gae_lambda": gae_lambda,
        "lr": lr,
        "batch_size": batch_size,
        "rollout_len": rollout_len,
    }
    settled: Any = SPACE.settle(values)
    assert settled["batch_size"] % 16 == 0
    assert settled["rollout_len"] >= 2 * settled["batch_size"]
    assert settled["rollout_len"] % settled["batch_size"] == 0
    assert 0.9 <= settled["gae_lambda"] <= 1.0 and 1e-5 <= settled["lr"] <= 1e-3
    assert SPACE.settle(settled) == settled  # once is enough


def test_draws_are_those_of_their_seed_and_satisfy_everything():
    draws = SPACE.draws(200, seed=1, accepts=fine)
    assert draws == SPACE.draws(200, seed=1, accepts=fine) != SPACE.draws(200, seed=2, accepts=fine)
    assert not any(SPACE.problem(values) for values in draws)
    logs = np.log10([values["lr"] for values in draws])
    assert logs.min() < -4.7 and logs.max() > -3.3 and abs(np.median(logs) + 4) < 0.3
    settings = SPACE.settings(draws[0])
    assert settings["p_lr"] == settings["v_lr"] == draws[0]["lr"] and settings["seed"] == 3


def test_the_first_trials_draw_from_start():
    start = {"gae_lambda": Dimension("gae_lambda", ("gae_lambda",), "choice", (0.95,))}
    space = Space(SPACE.dimensions, RULES, SPACE.fixed, start)
    assert {each["gae_lambda"] for each in space.draws(20, seed=0, accepts=fine)} == {0.95}


def test_a_grid_has_every_combination_that_can_be_run():
    sizes = Dimension("batch_size", ("batch_size",), "choice", (128, 256))
    space = Space((sizes, ACTIVATION), (), {})
    assert len(space.grid(accepts=fine)) == 4

    def refuse(settings):
        return "no" if settings["batch_size"] == 128 else ""

    assert [each["p_activation"] for each in space.grid(accepts=refuse)] == ["tanh", "relu"]
    with pytest.raises(ConfigurationError, match="No combination of the grid"):
        space.grid(accepts=lambda _: "never")
    with pytest.raises(
        ConfigurationError,
        match="gae_lambda is uniform, of which there is no grid",
    ):
        SPACE.grid(accepts=fine)


def test_a_space_that_no_draw_satisfies_is_refused():
    rule = (Constraint("gae_lambda", ">=", 2.0, ()),)
    with pytest.raises(ConfigurationError, match="No draw of the search space can be run"):
        Space((LAMBDA,), rule, {}).draws(1, seed=0, accepts=fine)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("0.9", "no distribution"),
        ({"normal": ["0", "1"]}, "no distribution"),
        ({"uniform": ["0.9"]}, "two numbers"),
        ({"uniform": ["1.0", "0.9"]}, "LOW less than HIGH"),
        ({"uniform": "0.9"}, "has no values"),
        ({"choice": []}, "has no values"),
        ({"loguniform": ["0", "1"]}, "logarithms begin above 0"),
        ({"randint": ["1", "5"]}, "write"),
        ({"uniform": ["x", "1"]}, "does not take x"),
        ({"uniform": ["0.9", "1.0"], "choice": ["1"]}, "no distribution"),
    ],
)
def test_what_is_no_distribution_is_refused(value, told):
    with pytest.raises(ConfigurationError) as refusal:
        read_dimension("gae_lambda", ("gae_lambda",), value, float)
    assert told in f"{refusal.value.problem} {refusal.value.remedy}".replace("Write", "write")


@pytest.mark.parametrize(
    "text",
    ["", "a", "a == b", "a >= ", "a >= __import__('os')", None, "a <> b", "1 >= a"],
)
def test_what_is_no_constraint_is_refused(text):
    def key_of(name):
        if name not in ("a", "b"):
            raise ConfigurationError(f"{name} is no setting.", "")
        return name

    with pytest.raises(ConfigurationError):
        read_constraint(text, key_of)


@pytest.mark.parametrize(
    ("text", "value", "repaired"),
    [
        ("a >= 2 * b", 3, 20),
        ("a > 2 * b", 3, 21),
        ("a <= b", 30, 10),
        ("a < b", 30, 9),
        ("a multiple_of b", 34, 30),
        ("a multiple_of b", 2, 10),
        ("a >= 1", 0, 1),
        ("a >= 2 * b", 25, 25),
    ],
)
def test_a_repair_is_the_nearest_value(text, value, repaired):
    rule = read_constraint(text, str)
    assert rule.repaired({"a": value, "b": 10}) == repaired
    assert rule.holds({"a": repaired, "b": 10})
    assert read_constraint(rule.text, str) == rule
