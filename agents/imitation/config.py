"""The settings of adversarial imitation and of RED: a reward model's, beside those of the learner under it.

`--algo` names the imitation, `--learner` what learns from its reward. A configuration is a class of both, so a run
knows the settings that it reads and no others; `variant` finds the class. The imitations themselves are in
configs_imitators.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from agents.common_settings import LARGEST_BATCH, STACK_FORM, STACK_PATTERN
from agents.demonstrations.config import DemonstrationSettings
from helpers.config.run import RunConfig, cross_field_error
from helpers.config.settings import Settings, read_switch, setting, settings_of

_NUMBER = r"\d{1,3}(\.\d{1,6})?"
LABEL_PATTERN = rf"none|random-uniform_{_NUMBER}_{_NUMBER}|(soft-labels|disturb-label)_{_NUMBER}"
LABEL_FORM = "none, random-uniform_0.7_1.2, soft-labels_0.1 or disturb-label_0.1"


class DiscriminatorSettings(Settings):
    """What tells expert from policy, and the reward made of it (docs/gail.md)."""

    d_perception_stack: str = setting(
        "mlp_64",
        "hidden layers of the discriminator; RED: of both its networks",
        group="discriminator",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    d_activation: Literal["relu", "tanh", "leaky_relu"] = setting(
        "relu",
        "between the discriminator's layers; leaky_relu has slope 0.1 below 0",
        group="discriminator",
    )
    d_lr: float = setting(3e-4, "Adam step size of the discriminator", group="discriminator", gt=0)
    d_batch_size: int = setting(
        256,
        "global minibatch of the policy's transitions, and as many of the expert's; a multiple of num_envs",
        group="discriminator",
        unit="transitions",
        ge=1,
        le=LARGEST_BATCH,
    )
    d_steps: int = setting(
        1,
        "gradient steps of the discriminator for every g_steps updates of the learner",
        group="discriminator",
        unit="updates",
        ge=1,
        le=10_000,
    )
    g_steps: int = setting(
        1,
        "updates of the learner for every d_steps of the discriminator: PPO's are rollouts, the others' gradient steps",
        group="discriminator",
        unit="updates",
        ge=1,
        le=10_000,
    )
    d_batch_norm: bool = setting(
        True,
        "standardise the discriminator's observations",
        group="discriminator",
    )
    d_moments: Literal["demos", "policy", "both"] = setting(
        "demos",
        "d_batch_norm: by moments of the demonstrations, running ones of the policy, or half of each",
        group="discriminator",
    )
    p_moments_from_demos: bool = setting(
        False,
        "the learner's running moments of observations begin with those of the demonstrations",
        group="observations",
    )
    state_only: bool = setting(
        False,
        "judge states alone; with AIRL, its reward apart from the shaping is one of states",
        group="discriminator",
    )
    state_state: bool = setting(
        False,
        "judge a state and its successor, no action (GAIfO)",
        group="discriminator",
    )
    d_ent_reg_scale: float = setting(
        0.001,
        "weight of the entropy of the discriminator's verdicts",
        group="discriminator",
        ge=0,
    )
    d_weight_decay: float = setting(
        0.0,
        "decoupled decay of the discriminator's parameters: d_lr times this is lost a step",
        group="discriminator",
        ge=0,
    )
    spectral_norm: bool = setting(
        False,
        "divide the discriminator's hidden matrices by their largest singular values",
        group="discriminator",
    )
    grad_pen: bool = setting(
        True,
        "penalise the norm of the discriminator's gradient by its input",
        group="discriminator",
    )
    grad_pen_type: Literal["wgan", "dragan"] = setting(
        "wgan",
        "penalised between expert and policy, or around the expert",
        group="discriminator",
    )
    grad_pen_scale: float = setting(10.0, "weight of the penalty", group="discriminator", ge=0)
    grad_pen_targ: float = setting(1.0, "norm without penalty", group="discriminator", ge=0)
    one_sided_pen: bool = setting(
        True,
        "penalise norms above grad_pen_targ only",
        group="discriminator",
    )
    real_ls_type: str = setting(
        "none",
        "labels of the expert in place of 1: drawn in a range, lowered, or flipped with a probability",
        group="discriminator",
        form=LABEL_FORM,
        pattern=LABEL_PATTERN,
    )
    fake_ls_type: str = setting(
        "none",
        "labels of the policy in place of 0: drawn in a range, raised, or flipped with a probability",
        group="discriminator",
        form=LABEL_FORM,
        pattern=LABEL_PATTERN,
    )
    use_purl: bool = setting(
        False,
        "the policy's transitions are unlabelled, some of them as good as the expert's (PURL)",
        group="discriminator",
    )
    purl_eta: float = setting(
        0.25,
        "use_purl: the part of them that is",
        group="discriminator",
        gt=0,
        lt=1,
    )
    reward_type: Literal["gail", "airl", "fairl", "log_d", "probability", "signed"] = setting(
        "gail",
        "of D, the probability that it was the expert: -log(1-D), log D - log(1-D), FAIRL's, log D, D, or 2D-1",
        group="reward",
    )
    minimax_only: bool | None = setting(
        None,
        "true is reward_type=gail, false reward_type=airl, where that is not given beside it",
        group="reward",
        identity=False,
        example="true",
    )
    syn_rew_scale: float = setting(
        1.0,
        "the learnt reward is multiplied by this",
        group="reward",
        gt=0,
    )
    syn_rew_clip: float = setting(
        0.0,
        "largest absolute value of a learnt reward before it is scaled; 0 is no limit",
        group="reward",
        ge=0,
    )


OF_ADVERSARIES = frozenset(  # settings that a reward learnt without an adversary has no use for
    {
        "d_steps",
        "g_steps",
        "d_ent_reg_scale",
        "d_weight_decay",
        "spectral_norm",
        "grad_pen",
        "grad_pen_type",
        "grad_pen_scale",
        "grad_pen_targ",
        "one_sided_pen",
        "real_ls_type",
        "fake_ls_type",
        "use_purl",
        "purl_eta",
        "reward_type",
        "d_log_prob",
    },
)


class ImitationSettings(DemonstrationSettings, DiscriminatorSettings):
    """What the imitation algorithms add to their learner's settings."""

    learner: Literal["ppo", "sac", "td3"] = setting(
        "ppo",
        "what learns from the reward; its settings apply, with its defaults",
        group="run",
    )
    d_log_prob: Literal["both", "discriminator", "none"] = setting(
        "none",
        "AIRL: subtract the policy's log-probability from the logit, for the reward too, or not at all",
        group="discriminator",
    )
    red_epochs: int = setting(
        200,
        "RED: passes over the demonstrations before the policy learns",
        group="reward",
        unit="epochs",
        ge=1,
    )
    red_width: float = setting(
        4.0,
        "RED: an error of so many times the expert's mean one has reward 1/e",
        group="reward",
        gt=0,
    )


