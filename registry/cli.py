"""The model registry at a terminal: `python -m registry VERB ...`.

python -m registry register model_manager=ppo checkpoint_path=data/runs/NAME
python -m registry transition hopper_policy 3 production
python -m registry download hopper_policy @production hopper
python -m registry services model_registry --port=9002

Every setting can be written as name=value or as --name=value; run.id is --run_id. The server is that of
tracking_uri, else of MLFLOW_TRACKING_URI.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from helpers.display.terminal import run_quietly
from helpers.errors import BAD_CONFIGURATION, DONE, ConfigurationError, UserError
from registry import service_cli

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from registry.model_manager import MlflowModelManager

_WORD = re.compile(r"([a-z]+(?:[._][a-z]+)*)=(.*)", re.DOTALL)
_REWARD = "metrics.episode_reward_mean"
_SERVES: dict[str, list[str]] = {
    "serve": ["model_registry"],
    "services": [],
}  # with options of their own
_SHOWN = ("episode_reward_mean", "agent_timesteps_total", "time_total_s")  # of a run, in one line
_SETTINGS = (
    (
        "model_manager",
        "the models to register: ppo for tasks/models/ppo.yaml, or a file; unset: the algorithm's own",
    ),
    ("checkpoint_path", "a run folder, its checkpoints folder or a checkpoint"),
    ("iter_num", "of a run folder: best, latest (the default) or an iteration"),
    ("run_id", "run.id: register under this MLflow run; all below is ignored then"),
    ("run_name", "run.name: of a new MLflow run; default: date and exp_name"),
    ("experiment_id", "experiment.id: the experiment of the new run"),
    ("experiment_name", "experiment.name: where there is no id; made where it is missing"),
)


class _Parser(argparse.ArgumentParser):
    """Refuses in two lines."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message[:1].upper()}{message[1:]}.", f"See: {self.prog} -h")


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks for; the exit code."""
    try:
        if argv and argv[0] in _SERVES:
            os.environ.setdefault(
                "GRPC_VERBOSITY",
                "NONE",
            )  # what it would print, is refused in two lines
            from registry.service import services

            return services.run([*_SERVES[argv[0]], *argv[1:]])
        is_of_service = bool(argv) and argv[0] in service_cli.VERBS
        arguments = _parser().parse_args(argv if is_of_service else _as_flags(argv))
        verb = arguments.verb
        if is_of_service:
            return service_cli.run(arguments)
        if verb in _OF_RUNS:
            return _OF_RUNS[verb](arguments)
        from registry.model_manager import MlflowModelManager

        say = _quiet if arguments.json else print
        manager = MlflowModelManager(arguments.tracking_uri, print=say)
        return _VERBS[verb](manager, arguments)
    except UserError as error:
        print(f"milozero: {error.problem}\n  remedy: {error.remedy}", file=sys.stderr)
        return error.exit_code


def run() -> int:
    """The command `milozero-registry`."""
    return run_quietly(lambda: main(sys.argv[1:]))


def _as_flags(argv: Sequence[str]) -> list[str]:
    """`run.id=X` as `--run_id=X`."""
    words = []
    for word in argv:
        match = _WORD.fullmatch(word)
        words.append(f"--{match[1].replace('.', '_')}={match[2]}" if match else word)
    return words


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m registry",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)

    def add(name: str, help_: str, *positional: tuple[str, str]) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=help_, allow_abbrev=False)
        for each, what in positional:
            verb.add_argument(each, metavar=each.upper(), help=what)
        if name not in service_cli.VERBS:
            verb.add_argument("--tracking_uri", metavar="URI", help="unset: MLFLOW_TRACKING_URI")
        verb.add_argument("--json", action="store_true", help="print JSON, for scripts")
        return verb

    register = add("register", "register the models of a checkpoint")
    for key, what in _SETTINGS:
        register.add_argument(f"--{key}", metavar="VALUE", help=what)
    model = ("name", "of the registered model")
    number = ("version", "its number, or @ALIAS")
    add("list", "all models, or the versions of one").add_argument("name", nargs="?", help=model[1])
    add("latest", "the newest version of a model", model)
    reason: dict[str, Any] = {"metavar": "TEXT", "help": "why, for the changelog"}
    stage = ("stage", "production, staging, Archived, None or a name of your own")
    add("transition", "move a version to a stage", model, number, stage).add_argument(
        "--description",
        **reason,
    )
    best = add("best", "register the model of an experiment's best run", ("experiment", "its name"))
    best.add_argument("path", help="the logged model's name: policy")
    best.add_argument("name", help=model[1])
    best.add_argument("--metric", default="Test/cumulative_reward", help="default: %(default)s")
    best.add_argument("--mode", default="max", choices=["max", "min"], help="default: %(default)s")
    best.add_argument("--description", **reason)
    add("download", "download a version", model, number, ("folder", "which is made"))
    delete = add("delete", "delete a version", model, number)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.add_argument("--description", **reason)
    add("card", "print the card of a version", model, number)
    experiment = ("experiment", "its name")
    top = add("top", "download the best checkpoint of an experiment's best run", experiment)
    top.add_argument(
        "--rank_metric",
        default=_REWARD,
        metavar="METRIC",
        help="default: %(default)s",
    )
    top.add_argument("--ascending", action="store_true", help="less is better")
    top.add_argument("--folder", default="model_checkpoints", help="default: %(default)s")
    runs = add("runs", "the runs of an experiment, filtered and sorted", experiment)
    filter_ = f"\"{_REWARD} > 300 and attributes.status = 'FINISHED'\""
    runs.add_argument("--where", default="", metavar="FILTER", help=f"as {filter_}")
    runs.add_argument("--sort", default="", metavar="ORDER", help='as "metrics.time_total_s DESC"')
    service_cli.add_verbs(add)
    verbs.add_parser(
        "services",
        help="serve a model registry or a directory of Cogment's: services NAME -h",
    )
    verbs.add_parser("serve", help="the same as services model_registry")
    return parser


def _register(arguments: argparse.Namespace) -> int:
    from registry.registration import RunChoice, register_checkpoint

    if arguments.checkpoint_path is None:
        raise ConfigurationError(
            "checkpoint_path is not given.",
            "Give a run folder or a checkpoint: checkpoint_path=data/runs/NAME",
        )
    choice = RunChoice(
        arguments.run_id,
        arguments.run_name,
        arguments.experiment_id,
        arguments.experiment_name,
    )
    path = Path(arguments.checkpoint_path).expanduser()
    made = register_checkpoint(
        arguments.model_manager,
        path,
        iter_num=arguments.iter_num or "latest",
        choice=choice,
        uri=arguments.tracking_uri,
        print=_quiet if arguments.json else print,
    )
    if arguments.json:
        print(json.dumps({key: _as_json(each) for key, each in made.items()}, indent=1))
        return DONE
    for key, each in made.items():
        print(f"{key}: {each.name} version {each.version}, models:/{each.name}/{each.version}")
    first = next(iter(made.values()))
    print(
        f"next: python -m registry transition {shlex.quote(first.name)} {first.version} production",
    )
    return DONE


def _list(manager: MlflowModelManager, arguments: argparse.Namespace) -> int:
    from registry.manager.names import stage_of

    names = [arguments.name] if arguments.name else manager.names()
    found = {name: manager.versions(name) for name in names}
    aliases = {name: manager.aliases(name) for name in names}
    if arguments.json:
        shown = {
            name: {"aliases": aliases[name], "versions": [_as_json(each) for each in versions]}
            for name, versions in found.items()
        }
        print(json.dumps(shown, indent=1))
        return DONE
    if not found:
        print("no model is registered")
        print("next: python -m registry register checkpoint_path=data/runs/NAME")
    for name, versions in found.items():
        print(name)
        for each in versions:
            mine = [f"@{alias}" for alias, n in aliases[name].items() if n == str(each.version)]
            tags = each.tags
            facts = [f"stage {stage_of(each)}", *mine]
            facts += [f"return {tags['return_mean']}"] if "return_mean" in tags else []
            facts += [tags["run_name"]] if "run_name" in tags else []
            print(f"  version {each.version}: {', '.join(facts)}")
    return DONE


def _latest(manager: MlflowModelManager, arguments: argparse.Namespace) -> int:
    _show(manager.get_latest_version(arguments.name), arguments)
    return DONE


def _transition(manager: MlflowModelManager, arguments: argparse.Namespace) -> int:
    number = manager.get_version(arguments.name, arguments.version).version
    moved = manager.transition_model(
        arguments.name,
        number,
        arguments.stage,
        arguments.description,
    )
    if moved is None:
        return BAD_CONFIGURATION
    if arguments.json:
        print(json.dumps(_as_json(moved), indent=1))
    elif moved.aliases:
        alias = moved.aliases[0]
        address = f"models:/{arguments.name}@{alias}"
        program = f"from policy import load_policy; print(load_policy({address!r}))"
        print(f"next: python -c {shlex.quote(program)}")
    return DONE


def _best(manager: MlflowModelManager, arguments: argparse.Namespace) -> int:
    info = {
        "path": arguments.path,
        "name": arguments.name,
        "description": arguments.description,
        "tags": {},
    }
    made = manager.register_best_models(
        arguments.experiment,
        {"model": info},
        arguments.metric,
        arguments.mode,
    )
    if made is None:
        raise ConfigurationError(
            f"No run of {arguments.experiment} has {arguments.metric} and a model {arguments.path}.",
            "Register a checkpoint under a run of it, or give another --metric.",
        )
    _show(made["model"], arguments)
    return DONE


def _download(manager: MlflowModelManager, arguments: argparse.Namespace) -> int:
    manager.download_model(arguments.name, arguments.version, arguments.folder)
    if not arguments.json:
        cards = sorted(Path(arguments.folder).expanduser().rglob("README.md"))
        print(*(f"next: read {shlex.quote(str(card))}" for card in cards), sep="\n")
    return DONE


def _delete(manager: MlflowModelManager, arguments: argparse.Namespace) -> int:
    number = manager.get_version(arguments.name, arguments.version).version
    confirm = arguments.name if arguments.yes else None
    manager.delete_model(arguments.name, number, arguments.description, confirm=confirm)
    return DONE


def _card(manager: MlflowModelManager, arguments: argparse.Namespace) -> int:
    found = manager.get_version(arguments.name, arguments.version)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{arguments.name}/{found.version}"
        package = manager.download_uri(uri, Path(folder))
        card = package / "README.md"
        print(card.read_text(encoding="utf-8") if card.exists() else f"{uri} has no card")
    return DONE


def _top(arguments: argparse.Namespace) -> int:
    from registry.top_runs import get_top_run

    path = get_top_run(
        arguments.experiment,
        arguments.folder,
        arguments.tracking_uri,
        arguments.rank_metric,
        ascending=arguments.ascending,
    )
    if arguments.json:
        print(json.dumps({"path": path}))
        return DONE
    print(f"checkpoint: {path}")
    print(f"next: python main.py --task=eval --model_path={shlex.quote(path)}")
    return DONE


def _runs(arguments: argparse.Namespace) -> int:
    from registry.top_runs import find_runs

    found = find_runs(
        arguments.experiment,
        arguments.tracking_uri,
        where=arguments.where,
        sort=arguments.sort,
    )
    if arguments.json:
        shown = [
            {
                "run_id": run.info.run_id,
                "name": run.info.run_name,
                "status": run.info.status,
                "metrics": run.data.metrics,
                "params": run.data.params,
                "tags": run.data.tags,
            }
            for run in found
        ]
        print(json.dumps(shown, indent=1))
        return DONE
    for run in found:
        metrics = run.data.metrics
        facts = [f"{name} {metrics[name]:.4g}" for name in _SHOWN if name in metrics]
        print(f"{run.info.run_name}  {run.info.status.lower()}  {', '.join(facts)}")
    if not found:
        print("no run matches")
    print(f"next: python -m registry top {shlex.quote(arguments.experiment)}")
    return DONE


_OF_RUNS = {"register": _register, "top": _top, "runs": _runs}  # without the model manager
_VERBS = {
    "list": _list,
    "latest": _latest,
    "transition": _transition,
    "best": _best,
    "download": _download,
    "delete": _delete,
    "card": _card,
}


def _show(version: ModelVersion, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(_as_json(version), indent=1))
        return
    content = _as_json(version)
    print(f"{content['name']} version {content['version']}, stage {content['stage']}")
    for name, value in sorted(content["tags"].items()):
        print(f"  {name}: {value}")
    if content["description"]:
        print(content["description"].rstrip())


def _as_json(version: ModelVersion) -> dict[str, Any]:
    from registry.manager.names import stage_of

    tags: Mapping[str, str] = version.tags
    return {
        "name": version.name,
        "version": int(version.version),
        "stage": stage_of(version),
        "aliases": list(version.aliases),
        "tags": dict(tags),
        "run_id": version.run_id,
        "source": version.source,
        "description": version.description or "",
    }


def _quiet(_: str) -> None:
    """Print nothing."""
