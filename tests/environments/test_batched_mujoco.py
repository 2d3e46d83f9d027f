"""Batched MuJoCo is Gymnasium, bit for bit; `benchmarks/bit_identity.py` does this for longer."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from benchmarks.bit_identity import KINDS, Comparison, compare
from environments import rendering
from environments.batched_mujoco.catalogue import TASKS, make_task
from environments.batched_mujoco.infos import LateInfos
from environments.batched_mujoco.vector_env import BatchedMujocoEnv
from environments.factory import make_vector_env
from environments.gymnasium_envs.registered import MUJOCO_NAMES


@pytest.fixture(autouse=True)
def _quiet_mujoco() -> None:
    from environments.mujoco_warnings import route_mujoco_warnings

    route_mujoco_warnings()


def batched(env_id: str, seeds: Any, **options: Any) -> Any:
    return BatchedMujocoEnv(env_id, make_task(env_id, options), seeds=seeds)


def test_all_eleven_are_here() -> None:
    assert sorted(TASKS) == sorted(f"{name}-v5" for name in MUJOCO_NAMES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("env_id", sorted(TASKS))
def test_every_bit_is_gymnasiums(env_id: str, kind: str) -> None:
    found = compare(env_id, steps=50, kind=kind, max_episode_steps=20)
    assert (found.first, found.different, found.largest) == ("", 0, 0.0)
    assert found.episodes >= 16  # time alone ends all of them once before they are reset halfway


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("env_id", ["Hopper-v5", "Humanoid-v5", "Reacher-v5"])
def test_the_number_of_environments_changes_no_bit(env_id: str, num_envs: int) -> None:
    found = compare(env_id, num_envs=num_envs, steps=120, max_episode_steps=50)
    assert (found.first, found.different) == ("", 0)
    assert found.episodes > 0


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("HalfCheetah-v5", {"frame_skip": 2, "exclude_current_positions_from_observation": False}),
        ("HalfCheetah-v5", {"forward_reward_weight": 0.3, "ctrl_cost_weight": 2.0}),
        ("Hopper-v5", {"terminate_when_unhealthy": False, "healthy_reward": 2, "frame_skip": 3}),
        ("Hopper-v5", {"healthy_state_range": (-2.0, 1.5), "healthy_angle_range": (-9.0, 9.0)}),
        ("Walker2d-v5", {"healthy_z_range": [1.1, 1.3], "xml_file": "walker2d.xml"}),
        ("Walker2d-v5", {"exclude_current_positions_from_observation": False}),
        ("Swimmer-v5", {"reset_noise_scale": 0.5}),
        ("Swimmer-v5", {"exclude_current_positions_from_observation": False}),
        ("Ant-v5", {"include_cfrc_ext_in_observation": False, "main_body": "torso"}),
        ("Ant-v5", {"contact_force_range": (-0.1, 0.1), "main_body": 3}),
        ("Ant-v5", {"exclude_current_positions_from_observation": False, "frame_skip": 1}),
        ("Humanoid-v5", {"include_cinert_in_observation": False, "contact_cost_weight": 1e-3}),
        ("Humanoid-v5", {"include_cvel_in_observation": False, "terminate_when_unhealthy": False}),
        ("Humanoid-v5", {"exclude_current_positions_from_observation": False}),
        ("HumanoidStandup-v5", {"include_qfrc_actuator_in_observation": False}),
        ("HumanoidStandup-v5", {"impact_cost_range": (0.1, 0.2), "uph_cost_weight": 3}),
        ("InvertedPendulum-v5", {"reset_noise_scale": 0.1, "frame_skip": 1}),
        ("InvertedDoublePendulum-v5", {"healthy_reward": 7.0, "reset_noise_scale": 0.2}),
        ("Reacher-v5", {"reward_dist_weight": 0.7, "reward_control_weight": 0.1}),
        ("Pusher-v5", {"reward_near_weight": 0.1, "xml_file": "pusher_v5.xml"}),
    ],
)
def test_options_do_what_gymnasiums_do(env_id: str, options: dict[str, Any]) -> None:
    found = compare(env_id, num_envs=3, steps=40, options=options, max_episode_steps=15)
    assert (found.first, found.different) == ("", 0)


@pytest.mark.parametrize("env_id", sorted(TASKS))
def test_options_spaces_and_rates_are_gymnasiums(env_id: str) -> None:
    ours = batched(env_id, [0, 1])
    single = gymnasium.make(env_id)
    theirs = SyncVectorEnv([lambda: single] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    for name in ("single_observation_space", "single_action_space", "metadata"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.max_episode_steps == single.spec.max_episode_steps  # type: ignore[union-attr]
    for name, default in vars(ours.task).items():
        theirs_by_name = vars(single.unwrapped)
        if f"_{name}" in theirs_by_name:
            assert theirs_by_name[f"_{name}"] == default, name


@pytest.mark.parametrize("env_id", ["Humanoid-v5", "HumanoidStandup-v5", "Hopper-v5", "Ant-v5"])
def test_where_a_simulation_diverges_it_does_so_alike(env_id: str) -> None:
    ours = batched(env_id, [1, 2])
    theirs: Any = make_vector_env(env_id, seeds=[1, 2], backend="Gymnasium")
    found = Comparison()
    found.add("reset", ours.reset()[0], theirs.reset()[0])
    for data in (ours.simulations.datas[0], theirs.envs[0].unwrapped.data):
        data.qvel[0] = 1e12  # MuJoCo resets this simulation, controls included
    for step in range(3):
        actions = np.full(ours.action_space.shape, 0.3, np.float32)
        for mine, other in zip(ours.step(actions), theirs.step(actions), strict=True):
            found.add(f"step {step}", mine, other)
    assert (found.first, found.different) == ("", 0)


def test_hoppers_angle_is_held_to_both_of_its_ranges() -> None:
    options = {"healthy_state_range": (-0.5, 0.5), "healthy_angle_range": (-2.0, 2.0)}
    ours: Any = batched("Hopper-v5", [1, 2, 3], **options)
    theirs: Any = make_vector_env(
        "Hopper-v5",
        seeds=[1, 2, 3],
        options=options,
        backend="Gymnasium",
    )
    for envs, datas in ((ours, ours.simulations.datas), (theirs, theirs.get_attr("data"))):
        envs.reset()
        for data, angle in zip(datas, (0.49, 0.51, -0.51), strict=True):
            data.qpos[:], data.qvel[:] = (0, 1.25, angle, 0, 0, 0), 0
    ends = [envs.step(np.zeros((3, 3)))[2].tolist() for envs in (ours, theirs)]
    assert ends == [[False, True, True]] * 2


def test_ants_bounds_are_healthy_themselves() -> None:
    envs = batched("Ant-v5", [1])
    envs.reset()
    z = float(envs.step(np.ones((1, 8)))[0][0, 0])
    for bounds in ((z, 9.0), (-9.0, z), (np.nextafter(z, 9.0), 9.0)):
        ends = []
        for backend in ("batched MuJoCo", "Gymnasium"):
            options = {"healthy_z_range": bounds}
            envs = make_vector_env("Ant-v5", seeds=[1], options=options, backend=backend)
            envs.reset()
            ends.append(bool(envs.step(np.ones((1, 8)))[2][0]))
        assert ends == [z not in bounds] * 2


@pytest.mark.parametrize(
    "call",
    [
        {"seed": 5},
        {"seed": [7, None, 9]},
        {"seed": [1, 2, 3], "options": {"reset_mask": np.array([True, False, True])}},
        {"options": {"reset_mask": np.array([False, True, False])}},
        {},
        {"options": {}},
    ],
)
def test_any_reset_is_that_of_the_other_backend(call: dict[str, Any]) -> None:
    ours, theirs = (
        make_vector_env("Walker2d-v5", seeds=[4, 5, 6], backend=backend)
        for backend in ("batched MuJoCo", "Gymnasium")
    )
    found = Comparison()
    for envs in (ours, theirs):
        envs.reset()
    actions = np.ones((3, 6), np.float32)
    for name, arguments in (
        ("step", (actions,)),
        ("reset", ()),
        ("step", (actions,)),
        ("reset", ()),
    ):
        keywords = copy.deepcopy(call) if name == "reset" else {}
        mine, other = (getattr(envs, name)(*arguments, **keywords) for envs in (ours, theirs))
        for one, another in zip(mine, other, strict=True):
            found.add(name, one, another)
    assert (found.first, found.different) == ("", 0)


def test_a_mask_that_chooses_nothing_is_refused() -> None:
    envs = batched("Hopper-v5", [0, 1])
    for mask in (np.array([False, False]), np.array([True])):
        with pytest.raises(ValueError, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})


def test_what_is_handed_out_is_not_what_the_next_step_reads() -> None:
    for env_id in ("Swimmer-v5", "Humanoid-v5", "InvertedPendulum-v5"):
        spoiled, left_alone = batched(env_id, [3, 4]), batched(env_id, [3, 4])
        observations, infos = spoiled.reset()
        left_alone.reset()
        actions = np.zeros(spoiled.action_space.shape, np.float32)
        for _ in range(4):
            for array in (observations, spoiled.observations, *infos.values()):
                array[...] = 77
            observations, rewards, *_, infos = spoiled.step(actions)
            expected = left_alone.step(actions)
            np.testing.assert_array_equal(observations, expected[0])
            np.testing.assert_array_equal(rewards, expected[1])


def test_infos_of_a_step_stay_what_they_were() -> None:
    envs, others = batched("Hopper-v5", [3, 4]), batched("Hopper-v5", [3, 4])
    kept, expected = [], []
    for each in (envs, others):
        each.reset()
    for _ in range(120):
        kept.append(envs.step(np.ones((2, 3)))[-1])
        expected.append(dict(others.step(np.ones((2, 3)))[-1]))
    envs.reset(options={"reset_mask": np.array([True, False])})
    assert sum("final_obs" in infos for infos in kept) > 2
    found = Comparison()
    for late, at_once in zip(kept, expected, strict=True):
        found.add("infos", late, at_once)
    assert found.different == 0


class Later:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> dict[str, Any]:
        self.asked += 1
        return {"a": 1, "b": 2}


def test_late_infos_wait_until_somebody_looks() -> None:
    later = Later()
    infos = LateInfos({"final_obs": 0, "_final_obs": 1}, later)
    assert "final_obs" in infos and infos["_final_obs"] == 1 and infos.get("final_obs") == 0
    assert later.asked == 0
    infos["b"] = 3  # as a wrapper would
    assert infos["a"] == 1
    assert dict(infos) == {"final_obs": 0, "_final_obs": 1, "a": 1, "b": 3}
    assert later.asked == 1
    with pytest.raises(KeyError):
        infos["c"]
    assert later.asked == 1


@pytest.mark.parametrize(
    "look",
    [
        lambda infos: dict(infos) == {"a": 1, "b": 2},
        lambda infos: {**infos} == {"a": 1, "b": 2},
        lambda infos: infos == {"a": 1, "b": 2},
        lambda infos: len(infos) == 2,
        lambda infos: "a" in infos and "c" not in infos,
        lambda infos: infos.get("b") == 2 and infos.get("c", 5) == 5,
        lambda infos: sorted(infos) == ["a", "b"],
        lambda infos: sorted(infos.keys()) == ["a", "b"],
        lambda infos: sorted(infos.values()) == [1, 2],
        lambda infos: sorted(infos.items()) == [("a", 1), ("b", 2)],
        lambda infos: infos | {"c": 3} == {"a": 1, "b": 2, "c": 3},
        lambda infos: infos.pop("a") == 1 and list(infos) == ["b"],
        lambda infos: copy.deepcopy(infos) == {"a": 1, "b": 2},
        lambda infos: copy.copy(infos) == {"a": 1, "b": 2},
        lambda infos: repr(infos) == "{'a': 1, 'b': 2}",
    ],
)
def test_late_infos_are_a_dict_however_one_looks(look: Any) -> None:
    later = Later()
    assert look(LateInfos({}, later))
    assert later.asked == 1


def test_gymnasiums_own_wrappers_take_these_environments() -> None:
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(batched("Hopper-v5", [0, 1]))
    envs.reset()
    for _ in range(60):
        *_, infos = envs.step(np.ones((2, 3), np.float32))
        if "episode" in infos:
            break
    assert infos["episode"]["l"].max() > 5


def test_misuse_is_refused() -> None:
    envs = batched("Hopper-v5", [0, 1])
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(np.zeros((2, 3)))
    envs.reset()
    for shape in ((2, 1), (3,), (1, 3), (3, 3)):
        with pytest.raises(ValueError, match="actions"):
            envs.step(np.zeros(shape))


PICTURES = """
import numpy as np
from environments.factory import make_vector_env
for env_id, options in (("Ant-v5", {}), ("Hopper-v5", {"width": 64, "height": 48, "camera_id": -1})):
    pictures = []
    for backend in ("batched MuJoCo", "Gymnasium"):
        envs = make_vector_env(
            env_id, seeds=[1, 2], render_mode="rgb_array", options=options, backend=backend
        )
        envs.reset()
        for _ in range(3):
            envs.step(np.ones(envs.action_space.shape, np.float32))
        pictures.append(envs.render())
        envs.close()
    for ours, theirs in zip(*pictures, strict=True):
        assert ours.shape == ((48, 64, 3) if options else (480, 480, 3)) and ours.std() > 5
        assert (ours == theirs).all()
"""


@pytest.mark.skipif(rendering.choose_gl() is None, reason=f"no GL: {rendering.GL_COMMAND}")
def test_pictures_are_gymnasiums() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PICTURES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
