"""The settings of each off-policy algorithm."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from agents.common_settings import STACK_FORM, STACK_PATTERN, ActionKind
from agents.off_policy.core.config import ReplayConfig
from helpers.config.run import cross_field_error
from helpers.config.settings import setting


class SACConfig(ReplayConfig):
    """Soft actor-critic (docs/sac.md)."""

    algo: Literal["sac"] = setting("sac", "what learns", group="run")
    temperature_init: float = setting(
        1.0,
        "weight of the entropy at the start",
        group="policy",
        gt=0,
    )
    temperature_lr: float = setting(
        1e-3,
        "Adam step size of the temperature's logarithm",
        group="policy",
        gt=0,
    )
    target_entropy_scale: float = setting(
        1.0,
        "entropy that the temperature holds, times minus the action's dimensions",
        group="policy",
        unit="nats",
    )


class CrossQConfig(SACConfig):
    """CrossQ (docs/crossq.md)."""

    algo: Literal["crossq"] = setting("crossq", "what learns", group="run")  # type: ignore[assignment]
    q_perception_stack: str = setting(
        "mlp_512",
        "hidden layers of each critic",
        group="critic",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    p_lr: float = setting(1e-3, "Adam step size of the policy", group="policy", gt=0)
    q_lr: float = setting(1e-3, "Adam step size of the critics", group="critic", gt=0)
    temperature_lr: float = setting(
        1e-3,
        "Adam step size of the temperature's logarithm",
        group="policy",
        gt=0,
    )
    policy_delay: int = setting(
        3,
        "updates of the critics for each one of the policy and the temperature",
        group="policy",
        unit="updates",
        ge=1,
    )
    renorm_warm_up: int = setting(
        100_000,
        "updates before a minibatch's statistics are corrected towards the running ones",
        group="critic",
        unit="updates",
        ge=0,
    )


class REDQConfig(SACConfig):
    """Randomised ensembled double Q-learning (docs/redq.md)."""

    algo: Literal["redq"] = setting("redq", "what learns", group="run")  # type: ignore[assignment]
    num_critics: int = setting(10, "critics of the ensemble", group="critic", ge=1, le=100)
    target_critics: int = setting(
        2,
        "target critics, drawn at random, whose smallest value makes a target",
        group="critic",
        ge=1,
        le=100,
    )
    updates_per_step: float = setting(
        20.0,
        "gradient steps per global environment step, whatever the number of environments",
        group="optimisation",
        gt=0,
        le=100,
    )
    policy_delay: int = setting(
        20,
        "updates of the critics for each one of the policy and the temperature",
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

    algo: Literal["tqc"] = setting("tqc", "what learns", group="run")  # type: ignore[assignment]
    num_critics: int = setting(5, "critics of the ensemble", group="critic", ge=1, le=100)
    num_quantiles: int = setting(25, "quantiles of each critic", group="critic", ge=1, le=1000)
    dropped_quantiles: int = setting(
        2,
        "largest quantiles for each critic that targets leave out",
        group="critic",
        ge=0,
    )

    @model_validator(mode="after")
    def _check_quantiles(self) -> TQCConfig:
        """Some quantiles remain."""
        if self.dropped_quantiles >= self.num_quantiles:
            raise cross_field_error(
                f"dropped_quantiles={self.dropped_quantiles} leaves none of num_quantiles={self.num_quantiles}.",
                f"This works: --dropped_quantiles={self.num_quantiles - 1}.",
            )
        return self


class TD3Config(ReplayConfig):
    """Twin delayed deep deterministic policy gradient (docs/td3.md)."""

    algo: Literal["td3"] = setting("td3", "what learns", group="run")
    exploration_std: float = setting(
        0.1,
        "deviation of the noise on a rollout's actions, of half the action's range",
        group="policy",
        ge=0,
    )
    policy_delay: int = setting(
        2,
        "updates of the critics for each one of the policy and the slow networks",
        group="policy",
        unit="updates",
        ge=1,
    )
    target_noise_std: float = setting(
        0.2,
        "deviation of the noise on a target's actions, of half the action's range",
        group="critic",
        ge=0,
    )
    target_noise_clip: float = setting(
        0.5,
        "largest noise on a target's actions, of half the action's range",
        group="critic",
        ge=0,
    )


class DDPGConfig(ReplayConfig):
    """Deep deterministic policy gradient (docs/ddpg.md)."""

    algo: Literal["ddpg"] = setting("ddpg", "what learns", group="run")
    p_lr: float = setting(1e-3, "Adam step size of the policy", group="policy", gt=0)
    exploration_std: float = setting(
        0.1,
        "deviation of the noise on a rollout's actions, of half the action's range",
        group="policy",
        ge=0,
    )


class DQNConfig(ReplayConfig):
    """Deep Q-learning (docs/dqn.md)."""

    ACTIONS: ClassVar[ActionKind] = "discrete"

    algo: Literal["dqn"] = setting("dqn", "what learns", group="run")
    epsilon_end: float = setting(
        0.05,
        "how often a choice is random at last; at first it always is",
        group="policy",
        ge=0,
        le=1,
    )
    exploration_fraction: float = setting(
        0.2,
        "part of the training over which choices become less random",
        group="policy",
        gt=0,
        le=1,
    )

    @model_validator(mode="after")
    def _check_inputs(self) -> DQNConfig:
        """The network that acts is the one that learns: it takes one kind of observations."""
        if self.p_batch_norm != self.q_batch_norm and self.task != "eval":
            raise cross_field_error(
                f"p_batch_norm={self.p_batch_norm} and q_batch_norm={self.q_batch_norm}, but dqn acts by its critic.",
                f"Give both alike: --batch_norm_all={str(self.q_batch_norm).lower()}.",
            )
        return self

    target_period: int = setting(
        1000,
        "global environment steps between two renewals of the slow network",
        former=("slow_period",),
        group="critic",
        unit="environment steps",
        ge=1,
    )
    double: bool = setting(
        True,
        "the quick network chooses the next action, the slow one values it",
        group="critic",
    )
    dueling: bool = setting(
        False,
        "a state's value and its choices' advantages have heads of their own",
        former=("duelling",),
        group="critic",
    )
