"""Gymnasium's environments (environments/gymnasium_envs): whatever is registered, and classes in files of a user.

Ids are those of the registry: `CartPole-v1`; a bare name means its newest version; `my_package.envs:Reach-v0` imports
what registers it; `ALE/Pong-v5` imports an installed package; `my_envs/reach.py:Reach` is a class in a file.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium

from environments.files import task_file
from environments.gymnasium_envs import constructor, env, origin
from environments.gymnasium_envs.registered import registered_ids, resolve_registered
from environments.inputs.modules import closure
from environments.suites.parts import FlatSpace
from environments.suites.pictures import split_options
from environments.suites.suite import Files, Options, Spaces, Suite, Wanted
from helpers.pictures import PictureSpace

_PROGRAM = """import gymnasium
{head}
env = gymnasium.make("{env_id}"{options})
{random}observation, _ = env.reset(seed={seed})
total, done = 0.0, False
while not done:
    inputs = {{"observation": np.asarray([{observation}], np.{dtype}){noise}}}
    (actions,) = policy.run(None, inputs)
    observation, reward, terminated, truncated, _ = env.step({action})
    total, done = total + float(reward), terminated or truncated
print(f"return: {{total:.2f}}")
"""


class Gymnasium(Suite):
    """Everything in Gymnasium's registry, and `gymnasium.Env`s of a user."""

    name, benchmark = "gymnasium", "classic"
    backends: ClassVar[tuple[str, ...]] = ("Gymnasium",)
    packages: ClassVar[tuple[str, ...]] = ("gymnasium",)

    def ids(self) -> list[str]:
        """What is registered and can be run."""
        return registered_ids()

    def owns(self, env_id: str) -> bool:
        """What no other suite does."""
        return True

    def resolve(self, env_id: str) -> str | None:
        """By the registry."""
        return resolve_registered(env_id)

    def require_parts(self, env_id: str, options: Options) -> None:
        """Refuse an environment whose constructor asks for more than it is given."""
        constructor.require_options(env_id, options)

    def check_options(self, env_id: str, options: Options) -> None:
        """By the signature of what makes it."""
        if options:
            constructor.check_constructor(env_id, split_options(options)[1])

    def default_options(self, env_id: str) -> dict[str, Any]:
        """By that signature."""
        return {} if task_file(env_id) else constructor.default_options(env_id)

    def spaces(self, env_id: str, options: Options) -> Spaces | None:
        """An environment is made for it: a few milliseconds for Gymnasium's own."""
        made = self.make_env(env_id, Wanted(options))
        made.close()
        return made.observation_space, made.action_space

    def own_form(self, env_id: str, options: Options) -> tuple[bool, tuple[int, ...] | None]:
        """An environment is made for it, too."""
        made = self.make_env(env_id, Wanted(options))
        made.close()
        is_flat = not isinstance(made.observation_space, FlatSpace | PictureSpace)
        return is_flat, env.action_shape(made)

    def max_episode_steps(self, env_id: str, options: Options) -> int:
        """Its own limit, or ours."""
        return env.own_limit(env_id) or env.DEFAULT_MAX_EPISODE_STEPS

    def known_limit(self, env_id: str, options: Options) -> int | None:
        """Of a file of a user nothing is known before it is executed."""
        return None if task_file(env_id) else self.max_episode_steps(env_id, options)

    def has_own_limit(self, env_id: str) -> bool:
        """Whether it is registered with one."""
        return bool(env.own_limit(env_id))

    def entry_point(self, env_id: str) -> str:
        """As it is registered."""
        return "" if task_file(env_id) else str(env.spec_of(env_id).entry_point)

    def packages_of(self, env_id: str) -> list[str]:
        """Gymnasium, the package of its class, and MuJoCo where that needs it."""
        return origin.packages_of(env_id)

    def files(self, env_id: str, options: Options) -> Files:
        """The module of its class and what that imports, where no installed package has it."""
        start = origin.users_module(env_id)
        return Files() if start is None else Files(*closure(start), start.parent)

    def program(self, env_id: str) -> str | None:
        """By `gymnasium.make`; a class in a file through this project."""
        return None if task_file(env_id) else _PROGRAM

    def make_env(self, env_id: str, wanted: Wanted) -> gymnasium.Env:
        """One environment.

        Raises:
            ConfigurationError: its observations or actions are of a kind that nothing here learns from.
        """
        return env.make_env(env_id, wanted)

    def is_exact(self, env_id: str) -> bool | None:
        """Of those that were tried."""
        return True if env.is_known_exact(env_id) else None

    def needs_gl(self, env_id: str) -> bool:
        """Where MuJoCo simulates it."""
        return origin.uses_mujoco(env_id)


SUITE = Gymnasium()
