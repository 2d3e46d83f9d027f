"""Environments in processes: the same numbers as without, and no crash that costs more than an episode."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from environments.factory import make_vector_env
from environments.processes import vector_env
from helpers.errors import ConfigurationError, UserError, UsersCodeError
from tests.patience import patience
from tests.probes import slow

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def crashes(tmp_path, monkeypatch):
    """The folder of crashes; in children the probe is registered by a module that Python imports at its start."""
    slow.register()
    (tmp_path / "sitecustomize.py").write_text("from tests.probes import slow\nslow.register()\n")
    folder = tmp_path / "crashes"
    folder.mkdir()
    monkeypatch.setenv("CRASHES_IN", str(folder))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    return folder


@pytest.fixture
def make(request):
    def make(processes: int, seeds=(11, 12, 13), env_id: str = slow.ID, **options: Any):
        made = make_vector_env(env_id, seeds=list(seeds), options=options, processes=processes)
        request.addfinalizer(made.close)
        return made

    return make


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert set(one) == set(other)
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, np.ndarray) and one.dtype == object:
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize(
    ("env_id", "steps"),
    [
        (slow.ID, 25),
        ("CartPole-v1", 40),
        ("Hopper-v5", 30),
        ("Cheetah-Run-Feat-v0", 5),
        ("Opensim-Arm-Reach-v0", 8),
    ],
)
def test_numbers_infos_and_states_are_those_without_processes(make, env_id, steps) -> None:
    serial, parallel = make(0, env_id=env_id), make(2, env_id=env_id)
    assert (parallel.backend, parallel.names, parallel.time_step, parallel.max_episode_steps) == (
        serial.backend,
        serial.names,
        serial.time_step,
        serial.max_episode_steps,
    )
    assert parallel.observation_space == serial.observation_space
    assert parallel.action_space == serial.action_space
    assert_same(dict(serial.reset()[1]), parallel.reset()[1])
    serial.action_space.seed(0)
    for step in range(steps):
        actions = serial.action_space.sample()
        one, other = serial.step(actions), parallel.step(actions)
        for left, right in zip(one[:4], other[:4], strict=True):
            assert_same(left, right)
        assert_same(dict(one[4]), other[4])
        if step == steps // 2:
            state = serial.state_dict()
            assert_same(dict(state), dict(parallel.state_dict()))
            parallel = make(3, env_id=env_id)  # another number of processes goes on
            parallel.load_state_dict(state)
            assert_same(serial.observations, parallel.observations)


def test_resets_and_rests_of_some(make) -> None:
    serial, parallel = make(0), make(2)
    actions = np.zeros((3, 2), np.float32)
    for envs in (serial, parallel):
        envs.reset()
        envs.step(actions)
        envs.rest(np.array([True, False, True]))
    for left, right in zip(serial.step(actions)[:4], parallel.step(actions)[:4], strict=True):
        assert_same(left, right)
    mask = np.array([True, False, False])
    one, other = (e.reset(options={"reset_mask": mask}) for e in (serial, parallel))
    assert_same(one[0], other[0])
    assert_same(dict(one[1]), other[1])
    assert_same(serial.step(actions)[0], parallel.step(actions)[0])


def test_they_wait_at_once(make) -> None:
    envs = make(3, wait=0.2)
    envs.reset()
    started = time.monotonic()
    for _ in range(5):
        envs.step(np.zeros((3, 2), np.float32))
    assert time.monotonic() - started < 0.5 * 3 * 5 * 0.2


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("segfault", "signal 11"),
        ("exit", "status 3"),
        ("hang", "no answer in"),
    ],
)
def test_a_crash_costs_an_episode_and_is_told(
    make,
    crashes,
    caplog,
    monkeypatch,
    what,
    said,
) -> None:
    monkeypatch.setattr(vector_env, "STEP_LIMIT", 3.0)
    envs = make(3)
    envs.reset()
    actions = np.full((3, 2), 0.5, np.float32)
    before = envs.step(actions)[0]
    (crashes / "12").write_text(what)
    observations, rewards, terminated, truncated, infos = envs.step(actions)
    assert truncated.tolist() == [False, True, False] and not terminated.any()
    assert rewards.tolist() == [1.0, 0.0, 1.0]
    np.testing.assert_array_equal(envs.successors(observations, infos)[1], before[1])
    assert infos["final_info"]["simulator_failed"].tolist() == [False, True, False]
    assert observations[1, 0] == 0 and observations[1, 2] not in (11, 12, 13)  # another seed
    assert envs.failures == 1 and said in caplog.text
    after = envs.step(actions)[0]
    assert after[:, 0].tolist() == [3, 1, 3]
    envs.state_dict()


def test_what_the_environment_raises_ends_the_run_at_once_as_without_processes(
    make,
    crashes,
    caplog,
) -> None:
    """It is deterministic: another process would come to the same line."""
    told = []
    for processes in (0, 3):
        envs = make(processes)
        envs.reset()
        (crashes / "12").write_text("raise")
        with pytest.raises(UsersCodeError) as caught:
            envs.step(np.zeros((3, 2), np.float32))
        told.append((caught.value.problem, caught.value.remedy))
        if processes:
            assert [child.restarts for child in envs._children] == [0, 0, 0]
            assert "slow.py" in str(caught.value.__cause__)  # the traceback there, which is kept
    assert told[0] == told[1]
    assert "ZeroDivisionError: a muscle of no length" in told[0][0]
    assert "slow.py, line" in told[0][1] and not caplog.text


def test_a_crash_again_and_again_ends_the_run(make, monkeypatch) -> None:
    envs = make(2, seeds=(11, 12))
    envs.reset()
    child, begin = envs._children[0], vector_env.Child._begin

    def begin_and_die(self) -> None:
        begin(self)
        self._process.kill()

    child._process.kill()
    monkeypatch.setattr(vector_env.Child, "_begin", begin_and_die)
    with pytest.raises(UserError, match=r"crashed 3 times in a row[\s\S]*--env_processes=0"):
        envs.step(np.zeros((2, 2), np.float32))


def test_what_cannot_be_made_is_refused_as_without(make) -> None:
    with pytest.raises(
        UserError,
        match=r"cannot be made[\s\S]*slow.py, line 32: raise RuntimeError",
    ):
        make(2, refuses=True)
    with pytest.raises(ConfigurationError, match="no option"):
        make(2, env_id="Hopper-v5", nothing=1)


def processes_of(token: str) -> list[int]:
    """Living processes whose environment holds a token."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and token.encode() in (entry / "environ").read_bytes():
                if "Z" not in (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]:
                    found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.parametrize("busy", [False, True])
