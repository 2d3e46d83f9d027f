"""Tasks of one's own: the example of docs/environments.md, and what is said of files that are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
from gymnasium.utils import seeding

from environments.batched_mujoco.catalogue import make_task
from environments.batched_mujoco.vector_env import BatchedMujocoEnv
from environments.factory import make_vector_env
from environments.ids import resolve_env_id, suite_of
from helpers.errors import ConfigurationError, UsersCodeError
from tests.environments.state.test_exact_state import assert_identical, through_a_file

EXAMPLE = "docs/examples/cart.py:Cart"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_example_is_what_it_says() -> None:
    envs = make_vector_env(EXAMPLE, seeds=[0, 1, 2])
    assert (envs.env_id, envs.backend, envs.max_episode_steps) == (EXAMPLE, "batched MuJoCo", 200)
    assert (resolve_env_id(EXAMPLE), suite_of(EXAMPLE).name) == (EXAMPLE, "mujoco")
    assert envs.metadata["render_fps"] == 50
    observations, infos = envs.reset()
    np.testing.assert_array_equal(infos["position"], observations[:, 0])
    assert (np.abs(observations[:, 0]) < 0.5).all() and not observations[:, 1].any()

    model = mujoco.MjModel.from_xml_path("docs/examples/cart.xml")
    data = mujoco.MjData(model)  # the first of the three, by hand
    data.qpos[:], data.ctrl[:] = observations[0, 0], 1.0
    steps = 0
    while steps < 200 and not envs.successors(observations, infos)[0, 0] > 1:
        steps += 1
        mujoco.mj_step(model, data, 2)
        observations, rewards, terminated, truncated, infos = envs.step(np.full((3, 1), 9.0))
        last = envs.successors(observations, infos)
        assert last[0].tolist() == [data.qpos[0], data.qvel[0]]
        assert rewards[0] == pytest.approx(-(data.qpos[0] ** 2) - 0.01)
        assert terminated[0] == (data.qpos[0] > 1) and not truncated.any()
    assert 5 < steps < 200
    assert np.abs(observations[0, 0]) < 0.5


def test_the_example_ends_with_time_and_goes_on_from_a_file() -> None:
    envs = make_vector_env(EXAMPLE, seeds=[0, 1], options={"rail_length": 100.0})
    envs.reset()
    for _ in range(197):
        envs.step(np.zeros((2, 1)))
    state = through_a_file(envs.state_dict())
    fresh = make_vector_env(EXAMPLE, seeds=[5, 6], options={"rail_length": 100.0})
    fresh.load_state_dict(state)
    for step in range(6):
        outcome = envs.step(np.ones((2, 1)))
        assert_identical(fresh.step(np.ones((2, 1))), outcome)
        assert outcome[3].all() == (step == 2) and not outcome[2].any()


def test_options_are_checked_by_name() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        make_vector_env(EXAMPLE, seeds=[0], options={"rail_lenght": 2.0})
    assert "no option rail_lenght" in refusal.value.problem
    assert "rail_length" in refusal.value.remedy
    with pytest.raises(ConfigurationError, match="cheetah-run|Cheetah-Run-Feat-v0 has no option"):
        make_vector_env("cheetah-run", seeds=[0], options={"frame_skip": 2})
    envs = make_vector_env(
        "Hopper-v4",
        seeds=[0],
        options={"exclude_current_positions_from_observation": False},
    )
    assert envs.single_observation_space.shape == (12,)


def test_finding_a_task_file_imports_neither_it_nor_a_simulator() -> None:
    script = (
        "import sys; from environments.ids import resolve_env_id;"
        f"resolve_env_id({EXAMPLE!r});"
        "assert not {'mujoco', 'gymnasium'} & set(sys.modules);"
        "assert not [name for name in sys.modules if 'cart' in name]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


SKELETON = """
from dataclasses import dataclass
import numpy as np
from docs.examples.cart import Cart

