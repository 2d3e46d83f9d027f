"""A task file of tuner.py, read and validated before Ray is started."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.config.command_line import read_flags
from helpers.config.run import RunConfig
from helpers.config.schema import Schema
from helpers.config.settings import Setting, read_float, settings_of
from helpers.config.vocabulary import Vocabulary
from helpers.config.yaml_files import read_yaml
from helpers.data_root import place
from helpers.errors import ConfigurationError
from swarm.flags.declared import validate
from swarm.tune.reported import COUNTERS, is_reported
from swarm.tune.settings import TuneSettings
from swarm.tune.space import Constraint, Dimension, Space, read_constraint, read_dimension

SECTIONS = ("search", "start", "constraints", "tune")
# The names that Plato's document has, which are RLlib's, and the settings of ours that they are.
DOCUMENT_NAMES: Mapping[str, tuple[str, ...]] = {
    "lambda": ("gae_lambda",),
    "clip_param": ("clip_ratio",),
    "num_sgd_iter": ("optim_epochs_per_iter",),
    "sgd_minibatch_size": ("batch_size",),
    "train_batch_size": ("rollout_len",),
    "lr": ("p_lr", "v_lr"),
}
# What a network, a memory or the environments are made of: a population has these in common.
_SHAPES = re.compile(
    r"num_envs|seed|num_timesteps|mem_size|n_step|num_critics|num_quantiles|steps_per_iteration|tracking_interval"
    r"|(save|eval|sync)_frequency|eval_episodes|keep_checkpoints|.*num_demos|.*stack",
)
_HOLDS = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}
_OF_THE_TUNER = {"uuid", "runs_dir", "task", "seed", "mlflow", "execution_time"}


@dataclass(frozen=True)
class Search:
    """What is to be searched, and how.

    Attributes:
        settings: the flags.
        space: what is drawn.
        stop: a trial ends at the first of these values that it reaches.
        config: of a run with the first settings drawn.
        notes: a line each for the reader.
    """

    settings: TuneSettings
    space: Space
    stop: Mapping[str, float]
    config: RunConfig
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the search, and of its folder."""
        settings = self.settings
        words = [
            Path(str(settings.config)).stem,
            settings.scheduler,
            *["smoke"] * settings.smoke_test,
        ]
        return settings.name or re.sub(r"[^A-Za-z0-9_=+@-]", "_", "_".join(words))[:60]

    @property
    def folder(self) -> Path:
        """All its files."""
        return place(self.settings.tune_dir).absolute() / self.name


def read_search(argv: Sequence[str], schema: Schema) -> Search:
    """The search of a command line and its task file.

    Raises:
        ConfigurationError: anything in them that cannot be used.
    """
    vocabulary = Vocabulary(
        settings_of(TuneSettings).values(),
        program="tuner.py",
        of_runs=schema.vocabulary,
    )
    layer, path = read_flags(argv, vocabulary)
    if path is None:
        raise ConfigurationError(
            "No --config: there is nothing to search.",
            "Write --config tasks/tune_classic_ppo.yaml, or a file of yours.",
        )
    file = read_yaml(Path(path)).values
    sections = {name: file.pop(name, None) for name in SECTIONS}
    options = _mapping(sections["tune"], "tune", {}) | layer.values
    stop = options.pop("stop", None)
    known = settings_of(TuneSettings)
    for key in options:
        if key not in known:
            raise ConfigurationError(
                f"tune: there is no option {key}.",
                f"Options are {', '.join(each for each in known if each != 'config')}.",
            )
    settings = validate(
        TuneSettings,
        options | {"config": path},
        shown=lambda key: layer.shown.get(key, f"tune: {key}: {options.get(key)}"),
    )
    notes: list[str] = []
    space, config = _read_space(sections, file, schema, settings, notes)
    limits = _read_stop(_mapping(stop, "tune: stop", {}))
    _check(settings, space, config, limits, notes)
    return Search(settings, space, limits, config, tuple(notes))


def accepts(schema: Schema, settings: Mapping[str, Any]) -> str:
    """Why settings of a run are not valid together; "" where they are."""
    try:
        schema.resolve(schema.layer_of(settings))
    except ConfigurationError as error:
        return f"{error.problem} {error.remedy}"
    return ""


