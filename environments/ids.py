"""Environment ids: what a user may type, and the one canonical id it stands for.

Accepted spellings:

* Gymnasium ids as registered: `Hopper-v5`, `Hopper-v4`, `CartPole-v1`, `FrozenLake-v1`;
* bare Gymnasium names, which become the newest version: `Hopper` is `Hopper-v5`;
* dm_control tasks as `Domain-Task-Feat-v0`: `Cheetah-Run-Feat-v0`, `BallInCup-Catch-Feat-v0`,
  `Humanoid_CMU-Run-Feat-v0`, `Stacker-Stack_2-Feat-v0`. Case and underscores do not matter, and
  `-Feat-v0` may be left out: `cheetah-run` and `ball_in_cup-catch` are understood, and so is `dm_control/` before it;
* the same tasks seen as pictures, `Cheetah-Run-Pixels-v0`;
* OpenSim tasks as `Opensim-Arm-Reach-v0`; case does not matter, and `-v0` may be left out;
* an id that a module of one's own registers: `my_package.envs:Reach-v0`, in Gymnasium's own form;
* ids of installed packages (`ALE/Pong-v5`, `MiniGrid-Empty-5x5-v0`), which are imported for it;
* a file of one's own and the class in it, a batched task or a gymnasium.Env: `my_tasks/cart.py:Cart`
  (docs/environments.md). All spellings of its path (`./my_tasks/cart.py:Cart`, absolute, over a link) stand for that
  one, relative to the working folder.

Nothing here imports MuJoCo, dm_control or OpenSim, so that a launcher can check ids cheaply.
"""

from __future__ import annotations

import re
from pathlib import Path

from environments.files import looks_like_task
from environments.registered import MUJOCO_NAMES, nearest_of, plain, resolve_registered
from helpers.errors import ConfigurationError

# dm_control.suite.TASKS_BY_DOMAIN, copied because importing it takes a second; a test compares.
DM_CONTROL_TASKS: dict[str, tuple[str, ...]] = {
    "acrobot": ("swingup", "swingup_sparse"),
    "ball_in_cup": ("catch",),
    "cartpole": (
        "balance",
        "balance_sparse",
        "swingup",
        "swingup_sparse",
        "two_poles",
        "three_poles",
    ),
    "cheetah": ("run",),
    "dog": ("stand", "walk", "trot", "run", "fetch"),
    "finger": ("spin", "turn_easy", "turn_hard"),
    "fish": ("upright", "swim"),
    "hopper": ("stand", "hop"),
    "humanoid": ("stand", "walk", "run", "run_pure_state"),
    "humanoid_CMU": ("stand", "walk", "run"),
    "lqr": ("lqr_2_1", "lqr_6_2"),
    "manipulator": ("bring_ball", "bring_peg", "insert_ball", "insert_peg"),
    "pendulum": ("swingup",),
    "point_mass": ("easy", "hard"),
    "quadruped": ("walk", "run", "escape", "fetch"),
    "reacher": ("easy", "hard"),
    "stacker": ("stack_2", "stack_4"),
    "swimmer": ("swimmer6", "swimmer15"),
    "walker": ("stand", "walk", "run"),
}

PIXELS = "-Pixels-v0"  # ends the id of a dm_control task whose observations are pictures
OPENSIM_IDS = ("Opensim-Arm-Reach-v0", "Opensim-Gait-Walk-v0", "Opensim-L2M2019-v0")
_DM_CONTROL_ID = re.compile(r"(\w+)-(\w+)-(feat|pix|pixels)-v(\d+)", re.IGNORECASE)
_DM_CONTROL_SHORT_ID = re.compile(r"(\w+)-(\w+)")
_TASK_FILE_ID = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")
_BATCHED_MUJOCO_VERSION = (
    "v5"  # of Gymnasium's MuJoCo tasks, stepped by environments/batched_mujoco
)


def resolve_env_id(env_id: str) -> str:
    """The canonical id of the environment that a user's spelling stands for.

    Raises:
        ConfigurationError: nothing stands behind the id, or it needs a package that is not
            installed, or it is a MuJoCo task of a version that can no longer be run.
    """
    own_file = task_file(env_id)
    if own_file is not None:
        return _task_file_id(*own_file)
    if env_id.lower().startswith("opensim-"):
        return _resolve_opensim(env_id)
    dm_control_id = _resolve_dm_control(env_id)
    if dm_control_id is not None:
        return dm_control_id
    others = [
        *OPENSIM_IDS,
        *(_dm_control_id(d, task) for d, tasks in DM_CONTROL_TASKS.items() for task in tasks),
    ]
    return resolve_registered(env_id, others=others)


def suite_of(env_id: str) -> str:
    """The suite of a canonical id: "mujoco", "dm_control", "opensim" or "gymnasium"."""
    if env_id in OPENSIM_IDS:
        return "opensim"
    if env_id.endswith(("-Feat-v0", PIXELS)):
        return "dm_control"
    is_mujoco = env_id.rpartition("-v")[0] in MUJOCO_NAMES or is_batched_task(env_id)
    return "mujoco" if is_mujoco else "gymnasium"


def is_batched_task(env_id: str) -> bool:
    """Whether a canonical id is a task of environments/batched_mujoco, or one's own like them."""
    name, _, version = env_id.rpartition("-")
    if name in MUJOCO_NAMES and version == _BATCHED_MUJOCO_VERSION:
        return True
    parts = _TASK_FILE_ID.fullmatch(env_id)
    return parts is not None and looks_like_task(Path(parts["path"]), parts["name"])


