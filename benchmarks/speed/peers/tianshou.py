"""Tianshou's PPO: one torch thread, environments one after the other."""

import gymnasium
import torch
from tianshou.algorithm import PPO
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv, VectorEnvNormObs
from tianshou.trainer import OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorProbabilistic, ContinuousCritic
from torch import nn
from torch.distributions import Distribution, Independent, Normal

from benchmarks.speed.peers import work as todo
from benchmarks.speed.peers.work import Clock, Work, asked_work, report


def gaussian(location_and_scale: tuple[torch.Tensor, torch.Tensor]) -> Distribution:
    """Over whole actions."""
    return Independent(Normal(*location_and_scale), 1)


def make_algorithm(work: Work) -> PPO:
    """PPO with a separate actor and critic."""
    with gymnasium.make(work.env_id) as example:
        observations, actions = example.observation_space, example.action_space

    def hidden_layers() -> Net:
        return Net(
            state_shape=observations.shape,
            hidden_sizes=list(todo.HIDDEN),
            activation=nn.Tanh,
        )

    actor = ContinuousActorProbabilistic(
        preprocess_net=hidden_layers(),
        action_shape=actions.shape,
        unbounded=True,
    )
    policy = ProbabilisticActorPolicy(
        actor=actor,
        dist_fn=gaussian,
        action_space=actions,
        action_scaling=True,
        action_bound_method="clip",
    )
    return PPO(
        policy=policy,
        critic=ContinuousCritic(preprocess_net=hidden_layers()),
        optim=AdamOptimizerFactory(lr=todo.STEP_SIZE),
        gamma=todo.GAMMA,
        gae_lambda=todo.GAE_LAMBDA,
        eps_clip=todo.CLIP_RATIO,
        vf_coef=todo.VALUE_SCALE,
        ent_coef=todo.ENTROPY_SCALE,
        max_grad_norm=todo.CLIP_NORM,
        max_batchsize=work.rollout_len,  # values of a rollout in one call: fewer calls
    )


def main() -> None:
    """Train and report."""
    work, clock = asked_work(), Clock()
    torch.set_num_threads(1)
    algorithm = make_algorithm(work)
    makers = [lambda: gymnasium.make(work.env_id)] * work.num_envs
    environment = VectorEnvNormObs(DummyVectorEnv(makers))
    collector = Collector(
        algorithm,
        environment,
        VectorReplayBuffer(work.rollout_len, work.num_envs),
    )
    collector.reset()
    clock.watch(algorithm, "update")
    settings = OnPolicyTrainerParams(
        training_collector=collector,
        test_collector=None,
        max_epochs=1,
        epoch_num_steps=work.num_steps,
        collection_step_num_env_steps=work.rollout_len,
        update_step_num_repetitions=work.epochs,
        batch_size=work.batch_size,
        show_progress=False,
        verbose=False,
    )
    algorithm.run_training(settings)
    report(work, clock.updates)


if __name__ == "__main__":
    main()
