"""The OpenSim tasks: ids, options, spaces and groups of observations, without starting OpenSim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from environments.ids import OPENSIM_IDS
from helpers.errors import ConfigurationError

VERSION = "4.6"  # of OpenSim
ARM, GAIT, L2M = OPENSIM_IDS
INTEGRATORS = ("runge_kutta_merson", "semi_explicit_euler_2", "runge_kutta_3")
_LEG = (
    "hamstrings",
    "bifemsh",
    "glut_max",
    "iliopsoas",
    "rect_fem",
    "vasti",
    "gastroc",
    "soleus",
    "tib_ant",
)
# In the order of the challenge's actions, which is not the model's.
L2M_LEG = ("abd", "add", "iliopsoas", "glut_max", "hamstrings") + (
    "rect_fem",
    "vasti",
    "bifemsh",
    "gastroc",
    "soleus",
    "tib_ant",
)
MUSCLES = {
    "arm": (
        ("shoulder_flexor", "shoulder_extensor", "elbow_flexor")
        + ("elbow_extensor", "both_flexor", "both_extensor")
    ),
    "gait9dof18musc": tuple(f"{name}_{side}" for side in "rl" for name in _LEG),
    "gait14dof22musc": tuple(f"{name}_{side}" for side in "rl" for name in L2M_LEG),
    "gait14dof22musc_planar": tuple(f"{name}_{side}" for side in "rl" for name in L2M_LEG),
}
TARGETS = ("anywhere", "near", "far", "front", "side")


@dataclass(frozen=True)
class Option:
    """What may be chosen of a task.

    Attributes:
        default: where it is not.
        help_line: what it does.
        choices: all there are; empty where `low` and `high` say it.
        low, high: of a number, both inclusive.
    """

    default: Any
    help_line: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = float("inf")

    @property
    def rule(self) -> str:
        """What a value must be, to stand after "is not"."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        noun = "a whole number" if isinstance(self.default, int) else "a number"
        return f"{noun} from {self.low:g} to {self.high:g}"

    def takes(self, value: Any) -> bool:
        """Whether a value is one of those."""
        if self.choices:
            return any(value == each and type(value) is type(each) for each in self.choices)
        kinds = (int,) if isinstance(self.default, int) else (int, float)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high


def _common(*, accuracy: float, integrator: str, frame_skip: int) -> dict[str, Option]:
    # Below 1e-7 no state of doubles can be integrated; above 0.1 the simulator explodes.
    return {
        "accuracy": Option(accuracy, "of the integrator; smaller is slower", low=1e-7, high=0.1),
        "integrator": Option(integrator, "its method", INTEGRATORS),
        "frame_skip": Option(frame_skip, "steps of 10 ms that an action lasts", low=1, high=10),
        "strength": Option({}, "largest forces of muscles, as factors by name"),
    }


OPTIONS: Mapping[str, Mapping[str, Option]] = {
    ARM: {
        **_common(accuracy=1e-3, integrator="runge_kutta_merson", frame_skip=2),
        "target": Option("anywhere", "where targets are drawn", TARGETS),
        "pose_spread": Option(0.3, "standard deviation of initial angles, in radians", high=1.0),
        "muscle_model": Option("degroote", "model of the muscles", ("degroote", "millard")),
    },
    GAIT: {
        **_common(accuracy=1e-2, integrator="semi_explicit_euler_2", frame_skip=4),
        "model": Option("gait9dof18musc", "model file", ("gait9dof18musc", "gait14dof22musc")),
        "speed": Option(1.2, "at which to walk, in metres a second", high=3.0),
        "pose_spread": Option(0.05, "standard deviation of initial angles, in radians", high=0.5),
        "muscle_model": Option(
            "thelen",
            "thelen: the file's; degroote: with stiff tendons",
            ("thelen", "degroote"),
        ),
    },
    L2M: {
        **_common(accuracy=5e-5, integrator="runge_kutta_merson", frame_skip=1),
        "difficulty": Option(
            3,
            "0: one velocity, 1: targets ahead, 2: to the sides, 3: all round, 2,500 steps",
            (0, 1, 2, 3),
        ),
        "model": Option(
            "gait14dof22musc",
            "model file",
            ("gait14dof22musc", "gait14dof22musc_planar"),
        ),
        "pose_spread": Option(0.0, "standard deviation of initial angles, in radians", high=0.5),
        "muscle_model": Option(
            "thelen",
            "thelen: the file's; degroote: with stiff tendons",
            ("thelen", "degroote"),
        ),
    },
}


