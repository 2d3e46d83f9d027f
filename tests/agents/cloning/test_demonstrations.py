"""What bc and dagger ask of demonstrations where an environment says what it expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from agents.factory import make_agent
from helpers.demos.episode import Expected
from helpers.demos.load import Demos, read_demos
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from tests.agents.builders import OBSERVATION_DIM, SPACES, small_config
from tests.agents.cloning.cases import CLONING, LENGTH, sources
from tests.helpers.demos.cases import steps_of, write_plain


def make(config: Any, expected: Expected | None, demos: Demos | None = None) -> Any:
    return make_agent(
        config,
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_DIM,)),
        action_space=SPACES["continuous"],
        workers=Workers.solo(),
        streams=Streams(config.seed),
        environments=slice(0, config.num_envs),
        expected=expected,
        demos=demos,
    )


@pytest.fixture()
def foreign(tmp_path: Path) -> Path:
    """Demonstrations of another code base, which do not say whether a limit ended them."""
    for index in range(3):
        steps = steps_of(index, LENGTH)
        for name in ("observations", "next_observations"):
            steps[name] = steps[name][:, :OBSERVATION_DIM]
        write_plain(tmp_path / f"demo{index}.h5", steps)
    return tmp_path


@pytest.mark.parametrize("algo", CLONING)
def test_the_limit_of_the_environment_tells_how_foreign_demonstrations_end(
    foreign: Path,
    algo: str,
) -> None:
    own = sources(algo, "continuous") | {"expert_path": str(foreign), "num_demos": 2}
    config = small_config(algo, **own)
    with pytest.raises(ConfigurationError, match="does not say whether its end is a termination"):
        make(config, None)
    agent = make(config, Expected("made_up", time_limit=LENGTH))
    other = make(config, Expected("made_up", time_limit=LENGTH + 1))
    assert agent.fingerprint and agent.fingerprint != other.fingerprint


@pytest.mark.parametrize("algo", CLONING)
def test_an_environment_of_other_sizes_is_refused(algo: str) -> None:
    config = small_config(algo, **sources(algo, "continuous") | {"num_demos": 2})
    with pytest.raises(ConfigurationError, match="observations of 5 numbers, the environment of 7"):
        make(config, Expected("made_up", observation_size=7))


@pytest.mark.parametrize("algo", (*CLONING, "gail"))
def test_what_was_read_already_is_not_read_again(algo: str) -> None:
    kind = sources("bc", "continuous")
    own = sources(algo, "continuous") if algo in CLONING else {}
    config = small_config(algo, **kind | own | {"num_demos": 2})
    demos = read_demos(config, None)
    gone = config.model_copy(update={"expert_path": "/nowhere"})
    agent = make(gone, None, demos)
    shown = getattr(agent, "demos", agent)
    again = make(config, None)
    assert shown.fingerprint == getattr(again, "demos", again).fingerprint != ""
