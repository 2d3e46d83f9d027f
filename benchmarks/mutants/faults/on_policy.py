"""Faults in PPO: estimators and losses, minibatches, units of values, schedules, the kernel in C, saving."""

from __future__ import annotations

from benchmarks.mutants.mutant import faults_in

CLOSED_FORMS = "tests/agents/test_losses.py"
PPO = "tests/agents/on_policy/test_ppo.py"
UNITS = "tests/agents/on_policy/test_value_units.py"
ORDERS = (
    "tests/agents/on_policy/test_minibatches.py",
    f"{PPO}::test_each_sample_is_in_exactly_one_minibatch_an_epoch_and_environments_equally",
)
RATES = tuple(
    f"{PPO}::{name}"
    for name in (
        "test_linear_schedule_ends_at_zero_and_counts_global_steps",
        "test_adaptive_step_sizes_follow_the_kl",
        "test_kl_stop_ends_the_epochs_early",
    )
)
LOSS = "tests/agents/on_policy/test_loss.py"
THREADS = "tests/agents/test_workers_in_threads.py::test_two_threads_learn_what_one_learns[ppo]"
KERNEL = (
    "tests/agents/on_policy/test_guard.py::"
    "test_the_kernel_stays_where_nothing_was_changed_and_not_a_bit_is_moved_by_asking"
)
SAVED = (
    "tests/agents/test_contract.py::"
    "test_state_dict_round_trip_gives_bitwise_the_same_next_update[ppo-continuous]"
)

