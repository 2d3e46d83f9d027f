"""Models of other libraries, made by them, and what they do: run by a Python that has them, not by this project's.

    pip install torch==2.13.0 gymnasium==1.4.0 stable_baselines3==2.9.2 "pygame-ce" mujoco
    pip install --no-deps rl-games==1.6.5; pip install gym==0.23.1 tensorboardX psutil pyyaml setproctitle
    THEIR_PYTHON benchmarks/migration/theirs.py FOLDER
    python -m benchmarks.migration FOLDER

Each folder in FOLDER has the file, observations and actions (theirs.npz) and the environment (what.json). The models
of Stable-Baselines3 are trained for some hundred steps; CleanRL's networks have the layers of its scripts, and are
saved as these do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from rl_games.algos_torch.models import ModelA2CContinuousLogStd
from rl_games.algos_torch.network_builder import A2CBuilder
from stable_baselines3 import DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

FOLDER = Path(sys.argv[1])
COUNT = 10_000
PENDULUM, CART, CAR = "Pendulum-v1", "CartPole-v1", "MountainCarContinuous-v0"
ZOO = {"net_arch": {"pi": [256, 256], "vf": [256, 256]}, "activation_fn": nn.ReLU}
UNEQUAL = {"net_arch": {"pi": [32], "vf": [64, 64, 64]}, "activation_fn": nn.ReLU}


def layers(*widths: int, activation: Any = None) -> dict[str, Any]:
    """Arguments of a policy."""
    return {"net_arch": list(widths)} | ({"activation_fn": activation} if activation else {})


# name -> class, environment, arguments of its policy, whether under VecNormalize, further arguments
MODELS: dict[str, tuple[Any, str, dict[str, Any], bool, dict[str, Any]]] = {
    "PPO": (PPO, PENDULUM, {}, False, {}),
    "PPO, choices": (PPO, CART, {}, False, {}),
    "PPO, ReLU, 1 layer": (PPO, PENDULUM, layers(64, activation=nn.ReLU), False, {}),
    "PPO, RL Zoo's": (PPO, PENDULUM, {**ZOO, "log_std_init": -2, "ortho_init": False}, False, {}),
    "PPO, ELU, 3 layers": (PPO, PENDULUM, layers(64, 32, 16, activation=nn.ELU), False, {}),
    "PPO, VecNormalize": (PPO, PENDULUM, {}, True, {}),
    "PPO, ReLU, 1 and 3 layers, VecNormalize": (PPO, CAR, UNEQUAL, True, {}),
    "PPO, gSDE": (PPO, PENDULUM, {}, False, {"use_sde": True}),
    "SAC": (SAC, PENDULUM, {}, False, {}),
    "SAC, 400-300": (SAC, PENDULUM, layers(400, 300), False, {}),
    "SAC, tanh, 3 layers, VecNormalize": (
        SAC,
        PENDULUM,
        layers(64, 64, 64, activation=nn.Tanh),
        True,
        {},
    ),
    "TD3": (TD3, PENDULUM, {}, False, {}),
    "TD3, ELU, 1 layer": (TD3, PENDULUM, layers(64, activation=nn.ELU), False, {}),
    "DDPG": (DDPG, PENDULUM, {}, False, {}),
    "DDPG, tanh": (DDPG, PENDULUM, layers(64, 64, activation=nn.Tanh), False, {}),
    "DQN": (DQN, CART, {}, False, {}),
    "DQN, tanh, 3 layers": (DQN, CART, layers(64, 64, 64, activation=nn.Tanh), False, {}),
}


def write(
    name: str,
    file: str,
    env_id: str,
    observations: np.ndarray,
    actions: Any,
    flags: Sequence[str] = (),
) -> Path:
    """What a model does; the path that it belongs to."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "theirs.npz", observations=observations, actions=np.asarray(actions))
    (folder / "what.json").write_text(
        json.dumps({"env_id": env_id, "file": file, "flags": list(flags)}),
    )
    print(name)
    return folder / file


def random(dim: int) -> np.ndarray:
    """Observations (COUNT, dim)."""
    return np.random.default_rng(0).normal(0.0, 1.5, (COUNT, dim)).astype(np.float32)


def of_stable_baselines(name: str) -> None:
    """Train and save a model of the table."""
    kind, env_id, arguments, is_normalized, further = MODELS[name]
    environment: Any = env_id
    if is_normalized:
        environment = VecNormalize(DummyVecEnv([lambda: gymnasium.make(env_id)]))
    own = {"n_steps": 256} if kind is PPO else {"learning_starts": 100, "buffer_size": 2000}
    model = kind(
        "MlpPolicy",
        environment,
        seed=1,
        device="cpu",
        policy_kwargs=arguments,
        **own,
        **further,
    )
    model.learn(512 if kind is PPO else 300)
    observations = random(model.observation_space.shape[0])
    seen = environment.normalize_obs(observations) if is_normalized else observations
    with torch.no_grad():
        if kind is PPO:  # before they are cut to the bounds
            actions = model.policy.get_distribution(torch.as_tensor(seen).float()).mode().numpy()
        else:
            actions, _ = model.predict(seen.astype(np.float32), deterministic=True)
    path = write(f"Stable-Baselines3 {name}", "model.zip", env_id, observations, actions)
    model.save(path)
    if is_normalized:
        environment.save(path.parent / "vecnormalize.pkl")