def task_file(env_id: str) -> tuple[Path, str] | None:
    """The file and the class of an id such as `my_tasks/cart.py:Cart`, a task or a gymnasium.Env; None for other ids.

    The file will be executed. It must not lie in a run folder: what was downloaded as a run, and
    names its environment itself, would execute what it brought along.

    Raises:
        ConfigurationError: there is no such file, or it lies in a run folder.
    """
    parts = _TASK_FILE_ID.fullmatch(env_id)
    if parts is None:
        return None
    path = Path(parts["path"])
    if not path.is_file():
        raise ConfigurationError(
            f"env_id={env_id}: there is no file {path} in {Path.cwd()}.",
            "Give the path, a colon, and the class in the file: --env_id=my_tasks/cart.py:Cart.",
        )
    if any((folder / "config.yaml").exists() for folder in path.resolve().parents):
        raise ConfigurationError(
            f"env_id={env_id}: {path} is in a run folder, and nothing there is executed.",
            "Read it; if you trust it, copy it to another folder and give that path.",
        )
    return path, parts["name"]


def _task_file_id(path: Path, name: str) -> str:
    """One id of a task file, however its path is written: relative to the working folder if it lies there.

    Links are followed, so that the file that is executed is the one that is named.
    """
    found, here = path.resolve(), Path.cwd().resolve()
    shown = found.relative_to(here) if found.is_relative_to(here) else found
    return f"{shown.as_posix()}:{name}"


def dm_control_task(env_id: str) -> tuple[str, str]:
    """The dm_control domain and task behind a canonical `Domain-Task-Feat-v0` or `Domain-Task-Pixels-v0`."""
    vectors = env_id.removesuffix(PIXELS) + "-Feat-v0" if env_id.endswith(PIXELS) else env_id
    for domain, tasks in DM_CONTROL_TASKS.items():
        for task in tasks:
            if _dm_control_id(domain, task) == vectors:
                return domain, task
    raise ConfigurationError(
        f"env_id={env_id} is not a canonical dm_control id.",
        "Pass it through resolve_env_id first.",
    )


def _resolve_opensim(env_id: str) -> str:
    """The canonical OpenSim id."""
    for canonical in OPENSIM_IDS:
        if env_id.lower() in (canonical.lower(), canonical.lower().removesuffix("-v0")):
            return canonical
    raise ConfigurationError(
        f"env_id={env_id} is not one of the OpenSim tasks.",
        f"There are {', '.join(OPENSIM_IDS)}.",
    )


def _resolve_dm_control(env_id: str) -> str | None:
    """The canonical dm_control id, or None if the id is not written as one."""
    domains = {plain(domain): domain for domain in DM_CONTROL_TASKS}
    env_id = env_id.removeprefix("dm_control/")
    if short := _DM_CONTROL_SHORT_ID.fullmatch(env_id):
        domain = domains.get(plain(short[1]), "")
        tasks = {plain(task): task for task in DM_CONTROL_TASKS.get(domain, ())}
        task = tasks.get(plain(short[2]))
        return None if task is None else _dm_control_id(domain, task)
    parts = _DM_CONTROL_ID.fullmatch(env_id)
    if parts is None:
        return None
    if plain(parts[1]) not in domains:
        raise _no_domain(env_id, parts[1])
    domain = domains[plain(parts[1])]
    tasks = {plain(task): task for task in DM_CONTROL_TASKS[domain]}
    if plain(parts[2]) not in tasks:
        raise _no_task(env_id, domain, parts[2])
    canonical = _dm_control_id(domain, tasks[plain(parts[2])])
    if parts[3].lower() != "feat":
        canonical = canonical.replace("-Feat-v0", PIXELS)
    if parts[4] != "0":
        raise ConfigurationError(
            f"env_id={env_id}: dm_control tasks exist only in version 0.",
            f"Use {canonical}.",
        )
    return canonical


def _no_domain(env_id: str, domain: str) -> ConfigurationError:
    """That dm_control has no such domain, and the nearest."""
    domains = {_camel(known): known for known in DM_CONTROL_TASKS}
    nearest = nearest_of(domain, domains)
    return ConfigurationError(
        f"env_id={env_id}: dm_control has no domain {domain}.",
        (
            f"The nearest is {nearest}, with {_task_names(domains[nearest])}."
            if nearest
            else f"There are {', '.join(domains)}."
        ),
    )


def _no_task(env_id: str, domain: str, task: str) -> ConfigurationError:
    """That a dm_control domain has no such task, and the nearest."""
    nearest = nearest_of(task, map(_camel, DM_CONTROL_TASKS[domain]))
    hint = f"The nearest is {_camel(domain)}-{nearest}-Feat-v0. " if nearest else ""
    return ConfigurationError(
        f"env_id={env_id}: the dm_control domain {_camel(domain)} has no task {task}.",
        f"{hint}Its tasks: {_task_names(domain)}.",
    )


def _camel(name: str) -> str:
    """ball_in_cup as BallInCup; an underscore stays before a digit or a capital (Humanoid_CMU)."""
    name = re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
    return name[0].upper() + name[1:]


def _dm_control_id(domain: str, task: str) -> str:
    return f"{_camel(domain)}-{_camel(task)}-Feat-v0"


def _task_names(domain: str) -> str:
    return ", ".join(map(_camel, DM_CONTROL_TASKS[domain]))
