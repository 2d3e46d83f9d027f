"""The checks, each of one promise that training, resuming or looking relies on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from environments.checking.finding import Finding
from environments.checking.walk import Walk
from environments.same_step import SameStepEnv
from environments.state.continuation import SEEDS, same

_SLOW = 5e-3  # seconds a step, from which processes are worth their cost
_WIDE = 1e3  # ratio of spreads from which observations should be normalized
_LARGE_REWARD = 1e3
_MOST_NUMBERS = 1_000  # of an observation whose precision is looked at; of pictures some pixels
_ROUNDING = 16  # spacings of float64 within which a number has not moved
# What the checker remarks of bounds: infinite ones are usual in MuJoCo, and "action bounds" reports the others.
_REMARKS_OF_BOUNDS = ("value is -infinity", "value is infinity", "symmetric and normalized space")


def gymnasium_checks(env: gymnasium.Env) -> Iterator[Finding]:
    """Gymnasium's own checker, on the environment without wrappers."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)
        except Exception as error:  # noqa: BLE001  # whatever is raised is what was found
            yield Finding(
                "error",
                "gymnasium",
                f"Gymnasium's checker: {_one_line(str(error) or type(error).__name__)}",
                "Mend the environment; its page: https://gymnasium.farama.org/introduction/create_custom_env/",
            )
    texts = list(dict.fromkeys(_one_line(str(each.message)) for each in caught))
    texts = [text for text in texts if not any(words in text for words in _REMARKS_OF_BOUNDS)]
    for text in texts:
        yield Finding("note", "gymnasium", f"Gymnasium's checker: {text}")
    if not texts:
        yield Finding("ok", "gymnasium", "Gymnasium's checker has nothing to say")


def space_checks(envs: SameStepEnv, found: Walk) -> Iterator[Finding]:
    """Observations are in their space, and actions have bounds that can be learned in."""
    if found.outside:
        yield Finding(
            "warning",
            "spaces",
            f"an observation left its space: {found.outside}",
            "Widen the bounds of observation_space: nothing here clips to them, other programs may.",
        )
    else:
        count = len(found.observations)
        yield Finding("ok", "spaces", f"observations stayed in their space for {count:,} steps")
    space = envs.single_action_space
    if not isinstance(space, gymnasium.spaces.Box):
        return
    if not np.isfinite(space.low).all() or not np.isfinite(space.high).all():
        yield Finding(
            "warning",
            "action bounds",
            f"actions have no finite bounds: {_range(space)}",
            "Give the action space finite bounds, or clip in the environment and say so in the bounds.",
        )
    elif (space.low != -1).any() or (space.high != 1).any():
        yield Finding("note", "action bounds", f"actions are within {_range(space)}, not -1 to 1")


def finite_checks(found: Walk) -> Iterator[Finding]:
    """No NaN, no infinity, and rewards that a critic can learn."""
    for name, values in (("observation", found.observations), ("reward", found.rewards)):
        wrong = np.argwhere(~np.isfinite(values.astype(np.float64)))
        if len(wrong):
            yield Finding(
                "error",
                "finite",
                f"{_an(name)} was not finite, first in step {int(wrong[0][0]) + 1}",
                "A training would stop there: bound actions, rewards, or what is divided by.",
            )
            return
    rewards = found.rewards
    yield Finding("ok", "finite", f"all numbers are finite; rewards {_spread(rewards)}")
    if np.abs(rewards).max() > _LARGE_REWARD:
        yield Finding(
            "warning",
            "reward scale",
            f"rewards reach {np.abs(rewards).max():.3g}",
            "Divide them by a constant: off-policy algorithms do not normalize rewards (PPO does).",
        )
    if len(rewards) > 1 and not rewards.any():
        yield Finding(
            "note",
            "reward scale",
            "no random action was rewarded: the reward is sparse, or it is missing",
        )


def seed_checks(found: Walk) -> Iterator[Finding]:
    """The same seed and actions give the same numbers; other seeds another start."""
    if found.differs:
        yield Finding(
            "error",
            "seeds",
            f"two copies with the same seed and actions differ in {found.differs}",
            "Draw all randomness from self.np_random, which reset(seed=...) sets; keep nothing in globals.",
        )
    else:
        count = len(found.observations)
        yield Finding("ok", "seeds", f"the same seed gave the same bits over {count:,} steps")
    first = found.observations[0]
    if same(first[0], first[1]):
        yield Finding(
            "note",
            "seeds",
            "two seeds begin with the same observation: all episodes begin alike, or the seed is not used",
        )


