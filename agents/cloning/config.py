"""The settings of what learns by regression on an expert's actions: behaviour cloning and DAgger."""

from __future__ import annotations

from typing import Literal

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
    log_std_problem,
    log_std_setting,
)
from agents.demonstrations.config import DemonstrationSettings
from helpers.config.run import RunConfig
from helpers.config.settings import cross_field_error, setting


class CloningConfig(DemonstrationSettings, ObservationSettings, RunConfig):
    """What both have: a policy, and how it is drawn towards the expert's actions."""

    # observations
    p_batch_norm: bool = setting(
        True,
        "normalize the policy's observations by the statistics of its training data",
        group="observations",
    )

    # policy
    p_perception_stack: str = setting(
        "mlp_256",
        "hidden layers of the policy",
        group="policy",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    p_activation: Activation = activation_setting("relu", "the policy", group="policy")
    init: Init | None = setting(
        None,
        "initial weights: orthogonal, or torch's default; unset is orthogonal with tanh, else default",
        group="policy",
        example="default",
    )
    cloning_loss: Literal["mse", "log_likelihood"] = setting(
        "mse",
        "continuous actions: squared error of the mean, or negative log-likelihood; discrete actions: the latter",
        group="policy",
    )
    log_std_min: float = log_std_setting(-5.0, is_upper=False, how="with log_likelihood, by tanh")
    log_std_max: float = log_std_setting(2.0, is_upper=True, how="with log_likelihood, by tanh")
    squash_actions: bool = setting(
        True,
        "squash continuous actions into their bounds by tanh; --no-squash_actions: linear output, clipped when acting",
        group="policy",
    )
    p_lr: float = setting(3e-4, "initial learning rate of the policy", group="policy", gt=0)

    # optimisation
    lr_schedule: Literal["linear", "constant"] = setting(
        "linear",
        "learning rate: linear decay to 0 at num_timesteps, or constant",
        group="optimisation",
    )
    weight_decay: float = setting(
        1e-4,
        "L2 weight decay, added to the gradient",
        group="optimisation",
        ge=0,
    )
    batch_size: int = setting(
        256,
        "global minibatch, shared by the workers; a multiple of the number of workers",
        group="optimisation",
        unit="transitions",
        ge=1,
        le=LARGEST_BATCH,
    )
    clip_norm: float = clip_norm_setting(0.0)
    compile: bool = compile_setting()

    @property
    def schedules(self) -> tuple[str, ...]:
        """That of the learning rate."""
        return ("lr_schedule=linear",) if self.lr_schedule == "linear" else ()

    @model_validator(mode="after")
    def _check_demonstrations(self) -> CloningConfig:
        """What demonstrations can be for others, but is of no use here; deviations have room."""
        if found := log_std_problem(self.log_std_min, self.log_std_max):
            raise cross_field_error(*found)
        if self.expert_state_only:
            raise cross_field_error(
                f"{self.algo} learns from actions, and expert_state_only=true omits them.",
                "This works: --no-expert_state_only.",
            )
        if self.wrap_absorb:
            raise cross_field_error(
                f"{self.algo} uses no rewards, so it cannot use the absorbing states of wrap_absorb=true.",
                "This works: --no-wrap_absorb.",
            )
        return self


class BCConfig(CloningConfig):
    """Behaviour cloning (docs/bc.md)."""

    algo: Literal["bc"] = setting("bc", "algorithm", group="run")
    num_timesteps: int = setting(
        50_000,
        "length of the training, which steps no environment",
        group="run",
        unit="gradient steps",
        ge=1,
    )
    num_envs: int = setting(
        2,
        "at least one per worker; training does not step them, evaluation has its own",
        group="environment",
        ge=1,
    )
    steps_per_iteration: int = setting(
        1000,
        "gradient steps per iteration, that is, per row of metrics and held-out loss",
        group="optimisation",
        unit="gradient steps",
        ge=1,
        le=LARGEST_BATCH,
    )
    held_out_demos: int = setting(
        1,
        "number of demonstrations held out for early stopping, drawn by the seed; 0 disables it",
        group="demonstrations",
        unit="episodes",
        ge=0,
    )
    patience: int = setting(
        20,
        "stop after this number of iterations without a lower held-out loss; 0 is never",
        group="optimisation",
        unit="iterations",
        ge=0,
    )


class DaggerConfig(CloningConfig):
    """Dataset aggregation (docs/dagger.md)."""

    algo: Literal["dagger"] = setting("dagger", "algorithm", group="run")
    num_timesteps: int = setting(
        60_000,
        "length of the training, over all workers",
        group="run",
        unit="environment steps",
        ge=1,
    )
    num_envs: int = setting(
        5,
        "number of environments, over all workers",
        group="environment",
        ge=1,
    )
    num_demos: int | None = setting(
        0,
        "number of demonstrations in the initial dataset, in alphabetical order of their files; unset is all",
        group="demonstrations",
        unit="episodes",
        ge=0,
        example="16",
    )
    expert_policy: str | None = setting(
        None,
        "the expert: a run folder, its checkpoints folder or one checkpoint, of the same environment",
        group="expert",
        example="data/runs/some_name.seed02",
    )
    expert_iter_num: str = setting(
        "best",
        "the expert's checkpoint: of this iteration, the best or the latest",
        group="expert",
        form="best, latest or the number of an iteration",
        pattern=r"best|latest|\d+",
    )
    beta_decay: float = setting(
        0.7,
        "decay per round of beta, the probability that the expert acts (1 in the first round)",
        group="expert",
        ge=0,
        le=1,
    )
    rollout_len: int = setting(
        5000,
        "global environment steps per round; a multiple of num_envs",
        group="optimisation",
        unit="environment steps",
        ge=1,
        le=LARGEST_BATCH,
    )
    updates_per_round: int = setting(
        5000,
        "gradient steps after each round, on the whole dataset so far",
        group="optimisation",
        unit="gradient steps",
        ge=1,
        le=LARGEST_BATCH,
    )

    @model_validator(mode="after")
    def _check_rounds(self) -> DaggerConfig:
        """Every environment gives equally many steps to a round."""
        if self.task != "eval" and self.rollout_len % self.num_envs:
            nearest = max(1, round(self.rollout_len / self.num_envs)) * self.num_envs
            raise cross_field_error(
                f"rollout_len={self.rollout_len} is not a multiple of num_envs={self.num_envs}.",
                f"This works: --rollout_len={nearest}.",
            )
        return self
