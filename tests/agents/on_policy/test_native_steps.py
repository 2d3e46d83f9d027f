"""The C kernel says what the torch loss says."""

import sys

import numpy as np
import pytest
import torch

from agents.on_policy.native_steps import NativeSteps
from agents.on_policy.torch_steps import TorchSteps
from helpers.machine import compilers, native, processor
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config

ZIG_CACHE = native.cache_folder().parent / "zig"
WIDE = {"p_perception_stack": "mlp_64", "v_perception_stack": "mlp_64"}
SETTINGS = [
    {},
    {"value_clip": 0.02},
    {"p_ent_reg_scale": 0.05},
    {"clip_norm": 0.0, "clip_ratio": 0.01},
    {"p_perception_stack": "mlp_24_40_7", "v_perception_stack": "mlp_33"},
    {"p_batch_norm": False, "normalize_advantages": False},
    {"p_activation": "relu"},
    {"activation": "relu", "init": "default"},
]


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    """Nothing that CC or PATH could name; the folder that stands for ~/.cache."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native._miss_compiler.cache_clear()
    return tmp_path


def assert_native_and_torch_learn_the_same(kind, settings):
    agents = [
        small_agent(small_config(**(WIDE | {"compile": compile} | settings)), SPACES[kind])
        for compile in (False, True)
    ]
    assert [type(agent.gradient_steps) for agent in agents] == [TorchSteps, NativeSteps]
    for i in range(2):  # 24 gradient steps
        rollouts = [random_rollout(agent, SPACES[kind], iteration=i) for agent in agents]
        np.testing.assert_allclose(rollouts[0].actions, rollouts[1].actions, atol=1e-5)
        metrics = [agent.update(rollouts[0]) for agent in agents]
        for name, value in metrics[0].items():
            assert metrics[1][name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    torch.testing.assert_close(
        agents[0].parameters.values,
        agents[1].parameters.values,
        rtol=0,
        atol=1e-6,
    )
    observations = np.random.default_rng(1).normal(size=(7, 5))
    greedy = [agent.predict(observations, explore=False)[0] for agent in agents]
    np.testing.assert_allclose(greedy[0], greedy[1], atol=1e-5)


@pytest.mark.parametrize("level", [processor.NATIVE, *processor.levels()])
@pytest.mark.parametrize("kind", ["continuous", "discrete"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_native_and_torch_learn_the_same(kind, settings, level, monkeypatch):
    monkeypatch.setenv(processor.VARIABLE, level)
    assert_native_and_torch_learn_the_same(kind, settings)


@pytest.mark.parametrize("level", [processor.NATIVE, *processor.levels()])
def test_tanh_holds_over_its_whole_range(level, monkeypatch):
    """Large observations saturate: the approximation must neither overshoot nor lose its sign."""
    monkeypatch.setenv(processor.VARIABLE, level)
    agents = [
        small_agent(small_config(compile=compile, p_batch_norm=False, **WIDE), SPACES["continuous"])
        for compile in (False, True)
    ]
    scales = np.logspace(-6, 4, 200)[:, None]
    observations = scales * np.random.default_rng(0).normal(size=(200, 5))
    heads = [agent.predict(observations, explore=False)[0] for agent in agents]
    np.testing.assert_allclose(heads[0], heads[1], atol=2e-6)


def test_without_a_compiler_torch_does_it_and_the_log_says_so(monkeypatch, caplog, no_compiler):
    monkeypatch.setitem(sys.modules, "ziglang", None)
    agent = small_agent(small_config(), SPACES["continuous"])
    small_agent(small_config(), SPACES["discrete"])
    assert isinstance(agent.gradient_steps, TorchSteps)
    assert caplog.text.count("no C compiler") == 1
    assert "pip install ziglang" in caplog.text
    agent.update(random_rollout(agent, SPACES["continuous"]))


def test_the_compiler_of_a_python_package_does_where_there_is_no_other(monkeypatch, no_compiler):
    pytest.importorskip("ziglang", reason="make venv installs it")
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(ZIG_CACHE))  # what it makes of itself, once
    assert_native_and_torch_learn_the_same("continuous", SETTINGS[4])
    assert compilers.compiler_name().endswith("of zig")
    assert len(list(no_compiler.glob("milozero/kernels/ppo-*.so"))) == 1


def test_a_compiler_that_fails_is_survived(monkeypatch, caplog, tmp_path):
    compiler = tmp_path / "broken-cc"
    compiler.write_text("#!/bin/sh\necho cannot >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", f"{compiler} -pipe")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.build("agents/on_policy/kernels/ppo.c") is None
    assert "broken-cc -pipe failed" in caplog.text
    assert "cannot" in caplog.text
