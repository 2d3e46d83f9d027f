"""The settings of PPO."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, gcd, inf, isqrt, lcm, sqrt
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from agents.common_settings import (
    LARGEST_BATCH,
    STACK_FORM,
    STACK_PATTERN,
    Activation,
    Init,
    ObservationSettings,
    activation_setting,
    clip_norm_setting,
    compile_setting,
    init_setting,
    layer_norm_setting,
    log_std_problem,
    log_std_setting,
)
from helpers.config.run import RunConfig
from helpers.config.settings import cross_field_error, setting


class PPOConfig(ObservationSettings, RunConfig):
    """Proximal policy optimisation (docs/ppo.md)."""

    # features are shared, as in CleanRL and Stable-Baselines3
    OF_PICTURES: ClassVar[Mapping[str, Any] | None] = {
        "p_batch_norm": False,
        "v_batch_norm": False,
        "p_activation": "relu",
        "v_activation": "relu",
        "shared_value": True,
    }

    algo: Literal["ppo"] = setting("ppo", "algorithm", group="run")

    # observations
    p_batch_norm: bool = setting(
        True,
        "normalize the policy's observations by running statistics",
        group="observations",
    )
    v_batch_norm: bool = setting(
        True,
        "normalize the value function's observations by running statistics",
        group="observations",
    )

    # policy
    p_perception_stack: str = setting(
        "mlp_64",
        "hidden layers of the policy",
        group="policy",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    p_activation: Activation = activation_setting("tanh", "the policy", group="policy")
    policy_std_init: float = setting(
        1.0,
        "initial standard deviation of a continuous policy, per action dimension",
        group="policy",
        unit="half the action range, where it has bounds",
        gt=0,
    )
    state_dependent_std: bool = setting(
        False,
        "a continuous policy's standard deviation is an output of its network, not the same in all states",
        group="policy",
    )
    log_std_min: float | None = log_std_setting(None, is_upper=False, how="which is clipped")
    log_std_max: float | None = log_std_setting(None, is_upper=True, how="which is clipped")
    p_lr: float = setting(3e-4, "initial learning rate of the policy", group="policy", gt=0)
    p_ent_reg_scale: float = setting(
        0.0,
        "weight of the entropy bonus",
        group="policy",
        ge=0,
    )
    clip_ratio: float = setting(
        0.2,
        "clip range of the probability ratio around 1",
        group="policy",
        aliases=("eps",),
        gt=0,
    )

    # value
    v_perception_stack: str = setting(
        "mlp_64",
        "hidden layers of the value function; unused with shared_value",
        group="value",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    v_activation: Activation = activation_setting(
        "tanh",
        "the value function; unused with shared_value",
        group="value",
    )
    v_lr: float = setting(3e-4, "initial learning rate of the value function", group="value", gt=0)
    value_clip: float = setting(
        0.0,
        "clip range of a value around its old value; 0 is off",
        group="value",
        unit="standard deviations of the target, with normalize_values",
        ge=0,
    )
    baseline_scale: float = setting(
        0.5,
        "weight of the value loss if policy and value function share layers or gradient clipping",
        group="value",
        ge=0,
    )
    shared_value: bool = setting(
        False,
        "policy and value function share their hidden layers",
        group="value",
    )
    normalize_values: bool = setting(
        True,
        "normalize value targets by running statistics",
        group="value",
    )

    # advantages
    gamma: float = setting(0.99, "discount factor", group="advantages", ge=0, le=1)
    gae_lambda: float = setting(
        0.95,
        "lambda of generalized advantage estimation; 1 sums all rewards, 0 is the one-step TD error",
        group="advantages",
        ge=0,
        le=1,
    )
    normalize_advantages: bool = setting(
        True,
        "normalize the advantages of each minibatch",
        group="advantages",
    )
    recompute_advantages: bool = setting(
        True,
        "recompute the advantages before each epoch, with the current value function",
        group="advantages",
    )

    # optimisation
    rollout_len: int = setting(
        2048,
        "global environment steps per iteration; a multiple of num_envs and of batch_size",
        group="optimisation",
        unit="environment steps",
        ge=1,
        le=LARGEST_BATCH,
    )
    batch_size: int = setting(
        64,
        "global minibatch, shared by the workers; a multiple of num_envs",
        group="optimisation",
        unit="transitions",
        ge=1,
        le=LARGEST_BATCH,
    )
    optim_epochs_per_iter: int = setting(
        10,
        "epochs over each rollout",
        group="optimisation",
        unit="epochs",
        ge=1,
    )
    lr_schedule: Literal["linear", "constant", "adaptive"] = setting(
        "linear",
        "learning rates: linear decay to 0 at num_timesteps, constant, or adapted to desired_kl",
        group="optimisation",
    )
    desired_kl: float = setting(
        0.01,
        "lr_schedule=adaptive: KL divergence per update that the learning rate is adapted to",
        group="optimisation",
        unit="nats",
        gt=0,
    )
    target_kl: float = setting(
        0.0,
        "stop an iteration's epochs when the KL divergence exceeds this; 0 is off",
        group="optimisation",
        unit="nats",
        ge=0,
    )
    clip_norm: float = clip_norm_setting(0.5)
    compile: bool = compile_setting()
    layer_norm: bool = layer_norm_setting()
    init: Init = init_setting("orthogonal")

    @model_validator(mode="after")
    def _check_deviations(self) -> PPOConfig:
        """The bounds of deviations leave room for the first one."""
        if found := log_std_problem(self.log_std_min, self.log_std_max):
            raise cross_field_error(*found)
        low, high = (
            None if each is None else exp(each) for each in (self.log_std_min, self.log_std_max)
        )
        if (low or 0.0) <= self.policy_std_init <= (inf if high is None else high):
            return self
        works = sqrt((low or (high or 1.0) / 4.0) * (high or (low or 1.0) * 4.0))
        raise cross_field_error(
            f"policy_std_init={self.policy_std_init} is outside the bounds of log_std_min and log_std_max.",
            f"This works: --policy_std_init={works:.3g}.",
        )

    def read_stacks(self) -> tuple[str, ...]:
        """The policy's, and the value function's where it has its own."""
        own = () if self.shared_value else ("v_perception_stack",)
        return ("p_perception_stack", *own)

    @property
    def schedules(self) -> tuple[str, ...]:
        """That of the learning rates."""
        return ("lr_schedule=linear",) if self.lr_schedule == "linear" else ()

    @model_validator(mode="after")
    def _check_batches(self) -> PPOConfig:
        """Every environment gives equally many steps to a rollout and to a minibatch."""
        if self.task == "eval":  # no minibatch is drawn, so any number of environments will do
            return self
        found = batch_problem(self.num_envs, self.rollout_len, self.batch_size)
        if found is not None:
            raise cross_field_error(*found)
        return self


def batch_problem(num_envs: int, rollout_len: int, batch_size: int) -> tuple[str, str] | None:
    """(problem, remedy) where the three do not divide one another; None where they do."""
    if rollout_len % num_envs:
        problem = f"rollout_len={rollout_len} is not a multiple of num_envs={num_envs}."
    elif batch_size % num_envs:
        problem = f"batch_size={batch_size} is not a multiple of num_envs={num_envs}."
    elif rollout_len % batch_size:
        problem = f"rollout_len={rollout_len} is not a multiple of batch_size={batch_size}."
    else:
        return None
    return (
        problem,
        f"This works: {' or '.join(_batch_remedies(num_envs, rollout_len, batch_size))}.",
    )


def _batch_remedies(num_envs: int, rollout_len: int, batch_size: int) -> list[str]:
    """The nearest value of each setting that mends it alone; where none does, a pair."""
    singles = {
        "num_envs": (
            _divisors(gcd(rollout_len, batch_size)) if rollout_len % batch_size == 0 else []
        ),
        "batch_size": [size for size in _divisors(rollout_len) if size % num_envs == 0],
        "rollout_len": [_nearest_multiple(rollout_len, lcm(num_envs, batch_size))],
    }
    if batch_size % num_envs:
        singles["rollout_len"] = []
    present = {"num_envs": num_envs, "batch_size": batch_size, "rollout_len": rollout_len}
    remedies = [
        f"--{key}={min(values, key=lambda value: abs(value - present[key]))}"
        for key, values in singles.items()
        if values and min(values) <= LARGEST_BATCH
    ]
    if remedies:
        return remedies
    batch = _nearest_multiple(batch_size, num_envs)
    return [f"--batch_size={batch} --rollout_len={_nearest_multiple(rollout_len, batch)}"]


def _nearest_multiple(value: int, base: int) -> int:
    return max(1, round(value / base)) * base


def _divisors(number: int) -> list[int]:
    small = [each for each in range(1, isqrt(number) + 1) if number % each == 0]
    return sorted({*small, *(number // each for each in small)})
