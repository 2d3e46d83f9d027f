"""The names that a command line and a YAML file may use, and the messages about unknown names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from helpers.config.other_libraries import counterpart
from helpers.config.settings import Setting
from helpers.config.yaml_files import YamlFile
from helpers.errors import ConfigurationError

CONFIG_FLAGS = ("config", "config_path")
_SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)
_LONGEST_SHOWN = 160
_MOST_TOLD = 40
_CUTOFF = 0.75  # of difflib: nearer names are slips of the fingers
_NEAR = "did you mean "


def brief(text: str) -> str:
    """A text for one line of a message: cut, and without characters that a terminal obeys."""
    if len(text) > _LONGEST_SHOWN:
        half = _LONGEST_SHOWN // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


@dataclass(frozen=True)
class Unknown:
    """A name that no setting has.

    Attributes:
        name: without the two dashes of a flag; a word that stands alone as it is.
        shown: as the place of it shows it: "--p_lrr", "p_lrr (line 3)"; empty within a section that is shown.
        is_section: whether a mapping stands under it.
    """

    name: str
    shown: str
    is_section: bool = False


def nearest_choice(value: str, choices: Sequence[str]) -> str:
    """ "Did you mean eval? " for a misspelt choice; "" where none is near."""
    near = difflib.get_close_matches(value, choices, n=2, cutoff=0.5)
    return f"Did you mean {' or '.join(sorted(near))}? " if near else ""


class Vocabulary:
    """The names of some settings.

    Args:
        settings: which.
        program: whose page lists them.
        of_runs: the settings that are no flags of this program, but belong into the file of --config.
        algorithms: what a word alone may have meant.
    """

    def __init__(
        self,
        settings: Iterable[Setting],
        *,
        program: str = "main.py",
        of_runs: Vocabulary | None = None,
        algorithms: Collection[str] = (),
    ) -> None:
        self.settings: dict[str, Setting] = {}
        self.keys: dict[str, str] = {}
        self.program, self.of_runs, self.algorithms = program, of_runs, algorithms
        for each in settings:
            self.settings[each.key] = each
            for name in each.names:
                if self.keys.setdefault(name, each.key) != each.key:
                    raise ValueError(f"{name} means both {self.keys[name]} and {each.key}")

    def key(self, name: str) -> str | None:
        """The key that a name stands for, written with dashes or underscores."""
        return self.keys.get(name.replace("-", "_"))

    def check_file(self, file: YamlFile) -> None:
        """See that all keys of a file are known.

        Raises:
            ConfigurationError: some are not.
        """
        unknown: list[Unknown] = []
        for name, value in file.values.items():
            if self.key(name) is None:
                inner = _names_within(value)
                is_section = isinstance(value, Mapping)
                unknown.append(Unknown(name, f"{name} (line {file.lines[name]})", is_section))
                unknown += [Unknown(each, "") for each in inner]
        if not unknown:
            return
        # RL Zoo's files have a section for each environment, and each names its policy
        sections = [name for name in file.values if "policy" in _names_within(file.values[name])]
        if sections:
            raise ConfigurationError(
                f"{file.path} has a section for each environment, as RL Zoo writes them: {brief(', '.join(sections))}.",
                f"Convert one: python -m agents.zoo {file.path} --env_id={sections[-1]}",
            )
        raise self.refusal(unknown, kind="key", dashes="", where=str(file.path))

    def refusal(
        self,
        unknown: Sequence[Unknown],
        *,
        kind: Literal["flag", "key"],
        dashes: Literal["--", ""],
        where: str = "",
    ) -> ConfigurationError:
        """The refusal of all names of one place that no setting has, with what each may have meant.

        Args:
            unknown: at least one.
            kind: what the place calls them.
            dashes: what stands before a name there.
            where: the place, where there are several: "tasks/x.yaml".
        """
        for each in unknown:
            if _SECRET.search(each.name):
                return ConfigurationError(
                    f"{kind.capitalize()} {brief(each.shown)} is not accepted: command lines and run folders hold no "
                    "secrets.",
                    "Set the key in the environment (WANDB_API_KEY), or once with `wandb login`.",
                )
        shown = [each.shown for each in unknown if each.shown]
        words = [each for each in shown if kind == "flag" and not each.startswith("-")]
        names = [brief(each) for each in shown if each not in words]
        problems = []
        if names:
            inside = f" in {where}" if where else ""
            problems.append(f"nknown {kind}{'s' * (len(names) > 1)} {_listed(names)}{inside}")
        if words:
            quoted = [f"'{brief(each)}'" for each in words]
            problems.append(f"nexpected {_listed(quoted)} on the command line")
        return ConfigurationError(
            f"U{' and u'.join(problems)}.",
            f"{self._advice(unknown, dashes)}`python {self.program} --help_all` lists all settings.",
        )

    def _advice(self, unknown: Sequence[Unknown], dashes: str) -> str:
        """A sentence about each name, or about all where there is nothing to say of one."""
        remedies = {each.name: self._remedy(each, dashes) for each in unknown[:_MOST_TOLD]}
        remedies = {name: remedy for name, remedy in remedies.items() if remedy}
        if not remedies:
            is_word = dashes and not any(each.shown.startswith(dashes) for each in unknown)
            words = "Flags are written --flag=value; a list of values is quoted in a YAML file. "
            return words if is_word else ""
        if len(unknown) == 1 and _NEAR in (remedy := "".join(remedies.values())):
            return f"{remedy[0].upper()}{remedy[1:]} "
        names: dict[str, list[str]] = {}
        for each in unknown:
            if each.name in remedies:
                is_flag = each.shown.startswith("--") or not dashes
                name = f"{dashes if is_flag else ''}{brief(each.name)}"
                names.setdefault(remedies[each.name], []).append(name)
        parts = [f"{', '.join(dict.fromkeys(each))}: {text}" for text, each in names.items()]
        sentence = "; ".join(parts).removesuffix(".")
        return f"{sentence} " if sentence.endswith("?") else f"{sentence}. "

    def _remedy(self, each: Unknown, dashes: str) -> str:
        """What one name may have meant; "" where nothing is near."""
        section = "a section, which is not read: write its keys at the top level"
        return (
            self._of_runs(each.name)
            or (section if each.is_section else "")
            or self._of_others(each, dashes)
            or (self._near(each.name, dashes) if each.shown.startswith(dashes or each.name) else "")
        )

    def _of_runs(self, name: str) -> str:
        """A setting of the runs that this program starts."""
        if self.of_runs is None:
            return ""
        place = "the YAML file of --config"
        if self.of_runs.key(name) is not None:
            return (
                f"a setting of the runs, write it into {place}, as {name.replace('-', '_')}: VALUE"
            )
        meant = counterpart(name, dashes="")
        return f"{meant}; settings of the runs belong into {place}" if meant else ""

    def _of_others(self, each: Unknown, dashes: str) -> str:
        """A name of another library, or a word that means a flag."""
        name, equals, value = each.name.partition("=")
        if name.lower() in self.algorithms and not equals:
            return f"{dashes}algo={name.lower()}"
        if equals and (key := self.key(name)):
            try:
                self.settings[key].read(value)
            except ValueError:
                return ""
            return f"{dashes}{name}={value}"
        is_word = dashes and not equals and not each.shown.startswith("-")
        return "" if is_word else counterpart(name.lstrip("+"), dashes=dashes) or ""

    def _near(self, name: str, dashes: str) -> str:
        """The nearest of our names."""
        former = {name for each in self.settings.values() for name in each.former}
        names = [*(self.keys.keys() - former), *CONFIG_FLAGS]
        wanted = re.sub("^no_", "", name.replace("-", "_"))
        near = difflib.get_close_matches(wanted, names, n=1, cutoff=_CUTOFF)
        return f"{_NEAR}{dashes}{near[0]}?" if near else ""


def _names_within(value: object) -> list[str]:
    """The keys of a section and in its sections, without those of sections that are no other library's setting."""
    if not isinstance(value, Mapping):
        return []
    names = []
    for key, each in value.items():
        meant = counterpart(key, dashes="") or ""
        if not isinstance(each, Mapping) or meant.startswith("here "):
            names.append(key)
        names += _names_within(each)
    return names


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_TOLD
    return ", ".join(names[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
