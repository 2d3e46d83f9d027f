"""One run: configuration -> ExperimentInitializer -> environment -> agent -> train | evaluate.

mpiexec -n 2 python main.py --task=train --config=tasks/train_mujoco_ppo.yaml
python main.py --task=eval --model_path=data/runs/NAME --record
python main.py --help
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.algorithms import SCHEMA
from environments.ids import resolve_env_id
from helpers import errors
from helpers.checkpoints.manifests import list_checkpoints
from helpers.checkpoints.policy_files import PolicyFiles
from helpers.checkpoints.store import Checkpoints
from helpers.config import command_line
from helpers.config.run import RunConfig
from helpers.config.schema import Parsed, defaults_of, former_names_of, identity_of
from helpers.display.progress import Progress
from helpers.display.terminal import outlast_readers
from helpers.machine import choices
from helpers.machine.compilers import name_cxx
from helpers.machine.native import cache_folder
from helpers.machine.processor import hold_libraries
from helpers.parallel.crash import install_crash_handler
from helpers.parallel.deadline import Deadline
from helpers.parallel.profile import profile
from helpers.parallel.workers import Workers
from helpers.run_folder import run_lock
from helpers.run_folder.experiment import CONFIG_FILE, ExperimentInitializer, run_name
from helpers.run_folder.spelling import with_canonical_env_id
from helpers.seeding import Streams
from helpers.trackers.base import make_trackers
from registry import training

if TYPE_CHECKING:
    from helpers.demos.load import Demos

STARTED = time.time()


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks for; the exit code (helpers/errors.py)."""
    if command_line.help_wanted(argv):
        print(SCHEMA.help_text())
        return errors.DONE
    install_crash_handler(Workers.solo(), None)
    workers = Workers.connect()
    install_crash_handler(workers, None)
    hold_libraries()  # these two before torch is imported
    name_cxx(cache_folder())
    parsed = SCHEMA.parse_command_line(argv)
    if parsed.config.task == "train":
        return train(parsed, workers, argv)
    if parsed.config.task == "demos":
        return report_demos(parsed, workers)
    if parsed.config.task == "migrate":
        from agents.weights.migration.task import import_weights

        parts: dict[str, Any] = {"build": build, "resolve_env_id": resolve_env_id}
        return import_weights(
            SCHEMA,
            parsed,
            workers,
            argv=argv,
            policy_files=policy_files,
            **parts,
        )
    import evaluator

    if parsed.config.task == "export":
        from registry.package.export import export

        return export(SCHEMA, parsed, workers, find_run=evaluator.find_run)
    if parsed.config.task == "eval" and parsed.config.follow:
        from registry.publishing.follow import follow

        return follow(parsed.config, print) if workers.is_root else errors.DONE
    if parsed.config.task == "eval":
        return evaluator.evaluate(SCHEMA, parsed, workers, build_agent=build_agent)
    return evaluator.verify_resume(SCHEMA, parsed, workers, build=build)


def report_demos(parsed: Parsed, workers: Workers) -> int:
    """--task=demos: what demonstrations are, without starting their environment."""
    from agents.checks import missing_for_learners
    from environments.expected import expected_of
    from helpers.demos.report import report

    return report(parsed, workers, expected_of=expected_of, learners=missing_for_learners)


@dataclass
class OpenRun:
    """A run that is ready to train.

    Attributes:
        registers: whether its models are registered at its end.
        publisher: publishes its policy while it learns, on the root; None elsewhere, and where nobody asks for it.
    """

    config: RunConfig
    folder: Path
    orchestrator: Any
    registers: bool
    publisher: Any = None


def train(parsed: Parsed, workers: Workers, argv: Sequence[str]) -> int:
    """Train to the end, or until something asks to stop; the same command goes on."""
    run = open_run(parsed, workers, argv)
    reason = train_or_stop(run.orchestrator, run.orchestrator.progress, run.folder)
    return finish(run, reason)


