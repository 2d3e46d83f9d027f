"""The settings of imitation: a reward model's, beside those of the learner under it.

`--algo` names the imitation (variants.py), `--learner` what learns from its reward; one flat vocabulary holds both.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from agents.common_settings import LARGEST_BATCH, STACK_FORM, STACK_PATTERN
from agents.demonstrations.config import DemonstrationSettings
from agents.off_policy.config import SACConfig, TD3Config
from agents.on_policy.config import PPOConfig
from helpers.config.run import RunConfig
from helpers.config.settings import (
    Scalar,
    Setting,
    Settings,
    cross_field_error,
    read_switch,
    setting,
    settings_of,
)

LearnerConfig = PPOConfig | SACConfig | TD3Config
LEARNERS: Mapping[str, type[LearnerConfig]] = {"ppo": PPOConfig, "sac": SACConfig, "td3": TD3Config}
Learner = Literal["ppo", "sac", "td3"]
LogProb = Literal["both", "discriminator", "none"]
RewardType = Literal["gail", "airl", "fairl", "log_d", "probability", "signed"]
_NUMBER = r"\d{1,3}(\.\d{1,6})?"
LABEL_PATTERN = rf"none|random-uniform_{_NUMBER}_{_NUMBER}|(soft-labels|disturb-label)_{_NUMBER}"
LABEL_FORM = "none, random-uniform_0.7_1.2, soft-labels_0.1 or disturb-label_0.1"


class DiscriminatorSettings(Settings):
    """The network that judges, how often it learns, and what it sees (docs/gail.md)."""

    d_perception_stack: str = setting(
        "mlp_64",
        "hidden layers of the discriminator; RED: of both its networks",
        group="discriminator",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    d_activation: Literal["relu", "tanh", "leaky_relu", "elu", "silu", "gelu"] = setting(
        "relu",
        "activation function of the discriminator; leaky_relu has slope 0.1 below 0",
        group="discriminator",
    )
    d_lr: float = setting(3e-4, "learning rate of the discriminator", group="discriminator", gt=0)
    d_batch_size: int = setting(
        256,
        "global minibatch of policy transitions, and the same number of the expert's; a multiple of num_envs",
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
        "updates of the learner for every d_steps of the discriminator: rollouts for PPO, else gradient steps",
        group="discriminator",
        unit="updates",
        ge=1,
        le=10_000,
    )
    d_batch_norm: bool = setting(
        True,
        "normalize the discriminator's observations",
        group="discriminator",
    )
    d_moments: Literal["demos", "policy", "both"] = setting(
        "demos",
        "d_batch_norm: by statistics of the demonstrations, running statistics of the policy, or half of each",
        group="discriminator",
    )
    d_without: str | None = setting(
        None,
        "groups of the observation that the discriminator does not see",
        group="discriminator",
        form="NAME,NAME",
        pattern=r"\w+(,\w+)*",
        example="muscles",
    )
    p_moments_from_demos: bool = setting(
        False,
        "initialize the learner's observation normalizer from the demonstrations",
        group="observations",
    )
    state_only: bool = setting(
        False,
        "the discriminator's input is the state only; AIRL: the reward without shaping depends on the state only",
        group="discriminator",
    )
    state_state: bool = setting(
        False,
        "the discriminator's input is a state and the next state, without action (GAIfO)",
        group="discriminator",
    )


class AdversarialSettings(Settings):
    """The loss of a discriminator, and the reward made of its verdicts (docs/gail.md)."""

    d_ent_reg_scale: float = setting(
        0.001,
        "weight of the entropy of the discriminator's predictions",
        group="discriminator",
        ge=0,
    )
    d_weight_decay: float = setting(
        0.0,
        "decoupled weight decay of the discriminator, as in AdamW",
        group="discriminator",
        ge=0,
    )
    spectral_norm: bool = setting(
        False,
        "spectral normalization of the discriminator's hidden layers",
        group="discriminator",
    )
    grad_pen: bool = setting(
        True,
        "penalize the norm of the discriminator's gradient with respect to its input",
        group="discriminator",
    )
    grad_pen_type: Literal["wgan", "dragan"] = setting(
        "wgan",
        "penalized points: between expert and policy, or around the expert",
        group="discriminator",
    )
    grad_pen_scale: float = setting(10.0, "weight of the penalty", group="discriminator", ge=0)
    grad_pen_targ: float = setting(1.0, "target norm of the gradient", group="discriminator", ge=0)
    one_sided_pen: bool = setting(
        True,
        "penalize only norms above grad_pen_targ",
        group="discriminator",
    )
    real_ls_type: str = setting(
        "none",
        "labels of the expert instead of 1: drawn from a range, lowered, or flipped with a probability",
        group="discriminator",
        form=LABEL_FORM,
        pattern=LABEL_PATTERN,
    )
    fake_ls_type: str = setting(
        "none",
        "labels of the policy instead of 0: drawn from a range, raised, or flipped with a probability",
        group="discriminator",
        form=LABEL_FORM,
        pattern=LABEL_PATTERN,
    )
    use_purl: bool = setting(
        False,
        "positive-unlabeled learning: some of the policy's transitions are as good as the expert's (PURL)",
        group="discriminator",
    )
    purl_eta: float = setting(
        0.25,
        "use_purl: fraction of the policy's transitions that are as good as the expert's",
        group="discriminator",
        gt=0,
        lt=1,
    )
    reward_type: RewardType = setting(
        "gail",
        "with D, the probability of the expert: -log(1-D), log D - log(1-D), FAIRL's, log D, D, or 2D-1",
        group="reward",
    )
    minimax_only: bool | None = setting(
        None,
        "true is reward_type=gail, false is reward_type=airl, unless reward_type is given",
        group="reward",
        identity=False,
        example="true",
    )


class RewardSettings(Settings):
    """What becomes of a reward that is learned."""

    syn_rew_scale: float = setting(
        1.0,
        "scale of the learned reward",
        group="reward",
        gt=0,
    )
    syn_rew_clip: float = setting(
        0.0,
        "clip range of the learned reward before scaling; 0 is no limit",
        group="reward",
        ge=0,
    )


class ImitationSettings(
    DemonstrationSettings,
    RewardSettings,
    AdversarialSettings,
    DiscriminatorSettings,
):
    """What the imitation algorithms add to their learner's settings."""

    learner: Learner = setting(
        "ppo",
        "algorithm that learns from the reward; its settings apply, with its defaults",
        group="run",
    )
    d_log_prob: LogProb = setting(
        "none",
        "AIRL: subtract the policy's log-probability in logit and reward, in the logit only, or not at all",
        group="discriminator",
    )
    red_epochs: int = setting(
        200,
        "RED: epochs over the demonstrations before the policy is trained",
        group="reward",
        unit="epochs",
        ge=1,
    )
    red_width: float = setting(
        4.0,
        "RED: reward = exp(-error / (red_width * mean expert error))",
        group="reward",
        gt=0,
    )


