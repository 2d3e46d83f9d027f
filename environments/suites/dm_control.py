"""The DeepMind Control Suite (environments/dm_control): ids `Cheetah-Run-Feat-v0`, `Cheetah-Run-Pixels-v0`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from environments.dm_control import tasks
from environments.dm_control.tasks import PIXELS
from environments.suites.pictures import (
    PictureObservation,
    refuse_preprocessing,
    space_of_pictures,
    split_options,
)
from environments.suites.suite import Options, Spaces, Suite, Wanted
from helpers.errors import ConfigurationError

MAX_EPISODE_STEPS = 1000  # the time limit of every task but LQR, which has none of its own
# What a task of pictures takes: the camera's number or name, and the picture's size in pixels.
PIXEL_OPTIONS: dict[str, Any] = {"camera": 0, "height": 84, "width": 84}
LARGEST_PICTURE = 480  # pixels of a side that every model has a buffer for
_PROGRAM = """from dm_control import suite
{head}
env = suite.load("{domain}", "{task}", task_kwargs={{"random": {seed}}})
low, high = env.action_spec().minimum, env.action_spec().maximum
{random}step, total, length = env.reset(), 0.0, 0
while not step.last() and length < {limit}:
    observation = np.concatenate([np.ravel(part) for part in step.observation.values()])
    inputs = {{"observation": np.asarray([observation], np.{dtype}){noise}}}
    (actions,) = policy.run(None, inputs)
    step = env.step((low + high) / 2 + (high - low) / 2 * actions[0])  # actions are in [-1, 1]
    total, length = total + step.reward, length + 1
print(f"return: {{total:.2f}}")
"""


class DmControl(Suite):
    """Its tasks as vectors, and seen by a camera."""

    name, backends, benchmark = "dm_control", ("dm_control",), "dmc"
    packages, simulator, states_are_raw = ("dm_control", "mujoco"), "MuJoCo", True

    def ids(self) -> list[str]:
        """Of the tasks with vectors."""
        return list(tasks.BY_ID)

    def owns(self, env_id: str) -> bool:
        """Those of pictures, too."""
        return tasks.with_features(env_id) in tasks.BY_ID

    def resolve(self, env_id: str) -> str | None:
        """By domain and task."""
        return tasks.resolve(env_id)

    def check_options(self, env_id: str, options: Options) -> None:
        """Tasks of vectors have none."""
        given = split_options(options)[1]
        known = list(PIXEL_OPTIONS) if env_id.endswith(PIXELS) else []
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ConfigurationError(
                f"env_id={env_id} has no option {', '.join(unknown)}.",
                f"There are {', '.join(known)}." if known else "dm_control tasks have none.",
            )
        if not known:
            refuse_preprocessing(env_id, options)
        _check_values({**PIXEL_OPTIONS, **given})

    def spaces(self, env_id: str, options: Options) -> Spaces | None:
        """By the table of sizes; actions lie between -1 and 1."""
        if options and not env_id.endswith(PIXELS):
            return None
        domain, task = tasks.task_of(env_id)
        observations, actions = tasks.TASKS[domain][task]
        bound = float("inf") if domain in tasks.UNBOUNDED else 1.0
        acts = gymnasium.spaces.Box(-bound, bound, (actions,))
        if not env_id.endswith(PIXELS):
            return gymnasium.spaces.Box(-np.inf, np.inf, (observations,)), acts
        pictures, given = split_options(options)
        form = {**PIXEL_OPTIONS, **given}
        return space_of_pictures(env_id, (form["height"], form["width"], 3), pictures), acts

    def max_episode_steps(self, env_id: str, options: Options) -> int:
        """The same for all."""
        return MAX_EPISODE_STEPS

    def program(self, env_id: str) -> str:
        """By `dm_control.suite` itself."""
        domain, task = tasks.task_of(env_id)
        return _PROGRAM.replace("{domain}", domain).replace("{task}", task)

    def make_env(self, env_id: str, wanted: Wanted) -> gymnasium.Env:
        """One environment.

        Raises:
            ConfigurationError: there are options that it does not have, or no picture can be drawn.
        """
        from environments.dm_control.env import DmControlEnv, Pixels

        self.check_options(env_id, wanted.options)
        pictures, given = split_options(wanted.options)
        simulated = DmControlEnv(*tasks.task_of(env_id), render_mode=wanted.render_mode)
        env: gymnasium.Env = TimeLimit(simulated, wanted.limit or MAX_EPISODE_STEPS)
        if not env_id.endswith(PIXELS):
            return env
        env = Pixels(env, simulated, **{**PIXEL_OPTIONS, **given})
        return PictureObservation(env, pictures, env_id=env_id)

    def is_exact(self, env_id: str) -> bool:
        """The simulation, its model, the task and its generator are saved."""
        return True

    def needs_gl(self, env_id: str) -> bool:
        """MuJoCo draws it."""
        return True

    def draws_observations(self, env_id: str) -> bool:
        """Where they are pictures."""
        return env_id.endswith(PIXELS)


def _check_values(options: Options) -> None:
    for name in ("height", "width"):
        size = options[name]
        if type(size) is not int or not 1 <= size <= LARGEST_PICTURE:
            raise ConfigurationError(
                f"env_options: {name}={size} is no size of a picture in pixels.",
                f"Give a whole number from 1 to {LARGEST_PICTURE}, such as 84.",
            )
    if type(options["camera"]) not in (int, str):
        raise ConfigurationError(
            f"env_options: camera={options['camera']} is neither a number nor a name.",
            'Give {"camera": 0}, or a name of the model.',
        )


SUITE = DmControl()
