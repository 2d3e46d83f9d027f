"""--task=migrate: weights of Stable-Baselines3, CleanRL or rl_games become a run, its outputs shown to be equal.

What is brought in: the networks, slow ones included, the moments that observations and values are standardised by,
and SAC's temperature. What is not: optimisers, memories and counters, which begin afresh.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import gymnasium
import numpy as np
from torch import Tensor

from agents.common_settings import Activation
from agents.weights.migration.check import Rebuilt, compare
from agents.weights.migration.cleanrl import environment_of
from agents.weights.migration.conversions import (
    let_critics_take_scaled_actions,
    scale_of,
    stretch,
    translate_deviations,
)
from agents.weights.migration.foreign_files import Foreign, read_foreign
from agents.weights.migration.moments import NONE, read_moments
from agents.weights.migration.names import (
    Mapped,
    layers_of,
    map_names,
    shorten,
    slots_of,
    stacks_of,
)
from agents.weights.migration.notes import closing_lines, notes
from helpers.checkpoints.store import Checkpoints
from helpers.config.run import RunConfig
from helpers.config.schema import (
    SHORTHANDS,
    Parsed,
    Schema,
    defaults_of,
    former_names_of,
    identity_of,
)
from helpers.config.settings import settings_of
from helpers.data_root import place
from helpers.display.progress import Progress
from helpers.errors import DONE, ConfigurationError
from helpers.parallel.deadline import Deadline
from helpers.parallel.workers import Workers
from helpers.run_folder import run_lock
from helpers.run_folder.experiment import CONFIG_FILE, ExperimentInitializer, run_name

VEC_NORMALIZE = "vecnormalize.pkl"
SUPPORTED = ("ppo", "sac", "td3", "ddpg", "dqn")


def import_weights(
    schema: Schema,
    parsed: Parsed,
    workers: Workers,
    *,
    argv: Sequence[str],
    build: Callable[..., Any],
    policy_files: Callable[..., Any],
    resolve_env_id: Callable[[str], str],
) -> int:
    """Read a file, fill an agent, compare, write a run folder; collective.

    Args:
        schema: validates what the file asks for together with what the command line says.
        parsed: the command line.
        workers: as many as will train on.
        argv: the command line, for the capsule.
        build: makes an orchestrator.
        policy_files: makes what writes the models for sharing.
        resolve_env_id: the canonical environment id.
    """
    parsed, foreign = read(schema, parsed)
    config = make_config(schema, parsed, foreign)
    config = config.model_copy(update={"env_id": resolve_env_id(config.env_id)})
    refuse_existing(config, workers)
    orchestrator = build(
        config,
        workers,
        checkpoints=None,
        tracker=_Silent(),
        progress=Progress("none", is_root=workers.is_root, total_steps=config.num_timesteps),
        deadline=Deadline(workers=workers),
    )
    agent, space = orchestrator.agent, orchestrator.environment.single_action_space
    found, scale = fill(agent, foreign, parsed.config, space)
    rebuilt = Rebuilt(foreign, found.names, algo=config.algo, scale=scale)
    (observation_dim,) = orchestrator.environment.single_observation_space.shape
    differences = compare(rebuilt, agent, observation_dim=observation_dim, action_space=space)
    experiment = ExperimentInitializer(config, workers, argv=argv)
    orchestrator.checkpoints = Checkpoints(
        experiment.folder / "checkpoints",
        workers=workers,
        keep=config.keep_checkpoints,
        identity=identity_of(config),
        defaults=defaults_of(config),
        former=former_names_of(config),
    )
    orchestrator.save(best=True)
    if workers.is_root:
        sharing = policy_files(config, orchestrator.checkpoints, workers)
        files = sharing.write(0, agent)
        sharing.sync()
        run_lock.release(experiment.folder)
        lines = [*parsed.warnings, f"{foreign.program}, {config.algo}: {foreign.path}"]
        lines += [f"  {ours} <- {theirs}" for ours, theirs in found.names.items()]
        lines.append("largest difference to its networks in plain torch, over 1000 observations:")
        lines += [f"  {each}" for each in differences]
        lines += [f"note: {each}" for each in notes(rebuilt, agent, found, observation_dim)]
        lines += closing_lines(config, experiment.folder, files, workers)
        print("\n".join(lines))
    return DONE


class _Silent:
    """A tracker that has nothing to show: nothing is trained."""

    def log(self, row: Mapping[str, Any]) -> None:
        """No row comes."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """No scalar comes."""

    def sync(self) -> None:
        """Nothing is written."""


# Before any simulator starts


def read(schema: Schema, parsed: Parsed) -> tuple[Parsed, Foreign]:
    """The file that the command line names, and the command line with what the file says.

    Raises:
        ConfigurationError: no file or algorithm is named, or another one than the file's.
        CheckpointError: the file cannot be read.
    """
    config = parsed.config
    if not config.migrate_from:
        raise ConfigurationError(
            "--task=migrate needs a file to import.",
            "Give it: --migrate_from=model.zip (Stable-Baselines3), x.cleanrl_model or model.pth (rl_games).",
        )
    foreign = read_foreign(Path(config.migrate_from).expanduser())
    options = " or ".join(f"--algo={algo}" for algo in foreign.algorithms or SUPPORTED)
    said: dict[str, Any] = {}
    if "algo" not in parsed.given:
        if len(foreign.algorithms) != 1:
            raise ConfigurationError("--task=migrate needs the algorithm.", f"Give {options}.")
        said["algo"] = foreign.algorithms[0]
    environment = environment_of(foreign.path) if foreign.program == "CleanRL" else None
    if environment and "env_id" not in parsed.given:
        said["env_id"] = environment
    parsed = schema.resolve(schema.layer_of(said), parsed.layer)
    config = parsed.config
    if config.algo not in (foreign.algorithms or SUPPORTED):
        raise ConfigurationError(f"{foreign.path} is not of {config.algo}.", f"Give {options}.")
    if foreign.program == "another program" and not config.migrate_names:
        raise ConfigurationError(
            f"{foreign.path} has no a2c_network: of rl_games, only PPO's names are known.",
            "Map its weights: --migrate_names=OURS=THEIRS,... "
            f"(it has {shorten(list(foreign.weights))}).",
        )
    foreign = _with_activation(foreign, config)
    _refuse_forgotten_moments(foreign, config)
    if config.migrate_moments and config.migrate_moments != NONE:
        if foreign.observations is not None:
            raise ConfigurationError(
                f"{foreign.path} contains statistics; --migrate_moments={config.migrate_moments} are others.",
                "Omit --migrate_moments.",
            )
        foreign = replace(
            foreign,
            observations=read_moments(Path(config.migrate_moments).expanduser()),
        )
    return parsed, foreign


def _refuse_forgotten_moments(foreign: Foreign, config: RunConfig) -> None:
    """A VecNormalize that lies where Stable-Baselines3 and RL Zoo write it belongs to the model."""
    path = foreign.path
    places = (path.parent / VEC_NORMALIZE, path.with_suffix("") / VEC_NORMALIZE)
    beside = next((each for each in places if each.is_file()), None)
    if foreign.program == "Stable-Baselines3" and beside and not config.migrate_moments:
        raise ConfigurationError(
            f"{beside} lies beside {path.name}: its policy may take normalized observations.",
            f"Give --migrate_moments={beside}; or --migrate_moments={NONE} if it takes them raw.",
        )


def _with_activation(foreign: Foreign, config: RunConfig) -> Foreign:
    known, said = get_args(Activation), config.migrate_activation
    if foreign.activation is None and said is None:
        raise ConfigurationError(
            f"{foreign.path} does not contain its activation function.",
            f"Look it up in the training code, and give --migrate_activation={'|'.join(known)}; "
            "another one cannot be brought in.",
        )
    if said and foreign.activation not in (None, said):
        raise ConfigurationError(
            f"--migrate_activation={said}, but {foreign.path} says {foreign.activation}.",
            "Omit --migrate_activation.",
        )
    theirs = foreign.activation or said
    if theirs not in known:
        raise ConfigurationError(
            f"{foreign.path} has the activation {theirs}; ours are {', '.join(known)}.",
            "Only networks with one of these can be brought in: train it with one.",
        )
    return replace(foreign, activation=theirs, activation_is_said=foreign.activation is None)


def make_config(schema: Schema, parsed: Parsed, foreign: Foreign) -> Any:
    """The configuration of the run: the file's architecture where the command line says nothing.

    Raises:
        ConfigurationError: the command line says something that the file is not.
    """
    algo, has_moments = parsed.config.algo, foreign.observations is not None
    kind = type(parsed.config)
    switches = [key for key in settings_of(kind) if key.endswith("_batch_norm")]
    asked: dict[str, Any] = stacks_of(foreign, algo) | dict.fromkeys(switches, has_moments)
    asked["activation"] = foreign.activation
    if algo == "ppo":
        asked["normalize_values"] = foreign.values is not None
        value = layers_of(foreign, algo).get("value")
        if foreign.program == "rl_games" and value:
            asked["shared_value"] = not any("critic_mlp" in layer for layer in value)
    config: Any = schema.resolve(schema.layer_of(asked), parsed.layer).config
    for key in switches:
        if getattr(config, key) != has_moments:
            problem = (
                "has no normalizer statistics"
                if not has_moments
                else "takes normalized observations"
            )
            raise ConfigurationError(
                f"{key}={str(not has_moments).lower()}, but {foreign.path} {problem}.",
                f"Omit --{key}"
                + (
                    "."
                    if has_moments
                    else ", or give the statistics: --migrate_moments=moments.npz."
                ),
            )
    for key in filter(SHORTHANDS["activation"].fullmatch, settings_of(kind)):
        if getattr(config, key) != foreign.activation:
            raise ConfigurationError(
                f"{key}={getattr(config, key)}, but {foreign.path} has {foreign.activation}.",
                f"Omit --{key}; --migrate_activation says what the file does not.",
            )
    if config.layer_norm:
        raise ConfigurationError(
            f"layer_norm=true, but {foreign.path} has none.",
            "Omit --layer_norm.",
        )
    defaults = {
        key: kind.model_fields[key].default for key in settings_of(kind) if "migrate_" in key
    }
    if config.uuid is None:
        digest = hashlib.sha256(foreign.path.read_bytes()).hexdigest()[:8]
        name = re.sub(r"[^\w-]", "_", config.env_id, flags=re.ASCII)
        defaults["uuid"] = f"migrated_{digest}.{algo}.{name}.seed{config.seed:02d}"
    return config.model_copy(update={**defaults, "task": "train"})


def refuse_existing(config: RunConfig, workers: Workers) -> None:
    """A run that is there already is not replaced.

    Raises:
        ConfigurationError: it is; on every worker.
    """
    folder = place(config.runs_dir, config.data_root) / run_name(config)
    if workers.broadcast_json((folder / CONFIG_FILE).exists() if workers.is_root else None):
        raise ConfigurationError(
            f"{folder} is an existing run, which would be overwritten.",
            "Choose another --uuid or --runs_dir.",
        )


# Filling


def fill(
    agent: Any,
    foreign: Foreign,
    asked: RunConfig,
    space: gymnasium.Space,
) -> tuple[Mapped, tuple[np.ndarray, np.ndarray] | None]:
    """Let an agent have the file's weights and moments.

    Returns:
        Which name became which, and (center, half) of the actions where they are stretched.

    Raises:
        ConfigurationError: the architectures differ, or the names are ambiguous.
    """
    config = agent.config
    models = {name: model.state_dict() for name, model in agent.models().items()}
    slots = slots_of(config.algo, models)
    found = map_names(
        foreign,
        config.algo,
        slots,
        given=asked.migrate_names,
        auto=asked.migrate_auto,
    )
    for ours, theirs in found.names.items():
        slots[ours].copy_(foreign.weights[theirs])
    for ours in found.copied:
        slots[ours].copy_(slots[ours.removeprefix("target_")])
    scale = scale_of(config.algo, foreign, space)
    if scale is not None and foreign.program == "CleanRL":
        let_critics_take_scaled_actions(slots, scale)
    if config.algo == "sac" and foreign.program == "Stable-Baselines3":
        translate_deviations(slots, (config.log_std_min, config.log_std_max))
    if config.algo == "ppo" and scale is not None:
        stretch(models["policy"], scale)
    state = agent.state_dict()
    if config.algo == "ppo":
        del state["actions"]  # theirs are as the environment takes them, or were stretched above
    if config.algo == "sac" and foreign.temperature is not None:
        log = math.log(max(foreign.temperature, 1e-8))
        state["parameters"]["temperature.log_value"].fill_(log)
    if foreign.observations is not None:
        _check_length(foreign, slots)
        state["observations"] = foreign.observations.state()
    if foreign.values is not None and config.normalize_values:
        state["returns"] = foreign.values.state()
    agent.load_state_dict(state)
    return found, scale


def _check_length(foreign: Foreign, slots: Mapping[str, Tensor]) -> None:
    assert foreign.observations is not None
    moments = foreign.observations.mean.shape
    inputs = next(iter(t for name, t in slots.items() if name.endswith(".0.weight"))).shape[1:]
    if moments != tuple(inputs):
        raise ConfigurationError(
            f"The statistics have length {moments}, the observations have {tuple(inputs)}.",
            "Give the statistics of this environment.",
        )
