"""skrl's PPO: one torch thread, 32 environments in a SyncVectorEnv, its fastest on two cores."""

import tempfile
from collections.abc import Mapping
from typing import Any

import gymnasium
import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from skrl.resources.preprocessors.torch import RunningStandardScaler
from skrl.trainers.torch import SequentialTrainer
from torch import nn

from benchmarks.speed.peers import work as todo
from benchmarks.speed.peers.work import Clock, Work, asked_work, report


def perceptron(inputs: int, outputs: int) -> nn.Sequential:
    """The hidden layers that everybody has, and a linear head."""
    layers: list[nn.Module] = []
    for width in todo.HIDDEN:
        layers += [nn.Linear(inputs, width), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class Policy(GaussianMixin, Model):
    """A Gaussian with one standard deviation an action."""

    def __init__(self, spaces: Mapping[str, Any]) -> None:
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self, reduction="sum")
        self.net = perceptron(self.num_observations, self.num_actions)
        self.log_std = nn.Parameter(torch.zeros(self.num_actions))

    def compute(self, inputs: Mapping[str, Any], role: str = "") -> tuple[Any, dict[str, Any]]:
        return self.net(inputs["observations"]), {"log_std": self.log_std}


class Value(DeterministicMixin, Model):
    """The critic."""

    def __init__(self, spaces: Mapping[str, Any]) -> None:
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.net = perceptron(self.num_observations, 1)

    def compute(self, inputs: Mapping[str, Any], role: str = "") -> tuple[Any, dict[str, Any]]:
        return self.net(inputs["observations"]), {}


def configured(work: Work, spaces: Mapping[str, Any], folder: str) -> Any:
    """PPO's settings; values are normalised too, as skrl's own MuJoCo examples do."""
    settings = PPO_CFG(
        rollouts=work.steps_per_env,
        learning_epochs=work.epochs,
        mini_batches=work.rollout_len // work.batch_size,
        learning_rate=todo.STEP_SIZE,
        discount_factor=todo.GAMMA,
        gae_lambda=todo.GAE_LAMBDA,
        ratio_clip=todo.CLIP_RATIO,
        grad_norm_clip=todo.CLIP_NORM,
        entropy_loss_scale=todo.ENTROPY_SCALE,
        value_loss_scale=todo.VALUE_SCALE,
        observation_preprocessor=RunningStandardScaler,
        observation_preprocessor_kwargs={"size": spaces["observation_space"], "device": "cpu"},
        value_preprocessor=RunningStandardScaler,
        value_preprocessor_kwargs={"size": 1, "device": "cpu"},
    )
    settings.experiment.directory = folder
    settings.experiment.write_interval = settings.experiment.checkpoint_interval = 0
    return settings


def main() -> None:
    """Train and report."""
    work, clock = asked_work(), Clock()
    torch.set_num_threads(1)
    makers = [lambda: gymnasium.make(work.env_id)] * work.num_envs
    environment = wrap_env(gymnasium.vector.SyncVectorEnv(makers))
    spaces = {
        "observation_space": environment.observation_space,
        "action_space": environment.action_space,
        "device": "cpu",
    }
    memory = RandomMemory(memory_size=work.steps_per_env, num_envs=work.num_envs, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        agent = PPO(
            models={"policy": Policy(spaces), "value": Value(spaces)},
            memory=memory,
            cfg=configured(work, spaces, folder),
            **spaces,
        )
        clock.watch(agent, "update")
        timesteps = work.steps_per_env * work.iterations
        trainer = SequentialTrainer(
            cfg={"timesteps": timesteps, "headless": True, "disable_progressbar": True},
            env=environment,
            agents=agent,
        )
        trainer.train()
    report(work, clock.updates)


if __name__ == "__main__":
    main()
