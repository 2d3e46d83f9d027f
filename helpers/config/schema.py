"""One source of truth for configuration: a field is the YAML key, the flag and the saved key.

`Schema` turns layers of values (YAML file, command line) into one frozen object:
declared default < YAML < command line. The objects are pydantic models; whatever is wrong is said
in two lines, with key, value, rule and remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from helpers.config import command_line
from helpers.config.command_line import Layer
from helpers.config.doubtful import doubtful_texts, refuse_collection, refuse_nested
from helpers.config.run import RunConfig
from helpers.config.settings import Scalar, Setting, Settings, settings_of, show
from helpers.config.vocabulary import Unknown, Vocabulary, brief, nearest_choice
from helpers.config.yaml_files import read_yaml, yaml_text
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError

ArgsMethod = Literal["full", "minimal"]
# A setting that sets others, and the others' names.
SHORTHANDS: Mapping[str, re.Pattern[str]] = {
    "batch_norm_all": re.compile(r"\w+_batch_norm"),
    "activation": re.compile(r"[pvq]_activation"),
    "perception_stack": re.compile(r"[pvq]_perception_stack"),
}


@dataclass(frozen=True)
class Parsed:
    """What a command line or a file came to.

    Attributes:
        config: the frozen configuration. A `RunConfig` without an algorithm's settings where the
            task is not training and no algorithm is named: `Schema.adopt` completes it.
        layer: the values that were given, as they were given.
        warnings: one line each, to be shown once.
    """

    config: RunConfig
    layer: Layer
    warnings: tuple[str, ...] = ()

    @property
    def given(self) -> frozenset[str]:
        """The keys that YAML or command line named."""
        return frozenset(self.layer.values)


class Schema:
    """All settings there are: of the algorithms, and of those whose flags the others let pass."""

    def __init__(
        self,
        algorithms: Mapping[str, type[RunConfig]],
        *,
        other_owners: Mapping[str, type[Settings]],
        tasks: Mapping[str, type[RunConfig]] | None = None,
    ) -> None:
        """
        Args:
            algorithms: configuration by the name that `--algo` takes; the first one is the default.
            other_owners: settings that none of these reads, by the words for who does
                ("the imitation algorithms").
            tasks: configuration by the name that `--task` takes, of tasks with settings of their own.
        """
        self.algorithms = algorithms
        self.other_owners = other_owners
        self.tasks = tasks or {}
        self._homes: dict[str, dict[str, type[Settings]]] = {}
        for owner, kind in {**algorithms, **other_owners}.items():
            for key in kind.settings_for({}):
                if not self._inherited_settings(kind, key):
                    self._homes.setdefault(key, {})[owner] = kind
        for task, of_task in self.tasks.items():
            for key in of_task.settings_for({}).keys() - self._homes.keys():
                self._homes[key] = {f"--task={task}": of_task}
        every = (
            each
            for kind in (*self.tasks.values(), *other_owners.values(), *algorithms.values())
            for each in kind.settings_for({}).values()
        )
        self.vocabulary = Vocabulary(every, algorithms=algorithms)

    def parse_command_line(self, argv: Sequence[str]) -> Parsed:
        """The configuration that arguments (without the program's name) and their `--config` give.

        Raises:
            ConfigurationError: anything in them that cannot be used.
        """
        flags, path = command_line.read_flags(argv, self.vocabulary)
        layers = [flags] if path is None else [self.read_file(Path(path)), flags]
        return self.resolve(*layers)

    def read_file(self, path: Path) -> Layer:
        """The values of a YAML file by key, lists included; only the keys are checked.

        Raises:
            ConfigurationError: no such file, no flat mapping of known keys.
        """
        file = read_yaml(path)
        self.vocabulary.check_file(file)
        layer = Layer()
        for name, value in file.values.items():
            where = f"({path}, line {file.lines[name]})"
            shown = f"{name}: {_as_written(value)} {where}"
            layer.put(str(self.vocabulary.key(name)), value, shown=shown, name=name)
        return layer

    def layer_of(self, values: Mapping[str, Any]) -> Layer:
        """A layer of values from Python (a drawn trial, a bundle's environment).

        Raises:
            ConfigurationError: unknown keys.
        """
        layer = Layer()
        unknown = [Unknown(name, name) for name in values if self.vocabulary.key(name) is None]
        if unknown:
            raise self.vocabulary.refusal(unknown, kind="key", dashes="")
        for name, value in values.items():
            key = str(self.vocabulary.key(name))
            layer.put(key, value, shown=f"{name}={value}", name=name)
        return layer

    def resolve(self, *layers: Layer) -> Parsed:
        """Validate layers, the later ones over the earlier ones.

        Raises:
            ConfigurationError: a list, a wrong type, a value out of bounds or of no algorithm.
        """
        layer = merge_layers(layers)
        for key, value in layer.values.items():
            refuse_collection(layer.shown[key], value, each=self.vocabulary.settings[key])
        kind = self.kind_of(layer)
        known = kind.settings_for(layer.values)
        owners: Iterable[str] = known
        if kind is RunConfig or kind in self.tasks.values():
            owners = self._homes
        own = {key: value for key, value in layer.values.items() if key in known}
        for key in layer.values.keys() - own.keys():
            self._check_alone(key, layer.values[key], layer.shown[key])
        config = _validate(kind, own, layer)
        foreign = [key for key in layer.values if key not in owners]
        warnings = (self._foreign_line(foreign, layer, config.algo),) if foreign else ()
        unwise = config.warnings() if config.task == "train" else ()
        return Parsed(config, layer, (*warnings, *unwise, *doubtful_texts(layer, known)))

    def load_config(self, path: Path) -> RunConfig:
        """A saved `config.yaml`, as the object that `dump_config` wrote.

        Raises:
            ConfigurationError: it is missing, altered or of an unknown algorithm.
        """
        layer = self.read_file(path)
        if "algo" not in layer.values:
            raise ConfigurationError(
                f"{path} does not contain its algorithm.",
                "Is it the config.yaml of a run folder? Give one, or pass the file by --config.",
            )
        return self.resolve(layer).config

    def adopt(self, saved: RunConfig, parsed: Parsed) -> Parsed:
        """A saved run's identity and seed, under what the command line asks to do with it.

        Evaluation and verification use it: settings that are no part of the run's identity
        (trajectories, trackers, paths) come from `parsed`, its defaults included. Identity that is
        given anew goes over the saved one.

        Raises:
            ConfigurationError: another algorithm is named, or the combination is not valid.
        """
        if parsed.layer.values.get("algo", saved.algo) != saved.algo:
            raise ConfigurationError(
                f"{parsed.layer.shown['algo']} does not fit: the run was trained by {saved.algo}.",
                f"Omit --algo, or write --algo={saved.algo}.",
            )
        return self.resolve(self.layer_of(identity_of(saved)), parsed.layer)

    def sweep_choices(self, layer: Layer) -> dict[str, list[Scalar]]:
        """The choices, typed and without repetition, of every key whose value is a list.

        Raises:
            ConfigurationError: an empty list, or a choice that its setting does not take.
        """
        return {
            key: self._choices(key, value, layer)
            for key, value in layer.values.items()
            if isinstance(value, list)
        }

    def sections(self) -> dict[str, list[Setting]]:
        """All settings by heading: those of every run, of each algorithm, of the other owners."""
        common = settings_of(RunConfig)
        found: dict[str, list[Setting]] = {}
        for each in common.values():
            shown = replace(each, choices=tuple(self.algorithms)) if each.key == "algo" else each
            found.setdefault(each.group, []).append(shown)
        for algo, kind in self.algorithms.items():
            for each in kind.settings_for({}).values():
                if each.key not in common and each not in self._inherited_settings(kind, each.key):
                    found.setdefault(f"{algo}: {each.group}", []).append(each)
        for owner, other in self.other_owners.items():
            for each in settings_of(other).values():
                found.setdefault(f"{each.group} (read by {owner})", []).append(each)
        listed = {each.key for settings in found.values() for each in settings}
        for task, kind in self.tasks.items():
            for each in settings_of(kind).values():
                if each.key not in listed:
                    found.setdefault(f"{each.group} (--task={task})", []).append(each)
        return found

    def kind_of(self, layer: Layer) -> type[RunConfig]:
        """The configuration that a layer's task and algorithm have.

        Raises:
            ConfigurationError: there is no such algorithm.
        """
        task = layer.values.get("task", "train")
        if task in self.tasks:
            return self.tasks[task]
        if "algo" in layer.values:
            algo = layer.values["algo"]
            if algo not in self.algorithms:
                raise ConfigurationError(
                    f"{layer.shown['algo']} is not an algorithm.",
                    nearest_choice(algo, [*self.algorithms])
                    + f"Choose one of: {', '.join(self.algorithms)}.",
                )
            return self.algorithms[algo]
        if task == "train":
            return next(iter(self.algorithms.values()))
        return RunConfig

    def _inherited_settings(self, kind: type[Settings], key: str) -> list[Setting]:
        """This setting in what an imitation is made of: shown there, not a second time."""
        others = tuple(self.other_owners.values())
        if kind in others or not issubclass(kind, others):
            return []
        learners = [each for each in self.algorithms.values() if not issubclass(each, others)]
        return [settings_of(each)[key] for each in (*others, *learners) if key in settings_of(each)]

    def _check_alone(self, key: str, value: object, shown: str) -> Scalar:
        """The typed value of one key, whatever the others are, if any owner takes it."""
        for kind in self._homes[key].values():
            try:
                kind.model_validate({key: value})
            except ValidationError as error:
                if any(problem["loc"][:1] == (key,) for problem in error.errors()):
                    continue
            return kind.settings_for({})[key].read(value)  # the object has resolved its shorthands
        raise refusal(self.vocabulary.settings[key], shown)

    def _choices(self, key: str, values: list[object], layer: Layer) -> list[Scalar]:
        if not values:
            raise ConfigurationError(
                f"{layer.shown[key]} has no values.",
                "Write at least one value between the brackets, or delete the key.",
            )
        typed = []
        for value in values:
            shown = f"choice {brief(str(value))} of {layer.shown[key]}"
            refuse_nested(shown, value, each=self.vocabulary.settings[key])
            typed.append(self._check_alone(key, value, shown))
        return list(dict.fromkeys(typed))

    def _foreign_line(self, keys: Sequence[str], layer: Layer, algo: str) -> str:
        by_owner: dict[str, list[str]] = {}
        for key in keys:
            homes = self._homes[key]
            owners = " and ".join([each for each in homes if each in self.other_owners] or homes)
            by_owner.setdefault(owners, []).append(layer.names[key])
        parts = []
        for owners, names in by_owner.items():
            verb = "belongs" if len(names) == 1 else "belong"
            parts.append(f"{_join_names(names)} {verb} to {owners}")
        object_ = "it" if len(keys) == 1 else "them"
        return f"{', '.join(parts)}; {algo} does not use {object_}."


def merge_layers(layers: Sequence[Layer]) -> Layer:
    """All layers in one, the later ones over the earlier ones.

    A shorthand (`batch_norm_all`, `activation`) stands for all that it sets: over those of earlier layers, under
    those of its own.
    """
    whole = Layer()
    for layer in layers:
        for shorthand, settings in SHORTHANDS.items():
            if layer.values.get(shorthand) is not None:
                for key in filter(settings.fullmatch, list(whole.values)):
                    del whole.values[key]
        whole = whole.overlay(layer)
    return whole


def identity_of(config: RunConfig) -> dict[str, Scalar]:
    """What a run shares with a command that continues it: identity settings and the seed."""
    keys = [key for key, each in config.settings.items() if each.identity or key == "seed"]
    return {key: getattr(config, key) for key in keys}


def former_names_of(config: RunConfig) -> dict[str, str]:
    """Keys by the names that they had in earlier versions, as old checkpoints have them."""
    return {name: key for key, each in config.settings.items() for name in each.former}


def defaults_of(config: RunConfig) -> dict[str, Scalar]:
    """Defaults of the identity settings: what a run stood for that is older than a setting."""
    return {key: config.settings[key].default for key in identity_of(config)}


def to_flags(config: RunConfig, method: ArgsMethod) -> list[str]:
    """Arguments that parse back to an equal object.

    Args:
        config: any configuration.
        method: "full" names every setting that has a value, "minimal" the algorithm, on which defaults
            depend, and the settings that differ from theirs.
    """
    flags = []
    for each in config.settings.values():
        value = getattr(config, each.key)
        is_implied = value is None if method == "full" else each.key != "algo"
        if is_implied and value == each.default:
            continue
        flags.append(flag_of(each.key, value))
    return flags


def flag_of(key: str, value: Scalar) -> str:
    """One argument that gives a setting its value."""
    if isinstance(value, bool):
        return f"--{key}" if value else f"--no-{key}"
    return f"--{key}={'' if value is None else show(value)}"


def config_text(config: RunConfig) -> str:
    """All resolved settings as YAML, by group, each with its unit and help."""
    groups: dict[str, list[str]] = {}
    for each in config.settings.values():
        unit = f" [{each.unit}]" if each.unit else ""
        line = f"{each.key}: {yaml_text(getattr(config, each.key))}  # {each.help_line}{unit}"
        groups.setdefault(each.group, []).append(line)
    parts = ["\n".join([f"# {group}", *lines]) for group, lines in groups.items()]
    return "\n\n".join(parts) + "\n"


def dump_config(config: RunConfig, path: Path) -> None:
    """Write `config_text`, atomically.

    Raises:
        OSError: the folder cannot be written.
    """
    write_atomically(path, config_text(config))


def _validate(kind: type[RunConfig], values: Mapping[str, Any], layer: Layer) -> RunConfig:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    if first["type"] == "cross_field":
        raise ConfigurationError(first["ctx"]["problem"], first["ctx"]["remedy"])
    key = str(first["loc"][0])
    raise refusal(kind.settings_for(values)[key], layer.shown[key])


def refusal(each: Setting, shown: str) -> ConfigurationError:
    """Two lines on a value that a setting does not take."""
    unit = f" ({each.unit})" if each.unit else ""
    near = nearest_choice(shown.rpartition("=")[2], each.choices or ())
    return ConfigurationError(
        f"{shown} is not {each.rule}.",
        f"{near}{each.key}: {each.help_line}{unit}. A value that works: {each.working_value}.",
    )


def _as_written(value: object) -> str:
    """A value of a file, near enough to what stands there."""
    if isinstance(value, list):
        return f"[{', '.join(_as_written(each) for each in value)}]"
    return "null" if value is None else str(value)


def _join_names(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
