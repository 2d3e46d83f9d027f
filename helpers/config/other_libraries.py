"""Names of settings in other libraries, and what they are here.

Known are those of Stable-Baselines3, RL Zoo, CleanRL, skrl, Spinning Up, rsl_rl, rl_games, RLlib, Tianshou and
imitation, from their documentation. Nothing is translated at the start of a run: a name may have another unit or
another meaning, and a number that was tuned for it would be silently wrong. The user gets a message instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_RATES = "{p_lr} and {v_lr} (PPO), {p_lr} and {q_lr} (off-policy)"
_STACKS = (
    "{p_perception_stack} and {v_perception_stack} (off-policy {q_perception_stack}), as mlp_64_64"
)
_ROLLOUT = "{rollout_len}, the steps of all environments together: times {num_envs}"
_BATCH = (
    "{batch_size}, the size of a minibatch, PPO draws {rollout_len} / {batch_size} of them an epoch"
)
_UPDATES = "{updates_per_step}, gradient steps for each environment step, {rollout_len} is the interval between updates"
_TEMPERATURE = "{temperature_init} (it is learned from there) in SAC, {p_ent_reg_scale} in PPO"
_NOISE = "{exploration_std}, of normal noise, relative to half the action range"
_NORMALIZE = "{p_batch_norm} and {v_batch_norm} (off-policy {q_batch_norm}), or {batch_norm_all} for every network"
_PROCESSOR = (
    "omit it, networks are computed on the processor, by as many workers as mpiexec -n starts"
)
_PARALLEL = "omit it, mpiexec -n WORKERS python main.py ... starts several workers"
_WORKERS = "{num_envs}, over all workers, mpiexec -n starts the workers"
_RESUME = "omit it, the same command resumes its run"
_STEPS = "{num_timesteps}, environment steps over all workers"
_TUNER = "a flag of a search: python tuner.py -h (docs/tuning.md)"
_VIDEO = "--task=eval {model_path}=RUN {record} writes a video"
_ENTROPY = "{p_ent_reg_scale} in PPO, {temperature_init} in SAC"
_EVERY = "{save_frequency}, in iterations"
_NETWORK = "omit it, policies are perceptrons: " + _STACKS
_WRAPPER = (
    "omit it, a run has no wrappers, options of an environment are {env_options}, normalization is "
    + _NORMALIZE
)
_STATES = "omit it, exploration noise is drawn anew in each step (no gSDE)"

# A brace holds one of our keys. A text that begins with a brace says "here ", others are instructions.
NAMES: Mapping[str, str] = {
    # the run
    "env": "{env_id}",
    "env_name": "{env_id}",
    "environment": "{env_id}",
    "environment_id": "{env_id}",
    "gym_id": "{env_id}",
    "train_env": "{env_id}",
    "algorithm": "{algo}",
    "alg": "{algo}",
    "file": "--config FILE.yaml, whose keys are settings of ours",
    "train": "omit it, python main.py trains",
    "play": "--task=eval {model_path}=RUN {render}",
    "total_timesteps": _STEPS,
    "n_timesteps": _STEPS,
    "timesteps": _STEPS + " (skrl: times {num_envs})",
    "timesteps_total": _STEPS,
    "max_steps": _STEPS,
    "total_steps": _STEPS,
    "max_iterations": "{num_timesteps} = max_iterations x {rollout_len}",
    "max_epochs": "{num_timesteps} = max_epochs x {rollout_len}",
    "num_iterations": "{num_timesteps} = num_iterations x {rollout_len}",
    "epochs": "{num_timesteps} = epochs x steps of an epoch",
    "epoch": "{num_timesteps} = epoch x steps of an epoch",
    "steps_per_epoch": "{rollout_len} (PPO) or {steps_per_iteration} (off-policy), of all workers together",
    "step_per_epoch": "{steps_per_iteration}",
    "exp_name": "{experiment_name}, or {uuid}=name.seed00 for one run",
    "run_name": "{uuid}=name.seed00",
    "n_envs": _WORKERS,
    "num_actors": _WORKERS,
    "training_num": _WORKERS,
    "num_workers": _PARALLEL,
    "n_jobs": _PARALLEL,
    "num_cpu": _PARALLEL,
    "num_cpus": _PARALLEL,
    "cpu": _PARALLEL,
    "num_threads": _PARALLEL,
    "vec_env": "omit it, {env_processes} steps slow environments in processes of their own",
    "vec_env_type": "omit it, {env_processes} steps slow environments in processes of their own",
    "env_kwargs": "{env_options}, a mapping in JSON",
    "env_config": "{env_options}, a mapping in JSON",
    "env_wrapper": _WRAPPER,
    "max_ep_len": "{max_episode_steps}",
    "time_limit": "{max_episode_steps}",
    "max_episode_length": "{max_episode_steps}",
    "device": _PROCESSOR,
    "cuda": _PROCESSOR,
    "gpu": _PROCESSOR,
    "num_gpus": _PROCESSOR,
    "rl_device": _PROCESSOR,
    "sim_device": _PROCESSOR,
    "multi_gpu": _PARALLEL,
    "ml_framework": "omit it, it is torch",
    "torch_deterministic": "omit it, runs are reproducible bit for bit",
    "verbose": "{progress}",
    "verbosity": "{progress}",
    "headless": "omit it, a training shows no window",
    "resume": _RESUME,
    "load_run": _RESUME,
    "load_checkpoint": _RESUME,
    "trained_agent": "--task=migrate {migrate_from}=model.zip imports a model, the same command resumes a run",
    "total_num_envs": _WORKERS,
    # networks
    "policy": _NETWORK,
    "policy_kwargs": _NETWORK,
    "net_arch": _STACKS,
    "hidden_sizes": _STACKS,
    "hidden_size": _STACKS,
    "hid": _STACKS,
    "ac_kwargs": _STACKS,
    "actor_hidden_dims": "{p_perception_stack}, as mlp_256_128",
    "critic_hidden_dims": "{v_perception_stack} (off-policy {q_perception_stack}), as mlp_256_128",
    "units": _STACKS,
    "num_hidden": _STACKS,
    "num_layers": _STACKS,
    "fcnet_hiddens": _STACKS,
    "network": _NETWORK,
    "log_std_init": "{policy_std_init}, the deviation itself: exp(log_std_init)",
    "init_noise_std": "{policy_std_init}",
    "ortho_init": "{init}=orthogonal or =default",
    "activation_fn": "{activation}: tanh, relu, elu, silu or gelu",
    "fcnet_activation": "{activation}: tanh, relu, elu, silu or gelu",
    "act": "{activation}: tanh, relu, elu, silu or gelu",
    # rates
    "learning_rate": _RATES,
    "lr": _RATES,
    "pi_lr": "{p_lr}",
    "policy_lr": "{p_lr}",
    "actor_lr": "{p_lr}",
    "actor_learning_rate": "{p_lr}",
    "vf_lr": "{v_lr}",
    "critic_lr": "{v_lr} (PPO) or {q_lr} (off-policy)",
    "critic_learning_rate": "{v_lr} (PPO) or {q_lr} (off-policy)",
    "entropy_learning_rate": "{temperature_lr}",
    "alpha_lr": "{temperature_lr}",
    "anneal_lr": "{lr_schedule}=linear, or =constant",
    "learning_rate_scheduler": "{lr_schedule}=adaptive with {desired_kl}, linear or constant",
    "schedule": "{lr_schedule}: adaptive, linear or constant",
    "max_grad_norm": "{clip_norm}",
    "grad_norm": "{clip_norm}",
    "grad_norm_clip": "{clip_norm}",
    "grad_clip": "{clip_norm}",
    "truncate_grads": "{clip_norm}=0 where it is off",
    # PPO
    "n_steps": _ROLLOUT + " (off-policy, of a return: {n_step})",
    "num_steps": _ROLLOUT,
    "num_steps_per_env": _ROLLOUT,
    "rollouts": _ROLLOUT,
    "horizon_length": _ROLLOUT,
    "rollout_fragment_length": _ROLLOUT,
    "rollout_length": _ROLLOUT,
    "step_per_collect": "{rollout_len}",
    "train_batch_size": "{rollout_len} (PPO) or {batch_size} (off-policy)",
    "num_minibatches": _BATCH,
    "num_mini_batches": _BATCH,
    "mini_batches": _BATCH,
    "nminibatches": _BATCH,
    "minibatch_size": _BATCH,
    "mini_batch_size": _BATCH,
    "sgd_minibatch_size": _BATCH,
    "n_epochs": "{optim_epochs_per_iter}",
    "update_epochs": "{optim_epochs_per_iter}",
    "num_learning_epochs": "{optim_epochs_per_iter}",
    "learning_epochs": "{optim_epochs_per_iter}",
    "mini_epochs": "{optim_epochs_per_iter}",
    "noptepochs": "{optim_epochs_per_iter}",
    "num_sgd_iter": "{optim_epochs_per_iter}",
    "repeat_per_collect": "{optim_epochs_per_iter}",
    "train_pi_iters": "{optim_epochs_per_iter}, passes over the rollout in minibatches",
    "train_v_iters": "{optim_epochs_per_iter}, passes over the rollout in minibatches",
    "clip_range": "{clip_ratio}, constant over the training",
    "clip_param": "{clip_ratio}",
    "clip_coef": "{clip_ratio}",
    "cliprange": "{clip_ratio}",
    "e_clip": "{clip_ratio}",
    "ratio_clip": "{clip_ratio}",
    "eps_clip": "{clip_ratio}",
    "clip_range_vf": "{value_clip}, in deviations of the target with {normalize_values}",
    "clip_vloss": "{value_clip}, 0 is off",
    "clip_value": "{value_clip}, 0 is off",
    "use_clipped_value_loss": "{value_clip}, 0 is off",
    "clip_predicted_values": "{value_clip}, 0 is off",
    "normalize_advantage": "{normalize_advantages}",
    "norm_adv": "{normalize_advantages}",
    "ent_coef": _ENTROPY,
    "entropy_coef": _ENTROPY,
    "entropy_coeff": _ENTROPY,
    "entropy_loss_scale": _ENTROPY,
    "vf_coef": "{baseline_scale}, which counts where policy and value share layers or clipping",
    "value_loss_coef": "{baseline_scale}, which counts where policy and value share layers or clipping",
    "value_loss_scale": "{baseline_scale}, which counts where policy and value share layers or clipping",
    "critic_coef": "{baseline_scale}, which counts where policy and value share layers or clipping",
    "lam": "{gae_lambda}",
    "lambda": "{gae_lambda}",
    "gae_lam": "{gae_lambda}",
    "discount": "{gamma}",
    "discount_factor": "{gamma}",
    "kl_threshold": "{desired_kl} with {lr_schedule}=adaptive, {target_kl} stops an iteration's epochs",
    "kl_target": "{target_kl}",
    "kl_coeff": "omit it, there is no penalty, {target_kl} stops an iteration's epochs",
    "normalize": _NORMALIZE,
    "norm_obs": _NORMALIZE,
    "normalize_observation": _NORMALIZE,
    "normalize_input": _NORMALIZE,
    "empirical_normalization": _NORMALIZE,
    "state_preprocessor": _NORMALIZE,
    "norm_reward": "{normalize_values}, which normalizes targets instead of rewards (PPO)",
    "normalize_value": "{normalize_values}",
    "value_preprocessor": "{normalize_values}",
    "use_sde": _STATES,
    "sde_sample_freq": _STATES,
    # off-policy
    "buffer_size": "{mem_size}",
    "replay_size": "{mem_size}",
    "replay_buffer_size": "{mem_size}",
    "memory_capacity": "{mem_size}",
    "replay_initial": "{learning_starts}",
    "start_steps": "{learning_starts}",
    "random_timesteps": "{learning_starts}",
    "start_timesteps": "{learning_starts}",
    "update_after": "{learning_starts}",
    "train_freq": _UPDATES,
    "train_frequency": _UPDATES,
    "update_every": _UPDATES,
    "gradient_steps": _UPDATES,
    "utd_ratio": "{updates_per_step}",
    "update_per_step": "{updates_per_step}",
    "target_update_interval": "{target_period} (DQN), in environment steps, others move by {tau} in each update",
    "target_network_frequency": "{target_period} (DQN), in environment steps, others move by {tau} in each update",
    "target_update_freq": "{target_period} (DQN), in environment steps",
    "soft_target_tau": "{tau}",
    "policy_frequency": "{policy_delay}",
    "policy_noise": "{target_noise_std}",
    "target_policy_noise": "{target_noise_std}",
    "target_noise": "{target_noise_std}",
    "smooth_regularization_noise": "{target_noise_std}",
    "noise_clip": "{target_noise_clip}",
    "action_noise": _NOISE,
    "act_noise": _NOISE,
    "noise_type": _NOISE,
    "noise_std": _NOISE,
    "exploration_noise": _NOISE,
    "expl_noise": _NOISE,
    "alpha": _TEMPERATURE,
    "init_alpha": "{temperature_init}",
    "initial_entropy_value": "{temperature_init}",
    "autotune": "omit it, SAC learns its temperature from {temperature_init}",
    "auto_alpha": "omit it, SAC learns its temperature from {temperature_init}",
    "learn_entropy": "omit it, SAC learns its temperature from {temperature_init}",
    "target_entropy": "{target_entropy_scale}, a multiple of minus the number of action dimensions",
    "exploration_initial_eps": "omit it, epsilon starts at 1, {epsilon_end} and {exploration_fraction} are the rest",
    "start_e": "omit it, epsilon starts at 1, {epsilon_end} and {exploration_fraction} are the rest",
    "exploration_final_eps": "{epsilon_end}",
    "end_e": "{epsilon_end}",
    "eps_train": "{epsilon_end}",
    "n_critics": "{num_critics}",
    "n_quantiles": "{num_quantiles}",
    "top_quantiles_to_drop_per_net": "{dropped_quantiles}",
    "optimize_memory_usage": "omit it, {memory_folder} maps the memory to a disk",
    "prioritized_replay": "{priority_exponent}",
    # evaluation, checkpoints, trackers
    "eval_freq": "{eval_frequency}, in iterations (a row of metrics each)",
    "eval_interval": "{eval_frequency}, in iterations (a row of metrics each)",
    "evaluation_interval": "{eval_frequency}, in iterations (a row of metrics each)",
    "n_eval_episodes": "{eval_episodes}",
    "num_eval_episodes": "{eval_episodes}",
    "num_test_episodes": "{eval_episodes}",
    "test_num": "{eval_episodes}",
    "save_freq": _EVERY,
    "save_interval": _EVERY,
    "checkpoint_freq": _EVERY,
    "save_model": "omit it, checkpoints are always written, {checkpoint_interval} writes weights for others",
    "tensorboard_log": "{tensorboard}",
    "track": "{wandb_project}=NAME, which turns wandb on",
    "wandb_activate": "{wandb_project}=NAME, which turns wandb on",
    "wandb_project_name": "{wandb_project}",
    "capture_video": _VIDEO,
    "record_video": _VIDEO,
    "save_video": _VIDEO,
    "video": _VIDEO,
    "load_best": "--task=eval {model_path}=RUN {iter_num}=best",
    "checkpoint": "--task=eval {model_path}=RUN evaluates a checkpoint, the same command resumes a run",
    "exp_id": "{model_path}=RUN, a run folder",
    "log_folder": "{runs_dir}",
    "log_dir": "{runs_dir}",
    "logdir": "{runs_dir}",
    "data_dir": "{runs_dir}",
    "output_dir": "{runs_dir}",
    "n_trials": _TUNER,
    "optimize_hyperparameters": _TUNER,
    "sampler": _TUNER,
    "pruner": _TUNER,
    "sweep": "a flag of python spawner.py --config FILE.yaml --sweep",
    "method": "a sweep of wandb, lists in a file do it: p_lr: [1e-3, 3e-4], python spawner.py --config FILE --sweep",
    "n_eval_envs": "omit it, evaluations run as many environments as a training",
    # imitation
    "demo_batch_size": "{d_batch_size}",
    "n_disc_updates_per_round": "{d_steps}",
    "expert_data": "{expert_path}",
    "rollout_path": "{expert_path}",
    "demonstrations": "{expert_path}",
    "bc_epochs": "{num_timesteps} (BC counts its updates)",
    # one letter, RL Zoo's and rl_games'
    "-n": _STEPS,
    "-f": "{runs_dir}",
    "-i": "--task=migrate {migrate_from}=model.zip imports a model, the same command resumes a run",
    "-P": "omit it, {progress} is on",
    "-params": "a flag for each: {gamma}=0.99",
    "-optimize": _TUNER,
    "-c": "--config",
    "-t": "omit it, python main.py trains",
    "-p": "--task=eval {model_path}=RUN",
}
_BRACE = re.compile(r"\{(\w+)\}")


def counterpart(name: str, *, dashes: str) -> str | None:
    """What another library's name is here; None where nobody is known to have it.

    Args:
        name: without dashes, or "-n" of one dash.
        dashes: what stands before a setting: "--" of a command line, nothing in a YAML file.
    """
    words = NAMES.get(name if name.startswith("-") else name.replace("-", "_").lower())
    if words is None:
        return None
    said = _BRACE.sub(lambda key: f"{dashes}{key[1]}", words)
    return f"here {said}" if words.startswith("{") else said
