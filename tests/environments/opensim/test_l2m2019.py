"""The L2M2019 task: its field of velocities, its numbers and its rewards, computed by hand."""

import math
from typing import Any

import numpy as np
import pytest

from environments.factory import make_vector_env
from environments.opensim.catalogue import L2M, L2M_LEG
from environments.opensim.velocity_field import VelocityField

FAST = {"accuracy": 1e-2, "integrator": "semi_explicit_euler_2"}


def field(difficulty: int, seed: int = 0, place=(0.0, 0.0)) -> VelocityField:
    found = VelocityField(difficulty)
    found.reset(np.array(place), np.random.default_rng(seed))
    return found


def test_difficulty_0_is_one_velocity_everywhere() -> None:
    made = field(0)
    np.testing.assert_allclose(made.at(np.array([3.3, -17.0])), [1.4, 0.0])
    np.testing.assert_allclose(made.at(np.array([300.0, -1700.0])), [1.4, 0.0])
    seen = made.around(np.array([5.0, 1.0]), math.pi / 2)  # looking to the left
    np.testing.assert_allclose(seen[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(seen[1], -1.4)
    assert not made.update(np.zeros(2), 100.0, np.random.default_rng(0))


@pytest.mark.parametrize("difficulty", [1, 2, 3])
def test_velocities_lead_to_the_target_and_end_there(difficulty: int) -> None:
    for seed in range(5):
        made = field(difficulty, seed)
        away = np.linalg.norm(made.target)
        assert 5.0 <= away <= 7.0
        angle = math.atan2(made.target[1], made.target[0])
        assert abs(angle) <= {1: 1e-9, 2: math.pi / 2 + 1e-9, 3: math.pi}[difficulty]
        place, way = np.zeros(2), []
        for _ in range(3000):
            velocity = made.at(place)
            way.append(np.linalg.norm(velocity))
            place = place + 0.01 * velocity
        assert np.linalg.norm(place - made.target) < 0.3
        assert 0.75 < way[0] < 1.85 and way[-1] < 0.3 and max(way) < 1.85
        opposite = made.at(made.target * 2.5)  # beyond the target it leads back, at full speed
        np.testing.assert_allclose(np.linalg.norm(opposite), 1.8, rtol=0.05)
        assert opposite @ made.target < 0


def test_a_grid_point_has_the_velocity_of_the_challenges_formula() -> None:
    made = field(2, 4)
    point = np.array([2.5, -1.5])
    away, start = math.dist(made.target, point), math.dist(made.target, (0, 0))
    draw = np.random.default_rng(4)
    draw.uniform(5.0, 7.0), draw.uniform(-math.pi / 2, math.pi / 2), draw.uniform(2.0, 4.0)
    phase = draw.uniform(-math.pi, math.pi)
    speed = 1.3 + 0.5 * math.sin(phase + away / start * 2 * math.pi)
    if away > start + 1:
        speed = 1.8
    np.testing.assert_allclose(made.at(point), speed * (made.target - point) / away, rtol=1e-9)


def test_between_points_it_is_linear() -> None:
    made = field(3, 1)
    corners = [made.at(np.array([x, y])) for x in (1.0, 1.5) for y in (2.0, 2.5)]
    np.testing.assert_allclose(made.at(np.array([1.25, 2.25])), np.mean(corners, axis=0))


def test_a_target_that_is_held_is_found_and_followed_by_another() -> None:
    made, draw = field(3, 2), np.random.default_rng(9)
    first = made.target.copy()
    found = [made.update(first + 0.1, 0.5, draw) for _ in range(20)]
    assert found.count(True) == 1 and 4 <= found.index(True) <= 8  # 2 to 4 s
    assert 5.0 <= math.dist(made.target, first) <= 7.0 and made.found == 1
    again = [made.update(made.target, 0.5, draw) for _ in range(20)]
    assert again.count(True) == 1 and made.found == 2  # there are two with difficulty 3
    assert not any(made.update(made.target, 0.5, draw) for _ in range(20))
    away = field(3, 2)
    assert not any(away.update(away.target + 1.0, 0.5, draw) for _ in range(20))


@pytest.fixture
def envs():
    made = make_vector_env(L2M, seeds=[0], options={**FAST, "difficulty": 3})
    made.reset()
    return made


def test_an_observation_has_the_challenges_order(envs) -> None:
    env = envs.envs[0].unwrapped
    for _ in range(3):
        observations, *_ = envs.step(np.full((1, 22), 0.3, np.float32))
    found = observations[0]
    np.testing.assert_array_equal(
        found[:242],
        env.field.around(env._place(), env.angles(("pelvis_rotation",))[0]).ravel(),
    )
    pelvis, legs = found[242:251], (found[251:295], found[295:])
    height, tilt, roll = env.angles(("pelvis_ty", "pelvis_tilt", "pelvis_list"))
    np.testing.assert_array_equal(pelvis[:3], [height, -tilt, roll])
    assert (
        pelvis[5] == env.speeds(("pelvis_ty",))[0] and pelvis[6] == -env.speeds(("pelvis_tilt",))[0]
    )
    muscles = env.simulation.read_muscles(forces=True)
    for index, (side, leg) in enumerate(zip("rl", legs, strict=True)):
        abduction, hip, knee, ankle = env.angles(
            tuple(
                f"{n}_{side}" for n in ("hip_adduction", "hip_flexion", "knee_angle", "ankle_angle")
            ),
        )
        np.testing.assert_array_equal(leg[3:7], [-abduction, -hip, knee, -ankle])
        assert 0 <= leg[2] < 5  # the ground pushes upward, in weights
        for number, name in enumerate(L2M_LEG):
            at = env.action_names.index(f"{name}_{side}")
            assert at == 11 * index + number  # the order of actions
            expected = [muscles.forces[at], muscles.lengths[at], muscles.velocities[at]]
            np.testing.assert_array_equal(leg[11 + 3 * number : 14 + 3 * number], expected)


def test_rewards_of_footsteps_targets_and_the_time_limit(envs) -> None:
    env = envs.envs[0].unwrapped
    action = np.full((1, 22), 0.1, np.float32)
    assert envs.step(action)[1][0] == pytest.approx(0.1)
    duration, effort, deviation = env._duration, env._effort, env._deviation.copy()
    assert duration == pytest.approx(0.01) and effort > 0
    env._is_new_footstep, env.footsteps = (
        True,
        1,
    )  # seen at the end of a step, it counts in the next one
    _, rewards, _, _, infos = envs.step(action)
    place, speeds = env._place(), env.speeds(("pelvis_tx", "pelvis_tz"))
    deviation += 0.01 * (np.array([speeds[0], -speeds[1]]) - env.field.at(place))
    effort += 0.01 * float(np.sum(env.simulation.read_muscles(forces=True).activations ** 2))
    expected = 0.1 + 10 * 2 * 0.01 - 3 * np.linalg.norm(deviation) - effort
    assert rewards[0] == pytest.approx(expected, rel=1e-9)
    assert infos["reward_footstep"][0] == pytest.approx(0.2)
    assert env._duration == 0 and env._effort == 0
    env._is_found = True
    assert envs.step(action)[4]["reward_task"][0] == 500
    assert envs.step(action)[4]["reward_task"][0] == 0


def test_the_first_round_pays_at_the_time_limit() -> None:
    made: Any = make_vector_env(L2M, seeds=[0], options={**FAST, "difficulty": 1})
    made.reset()
    env = made.envs[0].unwrapped
    assert made.max_episode_steps == 1000 and env.limit == 1000
    env._steps = 998
    env.simulation.time = 9.98
    action = np.full((1, 22), 0.1, np.float32)
    assert made.step(action)[1][0] == pytest.approx(0.1)
    duration = env._duration + 0.01
    _, _, _, _, infos = made.step(action)
    assert infos["reward_task"][0] == pytest.approx(10 + 10 * duration)


def test_a_footstep_is_a_foot_that_comes_down(envs, monkeypatch) -> None:
    env = envs.envs[0].unwrapped
    forces = {"foot_r": 0.0, "foot_l": 0.0}
    monkeypatch.setattr(
        "environments.opensim.l2m2019.foot_forces",
        lambda *_: np.array([[0, forces["foot_r"], 0], [0, forces["foot_l"], 0]]),
    )
    counts = []
    for right, left in ((700, 700), (700, 0), (700, 700), (0, 0), (30, 30), (40, 40)):
        forces.update(foot_r=right, foot_l=left)
        env._look_around()
        counts.append(env.footsteps)
    assert counts == [0, 0, 1, 1, 1, 2]  # 5 % of the weight are 37 N
