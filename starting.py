"""What is looked at before a run starts: whether it can work, which files it reads, what it compares with."""

from __future__ import annotations

from pathlib import Path

from agents.checks import check_run
from agents.inputs import algorithm_inputs
from environments.expected import expected_of
from environments.factory import make_vector_env
from environments.inputs.environment import environment_inputs
from environments.requirements import check_environment
from environments.sizes import spaces_of
from helpers import errors
from helpers.checkpoints.manifests import list_checkpoints
from helpers.config.run import RunConfig
from helpers.demos.expert_reference import expert_figures
from helpers.demos.load import Demos
from helpers.episodes import random_figures
from helpers.parallel.workers import Workers
from helpers.run_folder import references
from helpers.run_folder.changes import Start
from helpers.run_folder.inputs import Input, digest_of
from helpers.seeding import Streams


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
    saved = list_checkpoints(Path(config.runs_dir).expanduser() / name / "checkpoints")
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
    return demos, Start(inputs, saved[0][0] if saved else None, overridden)


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
    """Once a run that imitates: what its returns are compared with, and lines that tell it; where `demos` are."""
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
