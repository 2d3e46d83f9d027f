"""Faults in what the families share: moments, densities, actors and critics, units of actions, Adam, noise, seeds."""

from __future__ import annotations

from benchmarks.mutants.mutant import faults_in

CLOSED_FORMS = "tests/agents/test_losses.py"
DENSITIES = (
    "tests/agents/nn/test_distributions.py",
    f"{CLOSED_FORMS}::test_gaussian_log_prob_and_entropy_are_those_of_torch",
    f"{CLOSED_FORMS}::test_categorical_log_prob_and_entropy_are_those_of_torch",
    "tests/agents/off_policy/test_learner.py::"
    "test_the_squashed_density_is_that_of_the_change_of_variables",
)
SAVED = (
    "tests/agents/test_contract.py::"
    "test_state_dict_round_trip_gives_bitwise_the_same_next_update[sac-continuous]"
)
KERNEL = (
    "tests/agents/on_policy/test_guard.py::"
    "test_the_kernel_stays_where_nothing_was_changed_and_not_a_bit_is_moved_by_asking"
)
PRESERVED = (
    "tests/agents/on_policy/test_value_units.py::test_new_moments_leave_values_in_units_of_reward"
)
MOMENTS = (
    "tests/agents/nn/test_normalizer.py",
    "tests/agents/on_policy/test_ppo.py::test_moments_are_those_of_all_the_data_even_far_from_zero",
    "tests/agents/on_policy/test_value_units.py::test_moments_forget",
    PRESERVED,
)
UNITS = (
    "tests/agents/off_policy/test_schedules.py::"
    "test_networks_are_given_this_and_the_next_observation_standardised_and_actions_in_their_units",
    "tests/agents/test_action_units.py::test_without_bounds_the_unit_is_the_environments_and_a_line_says_so",
)

