"""Whether demonstrations come from the environment that they are used for: whatever changes numbers is reported.

What a file says of its recording is compared (environment, options, wrappers, bounds, versions), and what its numbers
show where it says nothing (`helpers/demos/signs.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from helpers.demos.episode import Demo, Expected
from helpers.demos.signs import signs_of_alteration
from helpers.demos.wrappers import Wrapper, executed, parse_json, rescale, wrappers_of
from helpers.errors import ConfigurationError

WARN_INSTEAD = "or use them nevertheless: --expert_mismatch=warn"
# of pictures, not of numbers
_SHOWN = frozenset({"render_mode", "width", "height", "camera_id", "camera_name", "max_geom"})
_SHOWN |= {"default_camera_config", "visual_options", "render_fps", "screen_size"}

Difference = tuple[str, str]  # problem, remedy


def differences(
    demos: Sequence[Demo],
    expected: Expected | None,
    *,
    accepted: Sequence[str] = (),
) -> list[Difference]:
    """What distinguishes the recording of demonstrations from an environment, each kind once.

    Args:
        demos: checked alone.
        expected: the environment; None compares their ids with one another only.
        accepted: names of wrappers that the user says change no numbers.
    """
    found = list(_first(demos, lambda demo: _other_environment(demo, demos, expected)))
    if expected is None:
        return found
    judges: tuple[Callable[[Demo], Difference | None], ...] = (
        lambda demo: _other_maker(demo, expected),
        lambda demo: _other_options(demo, expected),
        lambda demo: _altering_wrapper(demo, expected, accepted),
        lambda demo: _other_bounds(demo, expected),
        lambda demo: _other_simulator(demo, expected),
    )
    for judge in judges:
        found += _first(demos, judge)
    return found or signs_of_alteration(demos, expected)


def _first(
    demos: Sequence[Demo],
    judge: Callable[[Demo], Difference | None],
) -> Iterator[Difference]:
    yield from [each for each in map(judge, demos) if each][:1]


def _other_environment(
    demo: Demo,
    demos: Sequence[Demo],
    expected: Expected | None,
) -> Difference | None:
    named = [str(each.origin["env_id"]) for each in demos if "env_id" in each.origin]
    theirs = demo.origin.get("env_id")
    if theirs is None:
        return None
    canonical = expected.canonical if expected else str
    env_id = expected.env_id if expected else named[0]
    known = canonical(str(theirs))
    if env_id in (known, theirs):
        return None
    remedy = f"Give demonstrations of {env_id} by --expert_path"
    if known is not None:
        remedy = f"Give --env_id={theirs}, or demonstrations of {env_id} by --expert_path"
    return f"{demo.source} shows {theirs}, not {env_id}.", f"{remedy}; {WARN_INSTEAD}."


def _other_maker(demo: Demo, expected: Expected) -> Difference | None:
    theirs, ours = str(demo.origin.get("entry_point", "")), expected.entry_point
    library = theirs.partition(".")[0]
    if not theirs or not ours or theirs == ours or library == ours.partition(".")[0]:
        return None
    return (
        f"{demo.source} calls its environment {demo.origin.get('env_id')}, but it was made by {theirs}, here it is "
        f"{ours}.",
        f"Give demonstrations of the environment itself, {WARN_INSTEAD}.",
    )


def _other_options(demo: Demo, expected: Expected) -> Difference | None:
    if "env_id" not in demo.origin:
        return None
    said = str(demo.origin.get("env_options", ""))
    if said == expected.options:
        return None
    theirs, ours = (_plain_options(text) for text in (said, expected.options))
    if theirs != ours and (theirs or ours):
        defaults = json.loads(json.dumps(dict(expected.default_options()), default=str))
        theirs, ours = defaults | theirs, defaults | ours
    if theirs == ours:
        return None
    remedy = f"Give --env_options='{said}', or other demonstrations"
    return (
        f"{demo.source} was made with env_options {said or 'none'}, here are {expected.options or 'none'}.",
        f"{remedy if said else 'Leave --env_options out, or give other demonstrations'}; {WARN_INSTEAD}.",
    )


def _plain_options(text: str) -> dict[str, Any]:
    found: Mapping[str, Any] = parse_json(text, dict)
    return {name: value for name, value in found.items() if name not in _SHOWN}


def _altering_wrapper(
    demo: Demo,
    expected: Expected,
    accepted: Sequence[str],
) -> Difference | None:
    for each in wrappers_of(demo.origin):
        if each.is_harmless or each.name in accepted:
            continue
        if each.acts:
            if _changes_actions(demo, each, expected):
                return (
                    f"{demo.source} was recorded under {each.name}{_arguments(each)}: its actions are not the "
                    "environment's.",
                    f"Map them to the environment's: --expert_convert; record them without it, {WARN_INSTEAD}.",
                )
            continue
        if each.changed:
            return (
                f"{demo.source} was recorded under {each.name}{_arguments(each)}, which changes {each.changed}.",
                f"Record them without it, {WARN_INSTEAD}.",
            )
        place = f" ({each.entry_point})" if each.entry_point else ""
        return (
            f"{demo.source} was recorded under the wrapper {each.name}{place}, which is not known here.",
            f"If it changes no numbers, say so: --expert_accept_wrappers={each.name}; else record them without it.",
        )
    return None


def _arguments(wrapper: Wrapper) -> str:
    return f"({', '.join(f'{key}={value}' for key, value in wrapper.arguments.items())})"


def _changes_actions(demo: Demo, wrapper: Wrapper, expected: Expected) -> bool:
    """Whether the actions of a demonstration are others behind this wrapper."""
    low, high = expected.action_low, expected.action_high
    if demo.actions is None:
        return False
    if low is None or high is None or demo.actions.shape[1:] != low.shape:
        return True
    try:
        return not np.allclose(
            executed(demo.actions, [wrapper], low, high),
            demo.actions,
            atol=1e-6,
        )
    except ValueError:
        return True


def _said_bounds(demo: Demo) -> tuple[np.ndarray, np.ndarray] | None:
    if demo.actions is None or demo.actions.ndim != 2:
        return None
    said = [demo.origin.get(name) for name in ("action_low", "action_high")]
    if any(each is None for each in said):
        return None
    low, high = (np.asarray(each, np.float64) for each in said)
    shape = demo.actions.shape[1:]
    return (low, high) if low.shape == high.shape == shape else None


def _other_bounds(demo: Demo, expected: Expected) -> Difference | None:
    """Bounds of actions that are not the environment's; where there are none, actions beyond the environment's."""
    said, low, high = _said_bounds(demo), expected.action_low, expected.action_high
    acting = [each for each in wrappers_of(demo.origin) if each.acts]
    if said is None or low is None or high is None or low.shape != said[0].shape or acting:
        return None
    if _equal_bounds(said, (low, high)):
        return None
    if np.isinf(said).all() and not is_beyond(demo, low, high).any():
        return None
    remedy = "Map them to the environment's (by the affine map between the bounds, or cut where there are none)"
    return (
        f"{demo.source} has actions between {_range(said)}, the environment between {_range((low, high))}.",
        f"{remedy}: --expert_convert; record them again, {WARN_INSTEAD}.",
    )


def check_bounds(demos: Sequence[Demo], expected: Expected) -> None:
    """That actions are the environment's, for environments whose bounds only they themselves know.

    Raises:
        ConfigurationError: the bounds that demonstrations name are others.
    """
    for problem, remedy in _first(demos, lambda demo: _other_bounds(demo, expected)):
        raise ConfigurationError(problem, remedy)


def _equal_bounds(
    one: tuple[np.ndarray, np.ndarray],
    other: tuple[np.ndarray, np.ndarray],
) -> bool:
    return all(np.allclose(a, b, rtol=1e-6) for a, b in zip(one, other, strict=True))


def _range(bounds: tuple[np.ndarray, np.ndarray]) -> str:
    texts = [
        f"{each.flat[0]:g}" if np.ptp(np.nan_to_num(each)) == 0 else str(np.round(each, 4).tolist())
        for each in bounds
    ]
    return " and ".join(texts)


def is_beyond(demo: Demo, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which actions lie outside of bounds, bool (T, act_dim)."""
    assert demo.actions is not None
    margin = 1e-6 * np.maximum(1.0, np.where(np.isfinite(high), np.abs(high), 1.0))
    return np.asarray((demo.actions < low - margin) | (demo.actions > high + margin))


