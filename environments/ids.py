"""Environment ids: what a user may type, and the one canonical id it stands for.

* A file of one's own and the class in it, a batched task or a gymnasium.Env: `my_tasks/cart.py:Cart`
  (docs/environments.md). All spellings of its path (`./my_tasks/cart.py:Cart`, absolute, over a link) stand for that
  one, relative to the working folder;
* the ids of each suite: the docstring of its module in environments/suites describes them.

Suites are imported when the first id is resolved, and no simulator is, so that a launcher can check ids cheaply.
"""

from __future__ import annotations

from environments.files import file_id, task_file
from environments.suites.names import nearest_id
from environments.suites.table import benchmark_of, suite_of, suites
from helpers.errors import ConfigurationError

__all__ = ["benchmark_of", "resolve_env_id", "suite_of"]


def resolve_env_id(env_id: str) -> str:
    """The canonical id of the environment that a user's spelling stands for.

    Raises:
        ConfigurationError: nothing stands behind the id, or it needs a package that is not
            installed, or it is a task of a version that can no longer be run.
    """
    own_file = task_file(env_id)
    if own_file is not None:
        return file_id(*own_file)
    for suite in suites():
        found = suite.resolve(env_id)
        if found is not None:
            return found
    nearest = nearest_id(env_id, [each for suite in suites() for each in suite.ids()])
    raise ConfigurationError(
        f"env_id={env_id} is not a known environment.",
        (
            f"The nearest is {nearest}."
            if nearest
            else "Use Hopper-v5, CartPole-v1 or Cheetah-Run-Feat-v0, for example; of a package: --env_id=package:ID."
        ),
    )
