"""An imitation's configuration: one flat vocabulary outside, a learner's whole configuration inside."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from agents.algorithms import ALGORITHMS, SCHEMA
from agents.imitation.config import LEARNERS, ImitationConfig, ImitationSettings
from helpers.config.run import RunConfig
from helpers.config.schema import config_text, defaults_of, identity_of
from helpers.config.settings import settings_of
from tests.agents.imitation.cases import IMITATING

PAIRS = [(algo, learner) for algo in IMITATING for learner in LEARNERS]
PAIRS = [pair for pair in PAIRS if pair[0] != "maad" or pair[1] == "ppo"]


def config_of(algo: str, learner: str, *flags: str) -> Any:
    return SCHEMA.parse_command_line([f"--algo={algo}", f"--learner={learner}", *flags]).config


@pytest.mark.parametrize(("algo", "learner"), PAIRS)
def test_the_vocabulary_is_that_of_run_learner_and_imitation(algo: str, learner: str) -> None:
    config = config_of(algo, learner, "--p_lr=0.125", "--seed=3", "--d_lr=0.25")
    assert issubclass(type(config), ImitationConfig)
    assert type(config.learner_config) is LEARNERS[learner]
    declared = {*settings_of(LEARNERS[learner]), *settings_of(ImitationSettings)}
    declared |= settings_of(ALGORITHMS[algo]).keys()
    assert config.settings.keys() == config.model_dump().keys() == declared
    for key, value in config.learner_config.model_dump().items():
        assert key == "algo" or getattr(config, key) == value, key
    assert (config.algo, config.learner_config.algo) == (algo, learner)
    assert (config.p_lr, config.seed, config.d_lr) == (0.125, 3, 0.25)


@pytest.mark.parametrize(("algo", "learner"), PAIRS)
def test_a_saved_configuration_is_read_back(tmp_path: Any, algo: str, learner: str) -> None:
    config = config_of(algo, learner, "--gamma=0.9", "--num_demos=2")
    path = tmp_path / "config.yaml"
    path.write_text(config_text(config))
    assert "learner_config" not in path.read_text()
    again = SCHEMA.load_config(path)
    assert again == config and identity_of(again) == identity_of(config)
    assert copy.deepcopy(config) == config


def test_defaults_may_depend_on_the_learner() -> None:
    for learner, log_prob in (("ppo", "both"), ("sac", "discriminator"), ("td3", "none")):
        config = config_of("airl", learner)
        steps = 8 if learner == "ppo" else 1
        assert (config.d_log_prob, config.d_steps) == (log_prob, steps)
        assert config.num_envs == settings_of(LEARNERS[learner])["num_envs"].default
        assert defaults_of(config)["d_steps"] == steps
    assert config_of("gail", "ppo", "--d_steps=1").d_steps == 1


def test_a_copy_with_other_values_is_one_of_both_parts() -> None:
    config = config_of("sam", "sac")
    new = config.model_copy(
        update={"env_id": "Ant-v5", "mem_size": 99, "num_demos": 0, "algo": "x"},
    )
    learner = new.learner_config
    assert (new.env_id, new.num_demos, new.algo) == ("Ant-v5", 0, "x")
    assert (learner.env_id, learner.mem_size, learner.algo) == ("Ant-v5", 99, "sac")
    assert (config.env_id, config.mem_size) == ("Hopper-v5", 1_000_000)


def test_what_nobody_declares_is_no_attribute() -> None:
    config = config_of("gail", "ppo")
    assert isinstance(config, RunConfig)
    assert not hasattr(config, "mem_size") and not hasattr(config, "_hidden")
    assert config_of("gail", "sac").mem_size == 1_000_000
