"""Migrations in this process, and files of rl_games' documented structure (rl_games itself is not installed)."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from agents.algorithms import SCHEMA
from agents.weights.migration.task import import_weights
from environments.ids import resolve_env_id
from helpers.parallel.workers import Workers
from main import build, policy_files

FOLDER = Path(__file__).parent


def migrate(file, algo, runs, *flags, env="Pendulum-v1"):
    """The run folder that --task=migrate makes."""
    argv = ["--task=migrate", f"--migrate_from={file}", f"--env_id={env}", "--uuid=moved.seed00"]
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
    )
    return runs / "moved.seed00"


def stored(name):
    """What Stable-Baselines3 itself computed (make_fixtures.py)."""
    with np.load(FOLDER / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


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

    def __init__(self, observations, actions, *, discrete=False, separate=True, normalised=True):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.discrete, self.separate, self.normalised = discrete, separate, normalised

        def mlp():
            return nn.Sequential(nn.Linear(observations, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh())

        network = {"actor_mlp": mlp(), "value": nn.Linear(6, 1)}
        network |= {"critic_mlp": mlp()} if separate else {}
        network |= {"logits" if discrete else "mu": nn.Linear(6, actions)}
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