MUTANTS = [
    *faults_in(
        "agents/nn/normalizer.py",
        MOMENTS,
        (
            "merging weighs the shift by one count",
            "shift * shift * self.count * count / total",
            "shift * shift * self.count",
        ),
        (
            "the mean moves the whole way",
            "self.mean += shift * count / total",
            "self.mean += shift",
        ),
        (
            "a sample's variance for the population's",
            "return self.m2 / self.count if",
            "return self.m2 / max(1.0, self.count - 1.0) if",
        ),
        (
            "the scale is of the variance",
            "1.0 / np.sqrt(self.variance + VARIANCE_EPSILON)",
            "1.0 / (self.variance + VARIANCE_EPSILON)",
        ),
        (
            "forgetting keeps old deviations",
            "            self.m2 *= self.memory * count / self.count\n",
            "",
        ),
        ("nothing is forgotten", "if self.count > self.memory * count:", "if self.count < 0:"),
        (
            "outliers are clipped on one side",
            "np.clip(standard, -self.CLIP,",
            "np.clip(standard, None,",
        ),
        ("workers do not add up sums", "        workers.sum_(message)\n", ""),
        ("workers do not add up deviations", "        workers.sum_(batch_m2)\n", ""),
        (
            "values lose the mean of returns",
            "return values * self.sd + self.center",
            "return values * self.sd",
        ),
        ("the smallest deviation is absolute", "self.SMALLEST * abs(self.center)", "self.SMALLEST"),
    ),
    *faults_in(
        "agents/nn/distributions.py",
        DENSITIES,
        (
            "tanh's correction is added",
            "(gaussian - squash).sum(-1)",
            "(gaussian + squash).sum(-1)",
        ),
        ("half of tanh's correction", "squash = 2.0 * (", "squash = ("),
        (
            "the density of a wider Gaussian is higher",
            "-(0.5 * z * z + log_std",
            "-(0.5 * z * z - log_std",
        ),
        (
            "an entropy without its half",
            "(log_std + 0.5 + HALF_LOG_TAU)",
            "(log_std + HALF_LOG_TAU)",
        ),
        ("a choice that there is not has a probability", "value=NEVER)", "value=0.0)"),
        (
            "the mean over choices for their sum",
            "categorical_log_prob(actions, by_choice(logits, sizes)).sum(-1)",
            "categorical_log_prob(actions, by_choice(logits, sizes)).mean(-1)",
        ),
    ),
    *faults_in(
        "agents/nn/actors.py",
        (KERNEL, PRESERVED),
        ("noise is scaled by the logarithm", "noise, log_std.exp())", "noise, log_std)"),
        (
            "PopArt leaves the bias in the old unit",
            "self.head.bias.mul_(scale).add_(offset)",
            "self.head.bias.add_(offset)",
        ),
    ),
    *faults_in(
        "agents/nn/critics.py",
        "tests/agents/nn/test_critics.py",
        (
            "the first critic alone",
            "for net in self.nets])",
            "for net in [self.nets[0]] * len(self.nets)])",
        ),
        (
            "dueling advantages keep their mean",
            "+ values - values.mean(-1, keepdim=True)",
            "+ values",
        ),
        (
            "noise in the unit of the logarithm",
            "unsquashed = mean + noise * log_std.exp()",
            "unsquashed = mean + noise * log_std",
        ),
        (
            "deviations reach half their range",
            "low + 0.5 * (high - low)",
            "low + 0.25 * (high - low)",
        ),
        ("exploring leaves the bounds", "(actions + noise).clamp(-1.0, 1.0)", "actions + noise"),
    ),
    *faults_in(
        "agents/nn/action_scale.py",
        UNITS,
        (
            "actions go to networks by the range",
            "/ torch.from_numpy(self.half)",
            "* torch.from_numpy(self.half)",
        ),
        ("half is the whole range", "high - low, 2.0) / 2", "high - low, 1.0)"),
    ),
    *faults_in(
        "agents/compute/flat_parameters.py",
        (f"{CLOSED_FORMS}::test_flat_adam_is_adam", SAVED),
        (
            "Adam without the first correction",
            "correction1 = 1.0 - self.beta1**self.steps",
            "correction1 = 1.0",
        ),
        (
            "Adam's second correction is a step late",
            "root = 1.0 / math.sqrt(1.0 - self.BETA2**self.steps)",
            "root = 1.0 / math.sqrt(1.0 - self.BETA2 ** (self.steps + 1))",
        ),
        (
            "Adam's epsilon under the root",
            "(self.moment2.sqrt() * root + self.epsilon)",
            "(self.moment2 * root * root + self.epsilon).sqrt()",
        ),
        (
            "all segments at the first one's rate",
            "learning_rates[name] / correction1 for name",
            "learning_rates[self.segments[0]] / correction1 for name",
        ),
        ("small gradients are scaled up to the limit", ".clamp_(max=1.0))", ")"),
        (
            "the second moment is the mean of the first",
            "addcmul_(gradients, gradients, value",
            "addcmul_(self.moment1, self.moment1, value",
        ),
        ("a checkpoint forgets Adam's steps", 'self.steps = int(state["steps"])', "self.steps = 0"),
    ),
    *faults_in(
        "agents/compute/kernels/adam.h",
        KERNEL,
        (
            "in C: the second moment decays by the first's rate",
            "adam->new2 * g * g",
            "adam->new1 * g * g",
        ),
    ),
    *faults_in(
        "agents/compute/kernels/perceptron.h",
        KERNEL,
        ("in C: tanh's slope is of the first power", "*d *= 1.0f - y * y", "*d *= 1.0f - y"),
    ),
    *faults_in(
        "agents/nn/noise.py",
        "tests/agents/nn/test_noise.py",
        ("every block is the first one's", "environment, self._number)", "environment, 0)"),
        (
            "an environment's stream is numbered on its worker",
            "for index in self.environments]",
            "for index in range(len(self.environments))]",
        ),
        ("a position within its block is lost", "        self._step = within\n", ""),
    ),
    *faults_in(
        "helpers/seeding.py",
        "tests/helpers/test_seeding.py",
        (
            "all purposes have one stream",
            "[self.seed, zlib.crc32(purpose.encode()), *indices]",
            "[self.seed, *indices]",
        ),
        (
            "indices do not count",
            "zlib.crc32(purpose.encode()), *indices]",
            "zlib.crc32(purpose.encode())]",
        ),
    ),
    *faults_in(
        "agents/nn/batch_renorm.py",
        "tests/agents/nn/test_batch_renorm.py",
        ("the ratio upside down", "(inverse / scale.detach())", "(scale.detach() / inverse)"),
        (
            "the shift backwards",
            "(own_mean.detach() - mean) * inverse",
            "(mean - own_mean.detach()) * inverse",
        ),
        (
            "gradients pass the correction",
            "(own_mean.detach() - mean) * inverse",
            "(own_mean - mean) * inverse",
        ),
        (
            "running statistics leap",
            "lerp_(found[where], MOMENTUM)",
            "lerp_(found[where], 1.0 - MOMENTUM)",
        ),
    ),
]
