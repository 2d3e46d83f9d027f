"""RL Zoo's hyperparameters as a task file: `python -m agents.zoo ppo.yml --env_id=Hopper-v4`."""

from __future__ import annotations

import helpers.interpreter  # noqa: F401  # first: what it finds missing would be a traceback below

# isort: split

import argparse
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.algorithms import SCHEMA
from agents.zoo.convert import DEFAULTS, Converted, convert
from helpers.config.settings import show
from helpers.config.yaml_files import read_yaml, yaml_text
from helpers.durable import write_atomically
from helpers.errors import DONE, ConfigurationError, UserError

_VERSION = re.compile(r"(?P<name>.+)-v(?P<version>\d+)")
_OLD = ("2", "3")  # of MuJoCo's and Box2D's tasks, which cannot be run; the newest version can
_DEFAULT = "default"


def sections_of(path: Path) -> dict[str, dict[str, Any]]:
    """The sections of a file by environment, merged (`<<`).

    Raises:
        ConfigurationError: it is no file of RL Zoo.
    """
    found = {}
    for name, value in read_yaml(path).values.items():
        if not isinstance(value, Mapping):
            raise ConfigurationError(
                f"{path} has {name} at its top level, and no section for each environment: it is not RL Zoo's.",
                "Give a file such as hyperparams/ppo.yml of RL Zoo; a task file is used by --config.",
            )
        found[name] = _merged(value)
    return found


def _merged(section: Mapping[str, Any]) -> dict[str, Any]:
    base = section.get("<<", [])
    merged: dict[str, Any] = {}
    for each in reversed(base if isinstance(base, list) else [base]):
        merged |= _merged(each)
    return merged | {key: value for key, value in section.items() if key != "<<"}


def find_section(sections: Mapping[str, Mapping[str, Any]], env_id: str, path: Path) -> str:
    """The section of an environment: its own, that of another version, or the one for all others.

    Raises:
        ConfigurationError: there is none.
    """
    if env_id in sections:
        return env_id
    bare = _bare(env_id)
    for name in sections:
        if _bare(name) == bare:
            return name
    if _DEFAULT in sections:
        return _DEFAULT
    raise ConfigurationError(
        f"{path} has no section for {env_id}.",
        f"It has: {', '.join(sections)}.",
    )


def _bare(env_id: str) -> str:
    match = _VERSION.fullmatch(env_id)
    return match["name"] if match else env_id


def runnable(env_id: str) -> str:
    """An id that can be run: without its version where that may be an old one, which means the newest."""
    match = _VERSION.fullmatch(env_id)
    return match["name"] if match and match["version"] in _OLD else env_id


def convert_section(path: Path, *, env_id: str, algo: str) -> Converted:
    """A section as settings that a run accepts.

    Raises:
        ConfigurationError: there is none, or it has a value that cannot be used.
    """
    sections = sections_of(path)
    name = find_section(sections, env_id, path)
    try:
        made = convert(algo, runnable(env_id), sections[name])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path}, section {name}: {error}.",
            "Write that value as RL Zoo's own files do.",
        ) from error
    if name != env_id:
        made.note(f"its section is {name}")
    if runnable(env_id) != env_id:
        made.note(f"{env_id}: its newest version is taken here, whose observations may differ")
    SCHEMA.resolve(SCHEMA.layer_of(made.settings))
    return made


def task_file_text(made: Converted, origin: str) -> str:
    """The settings as YAML, what has no counterpart above them."""
    lines = [f"# Converted from {origin} by python -m agents.zoo"]
    lines += [f"# - {note}" for note in made.notes]
    lines += [f"{key}: {yaml_text(value)}" for key, value in made.settings.items()]
    return "\n".join(lines) + "\n"


def _algorithm(path: Path, asked: str | None) -> str:
    algo = asked or path.stem
    if algo not in DEFAULTS:
        raise ConfigurationError(
            f"{path}: no algorithm {algo} can be converted.",
            f"Give one of {', '.join(f'--algo={each}' for each in DEFAULTS)}.",
        )
    return algo


def main(argv: Sequence[str]) -> int:
    """Write the task file, and say what has no counterpart; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m agents.zoo", description=__doc__)
    parser.add_argument("file", type=Path, help="of RL Zoo, as hyperparams/ppo.yml")
    parser.add_argument("--env_id", help="environment; unset lists those of the file")
    parser.add_argument("--algo", help="algorithm, if the file is not named after it")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="unset: ALGO_ENVIRONMENT.yaml here",
    )
    asked = parser.parse_args(argv)
    try:
        algo = _algorithm(asked.file, asked.algo)
        if asked.env_id is None:
            print("\n".join(sections_of(asked.file)))
            print(f"next: python -m agents.zoo {shlex.quote(str(asked.file))} --env_id=NAME")
            return DONE
        made = convert_section(asked.file, env_id=asked.env_id, algo=algo)
        path = asked.write or Path(f"{algo}_{re.sub('[^A-Za-z0-9-]', '_', asked.env_id)}.yaml")
        text = task_file_text(made, f"{asked.file.name}, {asked.env_id}")
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ConfigurationError(f"{path} exists.", "Delete it, or give another: --write=FILE.")
        write_atomically(path, text)
    except UserError as error:
        print(f"milozero: {error.problem}\n  remedy: {error.remedy}", file=sys.stderr)
        return error.exit_code
    for key in ("rollout_len", "num_envs"):
        print(f"{key}: {show(made.settings[key])}")
    print("\n".join(f"note: {each}" for each in made.notes))
    print(f"written: {path}")
    print(f"next: python main.py --config={shlex.quote(str(path))}")
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
