"""--task=export: a policy leaves its run as a folder that needs nothing of this project.

The policy is evaluated as --task=eval evaluates it. The package's actions are compared with the agent's at 1,000
observations of these episodes; where they differ by more than 1e-5, nothing is written.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from safetensors.torch import save_file

from agents.base import Agent
from agents.nn.models import PolicyModel
from agents.weights.architecture import NOISE, Architecture, Network
from agents.weights.describe import describe
from environments.factory import make_vector_env
from environments.inputs.environment import changes_of
from helpers.checkpoints import manifests
from helpers.checkpoints.policy_files import POLICIES
from helpers.checkpoints.resolve import read_shared
from helpers.config.run import RunConfig
from helpers.config.schema import Parsed, Schema
from helpers.display.learning_curve import draw_curve
from helpers.durable import remove_folder, rename, temporary_name
from helpers.episodes import choice_sizes, clip_actions, first_choices
from helpers.errors import DONE, CheckpointError, ConfigurationError, StorageError
from helpers.parallel.workers import Workers
from helpers.run_folder.experiment import CAPSULE_FILE, CONFIG_FILE
from helpers.seeding import Streams
from helpers.trackers.jsonl import read_metrics
from registry.package import contract
from registry.package.card import card_of
from registry.package.evaluation import OBSERVATIONS, Evaluated, agent_in, evaluate
from registry.package.interface import interface_of
from registry.package.onnx_file import IR_VERSION, OPSET, OnnxModel, write_onnx

LARGEST_DIFFERENCE = 1e-5


def export(
    schema: Schema,
    parsed: Parsed,
    workers: Workers,
    *,
    find_run: Callable[[RunConfig, Workers], tuple[Path, Path]],
) -> int:
    """Export the checkpoint that the command line names; the root alone works.

    Args:
        schema: reads the run's saved configuration.
        parsed: what the command line asks for.
        workers: of the job.
        find_run: (run folder, checkpoint) of a configuration.
    """
    folder, checkpoint = find_run(parsed.config, workers)
    trained = schema.load_config(folder / CONFIG_FILE)
    adopted = schema.adopt(trained, parsed)
    if not workers.is_root:
        return DONE
    config: RunConfig = adopted.config
    for line in adopted.warnings:
        print(f"warning: {line}")
    for line in changes_of(folder, trained, config):
        print(line)
    target = Path(config.export_dir).expanduser() if config.export_dir else None
    made = export_checkpoint(config, folder, checkpoint, target=target)
    found = contract.read_contract(made)
    scores = found["evaluation"]
    print(
        f"return {scores['return_mean']:,.2f} +- {scores['return_sd']:,.2f} over {scores['episodes']} episodes; "
        f"largest difference between package and agent over {found['check']['observations']} observations: "
        f"{found['check']['largest_difference']:.1e}",
    )
    print(f"package: {made} ({', '.join(sorted([*found['files'], contract.CONTRACT]))})")
    print(f"next: read {shlex.quote(str(made / contract.CARD))}, whose program acts with it")
    print(f"      python -m registry register checkpoint_path={shlex.quote(str(checkpoint))}")
    return DONE


def export_checkpoint(
    config: RunConfig,
    run: Path,
    checkpoint: Path,
    *,
    target: Path | None = None,
) -> Path:
    """Write the package of a checkpoint; its folder.

    Args:
        config: of the run; `num_trajs` episodes are evaluated, `deterministic` or not.
        run: the run folder.
        checkpoint: in it.
        target: the folder to write; in the run folder where it is not given.

    Raises:
        ConfigurationError: the target exists, or the policy has a layer that is not known.
        CheckpointError: the package does not act as the agent does.
        StorageError: it cannot be written.
    """
    kind = "" if config.deterministic else "_sampled"
    target = target or run / contract.PACKAGES / f"{checkpoint.resolve().name}{kind}"
    if target.exists():
        raise ConfigurationError(
            f"{target} exists already.",
            "Choose another --export_dir, or move that folder away.",
        )
    iteration, shared, manifest = read_shared(checkpoint)
    agent, evaluated = evaluate(config, shared["agent"])
    model = policy_model(agent)
    bounds = None
    if isinstance(evaluated.space, gymnasium.spaces.Box):
        bounds = evaluated.space.low, evaluated.space.high
    network = Network(
        describe(
            model,
            observations=evaluated.observations.shape[1],
            bounds=bounds,
            sampled=not config.deterministic,
        ),
    )
    content = {
        "environment": evaluated.environment,
        **interface_of(
            network.architecture,
            seen=evaluated.seen,
            space=evaluated.space,
            names=evaluated.names,
            action_shape=evaluated.environment.pop("action_shape"),
        ),
        "policy": {
            "algorithm": config.algo,
            "actions": "deterministic" if config.deterministic else "sampled",
            "iteration": iteration,
            "step": step_of(run, iteration),
            "step_unit": config.settings["num_timesteps"].unit,
            "sha256": manifest["files"][manifests.SHARED]["sha256"],
        },
        "run": origin_of(run, config),
        "evaluation": evaluated.figures,
        "onnx": {"opset": OPSET, "ir_version": IR_VERSION},
    }
    staging = target.with_name(temporary_name())
    try:
        staging.mkdir(parents=True)
        write_files(staging, run, network, agent, model, evaluated, content)
        rename(staging, target)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}.",
            "Free space or fix permissions there, or choose another --export_dir.",
        ) from error
    finally:
        if staging.exists():
            remove_folder(staging)
    return target


def write_model(
    folder: Path,
    name: str,
    config: RunConfig,
    run: Path,
    checkpoint: Path,
) -> Path:
    """Write another model of a checkpoint than its policy: a critic or a target network; its folder.

    Args:
        folder: to write; it does not exist.
        name: one of `agent.models()`.
        config: of the run.
        run, checkpoint: the run folder, and the checkpoint in it.

    Raises:
        CheckpointError: its ONNX file gives other numbers than the agent's model.
    """
    iteration, shared, manifest = read_shared(checkpoint)
    config = config.model_copy(update={"num_trajs": 1})
    environment = make_vector_env(config.env_id, seeds=[0], options=config.environment_options)
    agent = agent_in(config, environment, Streams(config.seed))
    agent.load_state_dict(shared["agent"])
    (size,), space = environment.single_observation_space.shape, environment.single_action_space
    environment.close()
    model = agent.models()[name]
    bounds = (space.low, space.high) if isinstance(space, gymnasium.spaces.Box) else None
    network = Network(describe(model, observations=size, bounds=bounds))
    output = "action" if isinstance(model, PolicyModel) else "value"
    folder.mkdir(parents=True)
    write_onnx(network, folder / f"{name}.onnx", output=output)
    write_tensors(folder, network.architecture, weights=f"{name}.safetensors")
    generator = np.random.default_rng(0)
    inputs = [
        torch.from_numpy(generator.standard_normal((OBSERVATIONS, each))).to(network.dtype)
        for each in network.architecture.sizes.values()
    ]
    with torch.no_grad():
        wanted = model(*inputs).numpy()
    found = OnnxModel(folder / f"{name}.onnx")([each.numpy() for each in inputs])
    scale = max(1.0, float(np.abs(wanted).max()))
    difference = float(np.abs(found - wanted).max()) / scale
    if not difference <= LARGEST_DIFFERENCE:
        raise _difference_error(name, difference)
    content = {
        "model": name,
        "inputs": {
            key: {"shape": [each], "dtype": network.architecture.dtype}
            for key, each in network.architecture.sizes.items()
        },
        "output": output,
        "noise": None,
        "run": origin_of(run, config),
        "policy": {"iteration": iteration, "sha256": manifest["files"][manifests.SHARED]["sha256"]},
        "check": {"observations": OBSERVATIONS, "largest_difference": difference},
    }
    contract.write_contract(folder, content)
    return folder


def write_tensors(folder: Path, architecture: Architecture, *, weights: str) -> None:
    """Write the tensors of a model, and its layers."""
    tensors = {name: each.contiguous() for name, each in architecture.tensors.items()}
    save_file(tensors, folder / weights)
    text = json.dumps(architecture.to_json(), indent=1)
    (folder / contract.ARCHITECTURE).write_text(text + "\n", encoding="utf-8")


def _difference_error(name: str, difference: float) -> CheckpointError:
    return CheckpointError(
        f"The exported {name} differs from the agent's by {difference:.1e}, more than {LARGEST_DIFFERENCE:.0e}.",
        "Nothing is written; please report it: a layer is exported wrongly.",
    )


def write_files(
    folder: Path,
    run: Path,
    network: Network,
    agent: Agent,
    model: PolicyModel,
    evaluated: Evaluated,
    content: dict[str, Any],
) -> None:
    """The files of a package, once they are found to act as the agent does.

    Raises:
        CheckpointError: they do not.
    """
    write_onnx(network, folder / contract.POLICY, output="action")
    write_tensors(folder, network.architecture, weights=contract.WEIGHTS)
    difference, inputs, actions = compare(
        network,
        OnnxModel(folder / contract.POLICY),
        agent,
        model,
        evaluated,
    )
    kept = {"action": torch.from_numpy(np.ascontiguousarray(actions))}
    save_file(inputs | kept, folder / contract.CHECK)
    content["check"] = {"observations": len(actions), "largest_difference": difference}
    has_curve = (run / "metrics.jsonl").exists()
    if has_curve:
        shutil.copyfile(
            draw_curve(run, unit=content["policy"]["step_unit"]),
            folder / contract.CURVE,
        )
    is_flat = content["environment"].pop("is_flat")
    card = card_of(content, is_flat=is_flat, has_curve=has_curve)
    (folder / contract.CARD).write_text(card, encoding="utf-8")
    contract.write_contract(folder, content)


def policy_model(agent: Agent) -> PolicyModel:
    """The model of an agent that chooses its actions."""
    models = agent.models()
    found: PolicyModel = next(models[name] for name in POLICIES if name in models)
    return found


def compare(
    network: Network,
    onnx: OnnxModel,
    agent: Agent,
    model: PolicyModel,
    evaluated: Evaluated,
) -> tuple[float, dict[str, torch.Tensor], np.ndarray]:
    """(largest difference between the package's actions and the agent's, the inputs, the agent's actions).

    Of discrete actions, where two differ, it is by how much the agent prefers its own.

    Raises:
        CheckpointError: it is too large.
    """
    dtype = network.architecture.dtype
    inputs = {"observation": torch.from_numpy(evaluated.observations.astype(dtype))}
    kind = network.architecture.noise
    with torch.no_grad():
        if kind is None:
            acted = agent.predict(evaluated.observations, explore=False)[0]
        else:
            size = len(evaluated.observations), network.architecture.sizes[NOISE]
            noise = contract.draw_noise(kind, size, np.random.default_rng(0)).astype(dtype)
            inputs[NOISE] = torch.from_numpy(noise)
            acted = model(inputs["observation"], inputs[NOISE]).numpy()
        actions = clip_actions(acted, evaluated.space)
        given = list(inputs.values())
        found = onnx([each.numpy() for each in given]), network(*given).numpy()
        outputs = model.outputs(inputs["observation"]).numpy()
    if kind == "gumbel":
        outputs = outputs + inputs[NOISE].numpy()
    largest = max(_difference(each, actions, outputs, evaluated.space) for each in found)
    if not largest <= LARGEST_DIFFERENCE:
        raise _difference_error("policy", largest)
    return largest, inputs, actions


def _difference(
    found: np.ndarray,
    actions: np.ndarray,
    outputs: np.ndarray,
    space: gymnasium.Space,
) -> float:
    if found.shape != actions.shape or found.dtype != actions.dtype:
        return float("inf")
    if actions.dtype.kind != "i":
        return float(np.abs(found - actions).max())
    sizes = choice_sizes(space)
    before = np.cumsum([0, *sizes[:-1]]) - np.array(first_choices(space))
    columns = [each.reshape(-1, len(sizes)) + before for each in (actions, found)]
    ours, theirs = (np.take_along_axis(outputs, each, axis=1) for each in columns)
    return float(np.abs(ours - theirs).max())


def origin_of(run: Path, config: RunConfig) -> dict[str, Any]:
    """Name, seed, group and commit of a run."""
    try:
        capsule = json.loads((run / CAPSULE_FILE).read_text(encoding="utf-8"))
        commit, group = capsule["starts"][-1]["commit"], capsule["group"]
    except (OSError, ValueError, LookupError, TypeError):
        commit = group = None
    return {"name": run.resolve().name, "group": group, "seed": config.seed, "commit": commit}


def step_of(run: Path, iteration: int) -> int:
    """Steps until a checkpoint, by the run's metrics; 0 where it has none."""
    try:
        rows: Sequence[Mapping[str, Any]] = read_metrics(run / "metrics.jsonl")
    except StorageError:
        return 0
    return max((int(row["step"]) for row in rows if row["iteration"] <= iteration), default=0)
