"""The C kernels on processors that this machine does not have: ARM's, emulated, against torch.

The same program is built for this machine too. At all of its levels, test_native.py tests the kernels.
"""

import ctypes
import subprocess
import types
from functools import cache

import numpy as np
import pytest
import torch

from agents.compute.flat_parameters import FlatAdam
from agents.on_policy.native_steps import NativeSteps
from agents.on_policy.torch_steps import TorchSteps
from helpers.machine import compilers, native, processor
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config
from tests.patience import patience
from tests.slurm.cluster import install

ARM = ("neoverse-n1", "neoverse-v1")  # NEON and SVE: Graviton 2 and 3
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
PACKAGES = ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user")
SETTINGS = {
    "p_perception_stack": "mlp_24_40_7",
    "v_perception_stack": "mlp_33",
    "optim_epochs_per_iter": 6,  # 24 gradient steps
    "value_clip": 0.02,
    "p_ent_reg_scale": 0.05,
}
LIMIT = 2.0  # of standardised observations
TOLERANCES = {  # relative, absolute
    "log_probs": (0.0, 4e-6),
    "values": (0.0, 2e-6),
    "gae": (0.0, 4e-6),
    "act": (0.0, 2e-6),
    "parameters": (0.0, 1e-6),
    "metrics": (1e-4, 1e-5),
}


class Recorder:
    """Stands before an agent's steps, and keeps what they were called with and what they gave."""

    def __init__(self, steps):
        self.steps, self.calls = steps, {}

    def __getattr__(self, name):
        if not callable(getattr(self.steps, name)):
            return getattr(self.steps, name)

        def call(*arguments, **named):
            kept = [self._copy(each) for each in (*arguments, *named.values())]
            result = getattr(self.steps, name)(*arguments, **named)
            self.calls.setdefault(name, []).append((kept, self._copy(result)))
            return result

        return call

    def _copy(self, what):
        if isinstance(what, dict):
            return {key: self._copy(value) for key, value in what.items()}
        if isinstance(what, torch.Tensor):
            return what.detach().clone().numpy()
        return what.copy() if isinstance(what, np.ndarray) else what


@cache
def steps_of(kind):
    """Bytes for the program, and what torch makes of them, by name, in the order of the program."""
    space = SPACES[kind]
    agent = small_agent(small_config(compile=False, **SETTINGS), space)
    assert isinstance(agent.gradient_steps, TorchSteps)
    rollout = random_rollout(agent, space)
    start = agent.parameters.values.clone().numpy()
    rng = np.random.default_rng(0)
    outputs = agent.noise.next().shape[1]
    offset, scale = rng.normal(size=(2, 5)).astype(np.float32)
    noise = rng.normal(size=(4, outputs)).astype(np.float32)
    policy_input = agent._policy_input(rollout.observations).reshape(-1, 5)
    standard = ((policy_input[:4] - offset) * scale).clip(-LIMIT, LIMIT)
    with torch.no_grad():
        head = agent.actor.head(agent.actor.features(torch.from_numpy(standard))).numpy()
    recorder = agent.gradient_steps = Recorder(agent.gradient_steps)
    is_gaussian = kind == "continuous"
    if is_gaussian:
        head = recorder.steps.act(standard, None, noise)
    agent.value_units.update = (
        lambda _targets: None
    )  # it rescales the critic after the gradient steps
    agent.update(rollout)
    epochs = recorder.calls["epoch"]
    (data, _, rates), _ = epochs[0]
    orders = np.stack([order for (_, order, _), _ in epochs])
    (reward, value, next_value, terminated, truncated), advantage = recorder.calls["gae"][0]
    expected = {
        "log_probs": recorder.calls["log_probs"][0][1],
        "values": recorder.calls["values"][0][1],
        "gae": advantage,
        "act": head,
        "parameters": agent.parameters.values.clone().numpy(),
        "metrics": np.concatenate([metrics for _, metrics in epochs]),
    }
    job = job_of(space)
    action = data["action"]
    numbers = [ctypes.sizeof(job), *reward.shape, *orders.shape, int(is_gaussian)]
    config = agent.config
    parts = [
        np.array(numbers, np.int64),
        np.array([rates["policy"], rates["value"]]),
        np.array([config.gamma, config.gae_lambda, LIMIT], np.float32),
        bytes(job),
        *(start, data["policy_input"], data["value_input"], action, orders),
        *(reward, value, next_value, terminated, truncated, offset, scale),
        *([noise] if is_gaussian else []),
        *(data["old_log_prob"], data["old_value"]),
        *(each[name] for (each, *_), _ in epochs for name in ("target", "advantage")),
    ]
    given = b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts)
    return types.SimpleNamespace(given=given, expected=expected, agent=agent)


def job_of(space):
    """The Job of an agent of the same form, as Python lays it out."""
    agent = small_agent(small_config(compile=True, **SETTINGS), space)
    assert isinstance(agent.gradient_steps, NativeSteps)
    return agent.gradient_steps._job


def built(target, folder):
    """The command that runs the program of a target: a level of this machine, or one of ARM's."""
    path = folder / target
    if target in ARM:
        trouble = install(PACKAGES, programs=(COMPILER, EMULATOR))
        if trouble:
            pytest.skip(trouble)
        compiler: tuple[str, ...] = (COMPILER, "-static")
        flag = f"-mcpu={target}"
    else:
        compiler = compilers.c_compiler()
        flag = compilers.target_flag(compiler)
    sources = ["tests/agents/compute/kernel_steps.c", "agents/compute/kernels/adam.c"]
    flags = [each for each in native.FLAGS if each not in ("-shared", "-fPIC")]
    command = [*compiler, flag, *flags, "-Wno-psabi", "-Werror=incompatible-pointer-types"]
    subprocess.run([*command, "-o", str(path), *sources, "-lm"], cwd=native.ROOT, check=True)
    return [EMULATOR, str(path)] if target in ARM else [str(path)]


@pytest.mark.parametrize("target", [processor.NATIVE, *ARM])
def test_every_processor_learns_what_torch_does(target, tmp_path):
    program = built(target, tmp_path)
    for kind in SPACES:
        check(program, kind, tmp_path)


def check(program, kind, folder):
    steps = steps_of(kind)
    (folder / "given").write_bytes(steps.given)
    subprocess.run([*program, "given", "made"], cwd=folder, check=True, timeout=patience(60))
    made = np.fromfile(folder / "made", np.float32)
    for name, expected in steps.expected.items():
        found, made = np.split(made, [expected.size])
        relative, absolute = TOLERANCES[name]
        np.testing.assert_allclose(
            found,
            expected.ravel(),
            rtol=relative,
            atol=absolute,
            err_msg=f"{kind} {name}",
        )
        if name == "parameters":
            start = found
    gradients, norm, after = np.split(made, [len(start), len(start) + 1])
    parameters = steps.agent.parameters
    parameters.values.copy_(torch.from_numpy(start))
    parameters.gradients.copy_(torch.from_numpy(gradients))
    adam = FlatAdam(parameters, epsilon=steps.agent.optimizer.epsilon, native=False)
    assert adam.step_({"policy": 1e-4, "value": 2e-4}, clip_norm=0.1) == pytest.approx(norm.item())
    np.testing.assert_allclose(after, parameters.values.numpy(), rtol=0, atol=1e-7)
    assert np.abs(after - start).max() > 1e-5