def open_run(parsed: Parsed, workers: Workers, argv: Sequence[str]) -> OpenRun:
    """Open the run folder, build everything, and take over the newest checkpoint; collective."""
    config = parsed.config
    config = with_canonical_env_id(config, resolve_env_id)
    registers = training.registers(config, run_name=run_name(config))
    training.check_endpoint(config)
    demos = check_start(config, workers)
    experiment = ExperimentInitializer(config, workers, argv=argv)
    config, folder = experiment.config, experiment.folder
    install_crash_handler(workers, folder)
    deadline = Deadline(
        workers=workers,
        execution_time=config.execution_seconds,
        stop_file=folder / "stop",
        started=STARTED,
    )
    deadline.install_signal_handlers()
    checkpoints = Checkpoints(
        folder / "checkpoints",
        workers=workers,
        keep=config.keep_checkpoints,
        identity=identity_of(config),
        defaults=defaults_of(config),
        former=former_names_of(config),
    )
    checkpoint = checkpoints.load_latest()
    choices.set_presets(experiment.choices)
    progress = Progress(
        config.progress,
        is_root=workers.is_root,
        total_steps=config.num_timesteps,
    )
    progress.hear("agents", "helpers.machine.native")
    lines = [*parsed.warnings, *experiment.warnings, *(checkpoint.warnings if checkpoint else ())]
    lines += demos.warnings if demos else ()
    for line in [*lines, f"run folder: {folder}"]:
        progress.message(line)
    for line in note_references(config, folder, demos):
        progress.message(line)
    tracker = make_trackers(
        config,
        folder,
        is_root=workers.is_root,
        resume_after=checkpoint.iteration if checkpoint else None,
        run_name=experiment.name,
        group=experiment.group,
        print=progress.message,
    )
    orchestrator = build(
        config,
        workers,
        checkpoints=checkpoints,
        tracker=tracker,
        progress=progress,
        deadline=deadline,
        elapsed=tracker.elapsed,
        demos=demos,
        policies=policy_files(config, checkpoints, workers),
        before_save=lambda: experiment.keep_choices(choices.all_choices()),
    )
    del demos  # the agent has kept what it learns from
    progress.message(f"environment: {config.env_id} by {orchestrator.environment.backend}")
    if checkpoint:
        orchestrator.load(checkpoint)
        progress.message(f"resumed after iteration {checkpoint.iteration}")
    run = OpenRun(config, folder, orchestrator, registers)
    if config.registry_endpoint and workers.is_root:
        from registry.publishing.publisher import Publisher

        environment = orchestrator.environment
        run.publisher = Publisher(config, folder, environment, say=progress.message)
        agent, publish = orchestrator.agent, run.publisher.publish_if_due
        orchestrator.after_iteration.append(lambda row: publish(row, agent))
        progress.message(f"registry: {run.publisher.model} at {config.registry_endpoint}")
    return run


def finish(run: OpenRun, reason: str | None) -> int:
    """Close the run's files, register its models, say what it left and what may be done next; the exit code."""
    from helpers.display.learning_curve import draw_curve

    config, orchestrator, folder = run.config, run.orchestrator, run.folder
    orchestrator.deadline.ignore_signals()
    orchestrator.progress.close()
    table = profile(orchestrator.workers) if config.profile else None
    if table:
        print(table)
    code = errors.STOPPED_EARLY if reason else errors.DONE
    unit = config.settings["num_timesteps"].unit
    if orchestrator.workers.is_root and orchestrator.iteration:
        print(f"curve: {draw_curve(folder, unit=unit)}")
    orchestrator.tracker.upload(folder, [CONFIG_FILE, "checkpoints/best", "checkpoints/latest"])
    orchestrator.tracker.close(code)
    if orchestrator.workers.is_root:
        run_lock.release(folder)
        if run.publisher is not None:
            run.publisher.close(reason)
        if run.registers and not reason:
            iteration = orchestrator.iteration
            training.register_finished(config, folder, iteration=iteration, say=print)
        closing_lines(folder, reason, orchestrator)
    return code


def train_or_stop(orchestrator: Any, progress: Progress, folder: Path) -> str | None:
    """Train; why it stopped early, or None.

    Raises:
        Stopped: a signal came while gradient steps were compiled.
    """
    from agents.compute.compiled_step import begin

    begin(orchestrator.agent)
    try:
        reason: str | None = orchestrator.train()
    except errors.Stopped as stop:
        progress.close()
        if orchestrator.workers.is_root:
            run_lock.release(folder)
        raise stop.after(orchestrator.saved) from None
    return reason


