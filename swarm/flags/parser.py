"""The command line of spawner.py: its flags, declared like the settings of a run, and its help."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from helpers.config.command_line import read_flags
from helpers.config.help import flag_lines
from helpers.config.settings import Setting, settings_of, show
from helpers.config.vocabulary import Vocabulary
from helpers.errors import ConfigurationError
from swarm.backends.table import backend_of, backends, clusters, flags, titles
from swarm.flags.declared import validate
from swarm.flags.hidden_key import FLAG, split_key
from swarm.flags.spawn_settings import CALIBERS, SpawnSettings

SECRET_FLAG = FLAG.removeprefix("--")  # never a setting: settings are shown and kept
_LIST_FLAGS = ("num_demos", "list")


@dataclass(frozen=True)
class Command:
    """A command line, read.

    Attributes:
        settings: all flags but the secret one.
        given: the keys of those that were named.
        num_demos: as numbers.
        wandb_api_key: from the command line; shown nowhere.
    """

    settings: SpawnSettings
    given: frozenset[str]
    num_demos: tuple[int, ...]
    wandb_api_key: str | None

    def __repr__(self) -> str:
        return f"Command({self.settings!r})"


def parse(argv: Sequence[str], *, wandb_api_key: str | None = None) -> Command:
    """The command of arguments, without the program's name.

    Args:
        argv: the arguments.
        wandb_api_key: that was among them and is taken out already.

    Raises:
        ConfigurationError: anything in them that cannot be used.
    """
    rest, key = split_key(argv)
    key = _check_key(wandb_api_key if key is None else key)
    layer, config = read_flags(_lists_joined(rest), _vocabulary())
    values = layer.values if config is None else {**layer.values, "config": config}
    read = validate(
        SpawnSettings,
        values,
        shown=lambda name: layer.shown.get(name, f"--{name}={values[name]}"),
    )
    _refuse_contradictions(read)
    numbers = tuple(int(each) for each in re.findall(r"\d+", read.num_demos or ""))
    return Command(read, frozenset(values), numbers, key)


def _vocabulary() -> Vocabulary:
    """The flags of the spawner, which knows where the others belong."""
    from agents.algorithms import SCHEMA

    return Vocabulary(all_settings().values(), program="spawner.py", of_runs=SCHEMA.vocabulary)


def _check_key(key: str | None) -> str | None:
    if key is not None and not re.fullmatch(r"(?!--)[!-~]+", key):
        raise ConfigurationError(
            f"--{SECRET_FLAG} has no value, or one with spaces in it.",
            "Omit it: set WANDB_API_KEY in the environment, or use `wandb login`.",
        )
    return key


def all_settings() -> Mapping[str, Setting]:
    """The spawner's flags, by key."""
    return settings_of(SpawnSettings)


def _lists_joined(argv: Sequence[str]) -> list[str]:
    """`--num_demos 1 4 16` as one argument, `--num_demos=1 4 16`."""
    joined: list[str] = []
    in_list = False
    for argument in argv:
        name, equals, value = argument.partition("=")
        if name.lstrip("-").replace("-", "_") in _LIST_FLAGS and name.startswith("--"):
            joined.append(f"--{_LIST_FLAGS[0]}{equals}{value}")
            in_list = True
        elif in_list and not argument.startswith("-"):
            joined[-1] += f" {argument}" if "=" in joined[-1] else f"={argument}"
        else:
            joined.append(argument)
            in_list = False
    return joined