def _check_searched(keys: Sequence[str]) -> None:
    """Refuse a setting that is searched twice, or is the tuner's own."""
    for key in keys:
        if keys.count(key) > 1 or key in _OF_THE_TUNER:
            why = "is searched twice" if keys.count(key) > 1 else "is given by the tuner"
            raise ConfigurationError(f"search: {key} {why}.", "Delete it from `search`.")


def _read_space(
    sections: Mapping[str, Any],
    file: Mapping[str, Any],
    schema: Schema,
    settings: TuneSettings,
    notes: list[str],
) -> tuple[Space, RunConfig]:
    searched = _mapping(sections["search"], "search")
    algo = str(file.get("algo", next(iter(schema.algorithms))))
    if algo not in schema.algorithms:
        schema.resolve(schema.layer_of({"algo": algo}))  # refuses
    owned = schema.algorithms[algo].settings_for(dict(file))
    fixed = {_our_name(name, owned): value for name, value in file.items()}
    taken = sorted(_OF_THE_TUNER & (fixed.keys() - {"seed"}))
    if taken:
        raise ConfigurationError(
            f"{settings.config}: {taken[0]} is given by the tuner.",
            f"Delete {taken[0]}; --name and --tune_dir say where the runs lie.",
        )
    dimensions = [_dimension(name, value, owned, notes) for name, value in searched.items()]
    keys = [key for each in dimensions for key in each.keys]
    _check_searched(keys)
    fixed = {name: value for name, value in fixed.items() if name not in keys}
    constraints = _constraints(sections["constraints"] or [], owned, keys)
    typed = dict(fixed)
    for key in fixed.keys() & owned.keys():
        try:
            typed[key] = owned[key].read(fixed[key])
        except ValueError:
            schema.resolve(schema.layer_of({"algo": algo, key: fixed[key]}))  # refuses
            raise
    for key in {key for each in constraints for key in (each.key, *each.others)} - {*typed, *keys}:
        typed[key] = owned[key].default
    start = _start(_mapping(sections["start"], "start", {}), owned, dimensions)
    space = Space(tuple(dimensions), constraints, typed, start)

    def accepted(values: Mapping[str, Any]) -> str:
        return accepts(schema, values)

    if settings.scheduler == "grid":
        point = space.grid(accepts=accepted)[0]
    else:
        point = space.draws(1, seed=settings.search_seed, accepts=accepted)[0]
    return space, schema.resolve(schema.layer_of(space.settings(point))).config


def _start(
    given: Mapping[str, Any],
    owned: Mapping[str, Setting],
    dimensions: Sequence[Dimension],
) -> dict[str, Dimension]:
    """What the first trials draw from, by the dimension's name."""
    names = [each.name for each in dimensions]
    found = {}
    for name, value in given.items():
        first = _dimension(name, value, owned, [])
        if first.name not in names:
            raise ConfigurationError(
                f"start: {name} is not searched.",
                f"Names in `start` are those of `search`: {', '.join(names)}.",
            )
        found[first.name] = first
    return found


def _constraints(
    lines: object,
    owned: Mapping[str, Setting],
    searched: Sequence[str],
) -> tuple[Constraint, ...]:
    if not isinstance(lines, list):
        raise ConfigurationError(
            "constraints: is no list.",
            "Write one constraint a line, each behind a dash.",
        )
    return tuple(_constraint(line, owned, searched) for line in lines)


def _our_name(name: str, owned: Mapping[str, Setting]) -> str:
    """The key of a setting by one of its names, ours or the document's; itself where it is none."""
    alias = DOCUMENT_NAMES.get(name, ())
    if len(alias) == 1 and alias[0] in owned:
        return alias[0]
    for key, each in owned.items():
        if name.replace("-", "_") in each.names:
            return key
    return name


def _keys_of(name: str, owned: Mapping[str, Setting]) -> tuple[str, ...]:
    """The settings that a dimension of this name sets.

    Raises:
        ConfigurationError: there are none.
    """
    keys = DOCUMENT_NAMES.get(name, (_our_name(name, owned),))
    if not all(key in owned for key in keys):
        raise ConfigurationError(
            f"search: {name} is no setting of this algorithm.",
            "Names are those of python main.py --help, and Plato's: "
            + ", ".join(DOCUMENT_NAMES)
            + ".",
        )
    return keys


