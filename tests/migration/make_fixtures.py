"""Writes the files beside this one: models of the real Stable-Baselines3, and what it says they do.

Run it where Stable-Baselines3 is installed (2.9.2 made what is committed); the tests need neither it nor this:

    path/to/its/python tests/migration/make_fixtures.py
"""

from pathlib import Path

import gymnasium
import numpy as np
import torch
from stable_baselines3 import DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

FOLDER = Path(__file__).parent
COUNT = 32


class OwnPolicy(ActorCriticPolicy):
    """A user's own class: the file does not say what is between its layers."""


def observations_of(space, seed=0):
    """Some that the space has, and some far outside."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 3.0, (COUNT, *space.shape)).astype(np.float32)


def outputs(model, observations, normalised=None):
    """What the library itself computes, by name."""
    seen = torch.as_tensor(observations if normalised is None else normalised).float()
    found = {"observations": observations}
    found["predicted"], _ = model.predict(seen.numpy(), deterministic=True)
    policy = model.policy
    with torch.no_grad():
        if isinstance(model, PPO):
            distribution = policy.get_distribution(seen)
            found["unclipped"] = distribution.mode().numpy()
            found["value"] = policy.predict_values(seen).numpy()[:, 0]
            if hasattr(policy, "log_std"):
                found["log_std"] = policy.log_std.numpy()
        elif isinstance(model, DQN):
            found["q_network"] = policy.q_net(seen).numpy()
            found["target_q_network"] = policy.q_net_target(seen).numpy()
        else:
            low, high = model.action_space.low, model.action_space.high
            size = (COUNT, *model.action_space.shape)
            found["actions"] = np.random.default_rng(1).uniform(low, high, size).astype(np.float32)
            scaled = torch.as_tensor(policy.scale_action(found["actions"]))
            for name, critics in (("critic", model.critic), ("target_critic", model.critic_target)):
                for i, values in enumerate(critics(seen, scaled), 1):
                    found[f"{name}_{i}"] = values.numpy()[:, 0]
            if isinstance(model, SAC):
                found["temperature"] = model.log_ent_coef.exp().detach().numpy()
    return found


def save(name, model, **kwargs):
    model.save(FOLDER / f"{name}.zip")
    np.savez(
        FOLDER / f"{name}.npz",
        **outputs(model, observations_of(model.observation_space), **kwargs),
    )


def made(kind, environment="Pendulum-v1", policy="MlpPolicy", *, layers=(8, 6), **kwargs):
    """A small model; all its parameters, slow ones too, moved at random, as training would (but with a small file)."""
    arguments = {"net_arch": list(layers), **kwargs.pop("policy_kwargs", {})}
    if kind is not PPO:
        kwargs |= {"buffer_size": 10, "learning_starts": 5}
    model = kind(policy, environment, seed=1, device="cpu", policy_kwargs=arguments, **kwargs)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        if kind is SAC:
            model.log_ent_coef.fill_(-1.25)
    return model


def main():
    save("ppo", made(PPO))
    save("ppo_choices", made(PPO, "CartPole-v1"))
    save("ppo_own", made(PPO, policy=OwnPolicy))
    for name, kind in (("sac", SAC), ("td3", TD3), ("ddpg", DDPG)):
        save(name, made(kind))
    save("dqn", made(DQN, "CartPole-v1"))

    environment = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))
    environment.seed(3)
    environment.reset()
    actions = np.random.default_rng(2).uniform(-2.0, 2.0, (200, 1, 1))
    for action in actions:
        environment.step(action)
    model = made(PPO, environment)
    observations = observations_of(model.observation_space)
    save("ppo_normalised", model, normalised=environment.normalize_obs(observations))
    environment.save(FOLDER / "ppo_normalised_vecnormalize.pkl")
    moments = environment.obs_rms
    np.savez(
        FOLDER / "ppo_normalised_moments.npz",
        mean=moments.mean,
        var=moments.var,
        count=moments.count,
        epsilon=environment.epsilon,
        clip_obs=environment.clip_obs,
    )
    save("ppo_relu", made(PPO, policy_kwargs={"activation_fn": torch.nn.ReLU}))
    made(PPO, use_sde=True).save(FOLDER / "ppo_sde.zip")
    save("td3_one_layer", made(TD3, layers=[8]))


if __name__ == "__main__":
    main()