def _other_simulator(demo: Demo, expected: Expected) -> Difference | None:
    for name, version in (
        ("MuJoCo", expected.mujoco_version),
        ("OpenSim", expected.opensim_version),
    ):
        theirs = demo.origin.get(f"{name.lower()}_version")
        if version and theirs and theirs != version:
            return (
                f"{demo.source} was made with {name} {theirs}, here is {version}.",
                f"Install {name.lower()}=={theirs}, make the demonstrations again, {WARN_INSTEAD}.",
            )
    return None


def convert(demos: Sequence[Demo], expected: Expected | None) -> list[Demo]:
    """Demonstrations whose actions are those that reached the environment (`--expert_convert`).

    Raises:
        ConfigurationError: the bounds that they are to be mapped between are not known.
    """
    if expected is None:
        raise ConfigurationError(
            "--expert_convert maps actions to the bounds of an environment, and none is named.",
            "Give it: --env_id=Hopper-v5.",
        )
    return [_converted(demo, expected) for demo in demos]


def _converted(demo: Demo, expected: Expected) -> Demo:
    found = wrappers_of(demo.origin)
    acting = [each for each in found if each.acts]
    low, high, said = expected.action_low, expected.action_high, _said_bounds(demo)
    if demo.actions is None or demo.actions.ndim != 2 or not (acting or said):
        return demo
    if low is None or high is None or low.shape != demo.actions.shape[1:]:
        raise ConfigurationError(
            f"--expert_convert: the bounds of the actions of {expected.env_id} are not known before it is made.",
            "Leave --expert_convert out, and record the demonstrations without RescaleAction and ClipAction.",
        )
    origin = dict(demo.origin)
    if acting:
        try:
            actions = executed(demo.actions, acting, low, high)
        except ValueError as error:
            raise ConfigurationError(
                f"{demo.source}: {error}, so its actions cannot be converted.",
                "Leave --expert_convert out, and record the demonstrations again without it.",
            ) from error
        left = [
            {"name": each.name, "entry_point": each.entry_point, "kwargs": dict(each.arguments)}
            for each in found
            if not each.acts
        ]
        origin["env_wrappers"] = json.dumps(left, sort_keys=True)
    else:
        assert said is not None
        if _equal_bounds(said, (low, high)):
            return demo
        if np.isfinite(said).all() and np.isfinite([low, high]).all():
            mapped = rescale(demo.actions.astype(np.float64), said, (low, high))
        else:
            mapped = np.clip(demo.actions.astype(np.float64), low, high)
        actions = mapped.astype(demo.actions.dtype)
    origin |= {"action_low": low, "action_high": high, "converted": "actions, to the environment's"}
    return replace(demo, actions=actions, origin=origin)


def unsaid(demos: Sequence[Demo], expected: Expected | None) -> list[str]:
    """Lines about what demonstrations do not say of their recording, so that nobody can compare it."""
    if expected is None:
        return []
    lines = []
    nameless = [demo for demo in demos if "env_id" not in demo.origin]
    if nameless:
        lines.append(
            f"{len(nameless)} of {len(demos)} demonstrations do not contain their environment: whether it was "
            f"{expected.env_id}, and unaltered, is not known.",
        )
    versionless = [demo for demo in demos if "mujoco_version" not in demo.origin]
    if versionless and expected.mujoco_version:
        lines.append(
            f"{len(versionless)} of {len(demos)} demonstrations do not contain their MuJoCo version.",
        )
    low, high = expected.action_low, expected.action_high
    if low is not None and high is not None:
        beyond = [
            is_beyond(demo, low, high)
            for demo in demos
            if demo.actions is not None and demo.actions.shape[1:] == low.shape
        ]
        share = float(np.mean(np.concatenate(beyond))) if beyond else 0.0
        if share:
            lines.append(
                f"{share:.1%} of the demonstrated actions are beyond the environment's bounds.",
            )
    return lines