def note_references(config: RunConfig, folder: Path, demos: Demos | None) -> list[str]:
    """Once a run that imitates: what its returns are compared with, and lines that tell it; where `demos` are."""
    from helpers.run_folder import references

    if demos is None:
        return []
    if not (folder / references.FILE).exists():
        from environments.factory import make_vector_env
        from helpers.demos.expert_reference import expert_figures
        from helpers.episodes import random_figures

        expert = expert_figures(config, demos)
        streams = Streams(config.seed)
        seeds = [streams.integer("random policy", i) for i in range(references.RANDOM_EPISODES)]
        chance = random_figures(
            make_vector_env(config.env_id, seeds=seeds, **config.environment),
            seeds=seeds,
        )
        found = {references.EXPERT: expert, references.RANDOM: chance}
        references.save_references(folder, {name: each for name, each in found.items() if each})
    noted = references.read_references(folder).items()
    return [f"{name}: return {each['return_mean']:,.2f} ({each['source']})" for name, each in noted]


def policy_files(config: RunConfig, checkpoints: Checkpoints, workers: Workers) -> PolicyFiles:
    """What writes a run's models for sharing, beside its checkpoints."""
    return PolicyFiles(checkpoints.folder, config=config, workers=workers)


def check_start(config: RunConfig, workers: Workers) -> Demos | None:
    """Refuse what cannot work before a simulator is started or a folder is made; collective.

    Returns:
        The demonstrations that the run learns from, on the root; None elsewhere.
    """
    from agents.checks import check_run
    from environments.expected import expected_of
    from environments.requirements import check_environment
    from environments.sizes import spaces_of

    check_shares(config, workers)
    saved = Path(config.runs_dir).expanduser() / run_name(config) / "checkpoints"
    check_environment(config.env_id, config.environment_options)
    spaces = spaces_of(config.env_id, config.environment_options)
    is_new = not list_checkpoints(saved)
    return check_run(config, spaces, workers=workers, is_new=is_new, expected_of=expected_of)


def check_shares(config: RunConfig, workers: Workers) -> None:
    """Refuse more workers than there are environments."""
    if config.num_envs < workers.size:
        raise errors.ConfigurationError(
            f"num_envs={config.num_envs} is less than the {workers.size} workers.",
            f"Give each worker an environment: --num_envs={workers.size}, or start fewer workers.",
        )


def closing_lines(folder: Path, reason: str | None, orchestrator: Any) -> None:
    """What a run leaves beside its curve, and what may be done next."""
    if reason:
        print(
            f"stopped after iteration {orchestrator.iteration} by {reason}; the same command resumes it",
        )
    workers = orchestrator.workers.size
    launcher = f"mpiexec -n {workers} " if workers > 1 else ""
    print(f"checkpoints: {folder}/checkpoints (latest, best)")
    print(f"next: python main.py --task=eval --model_path={folder} --iter_num=best --record")
    print(f"      python main.py --task=export --model_path={folder} --iter_num=best")
    print(f"      {launcher}python main.py --task=verify_resume --model_path={folder}")


def build(config: RunConfig, workers: Workers, *, demos: Demos | None = None, **parts: Any) -> Any:
    """The orchestrator of this worker's share of the run's environments; `demos` where they are read already."""
    from environments.factory import make_vector_env
    from orchestrator import Orchestrator

    streams, mine = Streams(config.seed), workers.share(config.num_envs)
    check_shares(config, workers)
    seeds = [streams.integer("training", i) for i in range(mine.start, mine.stop)]
    episodes = range(config.eval_episodes if config.eval_frequency else 0)
    test_seeds = [streams.integer("evaluation", i) for i in episodes[workers.share(len(episodes))]]
    environment = make_vector_env(config.env_id, seeds=seeds, **config.environment)
    own: dict[str, Any] = {"streams": streams, "environments": mine, "demos": demos}
    agent = build_agent(config, environment, workers, **own)
    tests = (
        make_vector_env(config.env_id, seeds=test_seeds, **config.environment)
        if test_seeds
        else None
    )
    return Orchestrator(
        agent,
        environment,
        evaluation=(tests, test_seeds),
        config=config,
        workers=workers,
        **parts,
    )


def build_agent(
    config: RunConfig,
    environment: Any,
    workers: Workers,
    *,
    streams: Streams,
    environments: slice,
    demos: Demos | None = None,
) -> Any:
    """The agent that acts in `environment`, this worker's slice of the run's environments."""
    import torch

    from agents.factory import make_agent
    from environments.expected import expected_of

    torch.set_num_threads(1)  # one core a worker
    return make_agent(
        config,
        observation_space=environment.single_observation_space,
        action_space=environment.single_action_space,
        workers=workers,
        streams=streams,
        environments=environments,
        expected=(
            expected_of(config.env_id, config.environment_options)
            if hasattr(config, "expert_path")
            else None
        ),
        demos=demos,
    )


def run() -> int:
    """The command `milozero`."""
    outlast_readers()
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