def _refuse_contradictions(read: SpawnSettings) -> None:
    """Flags that do not go together."""
    backend = backend_of(read.deployment)
    is_cluster, title = backend.is_cluster, backend.title
    having = [each for each in backends() if read.launcher in each.launchers]
    rules = (
        (
            read.config is None,
            "No --config: the runs have no settings.",
            "Write --config tasks/train_mujoco_ppo.yaml, or a file of yours.",
        ),
        (
            read.docker and read.docker_image is None,
            "--docker without an image.",
            "Add --docker_image=NAME, or --docker_image=PATH.sif on a cluster.",
        ),
        (
            read.docker_image is not None and not read.docker,
            f"--docker_image={read.docker_image} without --docker is not used.",
            "Add --docker, or leave the image out.",
        ),
        (
            read.array and not is_cluster,
            f"--array is for {titles(clusters())}, and --deployment is {read.deployment}.",
            f"Add {flags(clusters())}; or leave --array out.",
        ),
        (
            read.wait and not (read.deploy_now and not read.dry_run),
            "--wait without --deploy_now: nothing is started that could be waited for.",
            "Add --deploy_now, or leave --wait out.",
        ),
        (
            read.gpu and not (is_cluster or read.docker),
            f"--gpu requests a GPU of a cluster or of docker, and --deployment is {read.deployment}.",
            "Leave --gpu out: runs see this machine's GPUs, those that CUDA_VISIBLE_DEVICES names.",
        ),
        (
            read.pin and is_cluster,
            f"--pin is for this machine: on {title} a run has the processors of its job.",
            "Leave --pin out, or add --deployment local.",
        ),
        (
            is_cluster and read.max_parallel is not None and not read.array,
            f"--max_parallel on {title} limits an array, and there is none.",
            f"Add --array, or leave --max_parallel out: {title} has limits of its own.",
        ),
        (
            read.launcher is not None and read.launcher not in backend.launchers,
            f"--launcher={read.launcher} is for {titles(having)}, and --deployment is {read.deployment}.",
            f"Add {flags(having)}; or leave --launcher out.",
        ),
    )
    for is_broken, problem, remedy in rules:
        if is_broken:
            raise ConfigurationError(problem, remedy)


def help_text(width: int | None = None) -> str:
    """The page of `python spawner.py -h`.

    Args:
        width: columns to wrap to, at most 110; those of the terminal if None.
    """
    columns = max(min(width or shutil.get_terminal_size().columns, 110), 40)
    intro = (
        "Many runs from one YAML file: environments x numbers of demonstrations x trials x seeds, "
        "on tmux, a cluster or this machine. "
        "The same command again starts only what is not waiting, running or done. docs/spawner.md explains."
    )
    lines = ["usage: python spawner.py --config FILE.yaml [--flag value ...]", ""]
    lines += textwrap.wrap(intro, columns)
    groups: dict[str, list[str]] = {}
    for each in all_settings().values():
        groups.setdefault(each.group, []).extend(_entry(each, columns))
    secret = "your wandb key; kept in a file that only you can read. Better: WANDB_API_KEY"
    groups["wandb"] += [f"  --{SECRET_FLAG} TEXT", *_indent(secret, columns)]
    groups["spawning"] += ["  -h, --help", *_indent("this page", columns)]
    for heading, entries in groups.items():
        lines += ["", heading, *entries]
    return "\n".join(lines) + "\n"


def _entry(each: Setting, columns: int) -> list[str]:
    negated = [f"no-{each.key}"] if each.kind == "bool" else []
    flags = ", ".join(f"--{name}" for name in (each.key, *each.aliases, *negated))
    if each.key == "caliber":
        value = " {" + ",".join(CALIBERS) + "}"
    elif each.choices:
        value = " {" + ",".join(each.choices) + "}"
    elif each.key == _LIST_FLAGS[0]:
        value = " INTEGER ..."
    else:
        value = {"int": " INTEGER", "float": " NUMBER", "bool": "", "str": " TEXT"}[each.kind]
    facts = "" if each.default is None else f" [default: {show(each.default)}]"
    example = f" (as {each.example})" if each.kind == "str" and each.example else ""
    return [
        *flag_lines(f"{flags}{value}", columns),
        *_indent(f"{each.help_line}{example}{facts}", columns),
    ]


def _indent(text: str, columns: int) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
