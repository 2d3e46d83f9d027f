"""Gymnasium's MuJoCo tasks. v5, and tasks in files of a user, are batches (environments/batched_mujoco); v4 are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np

from environments.files import OPENED, is_task, task_file
from environments.gymnasium_envs.registered import MUJOCO_NAMES, resolve_registered
from environments.inputs.modules import closure
from environments.inputs.opened import opened_files
from environments.same_step import SameStepEnv
from environments.suites.gymnasium import Gymnasium
from environments.suites.pictures import refuse_preprocessing, split_options
from environments.suites.suite import Files, Options, Spaces, Wanted

# Numbers of an observation and of an action. Loading a model to ask takes 0.1 s and starts the simulator; a test
# compares these with all environments.
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
}
BATCHED = "batched MuJoCo"


class Mujoco(Gymnasium):
    """Gymnasium's eleven tasks, and tasks like them in files of a user."""

    name, simulator, states_are_raw, benchmark = "mujoco", "MuJoCo", True, ""
    backends: ClassVar = (BATCHED, "Gymnasium")
    packages: ClassVar = ("gymnasium", "mujoco")
    film_options = {"width": 640, "height": 480}

    def ids(self) -> list[str]:
        """Those that can be run."""
        return list(SIZES)

    def owns(self, env_id: str) -> bool:
        """Any version of a task, and tasks in files."""
        return env_id.rpartition("-v")[0] in MUJOCO_NAMES or is_batched(env_id)

    def resolve(self, env_id: str) -> str | None:
        """By the registry."""
        name = env_id.rpartition("-v")[0] or env_id
        return resolve_registered(env_id) if name in MUJOCO_NAMES else None

    def require_parts(self, env_id: str, options: Options) -> None:
        """Every option has a default."""

    def check_options(self, env_id: str, options: Options) -> None:
        """By the fields of a batched task, or the constructor; of a file they are unknown."""
        if options:
            refuse_preprocessing(env_id, options)
        if not is_batched(env_id):
            super().check_options(env_id, options)
        elif options and task_file(env_id) is None:
            _task_of(env_id, split_options(options)[1])

    def spaces(self, env_id: str, options: Options) -> Spaces | None:
        """By the table, without options, which may change them."""
        if options or env_id not in SIZES:
            return None
        observations, actions = SIZES[env_id]
        bound = BOUNDS.get(env_id, 1.0)
        return (
            gymnasium.spaces.Box(-np.inf, np.inf, (observations,)),
            gymnasium.spaces.Box(-bound, bound, (actions,)),
        )

    def own_form(self, env_id: str, options: Options) -> tuple[bool, None]:
        """Vectors."""
        return True, None

    def has_own_limit(self, env_id: str) -> bool:
        """All have one."""
        return True

    def packages_of(self, env_id: str) -> list[str]:
        """The same for all."""
        return list(self.packages)

    def files(self, env_id: str, options: Options) -> Files:
        """A batched task is made for it, without a simulation, so that what a user's file opens itself is seen too."""
        if not is_batched(env_id):
            return Files()
        own = task_file(env_id)
        modules, named = closure(own[0]) if own else ([], [])
        with opened_files() as opened:
            models = _model_of(env_id, options)
        opened += OPENED.get(own[0].resolve(), []) if own else []
        found = dict.fromkeys(opened)
        modules += [each for each in found if each.suffix == ".py" and each not in modules]
        named += [*models, *(path for path in opened if path.suffix != ".py")]
        return Files(modules, named, own[0].resolve().parent if own else None)

    def backends_of(self, env_id: str) -> tuple[str, ...]:
        """What is not batched is Gymnasium's; what is in a file is a batch alone."""
        if not is_batched(env_id):
            return self.backends[1:]
        return self.backends if task_file(env_id) is None else self.backends[:1]

    def make_vector(self, env_id: str, wanted: Wanted) -> SameStepEnv:
        """A batch, or Gymnasium's own environments."""
        options = dict(wanted.options)
        if wanted.render_mode == "rgb_array" and "camera_id" not in options:
            options.setdefault("camera_name", "track")  # else what runs away leaves the picture
        if wanted.backend != BATCHED:
            return super().make_vector(env_id, replace(wanted, options=options))
        from environments.batched_mujoco.catalogue import make_task
        from environments.batched_mujoco.pictures import OPTIONS
        from environments.batched_mujoco.vector_env import BatchedMujocoEnv

        picture_options = {name: options.pop(name) for name in OPTIONS if name in options}
        return BatchedMujocoEnv(
            env_id,
            make_task(env_id, options),
            seeds=wanted.seeds,
            max_episode_steps=wanted.limit,
            render_mode=wanted.render_mode,
            picture_options=picture_options,
        )

    def make_single(self, env_id: str, options: Options) -> gymnasium.Env | None:
        """Gymnasium's own; a batched task is never single."""
        return None if is_batched(env_id) else super().make_single(env_id, options)

    def make_env(self, env_id: str, wanted: Wanted) -> gymnasium.Env:
        """One of Gymnasium's own environments."""
        from environments.mujoco_warnings import route_mujoco_warnings

        route_mujoco_warnings()
        return super().make_env(env_id, wanted)

    def needs_gl(self, env_id: str) -> bool:
        """MuJoCo draws it."""
        return True


def is_batched(env_id: str) -> bool:
    """Whether a canonical id is a task of environments/batched_mujoco, or one's own like them."""
    name, _, version = env_id.rpartition("-")
    return (name in MUJOCO_NAMES and version == "v5") or is_task(env_id)


def _task_of(env_id: str, options: Options) -> Any:
    """A batched task, made without a simulation."""
    from environments.batched_mujoco.catalogue import make_task
    from environments.batched_mujoco.pictures import OPTIONS

    return make_task(env_id, {key: each for key, each in options.items() if key not in OPTIONS})


def _model_of(env_id: str, options: Options) -> list[Path]:
    """The model's file of a batched task."""
    from gymnasium.envs.mujoco.mujoco_env import expand_model_path

    task = _task_of(env_id, options)
    try:
        return [Path(expand_model_path(task.xml_file))]
    except OSError:
        return []  # loading it raises the error


SUITE = Mujoco()
