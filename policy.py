"""A trained policy in three lines:

from policy import load_policy
policy = load_policy("data/runs/NAME")  # or a checkpoint, a policy package, models:/NAME@ALIAS, grpc://HOST:PORT/NAME
action = policy(observation)
"""

from registry.acting import Policy, load_policy

__all__ = ["Policy", "load_policy"]
