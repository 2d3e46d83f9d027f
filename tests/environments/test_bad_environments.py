"""What an environment of one's own does wrong, told in its own words, whatever steps it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from environments.factory import make_vector_env
from environments.requirements import check_environment
from environments.sizes import spaces_of
from helpers.errors import ConfigurationError, UsersCodeError

ENVIRONMENT = """import gymnasium
import numpy as np
from gymnasium.spaces import *


class Mine(gymnasium.Env):
    observation_space = {observations}
    action_space = {actions}

    def __init__(self, speed=1.0):
        self.steps = 0

    def reset(self, seed=None, options=None):
        return {first}, {{}}

    def step(self, action):
        self.steps += 1
        return {then}, {reward}, False, False, {{}}
"""
BOX = "Box(-1, 1, (3,), np.float32)"
GOOD = {
    "observations": BOX,
    "actions": "Discrete(2)",
    "first": "np.zeros(3, np.float32)",
    "then": "np.zeros(3, np.float32)",
    "reward": "0.0",
}
MISSION = "Dict(mission=Text(9), place=Tuple((Box(-1, 1), Text(4))))"
REFUSED = {  # what is other than good, and words of the two lines
    "no space": ({"actions": "3"}, "action_space is 3, which is no gymnasium.spaces.Space"),
    "text": ({"observations": MISSION}, "its observation 'mission' is text, which"),
    "only text": ({"observations": "Text(9)"}, "its observation is text, which"),
    "a kind of its own": (
        {"observations": "type('Words', (Space,), {})(None, None)"},
        "its observation is in Words, which",
    ),
    "sequences": ({"observations": "Sequence(Box(-1, 1))"}, "observations in Sequence"),
    "named actions": ({"actions": "Dict(a=Discrete(2))"}, "actions in Dict"),
    "several rewards": (
        {"actions": "Discrete(2)\n    reward_space = Box(-1, 1, (2,))"},
        "gives 2 rewards a step",
    ),
}
RETURNED = {  # the same of what is found in a step
    "another shape": (
        {"then": "np.zeros(3 if self.steps < 700 else 5, np.float32)"},
        "step: it returned an observation of shape (5,), and its space has (3,)",
        700,
    ),
    "another shape at an episode's end": (
        {"then": "np.zeros(3 if self.steps < 1000 else 5, np.float32)"},
        "step: it returned an observation of shape (5,), and its space has (3,)",
        1000,
    ),
    "another shape at once": (
        {"first": "np.zeros((3, 1), np.float32)"},
        "reset: it returned an observation of shape (3, 1), and its space has (3,)",
        0,
    ),
    "two rewards": (
        {"reward": "np.zeros(2)"},
        "step: it returned no observation, reward and ends of its spaces: setting an array element",
        1,
    ),
    "a word as reward": ({"reward": "'a'"}, "could not convert string to float: 'a'", 1),
    "a mistake": ({"then": "1 / 0"}, "step: ZeroDivisionError: division by zero.", 1),
}


def written(folder: Path, **other: str) -> str:
    path = folder / "mine.py"
    path.write_text(ENVIRONMENT.format(**GOOD | other))
    return f"{path}:Mine"


@pytest.mark.parametrize("fault", REFUSED)
def test_what_nothing_can_learn_is_refused_before_anything_starts(tmp_path, fault: str) -> None:
    other, words = REFUSED[fault]
    with pytest.raises(ConfigurationError, match=re.escape(words)) as caught:
        spaces_of(written(tmp_path, **other))
    assert caught.value.remedy


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize("fault", RETURNED)
def test_what_a_step_returns_is_told_with_its_step(tmp_path, fault: str, processes: int) -> None:
    other, words, steps = RETURNED[fault]
    if processes and fault not in ("another shape", "a mistake"):
        return  # by the same way as these
    envs: Any = make_vector_env(written(tmp_path, **other), seeds=[1, 2], processes=processes)
    taken = 0
    with pytest.raises(UsersCodeError) as caught:
        envs.reset()
        for _ in range(steps):
            taken += 1
            envs.step(np.zeros(2, np.int64))
    assert words in caught.value.problem and not caught.value.problem.endswith("..")
    assert "mine.py, line" in caught.value.remedy
    assert taken == steps
    envs.close()


def test_an_environment_that_needs_options_says_which(tmp_path) -> None:
    env_id = written(tmp_path).replace("mine.py", "needs.py")
    text = (tmp_path / "mine.py").read_text().replace("speed=1.0", "task, speed=1.0, *, size")
    (tmp_path / "needs.py").write_text(text)
    check_environment(env_id, {"task": "a", "size": 1})
    with pytest.raises(ConfigurationError, match="without the options task, size") as caught:
        check_environment(env_id, {})
    assert """--env_options='{"task": "...", "size": "..."}'""" in caught.value.remedy


def test_an_option_that_the_constructor_does_not_have(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match=r"no option sped[\s\S]*nearest is speed"):
        check_environment(written(tmp_path), {"sped": 2.0})


@pytest.mark.parametrize(
    ("module", "content", "words"),
    [
        ("raises_at_import", "import nonesuch", r"ModuleNotFoundError[\s\S]*line 1: import none"),
        ("registers_nothing", "x = 1", r"registers no such environment[\s\S]*gymnasium.register"),
        ("of_others", "", r"has no gymnasium.Env Mine[\s\S]*a subclass of gymnasium.Env"),
    ],
)
def test_a_module_or_a_class_that_is_no_environment(
    tmp_path,
    monkeypatch,
    module,
    content,
    words,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{module}.py").write_text(content or "class Mine:\n    pass\n")
    env_id = f"{module}:X-v0" if content else f"{tmp_path}/{module}.py:Mine"
    with pytest.raises(ConfigurationError, match=words):
        spaces_of(env_id) if not content else make_vector_env(env_id, seeds=[1])
