"""Migrations in this process, and files of rl_games' documented structure (rl_games itself is not installed)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from agents.algorithms import SCHEMA
from agents.weights.load import load_agent
from agents.weights.migration.task import import_weights
from environments.ids import resolve_env_id
from environments.suites.table import packages
from helpers.parallel.workers import Workers
from main import build, policy_files

FOLDER = Path(__file__).parent
CLOSE: Any = {"rtol": 1e-5, "atol": 2e-6}


def migrate(file, algo, runs, *flags, env="Pendulum-v1"):
    """The run folder that --task=migrate makes."""
    argv = ["--task=migrate", f"--migrate_from={file}", "--uuid=moved.seed00"]
    argv += [f"--env_id={env}"] if env else []
    argv += [f"--algo={algo}"] if algo else []
    argv += [f"--runs_dir={runs}", *flags]
    import_weights(
        SCHEMA,
        SCHEMA.parse_command_line(argv),
        Workers.solo(),
        argv=argv,
        build=build,
        policy_files=policy_files,
        resolve_env_id=resolve_env_id,
        packages=packages(),
    )
    return runs / "moved.seed00"


def loaded(run):
    """The agent, whose policy in the checkpoint must be the one in its shared file."""
    agent = load_agent(run)
    name, model = next(iter(agent.models().items()))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.load(run / "checkpoints" / f"0_{name}.pt")
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    return agent


def stored(name):
    """What Stable-Baselines3 itself computed (make_fixtures.py)."""
    with np.load(FOLDER / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


class Fully(nn.Module):
    """fc1, fc2 and the named heads, ReLU between them, as CleanRL's off-policy scripts write them."""

    def __init__(self, inputs, widths, heads):
        super().__init__()
        sizes = [inputs, *widths]
        for i, (size, width) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
            self.add_module(f"fc{i}", nn.Linear(size, width))
        for name, outputs in heads.items():
            self.add_module(name, nn.Linear(sizes[-1], outputs))
        self.depth, self.heads = len(widths), list(heads)

    def forward(self, x):
        """The heads' outputs."""
        for i in range(1, self.depth + 1):
            x = torch.relu(self.get_submodule(f"fc{i}")(x))
        return [self.get_submodule(name)(x) for name in self.heads]


class CleanRLActor(Fully):
    """With the bounds of the actions as buffers."""

    action_scale: torch.Tensor
    action_bias: torch.Tensor

    def __init__(self, inputs, widths, heads, low, high):
        super().__init__(inputs, widths, heads)
        self.register_buffer("action_scale", (high - low) / 2.0)
        self.register_buffer("action_bias", (high + low) / 2.0)

    def act(self, x):
        """The action that it is evaluated by."""
        return torch.tanh(self(x)[0]) * self.action_scale + self.action_bias


def stirred(module):
    """The module, its parameters drawn anew."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return module


def perceptron(*sizes, activation):
    """Layers by number, as nn.Sequential names them."""
    layers = [
        layer
        for a, b in zip(sizes, sizes[1:], strict=False)
        for layer in (nn.Linear(a, b), activation())
    ]
    return nn.Sequential(*layers[:-1])


class RunningMeanStd(nn.Module):
    """As rl_games standardises: float32 roots, 1e-5 added, cut at 5 deviations."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, size, generator):
        super().__init__()
        normal = torch.randn(size, generator=generator, dtype=torch.float64)
        self.register_buffer("running_mean", normal)
        self.register_buffer("running_var", normal.square() + 0.5)
        self.register_buffer("count", torch.tensor(1234.0, dtype=torch.float64))

    def forward(self, x, denorm=False):
        mean, deviation = self.running_mean.float(), torch.sqrt(self.running_var.float() + 1e-5)
        if denorm:
            return deviation * x.clamp(-5.0, 5.0) + mean
        return ((x - mean) / deviation).clamp(-5.0, 5.0)


class RLGames(nn.Module):
    """rl_games' A2C network of perceptrons, its names and its forward pass (network_builder.py, models.py)."""

    def __init__(
        self,
        observations,
        actions,
        *,
        hidden,
        activation,
        discrete,
        separate,
        normalised,
    ):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.discrete, self.separate, self.normalised = discrete, separate, normalised

        def mlp():
            kind = {"tanh": nn.Tanh, "elu": nn.ELU}[activation]
            return nn.Sequential(*perceptron(observations, *hidden, activation=kind), kind())

        network = {"actor_mlp": mlp(), "value": nn.Linear(hidden[-1], 1)}
        network |= {"critic_mlp": mlp()} if separate else {}
        network |= {"logits" if discrete else "mu": nn.Linear(hidden[-1], actions)}
        self.a2c_network = nn.ModuleDict(network)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        if not discrete:
            sigma = nn.Parameter(0.1 * torch.randn(actions, generator=generator))
            self.a2c_network.register_parameter("sigma", sigma)
        if normalised:
            self.running_mean_std = RunningMeanStd(observations, generator)
            self.value_mean_std = RunningMeanStd((1,), generator)

    def forward(self, x):
        """(means or logits, values)."""
        net = self.a2c_network
        x = self.running_mean_std(x) if self.normalised else x
        values = net["value"](net["critic_mlp" if self.separate else "actor_mlp"](x))
        values = self.value_mean_std(values, denorm=True) if self.normalised else values
        return net["logits" if self.discrete else "mu"](net["actor_mlp"](x)), values.squeeze(-1)

    def save(self, path):
        """A checkpoint with the keys that rl_games writes."""
        torch.save(
            {"model": self.state_dict(), "epoch": 7, "frame": 100, "last_mean_rewards": 1.5},
            path,
        )
        return path
