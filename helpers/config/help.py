"""The pages of `--help`: one screen, the settings of one algorithm or task, and all settings.

python main.py --help               what it does, the settings that are used most, examples
python main.py --help --algo=sac    the settings that SAC reads, each once
python main.py --help --task=eval   likewise those of a task
python main.py --help_all           all settings, by who reads them
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from helpers.config.command_line import Layer
from helpers.config.schema import Schema, refusal
from helpers.config.settings import Setting
from helpers.config.settings import show as shown
from helpers.errors import DONE, ConfigurationError

FLAGS, ALL_FLAGS, COMPLETION = ("-h", "--help"), ("--help_all", "--help-all"), "--completion"
WIDEST = 110  # columns
MOST_USED = (
    "task",
    "algo",
    "env_id",
    "num_timesteps",
    "num_envs",
    "seed",
    "expert_path",
    "model_path",
    "record",
    "wandb_project",
)
_USAGE = "usage: [mpiexec -n WORKERS] python main.py [--config FILE.yaml] [--flag=value ...]"
_EXAMPLES = (
    ("python main.py --algo=sac --env_id=Hopper-v5 --num_envs=2", "train"),
    ("mpiexec -n 2 python main.py --config=tasks/train_mujoco_ppo.yaml", "on two cores"),
    ("python main.py --task=eval --model_path=data/runs/NAME --record", "evaluate"),
)
_MORE = (
    ("--help --algo=sac", "the settings of an algorithm (or --task=eval: of a task)"),
    ("--help_all", "all settings"),
    ("--completion=bash", "completion of flags and values, for bash or zsh"),
)


def help_wanted(argv: Sequence[str]) -> bool:
    """Whether a command line asks for a help page."""
    return completion_wanted(argv) or any(each in FLAGS + ALL_FLAGS for each in argv)


def completion_wanted(argv: Sequence[str]) -> bool:
    """Whether a command line asks for a script that completes it."""
    return any(argument.partition("=")[0] == COMPLETION for argument in argv)


def value_of(flag: str, argv: Sequence[str]) -> str | None:
    """The value of a flag that is given, in either form; None where it is not."""
    for index, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        if name == flag:
            following = argv[index + 1] if index + 1 < len(argv) else None
            return value if equals else following
    return None


def show(schema: Schema, argv: Sequence[str]) -> int:
    """Print the page that a command line asks for; the exit code."""
    try:
        print(page(schema, argv), end="")
    except ConfigurationError as error:
        print(f"milozero: {error.problem}\n  remedy: {error.remedy}", file=sys.stderr)
        return error.exit_code
    return DONE


def page(schema: Schema, argv: Sequence[str], *, width: int | None = None) -> str:
    """The page that a command line with `--help`, `--help_all` or `--completion` asks for.

    Raises:
        ConfigurationError: it names an algorithm, a task or a file that is not there.
    """
    sections = schema.sections()
    settings = {each.key: each for section in sections.values() for each in section}
    if completion_wanted(argv):
        return completion_script("main", settings.values())
    if any(argument in ALL_FLAGS for argument in argv):
        return settings_page(sections, width=width)
    path = value_of("--config", argv)
    layer = Layer() if path is None else schema.read_file(Path(path))
    for name in ("task", "algo"):
        value = value_of(f"--{name}", argv)
        if value is not None:
            if value not in (settings[name].choices or ()):
                raise refusal(settings[name], f"--{name}={value}")
            layer = layer.overlay(schema.layer_of({name: value}))
    kind = schema.kind_of(layer)
    named = {name: layer.values[name] for name in ("task", "algo") if name in layer.values}
    if not named:
        return first_page(settings, width=width)
    read: dict[str, list[Setting]] = {}
    for each in kind.settings_for({}).values():
        read.setdefault(each.group, []).append(settings.get(each.key, each))
    title = f"The settings of {' '.join(f'--{name}={value}' for name, value in named.items())}."
    return settings_page(read, title=title, width=width)


def first_page(settings: Mapping[str, Setting], *, width: int | None = None) -> str:
    """What `--help` alone shows: at most 24 lines of 80 columns.

    Args:
        settings: by key; those of `MOST_USED` are shown.
        width: columns, at most 110; those of the terminal if None.
    """
    columns = _columns(width)
    lines = [
        *textwrap.wrap(_USAGE, columns, subsequent_indent="       "),
        *textwrap.wrap("One run: train, evaluate, export or check a policy.", columns),
        "",
    ]
    for key in MOST_USED:
        each = settings[key]
        default = "" if each.default is None else f" [{shown(each.default)}]"
        lines += _entry(f"--{key}", f"{brief_help(each)}{default}", columns)
    lines += ["", "examples"]
    lines += [f"  {command}" for command, _ in _EXAMPLES]
    lines += ["", "more"]
    for flags, what in _MORE:
        lines += _entry(flags, what, columns)
    return "\n".join(lines) + "\n"


def brief_help(each: Setting) -> str:
    """A setting's help, up to its first semicolon."""
    return each.help_line.partition(";")[0]


