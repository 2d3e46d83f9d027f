"""Faults in the learners that replay: losses, targets, counting, schedules, priorities, target networks."""

from __future__ import annotations

from benchmarks.mutants.mutant import faults_in

LOSSES = "tests/agents/off_policy/test_losses.py"
TARGETS = "tests/agents/off_policy/test_targets.py"
SCHEDULES = "tests/agents/off_policy/test_schedules.py"
PRIORITIES = "tests/agents/off_policy/test_priorities.py"
COUNTS = (
    "tests/agents/off_policy/test_learner.py::"
    "test_updates_a_step_do_not_depend_on_the_number_of_environments[4-sac-continuous]"
)
REWARDS = (
    "tests/agents/off_policy/test_replaced_rewards.py::"
    "test_a_learner_learns_from_the_reward_of_that_moment[0.6-sac]"
)
SAVED = (
    "tests/agents/test_contract.py::"
    "test_state_dict_round_trip_gives_bitwise_the_same_next_update[sac-continuous]"
)
THREADS = "tests/agents/test_workers_in_threads.py::test_two_threads_learn_what_one_learns[sac]"
DENSITY = "tests/agents/imitation/test_adversarial.py::test_log_probabilities_are_those_of_the_policy[sac]"

MUTANTS = [
    *faults_in(
        "agents/off_policy/losses.py",
        LOSSES,
        (
            "the next value is not discounted",
            "reward + discount * next_value",
            "reward + next_value",
        ),
        (
            "weights of samples do not count",
            "((values - target).square() * weight)",
            "((values - target).square() * 1.0)",
        ),
        (
            "the mean over critics for their sum",
            "* weight).mean(-1).sum()\n\n\ndef soft_policy_loss(",
            "* weight).mean()\n\n\ndef soft_policy_loss(",
        ),
        (
            "the policy seeks low values",
            "(temperature * log_prob - value)",
            "(temperature * log_prob + value)",
        ),
        (
            "the policy seeks certainty",
            "(temperature * log_prob - value)",
            "(-temperature * log_prob - value)",
        ),
        ("the temperature rises with entropy", "return -(temperature *", "return (temperature *"),
        ("the target entropy's sign", "(log_prob + target_entropy)", "(log_prob - target_entropy)"),
        (
            "the policy's loss moves the temperature",
            "value, temperature.detach())",
            "value, temperature)",
        ),
        (
            "the temperature's loss moves the policy",
            "log_prob.detach(), target_entropy",
            "log_prob, target_entropy",
        ),
        (
            "quantiles are those of the other side",
            "(errors.detach() < 0.0)",
            "(errors.detach() > 0.0)",
        ),
        ("quantiles begin at 0", "dtype=quantiles.dtype) + 0.5)", "dtype=quantiles.dtype))"),
        ("Huber's loss without weights", 'reduction="none") * weight)', 'reduction="none") * 1.0)'),
    ),
    *faults_in(
        "agents/off_policy/sac.py",
        (TARGETS, SCHEDULES, DENSITY),
        (
            "the mean of the target critics",
            "self.target_critics(batch.next_critic_input, action).amin(0)",
            "self.target_critics(batch.next_critic_input, action).mean(0)",
        ),
        (
            "targets by the critics that learn",
            "self.target_critics(batch.next_critic_input",
            "self.critics(batch.next_critic_input",
        ),
        (
            "targets lose entropy",
            "values - self.temperature() * log_prob",
            "values + self.temperature() * log_prob",
        ),
        (
            "the policy is judged by the larger critic",
            "self.critics(batch.critic_input, action).amin(0)",
            "self.critics(batch.critic_input, action).amax(0)",
        ),
        (
            "the target entropy is positive",
            "-config.target_entropy_scale",
            "config.target_entropy_scale",
        ),
        (
            "the next action is that of this state",
            "self.actor.sample(batch.next_policy_input",
            "self.actor.sample(batch.policy_input",
        ),
        ("targets never move", "        train.update_targets(config.tau)\n", ""),
        (
            "the density's noise is scaled by the deviation",
            "torch.exp(-log_std)\n",
            "torch.exp(log_std)\n",
        ),
    ),
    *faults_in(
        "agents/off_policy/td3.py",
        (TARGETS, SCHEDULES),
        ("the larger target critic", ".amin(0)", ".amax(0)"),
        ("smoothing is not clipped", ".clamp(-limit, limit)", ""),
        ("targets by the policy that learns", "self.target_actor.act(", "self.actor.act("),
        ("no smoothing", "(config.target_noise_std * noise)", "(0.0 * noise)"),
        ("the policy seeks low values", "loss = -self.critics.first", "loss = self.critics.first"),
        ("exploring without a deviation", "self.config.exploration_std * noise", "noise"),
    ),
    *faults_in(
        "agents/off_policy/ddpg.py",
        (TARGETS, SCHEDULES),
        ("the policy seeks low values", "loss = -self.critic(", "loss = self.critic("),
        (
            "targets by the policy that learns",
            "action = self.target_actor(",
            "action = self.actor(",
        ),
    ),
    *faults_in(
        "agents/off_policy/crossq.py",
        (TARGETS, SCHEDULES),
        ("gradients pass the next values", "both[:, count:].detach()", "both[:, count:]"),
        (
            "this and the next values change places",
            "both[:, :count], both[:, count:]",
            "both[:, count:], both[:, :count]",
        ),
        (
            "the correction ends after the warm-up",
            "train.updates >= config.renorm_warm_up",
            "train.updates < config.renorm_warm_up",
        ),
        (
            "the next action follows this state",
            "torch.cat([batch.critic_input, batch.next_critic_input])",
            "torch.cat([batch.critic_input, batch.critic_input])",
        ),
        ("the policy's statistics never move", "            running.move_policy()\n", ""),
    ),
    *faults_in(
        "agents/off_policy/redq.py",
        (TARGETS, SCHEDULES),
        (
            "the least of all target critics",
            ".topk(self.config.target_critics)",
            ".topk(len(values))",
        ),
        (
            "the policy is judged by the least critic",
            "self.critics(batch.critic_input, action).mean(0)",
            "self.critics(batch.critic_input, action).amin(0)",
        ),
        (
            "the chosen critics follow the action's noise",
            "noise[:, self.action_dim :].topk",
            "noise.topk",
        ),
    ),
    *faults_in(
        "agents/off_policy/tqc.py",
        (TARGETS, SCHEDULES),
        (
            "quantiles are dropped once, not of each critic",
            "config.num_critics * (config.num_quantiles - config.dropped_quantiles)",
            "config.num_critics * config.num_quantiles - config.dropped_quantiles",
        ),
        ("the smallest are dropped", "values[:, : self.kept]", "values[:, -self.kept :]"),
        ("quantiles are pooled without sorting", "pooled.sort(-1).values", "pooled"),
    ),
    *faults_in(
        "agents/off_policy/dqn.py",
        (TARGETS, SCHEDULES),
        (
            "the target network chooses",
            "best = self.critic(batch.next_critic_input)",
            "best = self.target_critic(batch.next_critic_input)",
        ),
        (
            "the Q-network values its own choice",
            "next_values = self.target_critic(",
            "next_values = self.critic(",
        ),
        (
            "the last action is never tried",
            "(noise[:, 1] * self.action_dim)",
            "(noise[:, 1] * (self.action_dim - 1))",
        ),
        (
            "epsilon falls over the whole training",
            "(config.exploration_fraction * config.num_timesteps)",
            "config.num_timesteps",
        ),
        ("random where it should be greedy", "noise[:, 0] < 0.0", "noise[:, 0] >= 0.0"),
    ),
    *faults_in(
        "agents/compute/trainer.py",
        ("tests/agents/compute/test_trainer.py", SCHEDULES, SAVED, THREADS),
        (
            "the networks follow their targets' way",
            "lerp_(followed, tau)",
            "lerp_(followed, 1.0 - tau)",
        ),
        (
            "delayed steps come an update early",
            "(self.updates + 1) % every == 0",
            "self.updates % every == 0",
        ),
        ("the schedule is not applied", "rate * scale for", "rate for"),
        ("a worker's gradient counts as all", "gradient * self.share", "gradient"),
        (
            "the workers' gradients are not summed",
            '(self.tensors[f"{name}.gradients"], *sums)',
            "sums",
        ),
        (
            "a copy goes from the targets to what learns",
            "self.targets.values.copy_(self.parameters.values[where])",
            "self.parameters.values[where] = self.targets.values",
        ),
        ("a checkpoint forgets the targets", 'kept.copy_(state["kept"][name])', "pass"),
    ),
    *faults_in(
        "agents/off_policy/core/learner.py",
        (SCHEDULES, COUNTS, SAVED),
        (
            "the warm-up counts as learnt",
            "max(0, self.steps - config.learning_starts)",
            "self.steps",
        ),
        (
            "steps are counted of one environment",
            "self.steps += self.config.rollout_len",
            "self.steps += self.rollout_len",
        ),
        ("the schedule rises", "max(0.0, 1.0 - progress)", "max(0.0, progress)"),
        (
            "targets are copied where rollouts end on a period",
            "self.steps // period > before // period",
            "self.steps % period == 0",
        ),
        (
            "noise comes again in the next rollout",
            "noise.seek(self.rollouts * self.rollout_len)",
            "noise.seek(self.rollouts)",
        ),
        ("the next state is this one", 'raw = t[f"{prefix}observation"]', 'raw = t["observation"]'),
        ("moments take in a rollout twice", "            self._recent.clear()\n", ""),
        (
            "losses standardise by old moments",
            "            self._copy_normalizer()\n        metrics",
            "        metrics",
        ),
        ("all losses have the first one's noise", "            start += each.noise\n", ""),
        (
            "actions are learnt in the environment's unit",
            'self.actions.to_networks(t["action"])',
            't["action"]',
        ),
    ),
    *faults_in(
        "agents/off_policy/core/batch.py",
        (PRIORITIES, REWARDS, THREADS),
        ("importance weighs frequent samples more", "** -exponent", "** exponent"),
        ("the correction does not grow", "start + (1.0 - start) * min(1.0, progress)", "start"),
        ("workers do not agree on the largest weight", "        self.workers.max_(largest)\n", ""),
        (
            "replaced rewards are not used",
            'self.memory.relabel_rewards(batch["index"], reward)',
            'self._arrays["reward"]',
        ),
    ),
    *faults_in(
        "agents/off_policy/core/algorithm.py",
        PRIORITIES,
        ("priorities are signed errors", "(values - target).abs()", "(values - target)"),
    ),
]
