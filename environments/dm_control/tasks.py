"""The tasks of the DeepMind Control Suite: their ids and sizes, without importing it.

* `Domain-Task-Feat-v0`: `Cheetah-Run-Feat-v0`, `BallInCup-Catch-Feat-v0`, `Humanoid_CMU-Run-Feat-v0`,
  `Stacker-Stack_2-Feat-v0`. Case and underscores do not matter, and `-Feat-v0` may be left out: `cheetah-run` and
  `ball_in_cup-catch` are understood, and so is `dm_control/` before it;
* the same tasks seen as pictures, `Cheetah-Run-Pixels-v0`.
"""

from __future__ import annotations

import re

from environments.suites.names import nearest_of, plain
from helpers.errors import ConfigurationError

# dm_control.suite.TASKS_BY_DOMAIN with the numbers of an observation and of an action of each task. Importing it
# takes a second, loading a model up to 0.9 s; tests compare both.
TASKS: dict[str, dict[str, tuple[int, int]]] = {
    "acrobot": {"swingup": (6, 1), "swingup_sparse": (6, 1)},
    "ball_in_cup": {"catch": (8, 2)},
    "cartpole": {
        "balance": (5, 1),
        "balance_sparse": (5, 1),
        "swingup": (5, 1),
        "swingup_sparse": (5, 1),
        "two_poles": (8, 1),
        "three_poles": (11, 1),
    },
    "cheetah": {"run": (17, 6)},
    "dog": {
        "stand": (223, 38),
        "walk": (223, 38),
        "trot": (223, 38),
        "run": (223, 38),
        "fetch": (232, 38),
    },
    "finger": {"spin": (9, 2), "turn_easy": (12, 2), "turn_hard": (12, 2)},
    "fish": {"upright": (21, 5), "swim": (24, 5)},
    "hopper": {"stand": (15, 4), "hop": (15, 4)},
    "humanoid": {"stand": (67, 21), "walk": (67, 21), "run": (67, 21), "run_pure_state": (55, 21)},
    "humanoid_CMU": {"stand": (137, 56), "walk": (137, 56), "run": (137, 56)},
    "lqr": {"lqr_2_1": (4, 1), "lqr_6_2": (12, 2)},
    "manipulator": {
        "bring_ball": (44, 5),
        "bring_peg": (44, 5),
        "insert_ball": (44, 5),
        "insert_peg": (44, 5),
    },
    "pendulum": {"swingup": (3, 1)},
    "point_mass": {"easy": (4, 2), "hard": (4, 2)},
    "quadruped": {"walk": (78, 12), "run": (78, 12), "escape": (101, 12), "fetch": (90, 12)},
    "reacher": {"easy": (6, 2), "hard": (6, 2)},
    "stacker": {"stack_2": (49, 5), "stack_4": (63, 5)},
    "swimmer": {"swimmer6": (25, 5), "swimmer15": (61, 14)},
    "walker": {"stand": (24, 6), "walk": (24, 6), "run": (24, 6)},
}
UNBOUNDED = ("lqr",)  # domains whose actions have no bounds; all others lie between -1 and 1
FEATURES = "-Feat-v0"  # ends the id of a task whose observations are vectors
PIXELS = "-Pixels-v0"  # ... pictures

_ID = re.compile(r"(\w+)-(\w+)-(feat|pix|pixels)-v(\d+)", re.IGNORECASE)
_SHORT_ID = re.compile(r"(\w+)-(\w+)")


def _camel(name: str) -> str:
    """ball_in_cup as BallInCup; an underscore stays before a digit or a capital (Humanoid_CMU)."""
    name = re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
    return name[0].upper() + name[1:]


def id_of(domain: str, task: str) -> str:
    """The canonical id of a task whose observations are vectors."""
    return f"{_camel(domain)}-{_camel(task)}{FEATURES}"


BY_ID = {id_of(domain, task): (domain, task) for domain, tasks in TASKS.items() for task in tasks}


def with_features(env_id: str) -> str:
    """The id of the same task with vectors."""
    return env_id.removesuffix(PIXELS) + FEATURES if env_id.endswith(PIXELS) else env_id


def task_of(env_id: str) -> tuple[str, str]:
    """The domain and the task behind a canonical id.

    Raises:
        ConfigurationError: it is none.
    """
    found = BY_ID.get(with_features(env_id))
    if found is None:
        raise ConfigurationError(
            f"env_id={env_id} is not a canonical dm_control id.",
            "Pass it through resolve_env_id first.",
        )
    return found


def resolve(env_id: str) -> str | None:
    """The canonical id; None if the id is not written as one of these.

    Raises:
        ConfigurationError: there is no such domain, task or version.
    """
    domains = {plain(domain): domain for domain in TASKS}
    env_id = env_id.removeprefix("dm_control/")
    if short := _SHORT_ID.fullmatch(env_id):
        domain = domains.get(plain(short[1]), "")
        tasks = {plain(task): task for task in TASKS.get(domain, ())}
        task = tasks.get(plain(short[2]))
        return None if task is None else id_of(domain, task)
    parts = _ID.fullmatch(env_id)
    if parts is None:
        return None
    if plain(parts[1]) not in domains:
        raise _no_domain(env_id, parts[1])
    domain = domains[plain(parts[1])]
    tasks = {plain(task): task for task in TASKS[domain]}
    if plain(parts[2]) not in tasks:
        raise _no_task(env_id, domain, parts[2])
    canonical = id_of(domain, tasks[plain(parts[2])])
    if parts[3].lower() != "feat":
        canonical = canonical.replace(FEATURES, PIXELS)
    if parts[4] != "0":
        raise ConfigurationError(
            f"env_id={env_id}: dm_control tasks exist only in version 0.",
            f"Use {canonical}.",
        )
    return canonical


def _no_domain(env_id: str, domain: str) -> ConfigurationError:
    """That dm_control has no such domain, and the nearest."""
    domains = {_camel(known): known for known in TASKS}
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
    nearest = nearest_of(task, map(_camel, TASKS[domain]))
    hint = f"The nearest is {_camel(domain)}-{nearest}-Feat-v0. " if nearest else ""
    return ConfigurationError(
        f"env_id={env_id}: the dm_control domain {_camel(domain)} has no task {task}.",
        f"{hint}Its tasks: {_task_names(domain)}.",
    )


def _task_names(domain: str) -> str:
    return ", ".join(map(_camel, TASKS[domain]))
