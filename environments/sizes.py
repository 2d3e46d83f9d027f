"""The spaces of known environments, without starting a simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from environments.ids import PIXELS, suite_of
from environments.opensim.catalogue import sizes_of
from environments.suites.pictures import space_of_pictures, split_options
from environments.suites.wrappers import PIXEL_OPTIONS

if TYPE_CHECKING:
    import gymnasium

# Numbers of an observation and of an action. Loading a model to ask takes 0.1 s (Gymnasium) to 0.9 s
# (dm_control's dog) and starts the simulator; a test compares these with all environments.
SIZES: dict[str, tuple[int, int]] = {
    "Ant-v4": (27, 8),
    "Ant-v5": (105, 8),
    "HalfCheetah-v4": (17, 6),
    "HalfCheetah-v5": (17, 6),
    "Hopper-v4": (11, 3),
    "Hopper-v5": (11, 3),
    "Humanoid-v4": (376, 17),
    "Humanoid-v5": (348, 17),
    "HumanoidStandup-v4": (376, 17),
    "HumanoidStandup-v5": (348, 17),
    "InvertedDoublePendulum-v4": (11, 1),
    "InvertedDoublePendulum-v5": (9, 1),
    "InvertedPendulum-v4": (4, 1),
    "InvertedPendulum-v5": (4, 1),
    "Pusher-v5": (23, 7),
    "Reacher-v4": (11, 2),
    "Reacher-v5": (10, 2),
    "Swimmer-v4": (8, 2),
    "Swimmer-v5": (8, 2),
    "Walker2d-v4": (17, 6),
    "Walker2d-v5": (17, 6),
    "Acrobot-Swingup-Feat-v0": (6, 1),
    "Acrobot-SwingupSparse-Feat-v0": (6, 1),
    "BallInCup-Catch-Feat-v0": (8, 2),
    "Cartpole-Balance-Feat-v0": (5, 1),
    "Cartpole-BalanceSparse-Feat-v0": (5, 1),
    "Cartpole-Swingup-Feat-v0": (5, 1),
    "Cartpole-SwingupSparse-Feat-v0": (5, 1),
    "Cartpole-TwoPoles-Feat-v0": (8, 1),
    "Cartpole-ThreePoles-Feat-v0": (11, 1),
    "Cheetah-Run-Feat-v0": (17, 6),
    "Dog-Stand-Feat-v0": (223, 38),
    "Dog-Walk-Feat-v0": (223, 38),
    "Dog-Trot-Feat-v0": (223, 38),
    "Dog-Run-Feat-v0": (223, 38),
    "Dog-Fetch-Feat-v0": (232, 38),
    "Finger-Spin-Feat-v0": (9, 2),
    "Finger-TurnEasy-Feat-v0": (12, 2),
    "Finger-TurnHard-Feat-v0": (12, 2),
    "Fish-Upright-Feat-v0": (21, 5),
    "Fish-Swim-Feat-v0": (24, 5),
    "Hopper-Stand-Feat-v0": (15, 4),
    "Hopper-Hop-Feat-v0": (15, 4),
    "Humanoid-Stand-Feat-v0": (67, 21),
    "Humanoid-Walk-Feat-v0": (67, 21),
    "Humanoid-Run-Feat-v0": (67, 21),
    "Humanoid-RunPureState-Feat-v0": (55, 21),
    "Humanoid_CMU-Stand-Feat-v0": (137, 56),
    "Humanoid_CMU-Walk-Feat-v0": (137, 56),
    "Humanoid_CMU-Run-Feat-v0": (137, 56),
    "Lqr-Lqr_2_1-Feat-v0": (4, 1),
    "Lqr-Lqr_6_2-Feat-v0": (12, 2),
    "Manipulator-BringBall-Feat-v0": (44, 5),
    "Manipulator-BringPeg-Feat-v0": (44, 5),
    "Manipulator-InsertBall-Feat-v0": (44, 5),
    "Manipulator-InsertPeg-Feat-v0": (44, 5),
    "Pendulum-Swingup-Feat-v0": (3, 1),
    "PointMass-Easy-Feat-v0": (4, 2),
    "PointMass-Hard-Feat-v0": (4, 2),
    "Quadruped-Walk-Feat-v0": (78, 12),
    "Quadruped-Run-Feat-v0": (78, 12),
    "Quadruped-Escape-Feat-v0": (101, 12),
    "Quadruped-Fetch-Feat-v0": (90, 12),
    "Reacher-Easy-Feat-v0": (6, 2),
    "Reacher-Hard-Feat-v0": (6, 2),
    "Stacker-Stack_2-Feat-v0": (49, 5),
    "Stacker-Stack_4-Feat-v0": (63, 5),
    "Swimmer-Swimmer6-Feat-v0": (25, 5),
    "Swimmer-Swimmer15-Feat-v0": (61, 14),
    "Walker-Stand-Feat-v0": (24, 6),
    "Walker-Walk-Feat-v0": (24, 6),
    "Walker-Run-Feat-v0": (24, 6),
}
# The bound of each number of an action, where it is not 1.
BOUNDS: dict[str, float] = {
    "Humanoid-v4": 0.4,
    "Humanoid-v5": 0.4,
    "HumanoidStandup-v4": 0.4,
    "HumanoidStandup-v5": 0.4,
    "InvertedPendulum-v4": 3.0,
    "InvertedPendulum-v5": 3.0,
    "Pusher-v5": 2.0,
    "Lqr-Lqr_2_1-Feat-v0": float("inf"),
    "Lqr-Lqr_6_2-Feat-v0": float("inf"),
}


def spaces_of(
    env_id: str,
    options: Mapping[str, Any] | None = None,
) -> tuple[gymnasium.Space, gymnasium.Space] | None:
    """Observations and actions of a canonical id, with their shapes and bounds; None if unknown.

    Of task files nothing is known before they are made, nor of what options change in a MuJoCo task. Gymnasium's other
    environments, a user's among them, are made for this: a few milliseconds for Gymnasium's own.

    Raises:
        ConfigurationError: no algorithm takes such observations or actions, or an option is not one (OpenSim).
    """
    import gymnasium
    import numpy as np

    if suite_of(env_id) == "opensim":
        size, muscles = sizes_of(env_id, options)
        return (
            gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64),
            gymnasium.spaces.Box(0.0, 1.0, (muscles,), np.float32),
        )
    pictures, given = split_options(options or {})
    if env_id.endswith(PIXELS):
        form = {**PIXEL_OPTIONS, **given}
        frame = form["height"], form["width"], 3
        of_features = spaces_of(env_id.replace(PIXELS, "-Feat-v0"))
        if of_features is None:
            return None
        return space_of_pictures(env_id, frame, pictures), of_features[1]
    if options and suite_of(env_id) != "gymnasium":
        return None
    if env_id in SIZES:
        observations, actions = SIZES[env_id]
        bound = BOUNDS.get(env_id, 1.0)
        return (
            gymnasium.spaces.Box(-np.inf, np.inf, (observations,)),
            gymnasium.spaces.Box(-bound, bound, (actions,)),
        )
    if suite_of(env_id) != "gymnasium":
        return None
    from environments.suites.gymnasium_suites import make_env

    environment = make_env(env_id, render_mode=None, options=options or {})
    spaces = environment.observation_space, environment.action_space
    environment.close()
    return spaces


def own_action_shape(
    env_id: str,
    options: Mapping[str, Any] | None = None,
) -> tuple[int, ...] | None:
    """Of an action as the environment of a canonical id itself takes it; None where that is the shape here, too."""
    if suite_of(env_id) != "gymnasium":
        return None
    from environments.suites.gymnasium_suites import action_shape, make_env

    environment = make_env(env_id, render_mode=None, options=options or {})
    environment.close()
    shape = action_shape(environment)
    return None if shape == environment.action_space.shape else shape