def end_checks(envs: SameStepEnv, found: Walk, *, has_limit: bool) -> Iterator[Finding]:
    """Truncation is distinguished from termination."""
    limit = envs.max_episode_steps
    terminated = [length for length, was in found.lengths if was]
    both = int((found.terminated & found.truncated).sum())
    if not has_limit:
        yield Finding(
            "note",
            "ends",
            f"the environment has no time limit of its own: episodes are truncated after {limit:,} steps",
            "Register it with max_episode_steps, or give --max_episode_steps.",
        )
    if not found.lengths:
        yield Finding("note", "ends", f"no episode ended within {len(found.observations):,} steps")
        return
    if terminated and all(length == limit for length in terminated):
        yield Finding(
            "error",
            "ends",
            f"all {len(terminated)} terminated episodes did so at the time limit of {limit:,} steps",
            "Return terminated=False, truncated=True there: the value behind a limit is not 0.",
        )
        return
    longest = max(length for length, _ in found.lengths)
    if terminated and len(set(terminated)) == 1 and len(terminated) >= 4:
        yield Finding(
            "warning",
            "ends",
            f"{len(terminated)} episodes were terminated, each after exactly {terminated[0]:,} steps",
            "If that is a time limit, return truncated=True instead of terminated=True.",
        )
    else:
        cut = len(found.lengths) - len(terminated)
        yield Finding(
            "ok",
            "ends",
            f"{len(found.lengths)} episodes ended: {len(terminated)} by the task, {cut} by a limit; "
            f"the longest had {longest:,} steps",
        )
    if both:
        yield Finding(
            "note",
            "ends",
            f"{both} steps were terminated and truncated: they count as terminated",
        )


def state_checks(envs: SameStepEnv) -> Iterator[Finding]:
    """A saved state resumes bit for bit in a fresh copy."""
    reason = envs.inexact_because
    if reason:
        yield Finding(
            "warning",
            "state",
            f"a saved state does not resume exactly: {reason}",
            "Keep the state in numbers, arrays and np_random, or name further objects in `stateful_parts`. Until then "
            "a run resumes at the start of an episode.",
        )
    else:
        yield Finding("ok", "state", "a saved state resumes bit for bit in a fresh copy")


def precision_checks(found: Walk) -> Iterator[Finding]:
    """float32, in which networks compute, resolves the changes of an observation."""
    values = found.observations.reshape(*found.observations.shape[:2], -1)
    values = values[..., :: -(-values.shape[-1] // _MOST_NUMBERS)].astype(np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return
    moves = np.abs(np.diff(values, axis=0))
    size = np.abs(values).max(axis=(0, 1))
    moves[moves <= _ROUNDING * np.spacing(size)] = np.nan  # it rests
    flat = moves.reshape(-1, moves.shape[-1])
    rests = np.isnan(flat).all(axis=0)
    moved = np.where(rests, np.inf, np.nanquantile(np.where(rests, 0.0, flat), 0.9, axis=0))
    spacing = np.spacing(size.astype(np.float32)).astype(np.float64)
    lost = np.flatnonzero(moved < 8 * spacing)
    for index in lost[:3]:
        yield Finding(
            "warning",
            "precision",
            f"number {index} of an observation is about {values[..., index].mean():.6g} and moves by "
            f"{moved[index]:.3g} a step, which float32 does not resolve",
            "Subtract a constant in the environment (a time, a position far from 0), or --precision=float64.",
        )
    spread = values.std(axis=(0, 1))
    alive = spread[spread > 0]
    still = int((spread == 0).sum())
    if still:
        yield Finding("note", "precision", f"{still} of {len(spread)} numbers never changed")
    if len(alive) and alive.max() / alive.min() > _WIDE:
        yield Finding(
            "warning",
            "observation scale",
            f"the numbers of an observation spread from {alive.min():.3g} to {alive.max():.3g}",
            "Normalize them: --batch_norm_all.",
        )
    elif not len(lost):
        yield Finding("ok", "precision", "float32 resolves the observations")


def speed_checks(found: Walk) -> Iterator[Finding]:
    """Steps a second of one environment."""
    each = found.seconds / (len(SEEDS) * len(found.rewards))
    rate = f"{1 / each:,.0f} steps/s with one environment ({each * 1e3:.3g} ms a step)"
    if each > _SLOW:
        yield Finding("note", "speed", rate, "--env_processes=N steps them in N processes.")
    else:
        yield Finding("ok", "speed", rate)


def picture_checks(
    draw: Callable[[], np.ndarray],
    keep: Callable[[np.ndarray], str],
) -> Iterator[Finding]:
    """A picture can be drawn, which --record needs."""
    started = time.perf_counter()
    picture = np.asarray(draw())
    seconds = time.perf_counter() - started
    if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
        yield Finding(
            "warning",
            "picture",
            f"a picture is {picture.dtype} {picture.shape}, not uint8 (height, width, 3)",
            'Return np.uint8 RGB from render() with render_mode="rgb_array".',
        )
        return
    height, width = picture.shape[:2]
    text = f"{width} x {height} pixels, the first in {seconds:.2f} s"
    if (picture == picture[0, 0]).all():
        yield Finding("warning", "picture", f"{text}, of one colour", "Look at render().")
    else:
        yield Finding("ok", "picture", f"{text}: {keep(picture)}")


def _range(space: gymnasium.spaces.Box) -> str:
    pairs = sorted(
        {
            (float(low), float(high))
            for low, high in zip(space.low.flat, space.high.flat, strict=True)
        },
    )
    shown = [f"{low:.4g} to {high:.4g}" for low, high in pairs[:4]]
    return ", ".join(shown) + (" ..." if len(pairs) > 4 else "")


def _spread(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}, mean {values.mean():.3g}"


def _an(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _one_line(text: str) -> str:
    text = " ".join(text.replace("\x1b[33mWARN:", "").replace("\x1b[0m", "").split())
    return text if len(text) <= 300 else f"{text[:300]} ..."
