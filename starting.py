"""What is looked at before a run starts: whether it can work, which files it reads, what it compares with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from agents.checks import check_run
from agents.factory import make_agent
from agents.inputs import algorithm_inputs
from agents.weights.sources import Source, find_file, open_source
from agents.weights.warm_start import Taken, warm_start
from environments.expected import expected_of
from environments.factory import make_vector_env
from environments.inputs.environment import environment_inputs
from environments.requirements import check_environment
from environments.sizes import spaces_of
from helpers import errors
from helpers.checkpoints.manifests import list_checkpoints
from helpers.config.run import RunConfig
from helpers.data_root import place
from helpers.demos.expert_reference import expert_figures
from helpers.demos.load import Demos
from helpers.episodes import random_figures
from helpers.parallel.workers import Workers
from helpers.run_folder import references
from helpers.run_folder.changes import Start
from helpers.run_folder.inputs import INIT, Input, digest_of, read_inputs
from helpers.seeding import Streams
from helpers.trackers.checks import check_trackers


def check_start(
    config: RunConfig,
    workers: Workers,
    *,
    name: str,
    overridden: frozenset[str],
) -> tuple[Demos | None, Start]:
    """Refuse what cannot work before a simulator is started or a folder is made; collective.

    Returns:
        The demonstrations that the run learns from, on the root, None elsewhere; and what this start brings along.
    """
    check_shares(config, workers)
    on_root(workers, partial(check_trackers, config))
    saved = list_checkpoints(place(config.runs_dir, config.data_root) / name / "checkpoints")
    check_environment(config.env_id, config.environment_options)
    spaces = spaces_of(config.env_id, config.environment_options)
    demos = check_run(
        config,
        spaces,
        workers=workers,
        is_new=not saved,
        expected_of=expected_of,
    )
    inputs = inputs_of(config, workers, is_new=not saved)
    lineage = None
    if config.init_from:
        inputs += init_input(config, is_new=not saved) if workers.is_root else []
        lineage = None if saved else try_warm_start(config, spaces, workers)
    return demos, Start(inputs, saved[0][0] if saved else None, overridden, lineage)


def on_root(workers: Workers, check: Callable[[], None]) -> None:
    """Let the root look at something for all; collective.

    Raises:
        UserError: as it raised it, on every worker.
    """
    refusal = None
    if workers.is_root:
        try:
            check()
        except errors.UserError as error:
            refusal = [type(error).__name__, error.problem, error.remedy]
    refusal = workers.broadcast_json(refusal)
    if refusal:
        raise getattr(errors, refusal[0])(*refusal[1:])


def init_input(config: RunConfig, *, is_new: bool) -> list[Input]:
    """The file that a run begins with; a resumed run does not need it."""
    try:
        file = find_file(str(config.init_from), config.init_iter_num)
    except errors.CheckpointError:
        if is_new:
            raise
        return []
    return read_inputs(INIT, [file], file.parent)


def try_warm_start(
    config: RunConfig,
    spaces: Any,
    workers: Workers,
) -> dict[str, Any]:
    """Try --init_from with an agent for that alone, on the root; collective.

    Returns:
        The run's lineage: the file, its sha256, where it comes from, and what is taken of it.

    Raises:
        ConfigurationError, CheckpointError: it does not fit this run; on every worker.
    """
    found: dict[str, Any] = {}
    if workers.is_root:
        try:
            (file,) = init_input(config, is_new=True)
            if spaces is None:
                environment = make_vector_env(
                    config.env_id,
                    seeds=[0],
                    options=config.environment_options,
                )
                spaces = environment.single_observation_space, environment.single_action_space
                environment.close()
            agent = make_agent(
                config.model_copy(update={"task": "eval"}),
                observation_space=spaces[0],
                action_space=spaces[1],
                workers=Workers.solo(),
                streams=Streams(config.seed),
                environments=slice(0, 1),
                unseen=[],
            )
            taken, source = begin_with(
                agent,
                config.model_copy(update={"init_from": file.path}),
                spaces,
            )
            line = taken.line(source)
            place = {"init_from": config.init_from, "file": file.path, "sha256": file.sha256}
            found = {"lineage": {**place, **source.origin, "taken": line}}
        except errors.UserError as error:
            found = {"error": type(error).__name__, "words": [error.problem, error.remedy]}
    found = workers.broadcast_json(found)
    if "error" in found:
        raise getattr(errors, found["error"])(*found["words"])
    lineage: dict[str, Any] = found["lineage"]
    return lineage


def begin_with(agent: Any, config: RunConfig, spaces: Any) -> tuple[Taken, Source]:
    """Let an agent begin with what --init_from names."""

    def space_of(env_id: str) -> Any:
        known = spaces_of(env_id)
        return known and known[1]

    wanted = str(config.init_from), config.init_iter_num
    source = open_source(*wanted, space=spaces[1], space_of=space_of)
    return warm_start(agent, source, observations=spaces[0].shape[0]), source


def inputs_of(config: RunConfig, workers: Workers, *, is_new: bool = False) -> list[Input]:
    """The files that a run reads, hashed: on the root all, elsewhere the environment's, which must be the same.

    Raises:
        ConfigurationError: a file cannot be read, or a worker reads another one than the root.
    """
    found = environment_inputs(config.env_id, config.environment_options)
    digests = workers.allgather_json(digest_of(found))
    for rank, each in enumerate(digests):
        differing = sorted(n for n in each | digests[0] if each.get(n) != digests[0].get(n))
        if differing:
            raise errors.ConfigurationError(
                f"Worker {rank} reads another {differing[0]} than worker 0.",
                "Give all hosts the same files: a folder that they share.",
            )
    return found + algorithm_inputs(config, is_new=is_new) if workers.is_root else found


def check_shares(config: RunConfig, workers: Workers) -> None:
    """Refuse more workers than there are environments."""
    if config.num_envs < workers.size:
        raise errors.ConfigurationError(
            f"num_envs={config.num_envs} is less than the {workers.size} workers.",
            f"Give each worker an environment: --num_envs={workers.size}, or start fewer workers.",
        )


def note_references(config: RunConfig, folder: Path, demos: Demos | None) -> list[str]:
    """Once a run that imitates: what its returns are compared with, and lines that say so; where `demos` are."""
    if demos is None:
        return []
    if not (folder / references.FILE).exists():
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
