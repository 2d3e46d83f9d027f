"""One run: configuration -> ExperimentInitializer -> environment -> agent -> train | evaluate.

mpiexec -n 2 python main.py --task=train --config=tasks/train_mujoco_ppo.yaml
python main.py --task=eval --model_path=data/runs/NAME --record
python main.py --help
"""

from __future__ import annotations

import helpers.interpreter  # noqa: F401  # first: what it finds missing would be a traceback below

# isort: split

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.algorithms import SCHEMA
from environments.ids import resolve_env_id
from helpers import errors
from helpers.checkpoints.manifests import list_checkpoints
from helpers.checkpoints.policy_files import PolicyFiles
from helpers.checkpoints.store import Checkpoints
from helpers.config import help as help_pages
from helpers.config.override import override
from helpers.config.run import RunConfig
from helpers.config.schema import Parsed, defaults_of, former_names_of, identity_of
from helpers.data_root import set_data_root
from helpers.display.progress import Progress
from helpers.display.terminal import outlast_readers
from helpers.interpreter import RUNS, require
from helpers.machine import choices
from helpers.machine.compilers import name_cxx
from helpers.machine.native import cache_folder
from helpers.machine.processor import hold_libraries
from helpers.parallel.crash import install_crash_handler
from helpers.parallel.deadline import Deadline
from helpers.parallel.profile import profile
from helpers.parallel.workers import Workers
from helpers.run_folder import run_lock
from helpers.run_folder.changes import has_other_files_since
from helpers.run_folder.ending import note_end
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
    if help_pages.help_wanted(argv):
        return help_pages.show(SCHEMA, argv)
    require(RUNS)
    install_crash_handler(Workers.solo(), None)
    workers = Workers.connect()
    install_crash_handler(workers, None)
    hold_libraries()  # these two before torch is imported
    parsed = SCHEMA.parse_command_line(argv)
    set_data_root(parsed.config.data_root)
    name_cxx(cache_folder())
    if parsed.config.task == "train":
        return train(parsed, workers, argv)
    if parsed.config.task == "demos":
        return report_demos(parsed, workers)
    if parsed.config.task == "check_env":
        return check_env(parsed.config, workers)
    if parsed.config.task == "migrate":
        from agents.weights.migration.task import import_weights
        from environments.suites.table import packages

        parts: dict[str, Any] = {"build": build, "resolve_env_id": resolve_env_id}
        return import_weights(
            SCHEMA,
            parsed,
            workers,
            argv=argv,
            policy_files=policy_files,
            packages=packages(),
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
        return evaluator.evaluate(SCHEMA, parsed, workers, build_agent=build_agent, card=card_line)
    from starting import inputs_of
    from verifier import verify_resume

    return verify_resume(SCHEMA, parsed, workers, build=build, inputs_of=inputs_of)


def report_demos(parsed: Parsed, workers: Workers) -> int:
    """--task=demos: what demonstrations are, without starting their environment."""
    from agents.checks import missing_for_learners
    from environments.expected import expected_of
    from helpers.demos.report import report

    return report(parsed, workers, expected_of=expected_of, learners=missing_for_learners)


def check_env(config: RunConfig, workers: Workers) -> int:
    """--task=check_env: what an environment promises to training, resuming and looking, and whether it is kept."""
    from agents.checks import algorithms_for
    from environments.checking.report import check_env as check

    return check(config, learners=algorithms_for) if workers.is_root else errors.DONE


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
    """Train to the end, or until something asks to stop; the same command resumes it."""
    run = open_run(parsed, workers, argv)
    reason = train_or_stop(run.orchestrator, run.orchestrator.progress, run.folder)
    return finish(run, reason)


def open_run(parsed: Parsed, workers: Workers, argv: Sequence[str]) -> OpenRun:
    """Open the run folder, build everything, and take over the newest checkpoint; collective."""
    from starting import begin_with, check_start, note_references

    given = with_canonical_env_id(parsed.config, resolve_env_id)
    name = run_name(given)  # whatever --override says: it is the same run
    parsed, keys = override(SCHEMA, parsed)
    config = parsed.config.model_copy(update={"env_id": given.env_id})
    registers = training.registers(config, run_name=name)
    training.check_endpoint(config)
    demos, start = check_start(config, workers, name=name, overridden=keys)
    experiment = ExperimentInitializer(config, workers, argv=argv, name=name, start=start)
    config, folder = experiment.config, experiment.folder
    install_crash_handler(workers, folder, experiment.discard)
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
        changed=experiment.changed,
    )
    checkpoint = checkpoints.load_latest()
    choices.set_presets(experiment.choices)
    progress = Progress(
        config.progress,
        is_root=workers.is_root,
        total_steps=config.num_timesteps,
        title=f"{config.algo} on {config.env_id}, workers: {workers.size}",
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
    orchestrator: Any = build(
        config,
        workers,
        checkpoints=checkpoints,
        tracker=tracker,
        progress=progress,
        deadline=deadline,
        elapsed=tracker.elapsed,
        demos=demos,
        policies=policy_files(config, checkpoints, workers),
        before_save=lambda: experiment.keep_choices(
            choices.all_choices() | resume_of(orchestrator),
        ),
    )
    del demos  # the agent has kept what it learns from
    for line in environment_lines(config.env_id, orchestrator.environment):
        progress.message(line)
    if start.lineage:
        environment = orchestrator.environment
        file = config.model_copy(update={"init_from": start.lineage["file"]})
        spaces = environment.single_observation_space, environment.single_action_space
        begin_with(orchestrator.agent, file, spaces)
        workers.assert_in_sync(orchestrator.agent.synchronised_arrays())
        progress.message(start.lineage["taken"])
    if checkpoint:
        accepted = config.accept_changes or has_other_files_since(folder, checkpoint.iteration)
        orchestrator.load(checkpoint, accepts_changes=accepted)
        progress.resume(orchestrator.best_return)
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


def environment_lines(env_id: str, environment: Any) -> list[str]:
    """What steps it, and whether it can be saved."""
    lines = [f"environment: {env_id} by {environment.backend}"]
    if reason := environment.inexact_because:
        lines.append(
            f"a resumed run begins new episodes: the environment cannot be saved ({reason})",
        )
    return lines


def resume_of(orchestrator: Any) -> dict[str, str]:
    """How a run resumes, for its capsule, where that is not exactly."""
    return {"resume": "with new episodes"} if orchestrator.environment.inexact_because else {}


def finish(run: OpenRun, reason: str | None) -> int:
    """Close the run's files, register its models, say what it left and what may be done next; the exit code."""
    from helpers.display.learning_curve import draw_curve

    config, orchestrator, folder = run.config, run.orchestrator, run.folder
    orchestrator.deadline.ignore_signals()
    orchestrator.progress.close()
    if config.profile and (table := profile(orchestrator.workers)):
        print(table)
    code = errors.STOPPED_EARLY if reason else errors.DONE
    if orchestrator.workers.is_root and orchestrator.iteration:
        print(f"curve: {draw_curve(folder, unit=config.settings['num_timesteps'].unit)}")
    orchestrator.tracker.upload(folder, [CONFIG_FILE, "checkpoints/best", "checkpoints/latest"])
    orchestrator.tracker.close(code)
    if orchestrator.workers.is_root:
        if orchestrator.is_done:
            note_end(folder, orchestrator.iteration)
        run_lock.release(folder)
        if run.publisher is not None:
            run.publisher.close(reason)
        if run.registers and not reason:
            training.register_finished(config, folder, iteration=orchestrator.iteration, say=print)
        closing_lines(folder, reason, orchestrator)
    return code


def card_line(folder: Path) -> str:
    """Write the card of a run, with what is heavy for that; the line that says so, or why not."""
    from reports.card import write

    return write.card_line(folder)


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
        if orchestrator.workers.is_root:
            run_lock.release(folder)
        raise stop.after(orchestrator.saved) from None
    finally:  # an error appears below the panel
        progress.close()
    return reason


def policy_files(config: RunConfig, checkpoints: Checkpoints, workers: Workers) -> PolicyFiles:
    """What writes a run's models for sharing, beside its checkpoints."""
    return PolicyFiles(checkpoints.folder, config=config, workers=workers)


def closing_lines(folder: Path, reason: str | None, orchestrator: Any) -> None:
    """What a run leaves beside its curve, and what may be done next."""
    if reason:
        at = f"after iteration {orchestrator.iteration} by {reason}"
        print(f"stopped {at}; the same command resumes it")
    workers = orchestrator.workers.size
    launcher = f"mpiexec -n {workers} " if workers > 1 else ""
    names = [each for each in ("best", "latest") if (folder / "checkpoints" / each).exists()]
    if not names:
        return
    run = shlex.quote(str(folder))
    print(card_line(folder))  # after the lock is released, which says that it trains
    print(f"checkpoints: {folder}/checkpoints ({', '.join(names)})")
    print(f"next: python main.py --task=eval --model_path={run} --iter_num={names[0]} --record")
    print(f"      python main.py --task=export --model_path={run} --iter_num={names[0]}")
    if len(list_checkpoints(folder / "checkpoints")) > 1:
        print(f"      {launcher}python main.py --task=verify_resume --model_path={run}")


def build(config: RunConfig, workers: Workers, *, demos: Demos | None = None, **parts: Any) -> Any:
    """The orchestrator of this worker's share of the run's environments; `demos` where they are read already."""
    from environments.factory import make_vector_env
    from orchestrator import Orchestrator
    from starting import check_shares

    streams, mine = Streams(config.seed), workers.share(config.num_envs)
    check_shares(config, workers)
    seeds = [streams.integer("training", i) for i in range(mine.start, mine.stop)]
    episodes = range(config.eval_episodes if config.eval_frequency else 0)
    test_seeds = [streams.integer("evaluation", i) for i in episodes[workers.share(len(episodes))]]
    make = partial(make_vector_env, config.env_id, **config.environment)
    environment = make(seeds=seeds)
    own: dict[str, Any] = {"streams": streams, "environments": mine, "demos": demos}
    agent = build_agent(config, environment, workers, **own)
    tests = make(seeds=test_seeds) if test_seeds else None
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
    imitates = hasattr(config, "expert_path")
    expected = expected_of(config.env_id, config.environment_options) if imitates else None
    return make_agent(
        config,
        observation_space=environment.single_observation_space,
        action_space=environment.single_action_space,
        workers=workers,
        streams=streams,
        environments=environments,
        expected=expected,
        demos=demos,
    )


def run() -> int:
    """The command `milozero`."""
    outlast_readers()
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
