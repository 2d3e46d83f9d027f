"""Compiled steps do what torch does, and compiling them survives what happens to a run."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from agents.compute import compile_piece
from agents.compute import compiled_step as compiled
from agents.compute.compile_jobs import JOBS
from agents.compute.compiled_step import CompiledStep
from agents.on_policy.torch_steps import TorchSteps
from helpers import errors
from helpers.machine import choices, processor
from helpers.machine.native import ROOT
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config
from tests.patience import patience, promptly


@pytest.fixture(autouse=True)
def reports(caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="agents.compute.compiled_step")
    monkeypatch.setattr(choices, "_presets", {})
    monkeypatch.setattr(choices, "_made", {})


@pytest.mark.timeout(900)  # compiles, on a machine that may do much else
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
    assert all(isinstance(agent.gradient_steps, TorchSteps) for agent in agents)
    agents[1].begin()
    begun = agents[1].gradient_steps._step
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
    # What was begun before the first rollout is what was needed then.
    assert begun is agents[1].gradient_steps._step
    assert len([r for r in caplog.records if r.message.startswith("compiling 2 ")]) <= 1
    assert choices.all_choices()["ppo gradient"] in (choices.NATIVE, choices.TORCH)


# Compiling


def start(mode, cache):
    level = "x86-64-v3" if "x86-64-v3" in processor.levels() else "native"
    environment = os.environ | {
        "XDG_CACHE_HOME": str(cache),
        "MILOZERO_MARCH": level,
        "TMPDIR": str(cache),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.agents.compute.cases", mode],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def libraries(cache):
    return list((cache / "milozero" / "kernels").glob("piece-*.so"))


@pytest.mark.timeout(900)
def test_signals_to_the_process_group_do_not_reach_what_compiles(tmp_path):
    process = start("ignore", tmp_path)
    assert process.stdout.readline() == "begun\n"
    until = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < until:  # at every stage of it
        for number in (signal.SIGINT, signal.SIGTERM):
            os.killpg(process.pid, number)
        time.sleep(0.2)
    out, _ = process.communicate(timeout=patience(10))
    assert process.returncode == 0, out
    (library,) = libraries(tmp_path)
    first = json.loads(out.splitlines()[-1])
    assert "compiled 1 gradient step in" in out
    made = (
        "torch" if "torch, which is faster here" in out else "native"
    )  # as measured, beside other programs
    assert made == "torch" or "torch" not in out
    assert first["made"] == {"piece": made}
    if "x86-64-v3" in processor.levels() and shutil.which("objdump"):
        code = subprocess.run(["objdump", "-d", library], capture_output=True, text=True).stdout
        assert "%ymm" in code and "%zmm" not in code
    assert not list(tmp_path.glob("milozero-compile-*"))
    # Another process finds it, and the same result.
    again = start("ignore", tmp_path)
    out, _ = again.communicate(timeout=patience(120))
    assert out.splitlines()[0] == "begun" and "compil" not in out
    assert json.loads(out.splitlines()[-1]) == first


def test_a_signal_to_stop_ends_a_compilation_at_once_and_leaves_nothing(tmp_path):
    process = start("deadline", tmp_path)
    assert process.stdout.readline() == "begun\n"
    (folder,) = tmp_path.glob("milozero-compile-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    started = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=patience(60))
    assert time.monotonic() - started < promptly(5.0)
    assert process.returncode == errors.STOPPED_EARLY
    assert "Stopped by signal TERM" in out
    assert not libraries(tmp_path) and not folder.exists()
    for command in environments():
        assert str(folder) not in command


def environments():
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", errors="replace") as file:
                yield file.read()
        except OSError:
            continue


def key(function, *tensors):
    return compiled.key_of(lambda given: function(*given), tensors)


def test_the_key_is_that_of_the_operations_not_of_their_source(monkeypatch):
    x, factor = torch.ones(3, 2), torch.full((2,), 2.0)

    def function(given):
        return given.mul(factor).sum(0)

    def differently_named(theirs):
        # in other lines, with other names
        product = theirs * factor

        return product.sum(0)

    assert key(function, x) == key(differently_named, x)
    keys = {
        key(function, x),
        key(lambda given: given.mul(factor).sum(1), x),
        key(lambda given: given.mul(torch.full((2,), 3.0)).sum(0), x),
        key(function, torch.ones(2, 3).t()),
        key(function, torch.ones(3, 2, dtype=torch.float64)),
    }
    asked = processor.march()
    others = [level for level in processor.levels()[:-1] if level != asked]
    if others:
        monkeypatch.setenv("MILOZERO_MARCH", others[0])
        keys.add(key(function, x))
    assert len(keys) == 5 + bool(others)


def test_vectors_other_than_asked_for_are_an_error(monkeypatch):
    monkeypatch.setattr(compile_piece, "instruction_set", lambda: "AVX2")
    compile_piece.check_vectors("avx2", 256)
    for name, bits in (("INVALID_VEC_ISA", 0), ("avx512", 512)):
        with pytest.raises(RuntimeError, match=f"{name} in place of AVX2"):
            compile_piece.check_vectors(name, bits)
    monkeypatch.setattr(compile_piece, "instruction_set", lambda: "SSE4.2")
    compile_piece.check_vectors("INVALID_VEC_ISA", 0)


def test_of_a_failed_compilation_the_telling_line_is_shown():
    text = "In file included\n/a/b.cpp:3:1: error: no such thing\n1 warning\nCppCompileError: it\n"
    assert compile_piece.error_line(text) == "/a/b.cpp:3:1: error: no such thing"
    assert compile_piece.error_line("one\nRuntimeError: two\n") == "RuntimeError: two"
    assert compile_piece.error_line("\n") == ""


def adder(given):
    given["x"].add_(1.0)


def test_where_nothing_can_be_compiled_torch_does_it_and_says_so_once(
    monkeypatch,
    tmp_path,
    caplog,
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    tensors = {"x": torch.zeros(3)}
    step = CompiledStep("adder", adder, tensors, native=True)
    for _ in range(3):
        step()
    assert tensors["x"].tolist() == [3.0] * 3
    (warning,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert "there is no C++ compiler: no-such-compiler" in warning
    assert choices.all_choices() == {"adder": "torch"}


# What is compiled is held against torch


@pytest.fixture
def loads(monkeypatch, tmp_path):
    """Let any step find this function in its library."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def put(function):
        def begun(trace, tensors, library):
            library.write_bytes(b"")

        monkeypatch.setattr(JOBS, "begin", begun)
        monkeypatch.setattr(compiled, "_load", lambda library: (function, ""))
        step = CompiledStep("adder", adder, {"x": torch.zeros(3)}, native=True)
        step()
        return step.tensors["x"].tolist(), list((tmp_path / "milozero" / "kernels").iterdir())

    return put