class ImitationConfig(ImitationSettings, RunConfig):
    """An imitation of a run, and in it the learner: a run with the same settings that learns from the reward.

    A value is given, shown and saved under one flat vocabulary: that of the run, of the learner and of the imitation.
    """

    LEARNS_ADVERSARIALLY: ClassVar[bool] = True
    UNUSED: ClassVar[frozenset[str]] = frozenset({"d_log_prob", "red_epochs", "red_width"})
    LEARNER_DEFAULTS: ClassVar[Mapping[str, Mapping[str, Scalar]]] = {
        "ppo": {"d_steps": 8},  # a rollout of 2048 is seen once
    }

    learner_config: LearnerConfig

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Settings of the learner, for those who read a run's settings without knowing what learns."""
            learner = vars(self).get("learner_config")
            if learner is None or name.startswith("_"):
                return super().__getattr__(name)
            return getattr(learner, name)

    @classmethod
    def settings_for(cls, values: Mapping[str, Any]) -> Mapping[str, Setting]:
        """The learner's, and its own, whose defaults may depend on the learner."""
        of_run, learner = settings_of(RunConfig), cls._learner_of(values)
        own = {key: each for key, each in settings_of(cls).items() if each != of_run.get(key)}
        for key, default in cls.LEARNER_DEFAULTS.get(learner, {}).items():
            own[key] = replace(own[key], default=default)
        return {**settings_of(LEARNERS[learner]), **own}

    @classmethod
    def _learner_of(cls, values: Mapping[str, Any]) -> str:
        """The learner that is named; the default one where the name is refused later."""
        named, own = values.get("learner"), settings_of(cls)["learner"]
        return named if isinstance(named, str) and named in own.choices else str(own.default)

    @model_validator(mode="before")
    @classmethod
    def _compose(cls, values: Any) -> Any:
        """Flat values in two parts: the learner's, and its own; both have those of the run."""
        if not isinstance(values, Mapping) or "learner_config" in values:
            return values
        learner, settings = cls._learner_of(values), cls.settings_for(values)
        if values.get("learner", learner) != learner:
            return values  # the field itself says what is wrong
        theirs = settings_of(LEARNERS[learner])
        own = {key: settings[key].default for key in settings_of(cls)}
        own |= {key: values[key] for key in values if key in own or key not in theirs}
        given = {key: values[key] for key in values if key in theirs}
        learner_config = LEARNERS[learner].model_validate(given | {"algo": learner})
        return {**own, "learner_config": learner_config}

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, values: Any) -> Any:
        """Instructions, not a state: what remains is the reward's type, and whether the discriminator normalizes.

        `batch_norm_all` is passed to the learner, too.
        """
        if not isinstance(values, Mapping):
            return values
        found: dict[str, Any] = {}
        with suppress(ValueError):  # the field itself says what is wrong
            if values.get("batch_norm_all") is not None:
                found["d_batch_norm"] = read_switch(values["batch_norm_all"])
            if values.get("minimax_only") is not None:
                found["reward_type"] = "gail" if read_switch(values["minimax_only"]) else "airl"
                values = {**values, "minimax_only": None}
        return {**found, **values}

    @model_serializer(mode="wrap")
    def _flatten(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own: dict[str, Any] = serialise(self)
        return {**own.pop("learner_config"), **own}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, not validated, the learner's among them."""
        new, theirs = dict(update or {}), settings_of(type(self.learner_config)).keys() - {"algo"}
        given = {key: new[key] for key in new if key in theirs}
        new = {key: new[key] for key in new if key in settings_of(type(self))}
        new["learner_config"] = self.learner_config.model_copy(update=given)
        return super().model_copy(update=new, deep=deep)

    def warnings(self) -> tuple[str, ...]:
        """The learner's, settings of other imitations, and moments that nobody asks for."""
        own, lines = self.settings, list(self.learner_config.warnings())
        given = [key for key in own if getattr(self, key) != own[key].default]
        idle = [f"--{key}" for key in given if key in self.UNUSED]
        if idle:
            object_ = "it" if len(idle) == 1 else "them"
            lines.append(f"{', '.join(idle)}: algo={self.algo} does not use {object_}.")
        standardised = [
            key for key in ("p_batch_norm", "v_batch_norm", "q_batch_norm") if key in own
        ]
        if self.p_moments_from_demos and not any(getattr(self, key) for key in standardised):
            lines.append(
                f"p_moments_from_demos needs normalized observations, but learner={self.learner} "
                f"does not normalize them: give --{' or --'.join(standardised)}.",
            )
        return tuple(lines)

    @model_validator(mode="after")
    def _check_imitation(self) -> Self:
        found = self._contradiction()
        if found is not None:
            raise cross_field_error(*found)
        return self

    def _contradiction(self) -> tuple[str, str] | None:
        """(problem, remedy) of settings that do not go together."""
        if self.state_only and self.state_state:
            return "state_only and state_state are both true.", "Choose one: --no-state_only."
        if self.use_purl and self.fake_ls_type != "none":
            return (
                f"use_purl leaves the policy's transitions without labels, but fake_ls_type={self.fake_ls_type}.",
                "Choose one: --fake_ls_type=none, or --no-use_purl.",
            )
        gamma = self.learner_config.gamma
        if self.wrap_absorb and gamma >= 1.0:
            return (
                f"wrap_absorb needs a discount below 1, but gamma={gamma}.",
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
        if self.task != "eval" and self.d_batch_size % self.num_envs:
            nearest = max(1, round(self.d_batch_size / self.num_envs)) * self.num_envs
            return (
                f"d_batch_size={self.d_batch_size} is not a multiple of num_envs={self.num_envs}.",
                f"This works: --d_batch_size={nearest}.",
            )
        return self._contradiction_of_labels()

    def _contradiction_of_labels(self) -> tuple[str, str] | None:
        for key in ("real_ls_type", "fake_ls_type"):
            value = getattr(self, key)
            kind, *numbers = value.split("_")
            if kind == "random-uniform" and float(numbers[0]) > float(numbers[1]):
                return (
                    f"{key}={value} is an empty range.",
                    f"Write the lower one first: --{key}=random-uniform_{numbers[1]}_{numbers[0]}.",
                )
            if kind in ("soft-labels", "disturb-label") and float(numbers[0]) > 1.0:
                is_soft = kind == "soft-labels"
                what = "goes beyond the other side's label" if is_soft else "is no probability"
                return f"{key}={value} {what}.", f"Give one up to 1: --{key}={kind}_0.1."
        return None
