"""What a run asks of its environment, its machine and its files, looked at before anything is started.

Nothing here imports torch: a refusal takes a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np

from agents.action_kinds import check_actions
from agents.algorithms import ALGORITHMS, SCHEMA
from agents.cloning.config import BCConfig, CloningConfig, DaggerConfig
from agents.cloning.expert import find_expert
from agents.common_settings import SMALLEST_PICTURE
from agents.demonstrations.dataset import check_batch
from agents.imitation.config import ImitationConfig
from agents.imitation.variants import MAADConfig
from agents.off_policy.core.config import ReplayConfig
from agents.replay.files import load_memories
from agents.replay.record_layout import (
    convert_columns,
    frame_shape,
    record_dtype,
    require_space,
)
from agents.replay.sum_tree import SumTree
from helpers import errors
from helpers.config.run import RunConfig
from helpers.demos.episode import Expected
from helpers.demos.load import Demos, read_demos, subsample_steps
from helpers.errors import ConfigurationError, UserError
from helpers.parallel.workers import Workers
from helpers.pictures import picture_of

MORE_DEMOS = "Record some: python main.py --task=eval --model_path=RUN --save_traj --num_trajs=16."
Spaces = tuple[gymnasium.Space, gymnasium.Space]


def check_run(
    config: RunConfig,
    spaces: Spaces | None,
    *,
    workers: Workers,
    is_new: bool,
    expected_of: Callable[..., Expected] | None = None,
) -> Demos | None:
    """Refuse a run that cannot begin; collective: the root looks, all workers learn the outcome.

    Args:
        config: the run's configuration.
        spaces: observations and actions; None if unknown until the environment exists; they are
            checked then.
        workers: all of the run.
        is_new: whether there is nothing to resume: only then is a memory imported.
        expected_of: what an environment, with its options, asks of demonstrations, for algorithms that take some.

    Returns:
        The demonstrations that the run learns from, on the root: it need not read them again.

    Raises:
        ConfigurationError: the actions are of a kind that the algorithm does not take; the memory is
            larger than what is free; what is to be imported is missing, damaged or of other form; an
            expert or its demonstrations cannot be learned from.
        CheckpointError: an expert cannot be trusted.
        StorageError: the folder of the memory cannot be written.
    """
    refusal, demos = None, None
    if workers.is_root:
        try:
            _check(config, spaces, workers=workers, is_new=is_new)
            if isinstance(config, CloningConfig | ImitationConfig):
                expected = None
                if expected_of:
                    expected = expected_of(config.env_id, config.environment_options)
                if isinstance(config, ImitationConfig):
                    unseen_numbers(config, expected)
                demos = read_demos(config, expected)
                check_demos(config, demos)
        except UserError as error:
            refusal = [type(error).__name__, error.problem, error.remedy]
    refusal = workers.broadcast_json(refusal)
    if refusal:
        kind, problem, remedy = refusal
        raise getattr(errors, kind)(problem, remedy)
    return demos


def unseen_numbers(config: ImitationConfig, expected: Expected | None) -> list[int]:
    """Which numbers of an observation a run's reward model does not see.

    Raises:
        ConfigurationError: the observation has no such group, or nothing is left of it.
    """
    if config.d_without is None:
        return []
    groups = expected.observation_groups if expected else {}
    unseen: set[int] = set()
    for name in config.d_without.split(","):
        if name not in groups:
            raise ConfigurationError(
                f"d_without={config.d_without}: the observations of env_id={config.env_id} have no group {name}.",
                (
                    f"There are {', '.join(groups)}."
                    if groups
                    else "They have no groups: omit --d_without."
                ),
            )
        unseen.update(groups[name])
    if len(unseen) == sum(map(len, groups.values())):
        raise ConfigurationError(
            f"d_without={config.d_without} leaves nothing for the discriminator to see.",
            f"Leave out fewer of {', '.join(groups)}.",
        )
    return sorted(unseen)


def check_pictures(config: RunConfig, space: gymnasium.Space) -> str:
    """Refuse observations that the algorithm's networks do not take; a note on pictures, or nothing.

    Raises:
        ConfigurationError: they are no pictures, where convolutions take them; or too small for these.
    """
    learner = config.learner_config if isinstance(config, ImitationConfig) else config
    picture = picture_of(space)
    if not learner.sees_pictures:
        if picture is None:
            return ""
        who = (
            "--perception_stack=nature_cnn sees it as it is"
            if getattr(config, "OF_PICTURES", None) is not None
            else f"algo={config.algo} has no networks of pictures; ppo and dqn do: --perception_stack=nature_cnn"
        )
        return f"warning: the picture {picture.found} is flattened into {picture.size:,} numbers; {who}"
    if isinstance(config, ImitationConfig):
        raise ConfigurationError(
            f"algo={config.algo} judges vectors, and its learner's stack takes pictures.",
            "Use --algo=ppo or --algo=dqn, or a perceptron: --p_perception_stack=mlp_256.",
        )
    if picture is None:
        raise ConfigurationError(
            f"env_id={config.env_id} has observations that are no pictures, and the network takes pictures alone.",
            "Use a perceptron: --perception_stack=mlp_64.",
        )
    if min(picture.height, picture.width) < SMALLEST_PICTURE:
        raise ConfigurationError(
            f"env_id={config.env_id} has pictures of {picture.height} x {picture.width}, and these convolutions take "
            f"{SMALLEST_PICTURE} x {SMALLEST_PICTURE} at least.",
            "Enlarge them: --resize=84, or use a perceptron: --perception_stack=mlp_64.",
        )
    return (
        f"pictures: {picture} (the environment's: {picture.found}), divided by 255 in the network; they are not "
        "normalized by statistics"
    )


def algorithms_for(space: gymnasium.Space) -> list[str]:
    """The algorithms that take a space of actions, as they are without further settings."""
    names = []
    for name in ALGORITHMS:
        try:
            check_actions(SCHEMA.resolve(SCHEMA.layer_of({"algo": name})).config, space)
        except ConfigurationError:
            continue
        names.append(name)
    return names


def record_of(config: ReplayConfig, spaces: Spaces) -> np.dtype:
    """A transition as this run's memory keeps it."""
    observations, actions = spaces
    number: np.dtype = np.dtype(config.precision)
    is_box = isinstance(actions, gymnasium.spaces.Box)
    action = (np.dtype(np.float32 if is_box else np.int64), actions.shape or ())
    size = int(np.prod(observations.shape or ()))
    shape: tuple[int, ...] = (size,)
    seen = number
    if config.sees_pictures:
        frames = config.frames_apart(picture_of(observations))
        seen, shape = np.dtype(np.uint8), frame_shape((size,), frames)
    return record_dtype(observation=(seen, shape), action=action, reward=number)


