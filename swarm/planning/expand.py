"""One YAML file x environments x demonstrations x trials x seeds -> runs, each of them validated.

Pure: nothing is read, written or started here. The same request gives the same runs and names, on
every machine and in every version of Python.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from helpers.config.command_line import Layer
from helpers.config.run import RunConfig
from helpers.config.schema import Parsed, Schema
from helpers.config.settings import Scalar, show
from helpers.data_root import place
from helpers.errors import ConfigurationError
from helpers.run_folder.experiment import run_name
from swarm.plan import Launch, Plan, Run
from swarm.planning.sweep import SweepMode, refuse_too_many, trials_of

_HASH_CHARACTERS = 8
_LONGEST_LABEL = 60


@dataclass(frozen=True)
class Request:
    """What the runs of a swarm are made from.

    Attributes:
        settings: of the YAML file; a list is a choice set.
        env_ids: of the bundle; empty where the file's own environment is meant.
        num_demos: each gives a run of its own; empty where the file's own number is meant.
        num_seeds: seeds of each experiment, counted up from the file's `seed`.
        sweep: whether lists are allowed.
        sweep_mode: "random" draws, "grid" takes all combinations in order, "zip" the first choices
            of all lists together, then the second ones.
        sweep_seed: root of the random draws.
        num_trials: combinations to take; None is all (grid, zip).
        prefix: begins the name of each run.
        demo_dir: folder of the folders of demonstrations, one an environment.
        over: settings that go over the file's.
        under: settings that the file's go over.
    """

    settings: Layer
    env_ids: tuple[str, ...] = ()
    num_demos: tuple[int, ...] = ()
    num_seeds: int = 1
    sweep: bool = False
    sweep_mode: SweepMode = "random"
    sweep_seed: int = 0
    num_trials: int | None = None
    prefix: str | None = None
    demo_dir: str | None = None
    over: Mapping[str, Scalar] = field(default_factory=dict)
    under: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Expansion:
    """The runs, and the factors of their number.

    Attributes:
        runs: environments, then numbers of demonstrations, then trials, then seeds.
        factors: how many there are of each, by its name.
        warnings: one line each.
    """

    runs: tuple[Run, ...]
    factors: Mapping[str, int]
    warnings: tuple[str, ...]

    @property
    def total_line(self) -> str:
        """ "experiment_total = 6 (2 environments x 1 trial x 3 seeds)"."""
        parts = [
            f"{count} {noun if count != 1 else noun.removesuffix('s')}"
            for noun, count in self.factors.items()
        ]
        return f"experiment_total = {len(self.runs)} ({' x '.join(parts)})"


def expand(
    request: Request,
    *,
    schema: Schema,
    working_folder: Path,
    resolve_env_id: Callable[[str], str],
) -> Expansion:
    """All runs of a request.

    Args:
        request: what is asked.
        schema: of the settings of main.py.
        working_folder: where relative run folders are, absolute.
        resolve_env_id: the canonical id of an environment.

    Raises:
        ConfigurationError: any run is not valid, two have one name, or there are too many.
    """
    _refuse_what_a_swarm_decides(request.settings)
    trials = _trials(request, schema)
    factors = {
        "environments": len(request.env_ids) or 1,
        "numbers of demonstrations": len(request.num_demos) or 1,
        "trials": len(trials),
        "seeds": request.num_seeds,
    }
    refuse_too_many(factors)
    maker = _Maker(request, schema, working_folder, resolve_env_id)
    runs: dict[str, Run] = {}
    for env_id, num_demos, (number, trial), seed in product(
        request.env_ids or (None,),
        request.num_demos or (None,),
        enumerate(trials),
        range(request.num_seeds),
    ):
        run = maker.run(env_id, num_demos, number, trial, seed)
        if run.name in runs:
            raise _collision(runs[run.name], run, trials)
        runs[run.name] = run
    if len(request.num_demos) < 2:
        del factors["numbers of demonstrations"]
    warnings = dict.fromkeys([*maker.warnings, *_idle_demos(request, runs.values())])
    return Expansion(tuple(runs.values()), factors, tuple(warnings))


def plan_of(expansion: Expansion, launch: Launch, *, label: str, swarms: Path) -> Plan:
    """The plan of runs. The name of a swarm follows from what is in it.

    Args:
        expansion: the runs.
        launch: how they are started.
        label: begins the swarm's name, as the user gave it.
        swarms: the folder of swarm folders, absolute.
    """
    names = "\n".join(run.name for run in expansion.runs)
    digest = hashlib.sha256(names.encode()).hexdigest()[:_HASH_CHARACTERS]
    # neither dots nor colons: tmux takes no others for the name of a session
    words = re.sub(r"[^\w-]+", "_", label, flags=re.ASCII).strip("_-")[:_LONGEST_LABEL]
    name = f"{words or 'swarm'}-{digest}"
    return Plan(name, swarms / name, expansion.runs, launch)


class _Maker:
    """Makes one run after another, and gathers what their validation warns of."""

    def __init__(
        self,
        request: Request,
        schema: Schema,
        working_folder: Path,
        resolve_env_id: Callable[[str], str],
    ) -> None:
        self.request = request
        self.schema = schema
        self.working_folder = working_folder
        self.resolve_env_id = resolve_env_id
        self.warnings: list[str] = []
        self.over = schema.layer_of(request.over)
        self.under = schema.layer_of(request.under)
        self.canonical: dict[str, str] = {}

    def run(
        self,
        env_id: str | None,
        num_demos: int | None,
        number: int,
        trial: Mapping[str, Scalar],
        seed: int,
    ) -> Run:
        """One run, complete and named."""
        chosen: dict[str, Any] = dict(trial)
        if env_id is not None:
            chosen["env_id"] = env_id
        if num_demos is not None:
            chosen["num_demos"] = num_demos
        settings = _replace_values(self.request.settings, chosen)
        first = self._resolve(settings, number, trial)
        chosen["env_id"] = self._canonical(first.config.env_id)
        chosen["seed"] = first.config.seed + seed
        if self.request.demo_dir is not None:
            chosen["expert_path"] = f"{self.request.demo_dir.rstrip('/')}/{chosen['env_id']}"
        named = _replace_values(settings, chosen)
        config = self._resolve(named, number, trial).config
        demos = self._number_of_demos(first)
        chosen["uuid"] = _name(config, self.request.prefix, demos)
        parsed = self._resolve(_replace_values(named, {"uuid": chosen["uuid"]}), number, trial)
        self.warnings.extend(parsed.warnings)
        runs = place(parsed.config.runs_dir, parsed.config.data_root)
        folder = self.working_folder / runs / chosen["uuid"]
        return Run(chosen["uuid"], parsed.config, folder, number)

    def _number_of_demos(self, parsed: Parsed) -> int | None:
        """What the command asks for, whether or not this algorithm reads it."""
        setting = self.schema.vocabulary.settings.get("num_demos")
        number = None if setting is None else setting.read(parsed.layer.values.get("num_demos"))
        return number if isinstance(number, int) else None

    def _canonical(self, env_id: str) -> str:
        if env_id not in self.canonical:
            self.canonical[env_id] = self.resolve_env_id(env_id)
        return self.canonical[env_id]

    def _resolve(self, settings: Layer, number: int, trial: Mapping[str, Scalar]) -> Parsed:
        try:
            return self.schema.resolve(self.under, settings, self.over)
        except ConfigurationError as error:
            if not trial:
                raise
            drawn = ", ".join(f"{key}={show(value)}" for key, value in trial.items())
            raise ConfigurationError(
                f"{error.problem} (trial {number}: {drawn})",
                error.remedy,
            ) from error


def _name(config: RunConfig, prefix: str | None, num_demos: int | None) -> str:
    """`prefix.words.algo.gitSHA_1234567.env_id.demos004.seed02`."""
    head, seed = run_name(config).rsplit(".", 1)
    demos = None if num_demos is None else f"demos{num_demos:03d}"
    return ".".join(part for part in (prefix, head, demos, seed) if part)


def _replace_values(layer: Layer, values: Mapping[str, Any]) -> Layer:
    """The layer with some values in the place of its own, as if they stood in the file."""
    shown = {
        key: f"{key}={value}" if isinstance(value, list) else f"{key}={show(value)}"
        for key, value in values.items()
    }
    names = {key: key for key in values}
    return layer.overlay(Layer(dict(values), shown, names))


def _refuse_what_a_swarm_decides(settings: Layer) -> None:
    """Settings of the file that say how many runs there are, or what they are called."""
    values, shown = settings.values, settings.shown
    if values.get("uuid") is not None:
        raise ConfigurationError(
            f"{shown['uuid']} would give all runs of the swarm the same name.",
            "Delete that line; --prefix=NAME starts the name of each run.",
        )
    if isinstance(values.get("seed"), list):
        raise ConfigurationError(
            f"{shown['seed']} is a list, and seeds are not part of a sweep.",
            "Write the first seed, and their number as --num_seeds=3.",
        )
    if values.get("task", "train") != "train":
        raise ConfigurationError(
            f"{shown['task']} cannot be spawned: a swarm trains.",
            "Delete that line, or start one run: `python main.py --config=FILE.yaml`.",
        )


def _trials(request: Request, schema: Schema) -> list[dict[str, Scalar]]:
    """The settings that each trial draws; one trial without any where nothing is swept."""
    if not request.sweep:
        if request.num_trials is not None and request.num_trials > 1:
            raise ConfigurationError(
                f"--num_trials={request.num_trials} without --sweep: there is only one combination.",
                "Add --sweep and lists to the YAML file, or omit --num_trials.",
            )
        return [{}]
    lists = schema.sweep_choices(request.settings)
    if request.sweep_mode == "zip":
        lists = {key: _in_step(key, request.settings, schema) for key in lists}
    for key, is_given in (("env_id", request.env_ids), ("num_demos", request.num_demos)):
        if is_given:
            lists.pop(key, None)
    return trials_of(
        lists,
        request.sweep_mode,
        num_trials=request.num_trials,
        seed=request.sweep_seed,
    )


def _in_step(key: str, settings: Layer, schema: Schema) -> list[Scalar]:
    """The typed choices of a list, repetitions included: in step with others they mean something."""
    each = ({key: [choice]} for choice in settings.values[key])
    return [schema.sweep_choices(_replace_values(settings, choice))[key][0] for choice in each]


def _collision(one: Run, other: Run, trials: Sequence[Mapping[str, Scalar]]) -> ConfigurationError:
    """Why two runs cannot both be: their folder would be the same."""
    problem = f"Two runs would have the same name, and so the same folder: {one.name}."
    if one.trial == other.trial:
        return ConfigurationError(
            problem,
            "Give each environment and each number of demonstrations once.",
        )
    first, second = trials[one.trial], trials[other.trial]
    keys = [key for key in first if first[key] != second[key]]
    settings = one.config.settings
    idle = [key for key in keys if key not in settings or not settings[key].identity]
    return ConfigurationError(
        f"{problem} Trials {one.trial} and {other.trial} differ in {', '.join(keys)} only.",
        f"Give {', '.join(idle or keys)} one value: it does not define a run.",
    )


def _idle_demos(request: Request, runs: Iterable[Run]) -> Iterator[str]:
    """That numbers of demonstrations multiply runs which do not read them."""
    if len(request.num_demos) < 2:
        return
    configs = {run.config.algo: run.config for run in runs}
    for algo, config in configs.items():
        if "num_demos" not in config.settings:
            yield (
                f"{algo} does not use demonstrations: its runs are made {len(request.num_demos)} "
                "times, once for each --num_demos, and differ in nothing but their names."
            )
