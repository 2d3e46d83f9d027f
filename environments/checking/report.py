"""--task=check_env: the checks of an environment, one line each, with what to do."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from environments import rendering
from environments.checking import checks
from environments.checking.finding import Finding
from environments.checking.walk import Walk, walk
from environments.factory import make_single_env, make_vector_env
from environments.ids import resolve_env_id, suite_of
from environments.registered import package_limit
from environments.requirements import check_environment
from environments.same_step import SameStepEnv
from environments.state.continuation import SEEDS
from environments.suites.gymnasium_suites import spec_of
from environments.suites.pictures import flags_of, split_options
from helpers.config.run import RunConfig
from helpers.durable import write_atomically
from helpers.errors import BAD_CONFIGURATION, DONE, UserError
from helpers.user_code import failure

STEPS, SECONDS = 1_000, 20.0  # of the walk: whichever comes first
_LONGEST_SPACE = 120  # characters
_MARKS = {"ok": "ok", "note": "note", "warning": "WARNING", "error": "ERROR"}


def check_env(config: RunConfig, *, learners: Callable[[gymnasium.Space], Iterable[str]]) -> int:
    """Check the environment of a run's settings; the exit status.

    Raises:
        ConfigurationError: there is no such environment, or none with such options.
    """
    env_id, options = resolve_env_id(config.env_id), config.environment_options
    check_environment(env_id, options)
    return check_by_use(
        env_id,
        options,
        folder=Path("data/checks"),
        learners=learners,
        max_episode_steps=config.max_episode_steps,
    )


def check_by_use(
    env_id: str,
    options: Mapping[str, Any],
    *,
    folder: Path,
    learners: Callable[[gymnasium.Space], Iterable[str]],
    max_episode_steps: int | None = None,
    say: Callable[[str], None] = print,
    steps: int = STEPS,
) -> int:
    """Step an environment and say of each promise whether it is kept; the exit status.

    Args:
        env_id: canonical.
        options: of the environment.
        folder: for the picture.
        learners: the algorithms that take a space of actions.
        max_episode_steps: after how many steps an episode is truncated; None for the environment's own limit.
        say: prints a line.
        steps: of the walk of random actions, if it does not take longer than SECONDS.

    Raises:
        ConfigurationError: there is no such environment.
    """
    started = time.perf_counter()
    make = partial(
        make_vector_env,
        env_id,
        options=options,
        max_episode_steps=max_episode_steps,
    )
    has_limit = max_episode_steps is not None or _has_own_limit(env_id)
    envs = make(seeds=SEEDS[:1])
    seconds = time.perf_counter() - started
    say(f"{env_id} by {envs.backend}, made in {seconds:.2f} s")
    say(f"  observations: {_shown(envs.single_observation_space)}")
    say(f"  actions:      {_shown(envs.single_action_space)}")
    counts = dict.fromkeys(_MARKS, 0)
    for finding in _findings(env_id, options, make, envs, folder, steps, has_limit):
        counts[finding.level] += 1
        say(f"  {_MARKS[finding.level]:8}{finding.check:18}{finding.text}")
        if finding.remedy:
            say(f"  {'':26}-> {finding.remedy}")
    names = list(learners(envs.single_action_space))
    envs.close()
    say(f"  algorithms: {', '.join(names) or 'none takes such actions'}")
    say(
        f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes, {counts['ok']} ok; "
        "docs/check_env.md says more of each",
    )
    if counts["error"] or not names:
        return BAD_CONFIGURATION
    flags = [f"--env_id={env_id}"]
    given = split_options(options)[1]
    if given:
        flags.append(f"--env_options={json.dumps(given, default=str)}")
    flags += flags_of(options)
    if max_episode_steps is not None:
        flags.append(f"--max_episode_steps={max_episode_steps}")
    say(f"next: python main.py --task=train --algo={names[0]} {shlex.join(flags)}")
    return DONE


def _findings(
    env_id: str,
    options: Mapping[str, Any],
    make: Callable[..., SameStepEnv],
    envs: SameStepEnv,
    folder: Path,
    steps: int,
    has_limit: bool,
) -> Iterator[Finding]:
    """Of each check in turn; what the environment raises is one more finding."""
    single = make_single_env(env_id, options)
    if single is not None:
        yield from _guarded("gymnasium", partial(checks.gymnasium_checks, single))
        single.close()
    found: list[Walk] = []

    def seen_on_a_walk() -> Iterator[Finding]:
        seen = walk(make, steps=steps, seconds=SECONDS)
        found.append(seen)
        yield from checks.space_checks(envs, seen)
        yield from checks.finite_checks(seen)
        yield from checks.seed_checks(seen)
        yield from checks.end_checks(envs, seen, has_limit=has_limit)
        yield from checks.precision_checks(seen)

    yield from _guarded("step", seen_on_a_walk)
    if found and not found[0].differs:
        yield from _guarded("state", partial(checks.state_checks, envs))
    yield from _guarded("picture", partial(_picture_checks, env_id, make, folder))
    if found:
        yield from checks.speed_checks(found[0])


def _shown(space: gymnasium.Space) -> str:
    """A space on a line: of bounds that differ the widest."""
    text = " ".join(str(space).split())
    if len(text) <= _LONGEST_SPACE or not isinstance(space, gymnasium.spaces.Box):
        return text
    return f"Box({space.low.min():g} or more, {space.high.max():g} or less, {space.shape}, {space.dtype})"


def _has_own_limit(env_id: str) -> bool:
    """Whether episodes are truncated by the environment's own limit rather than by ours for those without."""
    if suite_of(env_id) != "gymnasium":
        return True
    return bool(spec_of(env_id).max_episode_steps or package_limit(env_id))


def _picture_checks(
    env_id: str,
    make: Callable[..., SameStepEnv],
    folder: Path,
) -> Iterator[Finding]:
    remedy = rendering.prepare_rendering(env_id)
    if remedy:
        yield Finding("warning", "picture", "it cannot be drawn on this machine", remedy)
        return
    envs = make(seeds=SEEDS[:1], render_mode="rgb_array")
    try:
        envs.reset()
        yield from checks.picture_checks(lambda: envs.picture(0), partial(_keep, env_id, folder))
    finally:
        envs.close()


def _keep(env_id: str, folder: Path, picture: np.ndarray) -> str:
    """The path of a picture that was written."""
    from matplotlib.image import imsave

    content = BytesIO()
    imsave(content, picture, format="png")
    path = folder / f"{re.sub('[^A-Za-z0-9.-]+', '_', env_id)}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())
    return str(path)


def _guarded(check: str, findings: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from findings()
    except UserError as error:
        yield Finding("error", check, error.problem, error.remedy)
    except Exception as error:  # noqa: BLE001  # whatever an environment raises is what was found
        reported = failure(error, "it raised")
        yield Finding("error", check, reported.problem, reported.remedy)
