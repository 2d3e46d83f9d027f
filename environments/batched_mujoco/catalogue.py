"""Which task stands behind an id: Gymnasium's MuJoCo v5, or a task file of the user's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from environments.batched_mujoco.task import Task
from environments.batched_mujoco.tasks.ant import Ant
from environments.batched_mujoco.tasks.half_cheetah import HalfCheetah
from environments.batched_mujoco.tasks.hopper import Hopper
from environments.batched_mujoco.tasks.humanoid import Humanoid
from environments.batched_mujoco.tasks.humanoid_standup import HumanoidStandup
from environments.batched_mujoco.tasks.inverted_double_pendulum import InvertedDoublePendulum
from environments.batched_mujoco.tasks.inverted_pendulum import InvertedPendulum
from environments.batched_mujoco.tasks.pusher import Pusher
from environments.batched_mujoco.tasks.reacher import Reacher
from environments.batched_mujoco.tasks.swimmer import Swimmer
from environments.batched_mujoco.tasks.walker2d import Walker2d
from environments.files import import_file, task_file
from helpers.errors import ConfigurationError

TASKS: Mapping[str, Callable[..., Task]] = {
    "Ant-v5": Ant,
    "HalfCheetah-v5": HalfCheetah,
    "Hopper-v5": Hopper,
    "Humanoid-v5": Humanoid,
    "HumanoidStandup-v5": HumanoidStandup,
    "InvertedDoublePendulum-v5": InvertedDoublePendulum,
    "InvertedPendulum-v5": InvertedPendulum,
    "Pusher-v5": Pusher,
    "Reacher-v5": Reacher,
    "Swimmer-v5": Swimmer,
    "Walker2d-v5": Walker2d,
}


def make_task(env_id: str, options: Mapping[str, Any]) -> Task:
    """The task of an id of a batched task, with options by the names of its fields.

    Raises:
        ConfigurationError: there is no such option, or the user's file holds no such task.
    """
    own_file = task_file(env_id)
    kind: Any = _own_task(*own_file) if own_file else TASKS[env_id]
    known = [field.name for field in dataclasses.fields(kind)]
    for name in options:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            raise ConfigurationError(
                f"{env_id} has no option {name}.",
                f"The nearest is {nearest[0]}." if nearest else f"There are {', '.join(known)}.",
            )
    return kind(**options)


def _own_task(path: Path, name: str) -> type[Any]:
    """A task class of a user's file, which is executed, once a process."""
    module = import_file(path)
    kind = getattr(module, name, None)
    wanted = [word for word in dir(Task) if not word.startswith("_")]
    if not dataclasses.is_dataclass(kind) or not isinstance(kind, type):
        raise ConfigurationError(
            f"{path} has no dataclass {name}, and no gymnasium.Env of that name.",
            "Give the class after the colon: a task, decorated with @dataclass, or a subclass of gymnasium.Env.",
        )
    fields = {field.name for field in dataclasses.fields(kind)}
    missing = [word for word in wanted if word not in fields and not hasattr(kind, word)]
    if missing:
        raise ConfigurationError(
            f"{name} in {path} is not a task: {', '.join(missing)} missing.",
            "environments/batched_mujoco/task.py and docs/environments.md describe a task.",
        )
    return kind
