"""Faults that the fast tests that there were before this audit did not notice."""

from __future__ import annotations

BEFORE, TRIED = "1fa890a", 14
SURVIVORS = frozenset(
    (
        "imitation/inputs.py: actions show in the absorbing state",
        "imitation/inverse_dynamics.py: absorbing states are asked for actions",
        "imitation/inverse_dynamics.py: actions are learnt beyond their bounds",
        "nn/batch_renorm.py: running statistics leap",
        "off_policy/dqn.py: the target network chooses",
        "on_policy/minibatches.py: a worker's samples are taken for all",
        "on_policy/minibatches.py: advantages are divided by the variance",
        "on_policy/minibatches.py: advantages keep their mean",
        "on_policy/minibatches.py: all environments are shuffled alike",
        "on_policy/minibatches.py: an environment's stream is numbered on its worker",
        "on_policy/minibatches.py: every iteration has the same order",
        "on_policy/minibatches.py: workers do not add up their sums",
    ),
)