MUTANTS = [
    *faults_in(
        "agents/on_policy/losses.py",
        CLOSED_FORMS,
        (
            "the task's end is worth its successor",
            "gamma * next_values * ~terminated",
            "gamma * next_values",
        ),
        (
            "a limit is the task's end",
            "* ~terminated - values",
            "* ~(terminated | truncated) - values",
        ),
        (
            "advantages cross a limit",
            "gae_lambda * ~(terminated | truncated)",
            "gae_lambda * ~terminated",
        ),
        ("the sum decays by lambda alone", "decays = gamma * gae_lambda", "decays = gae_lambda"),
        (
            "the first step has the second's advantage",
            "advantages[t] = advantage",
            "advantages[t - 1] = advantage",
        ),
        ("the larger surrogate counts", "-torch.minimum(", "-torch.maximum("),
        ("the surrogate's sign", "loss = -torch.minimum(", "loss = torch.minimum("),
        ("the ratio is upside down", "log_prob - old_log_prob  #", "old_log_prob - log_prob  #"),
        (
            "nothing is clipped from below",
            "clamp(1.0 - clip_ratio, 1.0",
            "clamp(0.0 * clip_ratio, 1.0",
        ),
        (
            "the KL's sign of its linear part",
            "(torch.expm1(log_ratio) - log_ratio)",
            "(torch.expm1(log_ratio) + log_ratio)",
        ),
        (
            "the smaller error of a clipped value counts",
            "torch.maximum(error,",
            "torch.minimum(error,",
        ),
    ),
    *faults_in(
        "agents/on_policy/minibatches.py",
        ORDERS,
        (
            "all environments are shuffled alike",
            '"minibatches", index, iteration',
            '"minibatches", iteration',
        ),
        (
            "every iteration has the same order",
            '"minibatches", index, iteration',
            '"minibatches", index, 0',
        ),
        (
            "all epochs have the same order",
            "permuted(ordered, axis=1)",
            "permuted(ordered[0])[None].repeat(epochs, 0)",
        ),
        ("advantages keep their mean", "(wide - mean[:, None])", "(wide)"),
        ("advantages are divided by the variance", ".clamp_(min=0.0).sqrt()", ".clamp_(min=0.0)"),
        ("a worker's samples are taken for all", "sums / batch_size", "sums / order.shape[1]"),
        ("workers do not add up their sums", "    workers.sum_(sums)\n", ""),
        (
            "an environment's stream is numbered on its worker",
            "for index in environments\n",
            "for index in range(len(environments))\n",
        ),
    ),
    *faults_in(
        "agents/on_policy/learning_rates.py",
        RATES,
        (
            "the rate falls an iteration early",
            "1.0 - steps /",
            "1.0 - (steps + self.config.rollout_len) /",
        ),
        ("a large KL raises the rate", "kl > 2.0 *", "kl < 2.0 *"),
        (
            "the value's rate is the policy's",
            '"value": self.config.v_lr',
            '"value": self.config.p_lr',
        ),
    ),
    *faults_in(
        "agents/on_policy/ppo.py",
        (LOSS, *RATES),
        (
            "the next episode's first state is the successor of an end",
            "next_values[fresh] = denormalize(steps.values(next_input).numpy())",
            "next_values[-1:] = denormalize(steps.values(next_input).numpy().reshape(-1)[-in_rewards.shape[1] :])",
        ),
        (
            "advantages in the critic's unit",
            "in_rewards = denormalize(value.numpy().reshape(rewards.shape))",
            "in_rewards = value.numpy().reshape(rewards.shape)",
        ),
        (
            "targets in units of reward",
            "advantage / self.return_normalizer.sd + value",
            "advantage + value",
        ),
        (
            "steps are counted of one environment",
            "self.steps += self.config.rollout_len",
            "self.steps += self.rollout_len",
        ),
        (
            "the KL stops epochs where it is small",
            "0.0 < config.target_kl < kl",
            "0.0 < kl < config.target_kl",
        ),
        (
            "advantages are those of the first epoch",
            "if epoch > 0 and config.recompute_advantages:",
            "if epoch < 0 and config.recompute_advantages:",
        ),
        (
            "the moments take in the rollout before it is learnt from",
            "        self.value_units.begin(",
            "        self.observation_normalizer.update(rollout.observations, workers=self.workers)\n"
            "        self.value_units.begin(",
        ),
    ),
    *faults_in(
        "agents/on_policy/ppo.py",
        (LOSS, KERNEL),
        (
            "entropy is a cost",
            "- config.p_ent_reg_scale * entropy",
            "+ config.p_ent_reg_scale * entropy",
        ),
        ("the value's loss has no weight", "+ config.baseline_scale * value_loss", "+ value_loss"),
        (
            "values are clipped around targets",
            'old_value=batch["old_value"]',
            'old_value=batch["target"]',
        ),
    ),
    *faults_in(
        "agents/on_policy/ppo.py",
        (LOSS, SAVED),
        (
            "noise begins anew after a resume",
            "self.noise.rewind(self.iteration)",
            "self.noise.rewind(0)",
        ),
        (
            "the adaptive rate is lost in a resume",
            'self.learning_rates.scale = float(state["step_size_scale"])',
            "self.learning_rates.scale = 1.0",
        ),
        (
            "the returns' moments are lost in a resume",
            '        self.return_normalizer.load_state_dict(state["returns"])\n',
            "",
        ),
    ),
    *faults_in(
        "agents/on_policy/value_units.py",
        UNITS,
        ("PopArt's scale upside down", "rescale_(sd / moments.sd,", "rescale_(moments.sd / sd,"),
        (
            "PopArt's shift backwards",
            "(center - moments.center) / moments.sd",
            "(moments.center - center) / moments.sd",
        ),
        (
            "PopArt's shift in the old unit",
            "(center - moments.center) / moments.sd",
            "(center - moments.center) / sd",
        ),
        (
            "targets are taken in in the critic's unit",
            "moments.update(moments.denormalize(targets)",
            "moments.update(targets",
        ),
        (
            "each rollout has a first unit",
            "not self.moments.preserves or self.moments.count",
            "not self.moments.preserves",
        ),
        ("there is no first unit", "not self.moments.preserves or self.moments.count", "True"),
    ),
    *faults_in(
        "agents/on_policy/torch_steps.py",
        THREADS,
        ("a worker's gradient counts as all", "gradients * self.share", "gradients"),
        (
            "the workers' gradients are not summed",
            "            self.workers.sum_(self.parameters.gradients)\n",
            "",
        ),
    ),
    *faults_in(
        "agents/on_policy/kernels/ppo.c",
        KERNEL,
        ("in C: advantages cross a limit", "terminated[i] | truncated[i] ?", "terminated[i] ?"),
        (
            "in C: the first step has no gradient",
            "plain <= bounded ? -plain",
            "plain < bounded ? -plain",
        ),
        (
            "in C: entropy is a cost",
            "log_std_gradient[j] -= job->entropy_scale",
            "log_std_gradient[j] += job->entropy_scale",
        ),
        (
            "in C: the smaller error of a clipped value counts",
            "if (near_loss > loss)",
            "if (near_loss < loss)",
        ),
    ),
]