def complete_options(env_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a task, those that are given over the defaults.

    Raises:
        ConfigurationError: there is no such option, or it does not take such a value.
    """
    known = OPTIONS[env_id]
    for name, value in options.items():
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            hint = f"The nearest is {nearest[0]}. " if nearest else ""
            raise ConfigurationError(
                f"env_options: {env_id} has no option {name}.",
                f"{hint}There are {', '.join(known)}.",
            )
        if name != "strength" and not known[name].takes(value):
            raise ConfigurationError(
                f"env_options: {name}={value} is not {known[name].rule}.",
                f"{name}: {known[name].help_line}. The default: {known[name].default}.",
            )
    found = {name: each.default for name, each in known.items()} | dict(options)
    _check_strength(env_id, found)
    return found


def _check_strength(env_id: str, options: Mapping[str, Any]) -> None:
    strength, muscles = options["strength"], MUSCLES[options.get("model", "arm")]
    if not isinstance(strength, Mapping):
        raise ConfigurationError(
            f"env_options: strength={strength} does not name muscles.",
            f'Give factors by name: {{"strength": {{"{muscles[0]}": 0.5}}}}.',
        )
    factor = Option(1.0, "", high=10.0)
    for name, value in strength.items():
        if name not in muscles:
            nearest = get_close_matches(str(name), muscles, n=1)
            raise ConfigurationError(
                f"env_options: strength: {env_id} has no muscle {name}.",
                f"The nearest is {nearest[0]}." if nearest else f"There are {', '.join(muscles)}.",
            )
        if not factor.takes(value):
            raise ConfigurationError(
                f"env_options: strength: {name}={value} is not {factor.rule}.",
                "1 is the model's own strength, 0.5 half of it.",
            )


def max_episode_steps(env_id: str, options: Mapping[str, Any] | None = None) -> int:
    """After how many actions an episode is truncated: 2 s, 10 s, and the challenge's 10 s or 25 s."""
    chosen = complete_options(env_id, options or {})
    seconds = {ARM: 2.0, GAIT: 10.0, L2M: 25.0 if chosen.get("difficulty") == 3 else 10.0}[env_id]
    return round(seconds * 100 / chosen["frame_skip"])


def layout(env_id: str, options: Mapping[str, Any] | None = None) -> dict[str, int]:
    """The groups of an observation, in their order, and how many numbers each has."""
    chosen = complete_options(env_id, options or {})
    if env_id == ARM:
        return {"joints": 4, "hand": 2, "target": 4, "muscles": 3 * 6}
    muscles = 3 * len(MUSCLES[chosen["model"]])
    if env_id == L2M:
        return {"velocity_field": 242, "pelvis": 9, **_legs(muscles // 2)}
    angles, speeds = (9, 10) if chosen["model"] == "gait9dof18musc" else (15, 17)
    return {"pose": angles, "speeds": speeds, "ground_forces": 6, "target": 1, "muscles": muscles}


def _legs(muscles: int) -> dict[str, int]:
    parts = {"ground_forces": 3, "joints": 8, "muscles": muscles}
    return {f"{side}_{name}": count for side in ("right", "left") for name, count in parts.items()}


def groups_of(env_id: str, options: Mapping[str, Any] | None = None) -> dict[str, list[int]]:
    """The numbers of an observation by the groups that they are in; those of both legs in one."""
    found: dict[str, list[int]] = {}
    start = 0
    for name, count in layout(env_id, options).items():
        group = name.removeprefix("right_").removeprefix("left_")
        found.setdefault(group, []).extend(range(start, start + count))
        start += count
    return found


def sizes_of(env_id: str, options: Mapping[str, Any] | None = None) -> tuple[int, int]:
    """Numbers of an observation and of an action."""
    chosen = complete_options(env_id, options or {})
    return sum(layout(env_id, options).values()), len(MUSCLES[chosen.get("model", "arm")])
