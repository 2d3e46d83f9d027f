"""`evaluations.npz` of Stable-Baselines3's EvalCallback, and what RL Zoo writes beside it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from helpers.errors import ConfigurationError
from reports.foreign.runs import Found, words_of
from reports.series import Source

FILE = "evaluations.npz"
_ARGUMENTS, _SETTINGS = "*/args.yml", "config.yml"  # below the folder, as RL Zoo lays them


def read_run(folder: Path, source: Source | None) -> Found:
    """The run whose evaluations lie in a folder.

    Args:
        folder: of the file.
        source: which returns were asked for; of training there are none here.

    Raises:
        ConfigurationError: the file or RL Zoo's settings cannot be read.
    """
    steps, returns = _evaluations(folder / FILE)
    arguments = next(iter(sorted(folder.glob(_ARGUMENTS))), None)
    told = {} if arguments is None else _scalars(arguments)
    settings = {} if arguments is None else _scalars(arguments.with_name(_SETTINGS))
    words = words_of(folder)
    planned = settings.pop("n_timesteps", None)
    if (told.get("n_timesteps") or "-1")[0] != "-":
        planned = told["n_timesteps"]
    seed = told.get("seed")
    library = "RL Zoo" if told else "Stable-Baselines3"
    kept = slice(0) if source == "training" else slice(None)
    return Found(
        place=folder,
        library=library,
        group=f"{'RL Zoo' if told else 'SB3'}: {told.get('algo') or words.name or 'runs'}",
        task=told.get("env") or words.task,
        seed=int(seed) if seed else words.seed,
        source=source or "evaluation",
        steps=steps[kept],
        returns=returns.mean(axis=1)[kept],
        seconds=np.full(len(steps), np.nan)[kept],
        num_timesteps=int(float(planned or 0)),
        settings={**settings, "eval_episodes": str(returns.shape[1])} if told else {},
        notes=(
            f"{library}, {FILE}: each point is a mean of {returns.shape[1]} episodes, deterministic unless that was "
            "changed; the last one need not be of the final policy.",
            "Wall-clock time and versions are not recorded."
            + ("" if told else " Nor are settings, nor whether a run ended."),
        ),
    )


def _evaluations(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(steps (T,), returns (T, episodes))."""
    try:
        with np.load(path, allow_pickle=False) as file:
            steps = np.asarray(file["timesteps"])
            returns = np.asarray(file["results"], np.float64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}.",
            "It needs the arrays timesteps and results, as EvalCallback writes them; or leave its folder out.",
        ) from error
    if (
        steps.ndim != 1
        or returns.ndim != 2
        or len(steps) != len(returns)
        or steps.dtype.kind not in "iu"
    ):
        raise ConfigurationError(
            f"{path}: timesteps are {steps.dtype} {steps.shape} and results {returns.shape}.",
            "EvalCallback writes whole numbers (T,) and returns (T, episodes); leave its folder out.",
        )
    return steps, returns


def _scalars(path: Path) -> dict[str, str]:
    """The plain values of a YAML file, as texts; nothing of it is made into an object.

    RL Zoo writes ordered dictionaries as calls of Python, which the safe loader refuses: here the nodes are read.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {' '.join(str(error).split())}.",
            "Mend the file, or remove it: then the folder names tell task and seed.",
        ) from error
    return {
        key.value: value.value
        for key, value in _pairs(node)
        if isinstance(key, yaml.ScalarNode)
        and isinstance(value, yaml.ScalarNode)
        and value.tag != "tag:yaml.org,2002:null"
    }


def _pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value
    elif isinstance(node, yaml.SequenceNode):  # OrderedDict([[(key, value), ...]])
        for pairs in node.value[:1]:
            for pair in pairs.value if isinstance(pairs, yaml.SequenceNode) else ():
                if isinstance(pair, yaml.SequenceNode) and len(pair.value) == 2:
                    yield pair.value[0], pair.value[1]
