"""GAIL of the `imitation` library over Stable-Baselines3's PPO: one torch thread, environments in this process.

Run as `python -m benchmarks.speed.peers.imitation` in its virtual environment (`setup.sh imitation` makes it), which is
of Gymnasium 0.29, so that its Hopper is -v4: other physics than ours in detail, of the same cost.
"""

import numpy as np
import torch
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data.types import Transitions
from imitation.rewards.reward_nets import BasicRewardNet
from imitation.util.networks import RunningNorm
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from benchmarks.speed.peers import work as todo
from benchmarks.speed.peers.work import Clock, asked_work, report

EXPERT_ROWS = 4000  # four episodes; it refuses fewer than a minibatch
D_BATCH, D_STEPS, D_HIDDEN = 256, 8, (64, 64)


def demonstrations(observation_dim: int, action_dim: int) -> Transitions:
    """Rows of the right shapes; how fast one learns does not depend on what they hold."""
    generator = np.random.default_rng(0)
    observations = generator.normal(size=(EXPERT_ROWS, observation_dim)).astype(np.float32)
    return Transitions(
        obs=observations,
        acts=generator.uniform(-1, 1, (EXPERT_ROWS, action_dim)).astype(np.float32),
        infos=np.array([{}] * EXPERT_ROWS),
        next_obs=observations,
        dones=np.zeros(EXPERT_ROWS, dtype=bool),
    )


def main() -> None:
    work, clock = asked_work(), Clock()
    torch.set_num_threads(1)
    environments = VecNormalize(
        make_vec_env(work.env_id, n_envs=work.num_envs, seed=0),
        norm_reward=False,
    )
    learner = PPO(
        "MlpPolicy",
        environments,
        learning_rate=todo.STEP_SIZE,
        n_steps=work.steps_per_env,
        batch_size=work.batch_size,
        n_epochs=work.epochs,
        gamma=todo.GAMMA,
        gae_lambda=todo.GAE_LAMBDA,
        clip_range=todo.CLIP_RATIO,
        ent_coef=todo.ENTROPY_SCALE,
        vf_coef=todo.VALUE_SCALE,
        max_grad_norm=todo.CLIP_NORM,
        policy_kwargs={
            "net_arch": {"pi": list(todo.HIDDEN), "vf": list(todo.HIDDEN)},
            "activation_fn": torch.nn.Tanh,
        },
        device="cpu",
        seed=0,
    )
    spaces = environments.observation_space, environments.action_space
    trainer = GAIL(
        demonstrations=demonstrations(spaces[0].shape[0], spaces[1].shape[0]),
        demo_batch_size=D_BATCH,
        venv=environments,
        gen_algo=learner,
        reward_net=BasicRewardNet(*spaces, hid_sizes=D_HIDDEN, normalize_input_layer=RunningNorm),
        gen_replay_buffer_capacity=work.rollout_len,
        n_disc_updates_per_round=D_STEPS,
        allow_variable_horizon=True,
        custom_logger=None,
    )
    learning = trainer.train_disc
    calls = 0

    def train_disc(*arguments, **keywords):  # the last of D_STEPS ends an iteration
        nonlocal calls
        calls += 1
        step = clock.timed(learning) if calls % D_STEPS == 0 else learning
        return step(*arguments, **keywords)

    trainer.train_disc = train_disc
    trainer.train(work.num_steps)
    report(work, clock.updates)


if __name__ == "__main__":
    main()