def settings_page(
    sections: Mapping[str, Sequence[Setting]],
    *,
    title: str = "One run: train, evaluate or check a policy.",
    width: int | None = None,
) -> str:
    """A page of settings.

    Args:
        sections: the settings by heading, in the order to print them.
        title: what they are of.
        width: columns to wrap to, at most 110; those of the terminal if None.
    """
    columns = _columns(width)
    intro = (
        f"{title} Precedence: default < YAML < command line. "
        "A switch is written --switch or --no-switch; values as --flag=value or --flag value."
    )
    lines = [
        *textwrap.wrap(_USAGE, columns, subsequent_indent="       "),
        "",
        *textwrap.wrap(intro, columns),
        "",
        "  --config FILE.yaml (also --config_path)",
        *_indent("settings, one `key: value` a line; keys are the flags below", columns),
    ]
    for heading, settings in sections.items():
        lines += ["", heading]
        for each in settings:
            switch = "[no-]" if each.kind == "bool" else ""
            lines += flag_lines(f"--{switch}{each.key}{_placeholder(each)}", columns)
            lines += _indent(_describe(each), columns)
    return "\n".join(lines) + "\n"


def flag_lines(flag: str, columns: int) -> list[str]:
    """A flag with its placeholder; a long list of choices breaks after a comma."""
    name, brace, choices = flag.partition(" {")
    lines = textwrap.wrap(
        name.replace(" ", "\xa0") + brace + choices.replace(",", ", "),
        max(columns, 30),
        initial_indent="  ",
        subsequent_indent=" " * 6,
        break_on_hyphens=False,
    )
    return [line.replace(", ", ",").replace("\xa0", " ") for line in lines]


def _columns(width: int | None) -> int:
    return min(width or shutil.get_terminal_size().columns, WIDEST)


def _entry(name: str, text: str, columns: int) -> list[str]:
    """A flag and what it is, on one line where there is room."""
    indent = " " * 22
    if columns < 60:
        return [f"  {name}", *_indent(text, columns)]
    head = f"  {name}".ljust(len(indent))
    return textwrap.wrap(text, columns, initial_indent=head, subsequent_indent=indent)


def _indent(text: str, columns: int) -> list[str]:
    indent = " " * 6
    wrapped = textwrap.wrap(
        text.replace("= ", "=\xa0").replace("> ", ">\xa0"),  # ">= 0" stays in one line
        max(columns, 30),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return [line.replace("\xa0", " ") for line in wrapped]


def _placeholder(each: Setting) -> str:
    if each.choices:
        return " {" + ",".join(each.choices) + "}"
    return {"int": " INTEGER", "float": " NUMBER", "bool": "", "str": " TEXT"}[each.kind]


def _describe(each: Setting) -> str:
    facts = [
        f"default: {'unset' if each.default is None else shown(each.default)}",
        f"unit: {each.unit}" if each.unit else "",
        each.bounds_text,
        f"form: {each.form}" if each.form else "",
        "also " + ", ".join(f"--{alias}" for alias in each.aliases) if each.aliases else "",
    ]
    return f"{each.help_line} [{'; '.join(fact for fact in facts if fact)}]"


_COMPLETION = r"""# Completion for bash and zsh: eval "$(python PROGRAM.py --completion=bash)"
if [ -n "${ZSH_VERSION-}" ]; then
  autoload -U +X compinit && compinit
  autoload -U +X bashcompinit && bashcompinit
fi
_milozero_PROGRAM() { # FLAG WORD: the flags, or the values of FLAG
  local values=
  case "$1" in
    '') values='FLAGS' ;;
VALUES
  esac
  COMPREPLY=($(compgen -W "$values" -- "$2"))
}
_milozero() {
  local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD - 1]} program= each
  COMPREPLY=()
  for each in "${COMP_WORDS[@]}"; do
    case "${each##*/}" in
      main.py | milozero) program=main ;;
      spawner.py | milozero-spawner) program=spawner ;;
      tuner.py | milozero-tuner) program=tuner ;;
    esac
  done
  type "_milozero_$program" >/dev/null 2>&1 || return 0
  case "$word,$last" in
    =,*) "_milozero_$program" "$last" '' ;;
    *,=) "_milozero_$program" "${COMP_WORDS[COMP_CWORD - 2]}" "$word" ;;
    --*=*,*)
      "_milozero_$program" "${word%%=*}" "${word#*=}"
      COMPREPLY=("${COMPREPLY[@]/#/${word%%=*}=}")
      ;;
    --*,*)
      "_milozero_$program" '' "$word"
      case "${COMPREPLY[*]-}" in *=) type compopt >/dev/null 2>&1 && compopt -o nospace ;; esac
      ;;
    *,--*) "_milozero_$program" "$last" "$word" ;;
  esac
}
complete -o default -F _milozero python python3 mpiexec milozero milozero-spawner milozero-tuner
"""


def completion_script(program: str, settings: Iterable[Setting]) -> str:
    """A script that completes a program's flags, and their values where these are choices.

    Args:
        program: main, spawner or tuner.
        settings: its flags.
    """
    flags, values = ["--help", "--help_all", "--config="], []
    for each in settings:
        flags += (
            [f"--{each.key}", f"--no-{each.key}"] if each.kind == "bool" else [f"--{each.key}="]
        )
        if each.choices:
            values.append(f"    --{each.key}) values='{' '.join(each.choices)}' ;;")
    script = _COMPLETION.replace("FLAGS", " ".join(flags)).replace("VALUES", "\n".join(values))
    return script.replace("PROGRAM", program)