def test_what_is_slower_than_torch_is_not_used_and_that_is_kept(loads, caplog):
    def slow(tensors):
        time.sleep(0.01)
        tensors[0].add_(1.0)

    value, files = loads(slow)
    assert value == [1.0] * 3 and choices.all_choices() == {"adder": "torch"}
    assert len([r for r in caplog.records if "torch, which is faster here" in r.message]) == 1
    (kept,) = [path for path in files if path.suffix == ".json"]
    assert json.loads(kept.read_text()) == {"choice": "torch"}
    # Another process of this machine obeys that, and a run what it began with.
    loads(lambda tensors: tensors[0].add_(1.0))
    assert choices.all_choices() == {"adder": "torch"}
    choices.set_presets({"adder": "native"})
    calls = []
    loads(lambda tensors: calls.append(tensors[0].add_(1.0)))
    assert choices.all_choices() == {"adder": "native"} and len(calls) == 2


def test_what_gives_another_result_than_torch_is_not_used_nor_kept(loads, caplog):
    value, files = loads(lambda tensors: tensors[0].add_(1.05))
    assert value == [1.0] * 3 and choices.all_choices() == {"adder": "torch"}
    assert "does not give torch's x" in caplog.text
    assert not files
    choices.set_presets({"adder": "native"})
    assert loads(lambda tensors: tensors[0].fill_(float("nan")))[0] == [1.0] * 3


def test_a_run_that_began_in_torch_compiles_nothing(monkeypatch):
    monkeypatch.setattr(compiled, "_begin_compiling", None)  # calling it would be noted as trouble
    choices.set_presets({"adder": "torch"})
    for native in (True, False):
        step = CompiledStep("adder", adder, {"x": torch.zeros(3)}, native=native)
        step.begin()
        step()
        assert step.tensors["x"].tolist() == [1.0] * 3 and not step._trouble


def test_tensors_of_another_form_than_begun_with_are_compiled_for(monkeypatch, tmp_path):
    begun = []

    def note(name, function, tensors):
        begun.append(tuple(tensors[0].shape))
        raise RuntimeError("enough")

    monkeypatch.setattr(compiled, "_begin_compiling", note)
    step = CompiledStep("adder", adder, {"x": torch.zeros(3)}, native=True)
    step.begin()
    step(x=torch.zeros(5))
    assert begun == [(3,), (5,)]


def test_unknown_inputs_are_refused():
    tensors = {"x": torch.zeros(1)}
    step = CompiledStep("none", lambda t: None, tensors, native=False)
    with pytest.raises(KeyError, match="'y'"):
        step(y=torch.zeros(1))
