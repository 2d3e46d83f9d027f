"""The settings of each off-policy algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from agents.common_settings import (
    CHOICE,
    STACK_FORM,
    STACK_PATTERN,
    ActionKind,
    log_std_problem,
    log_std_setting,
)
from agents.off_policy.core.config import ReplayConfig
from helpers.config.settings import cross_field_error, setting


class SACConfig(ReplayConfig):
    """Soft actor-critic (docs/sac.md)."""

    algo: Literal["sac"] = setting("sac", "algorithm", group="run")
    temperature_init: float = setting(
        1.0,
        "initial entropy coefficient (temperature)",
        group="policy",
        gt=0,
    )
    temperature_lr: float = setting(
        1e-3,
        "learning rate of the log temperature",
        group="policy",
        gt=0,
    )
    target_entropy_scale: float = setting(
        1.0,
        "target entropy, as a multiple of minus the number of action dimensions",
        group="policy",
        unit="nats",
    )
    log_std_min: float = log_std_setting(-5.0, is_upper=False, how="which tanh squashes in between")
    log_std_max: float = log_std_setting(2.0, is_upper=True, how="which tanh squashes in between")

    @model_validator(mode="after")
    def _check_deviations(self) -> SACConfig:
        """The bounds of deviations leave room between them."""
        if found := log_std_problem(self.log_std_min, self.log_std_max):
            raise cross_field_error(*found)
        return self


class CrossQConfig(SACConfig):
    """CrossQ (docs/crossq.md)."""

    algo: Literal["crossq"] = setting("crossq", "algorithm", group="run")  # type: ignore[assignment]
    q_perception_stack: str = setting(
        "mlp_512",
        "hidden layers of each critic",
        group="critic",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    p_lr: float = setting(1e-3, "learning rate of the policy", group="policy", gt=0)
    q_lr: float = setting(1e-3, "learning rate of the critics", group="critic", gt=0)
    temperature_lr: float = setting(
        1e-3,
        "learning rate of the log temperature",
        group="policy",
        gt=0,
    )
    policy_delay: int = setting(
        3,
        "critic updates per update of the policy and the temperature",
        group="policy",
        unit="updates",
        ge=1,
    )
    renorm_warm_up: int = setting(
        100_000,
        "updates before batch renormalization uses the running statistics",
        group="critic",
        unit="updates",
        ge=0,
    )


class REDQConfig(SACConfig):
    """Randomised ensembled double Q-learning (docs/redq.md)."""

    algo: Literal["redq"] = setting("redq", "algorithm", group="run")  # type: ignore[assignment]
    num_critics: int = setting(10, "number of critics", group="critic", ge=1, le=100)
    target_critics: int = setting(
        2,
        "number of random target critics in the minimum of a target",
        group="critic",
        ge=1,
        le=100,
    )
    updates_per_step: float = setting(
        20.0,
        "gradient steps per global environment step, for any number of environments",
        group="optimisation",
        gt=0,
        le=100,
    )
    policy_delay: int = setting(
        20,
        "critic updates per update of the policy and the temperature",
        group="policy",
        unit="updates",
        ge=1,
    )

    @model_validator(mode="after")
    def _check_ensemble(self) -> REDQConfig:
        """A target's critics are of the ensemble."""
        if self.target_critics > self.num_critics:
            raise cross_field_error(
                f"target_critics={self.target_critics} is more than num_critics={self.num_critics}.",
                f"This works: --target_critics={self.num_critics}.",
            )
        return self


class TQCConfig(SACConfig):
    """Truncated quantile critics (docs/tqc.md)."""

    algo: Literal["tqc"] = setting("tqc", "algorithm", group="run")  # type: ignore[assignment]
    num_critics: int = setting(5, "number of critics", group="critic", ge=1, le=100)
    num_quantiles: int = setting(25, "quantiles per critic", group="critic", ge=1, le=1000)
    dropped_quantiles: int = setting(
        2,
        "number of largest quantiles per critic that targets drop",
        group="critic",
        ge=0,
    )

    @model_validator(mode="after")
    def _check_quantiles(self) -> TQCConfig:
        """Some quantiles remain."""
        if self.dropped_quantiles >= self.num_quantiles:
            raise cross_field_error(
                f"dropped_quantiles={self.dropped_quantiles} drops all of num_quantiles={self.num_quantiles}.",
                f"This works: --dropped_quantiles={self.num_quantiles - 1}.",
            )
        return self


class TD3Config(ReplayConfig):
    """Twin delayed deep deterministic policy gradient (docs/td3.md)."""

    algo: Literal["td3"] = setting("td3", "algorithm", group="run")
    exploration_std: float = setting(
        0.1,
        "standard deviation of the exploration noise, relative to half the action range",
        group="policy",
        ge=0,
    )
    policy_delay: int = setting(
        2,
        "critic updates per update of the policy and the target networks",
        group="policy",
        unit="updates",
        ge=1,
    )
    target_noise_std: float = setting(
        0.2,
        "standard deviation of the noise on target actions, relative to half the action range",
        group="critic",
        ge=0,
    )
    target_noise_clip: float = setting(
        0.5,
        "clip range of the noise on target actions, relative to half the action range",
        group="critic",
        ge=0,
    )


class DDPGConfig(ReplayConfig):
    """Deep deterministic policy gradient (docs/ddpg.md)."""

    algo: Literal["ddpg"] = setting("ddpg", "algorithm", group="run")
    p_lr: float = setting(1e-3, "learning rate of the policy", group="policy", gt=0)
    exploration_std: float = setting(
        0.1,
        "standard deviation of the exploration noise, relative to half the action range",
        group="policy",
        ge=0,
    )


class DQNConfig(ReplayConfig):
    """Deep Q-learning (docs/dqn.md)."""

    ACTIONS: ClassVar[frozenset[ActionKind]] = frozenset({CHOICE})
    OF_PICTURES: ClassVar[Mapping[str, Any] | None] = {}

    algo: Literal["dqn"] = setting("dqn", "algorithm", group="run")
    epsilon_end: float = setting(
        0.05,
        "final exploration rate epsilon (it starts at 1)",
        group="policy",
        ge=0,
        le=1,
    )
    exploration_fraction: float = setting(
        0.2,
        "fraction of the training over which epsilon decays",
        group="policy",
        gt=0,
        le=1,
    )

    def read_stacks(self) -> tuple[str, ...]:
        """That of the one network."""
        return ("q_perception_stack",)

    @property
    def schedules(self) -> tuple[str, ...]:
        """Those of every such algorithm, and epsilon's."""
        return (*super().schedules, f"exploration_fraction={self.exploration_fraction:g}")

    @model_validator(mode="after")
    def _check_inputs(self) -> DQNConfig:
        """The network that acts is the one that learns: it takes one kind of observations."""
        if self.p_batch_norm != self.q_batch_norm and self.task != "eval":
            raise cross_field_error(
                f"p_batch_norm={self.p_batch_norm} and q_batch_norm={self.q_batch_norm}, but dqn has one network.",
                f"Set both to the same value: --batch_norm_all={str(self.q_batch_norm).lower()}.",
            )
        return self

    target_period: int = setting(
        1000,
        "global environment steps between updates of the target network",
        former=("slow_period",),
        group="critic",
        unit="environment steps",
        ge=1,
    )
    double: bool = setting(
        True,
        "double Q-learning: the online network selects actions, the target network evaluates them",
        group="critic",
    )
    dueling: bool = setting(
        False,
        "dueling architecture: separate heads for the state value and the advantages",
        former=("duelling",),
        group="critic",
    )