def check_demos(config: RunConfig, demos: Demos) -> None:
    """Refuse demonstrations that an imitation, bc or dagger cannot learn from.

    Raises:
        ConfigurationError: they are too few, or without the actions that it learns from or judges.
    """
    if isinstance(config, ImitationConfig):
        _check_imitated(config, demos)
        return
    for demo in demos.episodes:
        if demo.actions is None:
            raise ConfigurationError(
                f"{demo.source} has no actions, and algo={config.algo} learns from actions.",
                f"Give demonstrations with actions: --expert_path. {MORE_DEMOS}",
            )
    if isinstance(config, BCConfig):
        _check_enough(config, len(demos.episodes))


def missing_for_learners(demos: Demos) -> dict[str, str]:
    """What each algorithm that learns from demonstrations misses in these, with its default settings; else nothing."""
    found = {}
    for name, kind in ALGORITHMS.items():
        if issubclass(kind, CloningConfig | ImitationConfig):
            config: RunConfig = kind.model_validate({"algo": name})
            try:
                check_demos(config, demos)
            except ConfigurationError as error:
                found[name] = f"{error.problem} {error.remedy}"
            else:
                found[name] = ""
    return found


def _check_imitated(config: ImitationConfig, demos: Demos) -> None:
    judges_actions = not (config.state_only or config.state_state) or config.d_log_prob != "none"
    for demo in demos.episodes if judges_actions else ():
        if demo.actions is None:
            raise ConfigurationError(
                f"{demo.source} has no actions, and algo={config.algo} needs them.",
                "Use states only: --state_state or --state_only, and --d_log_prob=none with AIRL.",
            )
    kept = (
        demo.terminated[list(subsample_steps(config, index, demo.length))]
        for index, demo in zip(demos.indices, demos.episodes, strict=True)
    )
    if isinstance(config, MAADConfig) and config.wrap_absorb and all(ends.all() for ends in kept):
        raise ConfigurationError(
            f"No kept step of {config.expert_path} leads to another state of the task, and algo=maad learns actions "
            "from such steps.",
            "Keep more steps: --no-expert_demo_subsample, or more demonstrations: --num_demos.",
        )


def _check(config: RunConfig, spaces: Spaces | None, *, workers: Workers, is_new: bool) -> None:
    if spaces is not None:
        check_actions(config, spaces[1])
        check_pictures(config, spaces[0])
    if isinstance(config, CloningConfig):
        check_batch(config.batch_size, workers)
    if isinstance(config, DaggerConfig):
        source = find_expert(config, SCHEMA.load_config)
        if spaces is not None:
            source.check_sizes(spaces)
    config = config.learner_config if isinstance(config, ImitationConfig) else config
    if not isinstance(config, ReplayConfig):
        return
    rows = config.mem_size // config.num_envs
    if spaces is not None:
        own = len(range(config.num_envs)[workers.share(config.num_envs)])
        require_space(
            rows,
            own,
            record_of(config, spaces),
            folder=Path(config.memory_folder) if config.memory_folder else None,
            beside=SumTree.bytes_for(rows, own) if config.priority_exponent > 0 else 0,
            workers_here=workers.size,
        )
    if config.memory_import and is_new:
        columns = load_memories(config.memory_import, num_envs=config.num_envs)
        if spaces is not None:
            convert_columns(
                columns,
                slice(None),
                record_of(config, spaces),
                (rows, config.num_envs),
            )


def _check_enough(config: BCConfig, count: int) -> None:
    if not count:
        raise ConfigurationError(
            "algo=bc learns only from demonstrations, and num_demos=0 gives none.",
            f"Give --num_demos=1 or more, or omit it. {MORE_DEMOS}",
        )
    if config.held_out_demos >= count:
        raise ConfigurationError(
            f"held_out_demos={config.held_out_demos} of {count} demonstrations leaves none for training.",
            f"Hold out fewer: --held_out_demos={count - 1}, or use more: "
            f"--num_demos={config.held_out_demos + 1}.",
        )
