"""RL Zoo's hyperparameters become task files that a run accepts, and what has no counterpart is said.

The sections are of the kinds that RL Zoo's files have; all of its real ones: docs/results/other_libraries.md.
"""

import math
from typing import Any

import pytest

from agents.algorithms import SCHEMA
from agents.zoo.__main__ import convert_section, main
from agents.zoo.literals import Name, read_literal
from helpers.errors import ConfigurationError

PPO = """
default: {n_timesteps: !!float 1e6, policy: MlpPolicy}
# anchors, merges, texts of Python, schedules
Ant-v4: &mujoco
  normalize: true
  n_timesteps: !!float 1e6
  policy: 'MlpPolicy'
Swimmer-v4:
  <<: *mujoco
  gamma: 0.9999
  n_envs: 4
  n_steps: 1024
  batch_size: 256
  learning_rate: lin_6e-4
InvertedPendulum-v2:
  <<: *mujoco
  n_envs: 1
  n_steps: 32
  batch_size: 64
  use_sde: True
  sde_sample_freq: 4
  clip_range: lin_0.4
  policy_kwargs: "dict(log_std_init=-2,
                       ortho_init=False,
                       activation_fn=nn.ReLU,
                       net_arch=dict(pi=[256, 128], vf=[64])
                       )"
CarRacing-v3:
  policy: 'CnnPolicy'
  normalize: "{'norm_obs': False, 'norm_reward': True}"
  frame_stack: 2
  env_wrapper:
    - rl_zoo3.wrappers.FrameSkip:
        skip: 2
"""
REPLAY = """
HalfCheetah-v4: &mujoco
  n_timesteps: !!float 1e6
  policy: 'MlpPolicy'
  learning_starts: 10000
  noise_type: 'normal'
  noise_std: 0.1
  train_freq: 1
  gradient_steps: 1
  learning_rate: !!float 1e-3
  policy_kwargs: "dict(net_arch=[400, 300])"
Pendulum-v1:
  <<: *mujoco
  noise_type: 'ornstein-uhlenbeck'
  noise_std: 0.5
  train_freq: [1, "episode"]
  gradient_steps: -1
Humanoid-v4:
  n_envs: 4
  n_timesteps: 20000
  policy: 'MlpPolicy'
  train_freq: 8
  gradient_steps: 16
  ent_coef: 0.1
  tau: 0.02
  buffer_size: 50001
CartPole-v1:
  n_timesteps: !!float 5e4
  policy: 'MlpPolicy'
  train_freq: 16
  gradient_steps: -1
  target_update_interval: 10
  exploration_final_eps: 0.04
  policy_kwargs: "dict(net_arch=[256, 256])"
"""


@pytest.fixture
def converted(tmp_path):
    """A function: (algo, environment) -> (configuration, notes)."""

    def convert(algo, env_id):
        path = tmp_path / f"{algo}.yml"
        path.write_text(PPO if algo == "ppo" else REPLAY)
        made = convert_section(path, env_id=env_id, algo=algo)
        return SCHEMA.resolve(SCHEMA.layer_of(made.settings)).config, "\n".join(made.notes)

    return convert


def test_steps_of_each_environment_become_steps_of_all(converted):
    config, notes = converted("ppo", "Swimmer-v4")
    assert (config.num_envs, config.rollout_len, config.batch_size) == (4, 4096, 256)
    assert (config.gamma, config.p_lr, config.v_lr) == (0.9999, 6e-4, 6e-4)
    assert (config.lr_schedule, config.num_timesteps) == ("linear", 1_000_000)
    assert config.p_batch_norm and config.v_batch_norm and config.normalize_values
    assert "normalized rewards" in notes
    # what the section does not say is Stable-Baselines3's default, not ours
    assert (config.p_perception_stack, config.recompute_advantages) == ("mlp_64", False)


def test_texts_of_python_and_what_has_no_counterpart(converted):
    config, notes = converted("ppo", "InvertedPendulum-v2")
    assert (config.p_perception_stack, config.v_perception_stack) == ("mlp_256_128", "mlp_64x1")
    assert (config.p_activation, config.v_activation, config.init) == ("relu", "relu", "default")
    assert config.policy_std_init == pytest.approx(math.exp(-2))
    assert (config.rollout_len, config.batch_size, config.clip_ratio) == (32, 32, 0.4)
    assert config.env_id == "InvertedPendulum"
    for words in ("batch_size=64 does not divide", "gSDE", "falls from 0.4", "newest version"):
        assert words in notes
    assert notes.count("gSDE") == 1


