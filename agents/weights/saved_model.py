"""What saved models have in common: a perceptron behind a standardisation, and where a run folder keeps its state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from agents.algorithms import SCHEMA
from agents.common_settings import hidden_sizes
from agents.compute.linear import Linear, RectifiedLinear
from agents.nn.batch_renorm import BatchRenorm, Statistics
from agents.nn.normalizer import ObservationNormalizer
from agents.weights.states import SQUASHED, acting_config, model_states
from helpers.checkpoints.policy_files import read_state
from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
from helpers.errors import CheckpointError, ConfigurationError

VARIANCE_EPSILON = 1e-8


class SharedModel(nn.Module):
    """A perceptron behind a standardisation; what `PolicyModel` and `CriticModel` are built on.

    Its parameters and buffers are named as the files have them, see `agents.weights.states`.
    """

    layers: nn.ModuleList
    norms: nn.ModuleList | None
    observation_mean: Tensor
    observation_variance: Tensor
    statistics: Tensor

    def __init__(
        self,
        algo: str,
        *,
        observations: int,
        inputs: int,
        outputs: int,
        perception_stack: str,
        standardised: bool,
        layer_norm: bool,
        precision: str,
    ) -> None:
        super().__init__()
        self.algo, self.standardised, self.layer_norm = algo, standardised, layer_norm
        self.dtype: torch.dtype = getattr(torch, precision)
        widths = [inputs, *hidden_sizes(perception_stack)]
        # as training has them, so that the last bit is the same
        hidden = Linear if layer_norm or algo in ("ppo", "crossq") else RectifiedLinear
        self.layers = nn.ModuleList(
            hidden(before, after, dtype=self.dtype)
            for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        self.layers.append(Linear(widths[-1], outputs, dtype=self.dtype))
        self.norms = None
        if algo == "crossq":
            starts = [2 * sum(widths[:i]) for i in range(len(widths))]
            self.norms = nn.ModuleList(
                BatchRenorm(width, start=start, dtype=self.dtype)
                for width, start in zip(widths, starts, strict=True)
            )
            self.register_buffer("statistics", torch.zeros(2 * sum(widths), dtype=self.dtype))
        elif layer_norm:
            # DQN's heads stand on a layer that is not normalised
            normalised = widths[1:-1] if algo == "dqn" else widths[1:]
            self.norms = nn.ModuleList(nn.LayerNorm(w, dtype=self.dtype) for w in normalised)
        if standardised:
            moment = torch.zeros(observations, dtype=torch.float64)
            self.register_buffer("observation_mean", moment)
            self.register_buffer("observation_variance", moment + 1.0)
            self.register_buffer("observation_count", torch.zeros((), dtype=torch.float64))

    def load(self, path: str | Path) -> Self:
        """Take over a file of the same architecture.

        Raises:
            CheckpointError: it cannot be read, or is of another architecture.
        """
        return self.take(read_state(Path(path)), source=str(path))

    def take(self, state: Mapping[str, Tensor], *, source: str) -> Self:
        """Take over tensors by name.

        Raises:
            CheckpointError: they are of another architecture; `source` says whose they are.
        """
        here = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        there = {name: tuple(tensor.shape) for name, tensor in state.items()}
        for name in [*here, *there]:
            if here.get(name) != there.get(name):
                raise CheckpointError(
                    f"{source} is of another architecture: {name} is {there.get(name, 'missing')} "
                    f"there and {here.get(name, 'missing')} here.",
                    "Make the model by of_run(RUN_FOLDER), or with the sizes and switches of that run.",
                )
        self.load_state_dict(dict(state))
        return self

    def moments(self) -> tuple[Tensor, Tensor]:
        """(offset, scale) (obs_dim,) of the standardisation, rounded as training rounds them."""
        deviation = torch.sqrt(self.observation_variance + VARIANCE_EPSILON)
        return self.observation_mean.to(self.dtype), (1.0 / deviation).to(self.dtype)

    def standardise(self, observations: Tensor) -> Tensor:
        """What the first layer is given (B, obs_dim) for raw observations (B, obs_dim)."""
        observations = observations.to(self.dtype)
        if not self.standardised:
            return observations
        offset, scale = self.moments()
        limit = ObservationNormalizer.CLIP
        return ((observations - offset) * scale).clamp(-limit, limit)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer (B, width) of inputs (B, in)."""
        statistics = Statistics(self.statistics) if self.algo == "crossq" else None
        for i, layer in enumerate(self.layers[:-1]):
            if statistics is not None and self.norms is not None:
                x = layer(self.norms[i](torch.relu(x) if i else x, statistics))
                continue
            x = layer(x)
            if self.norms is not None and i < len(self.norms):
                x = self.norms[i](x)
            if self.algo == "ppo":
                x = torch.tanh(x)
            elif self.norms is not None:
                x = torch.relu(x)
        if statistics is not None and self.norms is not None:
            return self.norms[-1](torch.relu(x), statistics)
        return x

    def outputs(self, x: Tensor) -> Tensor:
        """The last layer (B, outputs) of inputs (B, in)."""
        values: Tensor = self.layers[-1](self.features(x))
        return values


def states_of_run(
    run: str | Path,
    *,
    iter_num: str,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Any, dict[str, dict[str, Tensor]]]:
    """(configuration, models by name) of a run folder's checkpoint."""
    folder = Path(run)
    config: Any = acting_config(SCHEMA.load_config(folder / "config.yaml"))
    _, shared, _ = read_shared(resolve_checkpoint(folder, iter_num))
    state, scale = shared["agent"], None
    if config.algo in SQUASHED:
        dtype = np.dtype(config.precision)
        if bounds is None:
            scale = _scale_of(state.get("learner", state), folder)
        else:
            low, high = (np.asarray(each, dtype=dtype) for each in bounds)
            scale = (low + high) / 2, (high - low) / 2
    return config, model_states(config, state, bounds=scale)


def _scale_of(state: Mapping[str, Any], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(center, half) of the actions: the checkpoint's, or of one that has none, any policy file's of the run."""
    if "actions" in state:
        return state["actions"]["center"], state["actions"]["half"]
    for path in sorted((folder / "checkpoints").glob("*_policy.pt")):
        state = read_state(path)
        return state["action_center"].numpy(), state["action_half"].numpy()
    raise ConfigurationError(
        f"{folder} does not say the bounds of its actions: an older version wrote it, and no *_policy.pt.",
        "Give them: of_run(RUN, bounds=(env.action_space.low, env.action_space.high)).",
    )