class CleanRL(nn.Module):
    """fc1, fc2 and heads by name, as sac_, td3_ and ddpg_continuous_action.py have them."""

    def __init__(self, inputs: int, **heads: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inputs, 256), nn.Linear(256, 256)
        self.heads = list(heads)
        for name, outputs in heads.items():
            self.add_module(name, nn.Linear(256, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The first head's."""
        x = torch.relu(self.fc2(torch.relu(self.fc1(x))))
        return self.get_submodule(self.heads[0])(x)


def of_cleanrl() -> None:
    """One file of each script."""
    file = "model.cleanrl_model"
    for algo, heads, count in (
        ("sac", {"fc_mean": 1, "fc_logstd": 1}, 2),
        ("td3", {"fc_mu": 1}, 2),
        ("ddpg", {"fc_mu": 1}, 1),
    ):
        actor, x = CleanRL(3, **heads), random(3)
        actor.register_buffer("action_scale", torch.tensor([2.0]))
        actor.register_buffer("action_bias", torch.tensor([0.0]))
        with torch.no_grad():
            actions = torch.tanh(actor(torch.as_tensor(x))) * 2.0
        critics = [CleanRL(4, fc3=1).state_dict() for _ in range(count)]
        path = write(f"CleanRL {algo}_continuous_action", file, PENDULUM, x, actions)
        torch.save((actor.state_dict(), *critics), path)
    for script, net, dim in (
        ("ppo_continuous_action", "actor_mean", 3),
        ("ppo", "actor", 4),
        ("dqn", "network", 4),
    ):
        kind, widths = (nn.ReLU, (120, 84)) if script == "dqn" else (nn.Tanh, (64, 64))
        agent, x = nn.Module(), random(dim)
        for name, outputs in (
            (net, 1 if dim == 3 else 2),
            *([] if script == "dqn" else [("critic", 1)]),
        ):
            first, second = nn.Linear(dim, widths[0]), nn.Linear(*widths)
            agent.add_module(
                name,
                nn.Sequential(first, kind(), second, kind(), nn.Linear(widths[1], outputs)),
            )
        if dim == 3:
            agent.actor_logstd = nn.Parameter(torch.zeros(1, 1))
        with torch.no_grad():
            found = agent.get_submodule(net)(torch.as_tensor(x))
        path = write(
            f"CleanRL {script}",
            file,
            PENDULUM if dim == 3 else CART,
            x,
            found if dim == 3 else found.argmax(1),
        )
        torch.save(agent.state_dict(), path)


def of_rl_games(activation: str, units: list[int]) -> None:
    """A network of rl_games itself, with moments and shifted weights; within 4.9 deviations, since it cuts at 5."""
    none = {"name": "default"}
    space = {
        "mu_activation": "None",
        "sigma_activation": "None",
        "mu_init": none,
        "fixed_sigma": True,
    }
    space["sigma_init"] = {"name": "const_initializer", "val": 0}
    builder = A2CBuilder()
    mlp = {"units": units, "activation": activation, "initializer": none}
    builder.load(
        {"name": "actor_critic", "separate": False, "space": {"continuous": space}, "mlp": mlp},
    )
    sizes = {"actions_num": 1, "input_shape": (3,), "num_seqs": 1, "value_size": 1}
    model = ModelA2CContinuousLogStd(builder).build(
        {**sizes, "normalize_value": True, "normalize_input": True},
    )
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model.running_mean_std(torch.randn(64, 3) * torch.tensor([1.0, 2.0, 0.5]) + 0.3)
        model.value_mean_std(torch.randn(64, 1) * 3.0 + 5.0)
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.eval()
        mean, variance = (
            getattr(model.running_mean_std, f"running_{each}").numpy() for each in ("mean", "var")
        )
        standard = np.random.default_rng(0).normal(size=(COUNT, 3)).clip(-4.9, 4.9)
        x = (mean + standard * np.sqrt(variance)).astype(np.float32)
        asked = {
            "is_train": False,
            "prev_actions": None,
            "obs": torch.as_tensor(x),
            "rnn_states": None,
        }
        actions = 2.0 * model(asked)["mus"]  # stretched to the bounds, before they are cut
    name = f"rl_games {activation} {'-'.join(map(str, units))}"
    path = write(name, "last.pth", PENDULUM, x, actions, [f"--migrate_activation={activation}"])
    torch.save({"model": model.state_dict(), "epoch": 1, "frame": 1}, path)


def main() -> None:
    """Make all."""
    torch.manual_seed(3)
    for name in MODELS:
        of_stable_baselines(name)
    of_cleanrl()
    for activation, units in (
        ("tanh", [32, 32]),
        ("relu", [64, 64]),
        ("elu", [64, 32, 16]),
        ("elu", [256, 128, 64]),
        ("selu", [32, 32]),
    ):
        of_rl_games(activation, units)


if __name__ == "__main__":
    main()
