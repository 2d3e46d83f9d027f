"""The imitations by name: what each sets otherwise, and what contradicts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from agents.common_settings import STACK_FORM, STACK_PATTERN
from agents.imitation.config import (
    AdversarialSettings,
    ImitationConfig,
    ImitationSettings,
    Learner,
    LogProb,
    RewardType,
)
from agents.on_policy.config import PPOConfig
from helpers.config.settings import Scalar, redeclare, setting, settings_of


class GAILConfig(ImitationConfig):
    """Generative adversarial imitation learning (docs/gail.md)."""

    algo: Literal["gail"] = setting("gail", "algorithm", group="run")


class AIRLConfig(ImitationConfig):
    """Adversarial inverse reinforcement learning (docs/airl.md)."""

    UNUSED: ClassVar[frozenset[str]] = ImitationConfig.UNUSED - {"d_log_prob"}
    LEARNER_DEFAULTS: ClassVar[Mapping[str, Mapping[str, Scalar]]] = {
        **ImitationConfig.LEARNER_DEFAULTS,
        "sac": {"d_log_prob": "discriminator"},  # has entropy already
        "td3": {"d_log_prob": "none"},  # has no density
    }

    algo: Literal["airl"] = setting("airl", "algorithm", group="run")
    state_only: bool = redeclare(ImitationSettings, "state_only", True)
    reward_type: RewardType = redeclare(ImitationSettings, "reward_type", "airl")
    d_log_prob: LogProb = redeclare(ImitationSettings, "d_log_prob", "both")

    def _contradiction(self) -> tuple[str, str] | None:
        if self.state_state:
            return (
                "state_state does nothing with algo=airl: its shaping judges the successor already.",
                "Leave it out: --no-state_state. Its reward is of states (--state_only), or of actions too.",
            )
        return super()._contradiction()


class SAMConfig(ImitationConfig):
    """Sample-efficient adversarial mimic (docs/sam.md)."""

    algo: Literal["sam"] = setting("sam", "algorithm", group="run")
    learner: Learner = redeclare(ImitationSettings, "learner", "sac")
    spectral_norm: bool = redeclare(ImitationSettings, "spectral_norm", True)
    reward_type: RewardType = redeclare(ImitationSettings, "reward_type", "airl")
    real_ls_type: str = redeclare(ImitationSettings, "real_ls_type", "random-uniform_0.7_1.2")
    wrap_absorb: bool = redeclare(ImitationSettings, "wrap_absorb", True)


class DACConfig(ImitationConfig):
    """Discriminator-actor-critic (docs/sam.md)."""

    algo: Literal["dac"] = setting("dac", "algorithm", group="run")
    learner: Learner = redeclare(ImitationSettings, "learner", "td3")
    one_sided_pen: bool = redeclare(ImitationSettings, "one_sided_pen", False)
    reward_type: RewardType = redeclare(ImitationSettings, "reward_type", "airl")
    wrap_absorb: bool = redeclare(ImitationSettings, "wrap_absorb", True)


class REDConfig(ImitationConfig):
    """Random expert distillation (docs/gail.md): a reward learned before the policy, without an adversary."""

    LEARNS_ADVERSARIALLY: ClassVar[bool] = False
    UNUSED: ClassVar[frozenset[str]] = frozenset(
        {*settings_of(AdversarialSettings), "d_steps", "g_steps", "d_log_prob"},
    )

    algo: Literal["red"] = setting("red", "algorithm", group="run")

    def _contradiction(self) -> tuple[str, str] | None:
        if found := super()._contradiction():
            return found
        if self.num_demos == 0:
            return (
                "algo=red learns from demonstrations alone, but num_demos=0.",
                "Give --num_demos=4.",
            )
        if self.d_moments != "demos":
            return (
                f"RED is trained before the policy acts, but d_moments={self.d_moments} are to follow it.",
                "Standardise by what there is: --d_moments=demos.",
            )
        return None


class MAADConfig(ImitationConfig):
    """Imitation of states alone, its policy drawn towards the actions that would have led there (docs/maad.md)."""

    algo: Literal["maad"] = setting("maad", "algorithm", group="run")
    learner: Literal["ppo"] = setting("ppo", "algorithm that learns from the reward", group="run")
    learner_config: PPOConfig
    expert_state_only: bool = redeclare(ImitationSettings, "expert_state_only", True)
    state_state: bool = redeclare(ImitationSettings, "state_state", True)
    guide_scale: float = setting(
        1.0,
        "weight of the policy's distance from the estimated expert actions",
        group="policy",
        aliases=("gail_bc_lambda",),
        ge=0,
    )
    idm_perception_stack: str = setting(
        "mlp_128",
        "hidden layers of the inverse dynamics model, from state and next state to action",
        group="inverse dynamics",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    idm_lr: float = setting(
        1e-3,
        "learning rate of the inverse dynamics model",
        group="inverse dynamics",
        gt=0,
    )
    idm_steps: int = setting(
        64,
        "gradient steps of the inverse dynamics model per rollout, on d_batch_size transitions",
        group="inverse dynamics",
        unit="updates",
        ge=1,
        le=10_000,
    )

    def _contradiction(self) -> tuple[str, str] | None:
        if self.num_demos == 0:
            return (
                "algo=maad is guided by demonstrations, but num_demos=0.",
                "Give --num_demos=4; the control without any is --algo=gail --state_state --num_demos=0.",
            )
        return super()._contradiction()
