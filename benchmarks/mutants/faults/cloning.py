"""Faults in cloning, and in the demonstrations that it and imitation learn from."""

from __future__ import annotations

from benchmarks.mutants.mutant import faults_in

THREADS = "tests/agents/test_workers_in_threads.py::test_two_threads_learn_what_one_learns"
CLONER = "tests/agents/cloning/test_cloner.py"
HELD_OUT = "tests/agents/cloning/test_held_out.py"
CLONED = tuple(
    f"{CLONER}::{name}"
    for name in (
        "test_a_step_is_adam_along_the_gradient_of_the_minibatch",
        "test_early_stopping_keeps_what_fitted_best_and_ends_the_training",
        "test_what_is_held_out_is_whole_and_never_learnt_from",
        "test_what_is_learnt_in_the_limit_is_ridge_regression",
    )
)
LIKELIHOODS = tuple(
    f"{CLONER}::{name}"
    for name in (
        "test_the_squashed_likelihood_and_its_gradient_are_those_of_hand",
        "test_the_losses_of_policies_are_these_functions",
    )
)
DAGGER = "tests/agents/cloning/test_dagger.py"
DATASET = "tests/agents/demonstrations/test_dataset.py"
ABSORBING = "tests/agents/demonstrations/test_absorbing_states.py"

MUTANTS = [
    *faults_in(
        "agents/cloning/cloner.py",
        (HELD_OUT, *CLONED, f"{THREADS}[bc]"),
        (
            "weight decay grows weights",
            "alpha=self.config.weight_decay",
            "alpha=-self.config.weight_decay",
        ),
        ("the schedule rises", "rest = 1.0 - progress if", "rest = progress if"),
        (
            "a mean of chunks for a mean of rows",
            "float(value) * (rows.stop - rows.start)",
            "float(value) * CHUNK",
        ),
        ("each worker's share is the whole", "share = 1.0 / self.workers.size", "share = 1.0"),
    ),
    *faults_in(
        "agents/cloning/bc.py",
        (HELD_OUT, *CLONED),
        (
            "the worst fit acts",
            "if loss < self.best_loss:",
            "if loss > self.best_loss or self.best_loss == math.inf:",
        ),
        (
            "patience ends a look early",
            "0 < self.config.patience <= self.waited",
            "0 < self.config.patience <= self.waited + 1",
        ),
        (
            "the held-out demonstrations are among the moments",
            ".share(workers).observations)",
            ".share(workers).observations)\n"
            "            self.cloner.update_normalizer(demos.share(workers).observations)",
        ),
    ),
    *faults_in(
        "agents/cloning/policies.py",
        (HELD_OUT, *LIKELIHOODS),
        (
            "the likelihood is lowered",
            "return -log_prob(actions, *self.head",
            "return log_prob(actions, *self.head",
        ),
        (
            "samples by the logarithm of the deviation",
            "mean if noise is None else mean + noise * log_std.exp()",
            "mean if noise is None else mean + noise * log_std",
        ),
        (
            "noise is divided by the wrong deviation",
            "(unsquashed - mean) * torch.exp(-log_std)",
            "(unsquashed - mean) * torch.exp(log_std)",
        ),
    ),
    *faults_in(
        "agents/cloning/dagger.py",
        DAGGER,
        (
            "the first round mixes already",
            "beta_decay ** len(self.rounds)",
            "beta_decay ** (len(self.rounds) + 1)",
        ),
        ("the expert acts where the policy should", "[:, 0] < self.beta", "[:, 0] >= self.beta"),
        (
            "what was done is learnt, not what the expert would do",
            "labels = self.expert(visited.reshape(-1, visited.shape[-1]))",
            "labels = rollout.actions.reshape(-1, *rollout.actions.shape[2:])",
        ),
        ("only the last round is learnt", "self.rounds.all_rounds()", "self.rounds.last_round()"),
    ),
    *faults_in(
        "agents/demonstrations/dataset.py",
        DATASET,
        ("every shuffle is the first", "_order(seed, shuffle, count)", "_order(seed, 0, count)"),
        ("workers overlap", "first + mine.start, mine.stop", "first, mine.stop"),
        (
            "the added end is the loop",
            "np.delete(rows, count) if is_added",
            "np.delete(rows, count - 1) if is_added",
        ),
    ),
    *faults_in(
        "agents/demonstrations/absorbing_states.py",
        ABSORBING,
        ("an end leads to its own successor", "    successors[ended] = absorbing(count)\n", ""),
        ("the marked end is still cut", "    truncated[: len(ended)] &= ~ended\n", ""),
    ),
]