class Imitation(ImitationSettings):
    """A rule or two that hold whatever learner is below; no configuration of its own."""

    LEARNS_ADVERSARIALLY: ClassVar[bool] = True
    LEARNERS: ClassVar[tuple[str, ...]] = ("ppo", "sac", "td3")
    # declared for all imitations, and not read by this one
    IDLE: ClassVar[frozenset[str]] = frozenset({"d_log_prob", "red_epochs", "red_width"})
    FAMILY: ClassVar[dict[str, type[RunConfig]]] = {}  # the classes of this imitation, by learner

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> type[RunConfig]:
        """The class whose settings are those of the learner that is named."""
        named = values.get("learner")
        default = cls.FAMILY[cls.model_fields["learner"].default]
        return cls.FAMILY.get(named, default) if isinstance(named, str) else default

    @model_validator(mode="before")
    @classmethod
    def _spread_minimax(cls, values: Any) -> Any:
        """An instruction, not a state: what remains of it is the reward's type."""
        if not isinstance(values, Mapping) or values.get("minimax_only") is None:
            return values
        try:
            shape = "gail" if read_switch(values["minimax_only"]) else "airl"
        except ValueError:
            return values  # the field itself says what is wrong
        return {"reward_type": shape, **values, "minimax_only": None}

    def doubts(self) -> tuple[str, ...]:
        """Settings of other imitations, and moments that nobody asks for."""
        own = settings_of(type(self))
        idle = [
            f"--{key}" for key in own if key in self.IDLE and getattr(self, key) != own[key].default
        ]
        lines = list(super().doubts())
        if idle:
            run: Any = self
            object_ = "it" if len(idle) == 1 else "them"
            lines.append(f"{', '.join(idle)}: algo={run.algo} does not use {object_}.")
        standardised = [
            key for key in ("p_batch_norm", "v_batch_norm", "q_batch_norm") if key in own
        ]
        if self.p_moments_from_demos and not any(getattr(self, key) for key in standardised):
            lines.append(
                f"p_moments_from_demos is for networks that standardise observations, but learner={self.learner} "
                f"does not: --{' or --'.join(standardised)} lets it.",
            )
        return tuple(lines)

    @model_validator(mode="after")
    def _check_imitation(self) -> Imitation:
        found = self._contradiction()
        if found is not None:
            raise cross_field_error(*found)
        return self

    def _contradiction(self) -> tuple[str, str] | None:
        """(problem, remedy) of settings that do not go together."""
        run: Any = self
        kind: type[Any] = type(self)
        if kind is not self.variant({"learner": self.learner}):
            raise TypeError(f"{kind.__name__} is not the class of learner={self.learner}")
        if self.state_only and self.state_state:
            return "state_only and state_state are both true.", "Choose one: --no-state_only."
        if self.use_purl and self.fake_ls_type != "none":
            return (
                f"use_purl leaves the policy's transitions without labels, but fake_ls_type={self.fake_ls_type}.",
                "Choose one: --fake_ls_type=none, or --no-use_purl.",
            )
        if self.wrap_absorb and run.gamma >= 1.0:
            return (
                f"wrap_absorb needs a discount below 1, but gamma={run.gamma}.",
                "A state that lasts for ever has no value then: --gamma=0.99, or --no-wrap_absorb.",
            )
        without_actions = (self.state_only or self.state_state) and self.d_log_prob == "none"
        if self.expert_state_only and not without_actions:
            return (
                "expert_state_only leaves the expert's actions, but the discriminator judges them.",
                "Let it judge states: --state_state or --state_only, and --d_log_prob=none with AIRL.",
            )
        if self.d_log_prob != "none" and self.learner == "td3":
            return (
                f"d_log_prob={self.d_log_prob} needs a policy with a density, but learner=td3.",
                "Use --learner=ppo or --learner=sac, or --d_log_prob=none.",
            )
        if run.task != "eval" and self.d_batch_size % run.num_envs:
            nearest = max(1, round(self.d_batch_size / run.num_envs)) * run.num_envs
            return (
                f"d_batch_size={self.d_batch_size} is not a multiple of num_envs={run.num_envs}.",
                f"This works: --d_batch_size={nearest}.",
            )
        return self._contradiction_of_labels() or self._contradiction_of_red()

    def _contradiction_of_labels(self) -> tuple[str, str] | None:
        for key in ("real_ls_type", "fake_ls_type"):
            kind, *numbers = getattr(self, key).split("_")
            values = [float(number) for number in numbers]
            if kind == "random-uniform" and values[0] > values[1]:
                return (
                    f"{key}={getattr(self, key)} is an empty range.",
                    f"Write the lower one first: --{key}=random-uniform_{numbers[1]}_{numbers[0]}.",
                )
            if kind == "soft-labels" and values[0] > 1.0:
                return (
                    f"{key}={getattr(self, key)} goes beyond the other side's label.",
                    f"Give a distance up to 1: --{key}=soft-labels_0.1.",
                )
            if kind == "disturb-label" and values[0] > 1.0:
                return (
                    f"{key}={getattr(self, key)} is no probability.",
                    f"Give one up to 1: --{key}=disturb-label_0.1.",
                )
        return None

    def _contradiction_of_red(self) -> tuple[str, str] | None:
        if self.LEARNS_ADVERSARIALLY:
            return None
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