def test_pictures_and_wrappers_are_said(converted):
    config, notes = converted("ppo", "CarRacing-v3")
    assert not config.p_batch_norm and config.normalize_values
    for words in ("CnnPolicy", "frame_stack", "env_wrapper"):
        assert words in notes


@pytest.mark.parametrize("algo", ["td3", "ddpg"])
def test_noise_and_updates(algo, converted):
    config, notes = converted(algo, "HalfCheetah-v4")
    assert (config.exploration_std, config.updates_per_step, config.rollout_len) == (0.1, 1.0, 1)
    assert (config.p_perception_stack, config.q_lr, config.learning_starts) == (
        "mlp_400_300",
        1e-3,
        10_000,
    )
    assert not notes
    config, notes = converted(algo, "Pendulum-v1")
    assert (config.exploration_std, config.updates_per_step) == (0.5, 1.0)
    assert "ornstein-uhlenbeck" in notes and "[1, episode]" in notes


def test_sac_with_several_environments_and_a_fixed_temperature(converted):
    config, notes = converted("sac", "Humanoid-v4")
    assert (config.rollout_len, config.updates_per_step, config.mem_size) == (32, 0.5, 50_000)
    assert (config.temperature_init, config.temperature_lr, config.tau) == (0.1, 1e-12, 0.02)
    assert "ent_coef is 0.1 throughout" in notes


def test_dqn(converted):
    config, _ = converted("dqn", "CartPole-v1")
    assert (config.rollout_len, config.updates_per_step, config.target_period) == (16, 1.0, 10)
    assert (config.epsilon_end, config.clip_norm, config.double) == (0.04, 10.0, False)


def test_another_version_and_the_default_section(converted):
    _, notes = converted("ppo", "Swimmer-v5")
    assert "its section is Swimmer-v4" in notes
    config, notes = converted("ppo", "Hopper-v5")
    assert config.env_id == "Hopper-v5" and "its section is default" in notes
    with pytest.raises(ConfigurationError, match="has no section for Hopper-v5"):
        converted("sac", "Hopper-v5")


def test_the_program_writes_a_task_file_and_names_the_next_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ppo.yml").write_text(PPO)
    assert main(["ppo.yml"]) == 0 and "Swimmer-v4" in capsys.readouterr().out
    assert main(["ppo.yml", "--env_id=Swimmer-v4"]) == 0
    told = capsys.readouterr().out
    assert "next: python main.py --config=ppo_Swimmer-v4.yaml" in told
    config: Any = SCHEMA.parse_command_line(["--config=ppo_Swimmer-v4.yaml"]).config
    assert (config.algo, config.rollout_len) == ("ppo", 4096)
    for argv, words in (
        (["ppo.yml", "--env_id=Nothing-v9", "--algo=a2c"], "no algorithm a2c"),
        (["ppo_Swimmer-v4.yaml", "--env_id=x", "--algo=ppo"], "it is not RL Zoo's"),
        (["ppo.yml", "--env_id=Ant-v4", "--write=ppo_Swimmer-v4.yaml"], "exists"),
    ):
        assert main(argv) == 2
        assert words in (told := capsys.readouterr().err) and len(told.strip().splitlines()) == 2


def test_values_that_cannot_be_used_are_refused(tmp_path):
    path = tmp_path / "ppo.yml"
    for line, words in (
        ("learning_rate: fast", "fast"),
        ("policy_kwargs: \"dict(net_arch=__import__('os'))\"", "is no literal"),
        ("n_steps: 2.5", "not a whole number"),
        ("gamma: 2", "gamma"),
    ):
        path.write_text(f"Ant-v4:\n  policy: MlpPolicy\n  {line}\n")
        with pytest.raises(ConfigurationError, match=words):
            convert_section(path, env_id="Ant-v4", algo="ppo")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "dict(a=-2, b=nn.ReLU, c=dict(pi=[1, 2]))",
            {"a": -2, "b": Name("nn.ReLU"), "c": {"pi": [1, 2]}},
        ),
        ("{'norm_obs': True, 'x': None}", {"norm_obs": True, "x": None}),
        ("[dict(pi=[64], vf=[64])]", [{"pi": [64], "vf": [64]}]),
    ],
)
def test_literals_of_python(text, value):
    assert read_literal(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "f(1)",
        "dict(**x)",
        "dict([1])",
        "[x for x in y]",
        "1 + 1",
        "lambda: 1",
        "dict(",
        "-'a'",
        "(" * 2000,
    ],
)
def test_what_is_no_literal_is_not_run(text):
    with pytest.raises(ValueError):
        read_literal(text)
