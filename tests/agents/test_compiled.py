"""Compiled steps do what torch does."""

import logging

import numpy as np
import pytest
import torch

from agents import compiled
from agents.compiled import Step
from agents.ppo_torch import TorchSteps
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config


@pytest.fixture(autouse=True)
def reports(caplog):
    caplog.set_level(logging.INFO, logger="agents.compiled")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("continuous", {"layer_norm": True}), ("discrete", {"shared_value": True})],
    ids=["layer norm", "shared, discrete"],
)
def test_ppo_with_other_networks_is_compiled_to_the_same(kind, settings, caplog):
    agents = [
        small_agent(small_config(compile=compile, **settings), SPACES[kind])
        for compile in (False, True)
    ]
    assert all(isinstance(agent.steps, TorchSteps) for agent in agents)
    for i in range(2):  # 24 gradient steps
        rollout = random_rollout(agents[0], SPACES[kind], iteration=i)
        metrics = [agent.update(rollout) for agent in agents]
        for name, value in metrics[0].items():
            assert metrics[1][name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    torch.testing.assert_close(
        agents[0].parameters.values,
        agents[1].parameters.values,
        rtol=0,
        atol=1e-6,
    )
    if kind == "continuous":
        for agent in agents:
            agent.noise.rewind(5)
        observations = np.random.default_rng(0).normal(size=(4, 5))
        actions = [agent.predict(observations, explore=True)[0] for agent in agents]
        np.testing.assert_allclose(actions[0], actions[1], atol=1e-5)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_what_was_compiled_is_kept_and_what_differs_is_compiled_anew(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []
    compile_it = compiled._compile

    def counted(*given):
        made.append(given)
        compile_it(*given)

    monkeypatch.setattr(compiled, "_compile", counted)

    def run(factor: float) -> float:
        constant = torch.full((3,), factor)  # no operation of the graph tells its value

        def piece(given):
            given["x"].mul_(constant)

        tensors = {"x": torch.ones(3)}
        step = Step("factor", piece, tensors, native=True)
        step()
        return tensors["x"][0].item()

    assert [run(2.0), run(2.0), run(3.0)] == [2.0, 2.0, 3.0]
    assert len(made) == 2
    assert "compiling factor" in caplog.text


def test_where_nothing_can_be_compiled_torch_does_it_and_says_so_once(
    monkeypatch,
    tmp_path,
    caplog,
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def piece(given):
        given["x"].add_(1.0)

    tensors = {"x": torch.zeros(3)}
    step = Step("adder", piece, tensors, native=True)
    # monkeypatch would leave the setting deleted: torch's configuration is not an ordinary object
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}):
        for _ in range(3):
            step()
    assert tensors["x"].tolist() == [3.0] * 3
    assert [r.levelname for r in caplog.records].count("WARNING") == 1


def test_unknown_inputs_are_refused():
    tensors = {"x": torch.zeros(1)}
    step = Step("none", lambda t: None, tensors, native=False)
    with pytest.raises(KeyError, match="'y'"):
        step(y=torch.zeros(1))