@dataclass(frozen=True, kw_only=True)
class Mine(Cart):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("reads = ('qpos', 'efc_force')", "efc_force is not an array of MjData that persists"),
        ("reads = ('qpos', 'nonesuch')", "nonesuch is not an array"),
        ("xml_file: str = 'nonesuch.xml'", "There is no MuJoCo model nonesuch.xml"),
        ("def observe(self, world, now): return now.qpos", "observations as a view"),
        (
            "def observe(self, world, now): return now.qpos.astype(np.float32)",
            "observations as float32(2, 1), with N=2",
        ),
        ("def observe(self, world, now): return [1.0]", "observations as list"),
        (
            "def evaluate(self, world, before, now, actions):\n"
            "        return super().evaluate(world, before, now, actions)._replace(rewards=np.ones(1))",
            "rewards as float64(1,), with N=2",
        ),
        (
            "def evaluate(self, world, before, now, actions):\n"
            "        return super().evaluate(world, before, now, actions)._replace(\n"
            "            terminated=np.zeros(2))",
            "terminated as float64(2,), with N=2",
        ),
    ],
)
def test_a_task_that_breaks_a_promise_is_told_so(tmp_path: Path, body: str, words: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SKELETON.format(body=body), encoding="utf-8")
    task = make_task(f"{path}:Mine", {})
    with pytest.raises(ConfigurationError) as refusal:
        BatchedMujocoEnv("mine", task, seeds=[0, 1])
    assert words in refusal.value.problem


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", "Mine", "has no dataclass Mine"),
        ("class Mine: pass", "Mine", "has no gymnasium.Env Mine, and no task"),
        ("class Mine: pass\n1 / 0", "Mine", "cannot be imported: ZeroDivisionError"),
        (
            "from dataclasses import dataclass\n@dataclass\nclass Mine:\n    xml_file: str = ''",
            "Mine",
            "is not a task: default_camera_config, describe, evaluate, frame_skip",
        ),
    ],
)
def test_a_file_without_a_task_is_refused(
    tmp_path: Path,
    text: str,
    name: str,
    words: str,
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refusal:
        make_vector_env(f"{path}:{name}", seeds=[0])
    assert words in refusal.value.problem


def test_no_file_and_a_file_that_came_with_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file nonesuch.py in"):
        resolve_env_id("nonesuch.py:Mine")
    folder = tmp_path / "run" / "checkpoints" / "best"
    folder.mkdir(parents=True)
    (folder / "evil.py").write_text("raise SystemExit(99)")
    (tmp_path / "run" / "config.yaml").write_text("algo: ppo\n")
    with pytest.raises(ConfigurationError, match="is in a run folder"):
        make_vector_env(f"{folder}/evil.py:Mine", seeds=[0])
    (tmp_path / "link.py").symlink_to(folder / "evil.py")
    with pytest.raises(ConfigurationError, match="is in a run folder"):
        make_vector_env(f"{tmp_path}/link.py:Mine", seeds=[0])


def test_a_file_that_fails_can_be_mended_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("1 / 0")
    with pytest.raises(UsersCodeError, match=r"ZeroDivisionError[\s\S]*mine.py, line 1: 1 / 0"):
        make_task(f"{path}:Mine", {})
    path.write_text(SKELETON.format(body="frame_skip: int = 3"), encoding="utf-8")
    assert make_task(f"{path}:Mine", {}).frame_skip == 3


GOAL = """
from dataclasses import dataclass
import numpy as np
from docs.examples.cart import Cart
from environments.batched_mujoco.task import Start

@dataclass(frozen=True, kw_only=True)
class Goal(Cart):
    xml_file: str = "{folder}/goal.xml"
    reads = ("qpos", "qvel", "mocap_pos", "mocap_quat", "userdata", "ctrl")

    def start(self, world, generator):
        qpos, qvel = super().start(world, generator)
        goal = generator.uniform(-1, 1, (1, 3))
        turn = np.array([[0.0, 1.0, 0.0, 0.0]])
        return Start(qpos, qvel, ctrl=np.full(1, 0.5), mocap_pos=goal, mocap_quat=turn, userdata=goal[0, :2])

    def observe(self, world, now):
        parts = (now.qpos, now.qvel, now.mocap_pos[:, 0], now.mocap_quat[:, 0], now.userdata)
        return np.concatenate(parts, axis=1)
"""


def test_an_episode_may_begin_with_a_goal_that_is_not_simulated(tmp_path: Path) -> None:
    text = Path("docs/examples/cart.xml").read_text()
    goal = "<body name='goal' mocap='true'><geom size='0.1' contype='0' conaffinity='0'/></body>"
    text = text.replace("<worldbody>", f"<size nuserdata='2'/><worldbody>{goal}", 1)
    (tmp_path / "goal.xml").write_text(text)
    (tmp_path / "goal.py").write_text(GOAL.format(folder=tmp_path))
    env_id = resolve_env_id(f"{tmp_path}/goal.py:Goal")
    envs = make_vector_env(env_id, seeds=[3, 4])
    first, _ = envs.reset()
    place = first[:, 2:5]
    assert (np.abs(place).max(axis=1) > 0).all() and (place[0] != place[1]).any()
    np.testing.assert_array_equal(first[:, 5:9], [[0, 1, 0, 0]] * 2)
    np.testing.assert_array_equal(first[:, 9:], place[:, :2])
    for _ in range(30):
        seen, *_ = envs.step(np.zeros((2, 1)))
    np.testing.assert_array_equal(seen[:, 2:5], place)  # the goal stays for the episode
    fresh = make_vector_env(env_id, seeds=[5, 6])
    fresh.reset()
    fresh.load_state_dict(envs.state_dict())
    for _ in range(200):  # over the end of an episode, which draws another goal
        outcome = envs.step(np.ones((2, 1)))
        assert_identical(fresh.step(np.ones((2, 1))), outcome)
    assert (outcome[0][:, 2:5] != place).any()


def test_two_tasks_each_import_the_module_beside_them(tmp_path: Path) -> None:
    for weight in (0.25, 0.75):
        folder = tmp_path / str(weight)
        folder.mkdir()
        (folder / "beside.py").write_text(f"WEIGHT = {weight}\n")
        text = "import beside\n" + SKELETON.format(body="ctrl_cost_weight: float = beside.WEIGHT")
        (folder / "mine.py").write_text(text, encoding="utf-8")
        assert vars(make_task(f"{folder}/mine.py:Mine", {}))["ctrl_cost_weight"] == weight


def test_the_moving_goal_is_that_of_one_simulation_by_hand_and_goes_on_from_a_file() -> None:
    env_id = "docs/examples/moving_goal.py:MovingGoal"
    envs, fresh = (make_vector_env(env_id, seeds=seeds) for seeds in ([7, 8], [1, 2]))
    observations, _ = envs.reset()
    fresh.reset()
    model = mujoco.MjModel.from_xml_path("docs/examples/moving_goal.xml")
    data = mujoco.MjData(model)  # the first of the two, by hand
    generator, _ = seeding.np_random(7)
    data.qpos[:] = generator.uniform(-0.5, 0.5, 1)
    data.act[:] = generator.uniform(-0.1, 0.1, 1)
    data.mocap_pos[0] = generator.uniform(-0.3, 0.3), 0.0, 0.2
    data.userdata[:] = generator.uniform((1.0, 0.0), (3.0, 2 * np.pi))
    mujoco.mj_forward(model, data)
    places = []
    for step in range(60):
        rate, phase = data.userdata
        swing = 0.3 * np.sin(rate * data.sensordata[0] + phase)
        places.append(data.mocap_pos[0, 0] + swing)
        way = places[-1] - data.qpos[0]
        assert observations[0].tolist() == [data.qpos[0], data.qvel[0], data.act[0], way], step
        if step == 25:
            fresh.load_state_dict(through_a_file(envs.state_dict()))
        outcome = envs.step(np.full((2, 1), 0.01 * step - 0.2))
        if step >= 25:
            assert_identical(fresh.step(np.full((2, 1), 0.01 * step - 0.2)), outcome)
        observations, *_ = outcome
        data.ctrl[:] = np.float32(0.01 * step - 0.2)
        mujoco.mj_step(model, data, 2)
    assert max(places) - min(places) > 0.3  # it has moved


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("np.zeros(1)", "start returns float64(1,), not (qpos, qvel)"),
        ("0.0, np.zeros(1)", "returns qpos of shape (), and the model has (1,)"),
        ("np.zeros(1), np.zeros((1, 1))", "qvel of shape (1, 1)"),
        ("Start(np.zeros(1), None, mocap_pos=np.zeros(3))", "mocap_pos of shape (3,)"),
        ("Start(None, None, userdata=[np.nan, 1.0])", "userdata with a number that is not finite"),
    ],
)
def test_a_start_that_numpy_would_spread_is_refused(tmp_path: Path, start: str, words: str) -> None:
    text = SKELETON.replace("docs.examples.cart import Cart", "docs.examples.moving_goal import *")
    body = f"def start(self, world, generator):\n        return {start}"
    text = text.replace("(Cart)", "(MovingGoal)").format(body=body)
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    envs = make_vector_env(f"{tmp_path}/mine.py:Mine", seeds=[0])
    with pytest.raises(UsersCodeError) as refusal:
        envs.reset()
    assert words in refusal.value.problem and "mine.py, line 8" in refusal.value.remedy
