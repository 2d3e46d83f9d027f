"""Faults in imitation by a learnt reward: discriminators, absorbing states, RED, MAAD."""

from __future__ import annotations

from benchmarks.mutants.mutant import faults_in

LOSSES = "tests/agents/imitation/test_losses.py"
STEPS = "tests/agents/imitation/test_discriminator_step.py"
STEP = f"{STEPS}::test_a_step_is_that_of_the_equations"
REWARDS = "tests/agents/imitation/test_adversarial.py"
SAMPLES = "tests/agents/imitation/test_samples.py"
THREADS = "tests/agents/test_workers_in_threads.py::test_two_threads_learn_what_one_learns"
RED = f"{REWARDS}::test_red_pays_where_the_expert_was"
MAAD = "tests/agents/imitation/test_maad.py"
WEIGHTS = tuple(
    f"{REWARDS}::{name}"
    for name in (
        "test_weights_make_means_and_loops_count_as_in_the_value_of_an_end",
        "test_an_expert_s_loop_is_not_one_of_the_steps_that_were_left_out",
    )
)
ROWS = tuple(
    f"{REWARDS}::{name}"
    for name in (
        "test_rows_of_expert_and_policy_are_made_alike",
        "test_moments_of_demonstrations_policy_or_both",
        "test_actions_are_judged_as_they_reach_the_environment",
    )
)