def _dimension(
    name: str,
    value: object,
    owned: Mapping[str, Setting],
    notes: list[str],
) -> Dimension:
    keys = _keys_of(name, owned)

    def read(text: object) -> Any:
        for key in keys:
            number: Any = owned[key].read(text)
            bounds = owned[key].bounds if number is not None else {}
            if not all(_HOLDS[bound](number, limit) for bound, limit in bounds.items()):
                raise ValueError("out of bounds")
        return number

    if name in DOCUMENT_NAMES:
        notes.append(f"{name} is {' and '.join(keys)} here.")
    shown = name if len(keys) > 1 else keys[0]
    return read_dimension(shown, keys, value, read)


def _constraint(
    line: object,
    owned: Mapping[str, Setting],
    searched: Sequence[str],
) -> Constraint:
    def key_of(name: str) -> str:
        keys = _keys_of(name, owned)
        if len(keys) > 1 or owned[keys[0]].kind not in ("int", "float"):
            raise ConfigurationError(
                f"constraints: {name} is no number of one setting.",
                "Name a setting that takes a number.",
            )
        return keys[0]

    found = read_constraint(line, key_of)
    if not {found.key, *found.others} & set(searched):
        raise ConfigurationError(
            f"constraints: {found.text} binds nothing that is searched.",
            f"Searched are {', '.join(searched)}.",
        )
    return found


def _read_stop(given: Mapping[str, Any]) -> dict[str, float]:
    stop = {}
    for name, value in given.items():
        try:
            stop[name] = read_float(value)
        except ValueError:
            raise ConfigurationError(
                f"tune: stop: {name}: {value} is no number.",
                "Write stop: {training_iteration: 100, episode_reward_mean: 300}.",
            ) from None
        if name in COUNTERS and stop[name] <= 0:
            raise ConfigurationError(
                f"tune: stop: {name}: {value} ends every trial before it begins.",
                "Give a number above 0.",
            )
    return stop


def _check(
    settings: TuneSettings,
    space: Space,
    config: RunConfig,
    stop: Mapping[str, float],
    notes: list[str],
) -> None:
    """Refuse what would only be found out hours later."""
    for where, name in [("--metric", settings.metric), *(("tune: stop:", name) for name in stop)]:
        if not is_reported(name, config):
            raise ConfigurationError(
                f"{where} {name}: no trial reports such a metric.",
                "Names are episode_reward_mean and the others of docs/tuning.md, or those of docs/metrics.md.",
            )
    if config.num_envs < settings.num_workers:
        raise ConfigurationError(
            f"num_envs={config.num_envs} is less than the {settings.num_workers} workers of a trial.",
            f"Write num_envs: {settings.num_workers}, or fewer --num_workers.",
        )
    if settings.scheduler == "pbt":
        for each in space.dimensions:
            numeric = all(isinstance(value, int | float) for value in each.values)
            if not numeric or any(_SHAPES.fullmatch(key) for key in each.keys):
                raise ConfigurationError(
                    f"search: {each.name} cannot change in the course of a training, as PBT changes it.",
                    "Take it out of `search`, or search with --scheduler=asha or random.",
                )
    if settings.file_store and not settings.test_local:
        raise ConfigurationError(
            "--file_store without --test_local: a server has a store of its own.",
            "Add --test_local, or leave --file_store out.",
        )
    if settings.mlflow and settings.test_local:
        raise ConfigurationError(
            "--mlflow and --test_local are two places to track in.",
            "Leave one of them out.",
        )
    last = stop.get("timesteps_total")
    if last is not None and last > config.num_timesteps:
        notes.append(
            f"stop: timesteps_total {last:g} is beyond num_timesteps {config.num_timesteps}, where a trial ends.",
        )


def _mapping(value: object, what: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
    if value is None and default is not None:
        return default
    if not isinstance(value, Mapping) or not value:
        raise ConfigurationError(
            f"{what}: is {'missing' if value is None else 'empty or no mapping'}.",
            f"Write what is searched, as in tasks/tune_classic_ppo.yaml: {what}: {{NAME: ...}}.",
        )
    return dict(value)