def test_no_process_outlives_a_parent_that_is_killed(busy) -> None:
    token = f"MILOZERO_TEST_TOKEN={os.getpid()}{busy}"
    program = (
        "import numpy as np\nfrom tests.probes import slow\nslow.register()\n"
        "from environments.factory import make_vector_env\n"
        f"envs = make_vector_env({slow.ID!r}, seeds=[1, 2], options={{'wait': {1000.0 if busy else 0.0}}}, "
        "processes=2)\n"
        "envs.reset()\nprint('ready', flush=True)\n"
        "envs.step(np.zeros((2, 2), np.float32)) if " + str(busy) + " else input()\n"
    )
    name, _, value = token.partition("=")
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ
        | {name: value, "PMI_RANK": "0", "OMPI_COMM_WORLD_RANK": "0", "PMIX_ID": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
    children = [pid for pid in processes_of(token) if pid != parent.pid]
    assert len(children) == 2
    for pid in children:  # and none of them takes itself for a rank
        names = Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(word in names for word in (b"PMI_RANK", b"OMPI_COMM", b"PMIX_ID"))
    os.kill(children[0], signal.SIGTERM)  # as a scheduler sends it to all processes of a job
    time.sleep(0.2)
    assert len(processes_of(token)) == 3
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + patience(10)
    while processes_of(token) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_of(token)