MUTANTS = [
    *faults_in(
        "agents/imitation/losses.py",
        LOSSES,
        (
            "labels change sides",
            "(functional.softplus(logits) - labels * logits)",
            "(functional.softplus(logits) + labels * logits)",
        ),
        (
            "soft labels go beyond",
            "full + (1.0 - 2.0 * label) * values[0]",
            "full - (1.0 - 2.0 * label) * values[0]",
        ),
        ("PURL adds what is the expert's", "cost - eta *", "cost + eta *"),
        (
            "the penalty holds from below",
            "torch.relu(excess) if one_sided",
            "torch.relu(-excess) if one_sided",
        ),
        ("one mixture for all rows", "mixture = uniform[:, :1]", "mixture = uniform[:1, :1]"),
        ("the penalty has no gradient", "rows, create_graph=True)", "rows)"),
        (
            "a spectral norm is a constant",
            "return left @ (weight @ right), left",
            "return (left @ (weight @ right)).detach(), left",
        ),
        (
            "GAIL pays costs",
            "return functional.softplus(logits)\n",
            "return -functional.softplus(logits)\n",
        ),
        (
            "log D is paid as a gain",
            "return -functional.softplus(-logits)",
            "return functional.softplus(-logits)",
        ),
        ("AIRL's reward backwards", "return logits.clone()", "return -logits"),
        (
            "an end is worth one loop",
            "rewards + ends * loops_of_an_end(gamma) * absorbing",
            "rewards + ends * absorbing",
        ),
        (
            "the first loop is not discounted",
            "return gamma / (1.0 - gamma)",
            "return 1.0 / (1.0 - gamma)",
        ),
        (
            "AIRL's shaping adds this state's value",
            "own + discount * next_value - value",
            "own + discount * next_value + value",
        ),
        ("RED pays for errors", "torch.exp(-errors / width)", "torch.exp(errors / width)"),
        (
            "rewards are scaled before they are cut",
            "return cut * scale",
            "return (rewards * scale).clamp(-limit, limit) if limit > 0.0 else cut * scale",
        ),
        (
            "flipped labels are those that are not drawn",
            "uniform < values[0]",
            "uniform >= values[0]",
        ),
    ),
    *faults_in(
        "agents/imitation/adversarial.py",
        (
            STEP,
            f"{STEPS}::test_purl_s_gate_closes_where_the_risk_is_negative",
            f"{THREADS}[gail]",
            f"{STEPS}::test_vectors_of_spectral_norms_follow_their_matrices",
        ),
        (
            "entropy of verdicts is a cost",
            '- config.d_ent_reg_scale * terms["entropy"]',
            '+ config.d_ent_reg_scale * terms["entropy"]',
        ),
        (
            "the penalty has no weight",
            '+ config.grad_pen_scale * terms["penalty"]',
            '+ terms["penalty"]',
        ),
        ("PURL's gate is open where the risk is negative", ".item() > 0.0)", ".item() < 0.0)"),
        (
            "AIRL's logit adds the policy's density",
            "logits = logits - torch.cat",
            "logits = logits + torch.cat",
        ),
        (
            "the expert is told by the policy's densities",
            'torch.cat([t["expert.log_prob"], t["policy.log_prob"]])',
            'torch.cat([t["policy.log_prob"], t["expert.log_prob"]])',
        ),
        (
            "expert and policy change places",
            'torch.cat([sides["expert"], sides["policy"]])',
            'torch.cat([sides["policy"], sides["expert"]])',
        ),
        (
            "the spectral vectors stay behind",
            '            t["vectors"].copy_(vectors)\n',
            "            pass\n",
        ),
        (
            "the workers' gradients are not summed",
            "        self.workers.sum_(self.parameters.gradients)\n",
            "",
        ),
    ),
    *faults_in(
        "agents/imitation/adversarial.py",
        (
            f"{REWARDS}::test_weight_decay_shrinks_what_no_gradient_holds",
            f"{REWARDS}::test_airl_s_logit_and_reward_subtract_the_log_probability",
        ),
        ("weight decay grows weights", "mul_(1.0 - config.d_lr", "mul_(1.0 + config.d_lr"),
        ("AIRL's reward adds the density", 'logits - t["log_prob"]', 'logits + t["log_prob"]'),
    ),
    *faults_in(
        "agents/imitation/batch.py",
        (SAMPLES, STEP, *WEIGHTS, "tests/agents/imitation/test_loops.py", f"{THREADS}[gail]"),
        (
            "the expert's label is the policy's",
            'self.tensors["expert.label"].fill_(1.0)',
            'self.tensors["expert.label"].fill_(0.0)',
        ),
        ("loops weigh nothing", "ends * loops / mass", "0.0 * ends * loops / mass"),
        (
            "this minibatch's weight for the mean one",
            "weights / (self._expert_mean * size)",
            "weights / max(1e-9, weights.sum())",
        ),
        (
            "all workers have the first one's demonstrations",
            "self.drawn * self.config.d_batch_size + self._first",
            "self.drawn * self.config.d_batch_size",
        ),
        (
            "the same demonstrations again and again",
            "first = self.drawn * self.config.d_batch_size",
            "first = 0 * self.config.d_batch_size",
        ),
    ),
    *faults_in(
        "agents/imitation/agent.py",
        (
            SAMPLES,
            f"{STEPS}::test_d_steps_for_every_g_steps",
            f"{STEPS}::test_a_memory_is_judged_from_its_first_row_to_its_last",
            f"{REWARDS}::test_the_reward_of_a_sampled_batch_is_that_of_the_moment",
        ),
        (
            "fewer steps of the discriminator than asked",
            "-(-updates // config.g_steps)",
            "(updates // config.g_steps)",
        ),
        (
            "rows that hold nothing are judged",
            "uniforms * self.memory.filled",
            "uniforms * self.memory.rows",
        ),
        (
            "the policy's samples are of one environment",
            "index = rows * len(rows) + np.arange(len(rows))[:, None]",
            "index = rows * len(rows)",
        ),
        (
            "the learner is paid by the environment",
            "self.learner.update(rollout, self.reward)",
            "self.learner.update(rollout)",
        ),
    ),
    *faults_in(
        "agents/imitation/inputs.py",
        ("tests/agents/imitation/test_inputs.py", *ROWS, *WEIGHTS, STEP),
        (
            "actions show in the absorbing state",
            'self._action(batch["action"]) * (1.0 - batch["absorbing"]).unsqueeze(-1)',
            'self._action(batch["action"])',
        ),
        (
            "the expert's loop counts as often as steps",
            'loops / given.extras["rate"][is_loop]',
            "loops",
        ),
        ("both sides' spread counts double", "gap * gap / 4", "gap * gap / 2"),
        ("AIRL's end goes on", "np.subtract(1.0, buffers", "np.subtract(2.0, buffers"),
        (
            "actions are judged beyond their bounds",
            "return self.clip(self.unbounded_action(raw))",
            "return self.unbounded_action(raw)",
        ),
        (
            "deviations have no floor",
            "np.maximum(np.sqrt(variance), SMALLEST_SD)",
            "np.maximum(np.sqrt(variance), 1e-8)",
        ),
    ),
    *faults_in(
        "agents/imitation/networks.py",
        LOSSES,
        (
            "AIRL's shaping goes beyond the end",
            "discount=self.gamma * goes_on",
            "discount=self.gamma + 0.0 * goes_on",
        ),
        (
            "a hidden matrix is multiplied by its norm",
            "weight = weight / norm",
            "weight = weight * norm",
        ),
    ),
    *faults_in(
        "agents/imitation/scorer.py",
        f"{REWARDS}::test_a_terminated_transition_is_paid_what_its_absorbing_state_is_worth",
        (
            "the first transition is the absorbing state",
            "absorbing = rewards[-1]",
            "absorbing = rewards[0]",
        ),
    ),
    *faults_in(
        "agents/imitation/red.py",
        (SAMPLES, RED),
        (
            "the width ignores its setting",
            "width = self.config.red_width * self.expert_error()",
            "width = self.expert_error()",
        ),
        (
            "the random network learns",
            'FlatAdam(self.parameters, ["predictor"]',
            'FlatAdam(self.parameters, ["target"]',
        ),
        (
            "the same demonstrations again and again",
            "first = self.updates * batch_size + self._first",
            "first = self._first",
        ),
    ),
    *faults_in(
        "agents/imitation/maad.py",
        (MAAD, f"{STEPS}::test_maad_is_guided_by_the_states_of_the_expert_beside_the_rollout"),
        (
            "the guide pushes away",
            "loss + self.guide_scale * distance",
            "loss - self.guide_scale * distance",
        ),
        (
            "all environments have one part of the expert",
            "first + steps * environment, steps",
            "first, steps",
        ),
    ),
    *faults_in(
        "agents/imitation/inverse_dynamics.py",
        ("tests/agents/imitation/test_inverse_dynamics.py", MAAD),
        (
            "absorbing states are asked for actions",
            "(given.observations[:, size] == 0) & (given.next_observations[:, size] == 0)",
            "given.observations[:, size] == 0",
        ),
        (
            "actions are learnt beyond their bounds",
            'self.rows.scaled_action(t["action"])',
            'self.rows.unbounded_action(t["action"])',
        ),
        (
            "the change is not seen",
            "torch.cat([state, change], -1)",
            "torch.cat([state, 0.0 * change], -1)",
        ),
    ),
]
