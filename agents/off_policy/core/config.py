"""The settings that every off-policy algorithm has."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator

from agents.common_settings import (
    BOUNDED,
    LARGEST_BATCH,
    STACK_FORM,
    STACK_PATTERN,
    ActionKind,
    Activation,
    Init,
    ObservationSettings,
    activation_setting,
    clip_norm_setting,
    compile_setting,
    init_setting,
    layer_norm_setting,
)
from helpers.config.run import RunConfig
from helpers.config.settings import cross_field_error, setting

if TYPE_CHECKING:
    from helpers.pictures import Picture


class ReplayConfig(ObservationSettings, RunConfig):
    """What every off-policy algorithm has."""

    ACTIONS: ClassVar[frozenset[ActionKind]] = frozenset({BOUNDED})

    num_envs: int = setting(
        2,
        "number of environments, over all workers",
        group="environment",
        ge=1,
    )

    # observations
    p_batch_norm: bool = setting(
        False,
        "normalize the policy's observations by running statistics",
        group="observations",
    )
    q_batch_norm: bool = setting(
        False,
        "normalize the critics' observations by running statistics",
        group="observations",
    )

    # memory
    mem_size: int = setting(
        1_000_000,
        "size of the replay buffer, over all workers",
        group="memory",
        unit="transitions",
        aliases=("memory_size",),
        ge=1,
        le=LARGEST_BATCH,
    )
    n_step: int = setting(
        1,
        "number of rewards in the n-step return",
        group="memory",
        unit="environment steps",
        ge=1,
        le=100,
    )
    priority_exponent: float = setting(
        0.0,
        "exponent alpha of prioritized replay; 0 samples uniformly",
        group="memory",
        ge=0,
        le=1,
    )

    memory_folder: str | None = setting(
        None,
        "folder for a memory-mapped replay buffer; unset is in RAM",
        group="memory",
        identity=False,
        example="/scratch",
    )
    memory_export: bool = setting(
        False,
        "write the replay buffer to a file each time it is full, before it is overwritten",
        group="memory",
        identity=False,
    )
    memory_export_format: Literal["pt", "np", "npz", "csv"] = setting(
        "pt",
        "torch tensors, NumPy arrays (np and npz are the same), or text",
        group="memory",
        identity=False,
    )
    memory_export_directory: str = setting(
        "memory",
        "folder for --memory_export, which writes to its subfolder memories/",
        group="memory",
        identity=False,
    )
    memory_import: str | None = setting(
        None,
        "glob of exported files that fill the replay buffer of a new run",
        group="memory",
        example="'memory/memories/*.pt'",
    )
    priority_correction: float = setting(
        0.4,
        "initial importance sampling exponent beta of prioritized replay, rising to 1 at num_timesteps",
        group="memory",
        ge=0,
        le=1,
    )

    # policy and critics
    p_perception_stack: str = setting(
        "mlp_256",
        "hidden layers of the policy",
        group="policy",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    p_activation: Activation = activation_setting("relu", "the policy", group="policy")
    p_lr: float = setting(3e-4, "learning rate of the policy", group="policy", gt=0)
    q_perception_stack: str = setting(
        "mlp_256",
        "hidden layers of each critic",
        group="critic",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    q_activation: Activation = activation_setting("relu", "each critic", group="critic")
    q_lr: float = setting(1e-3, "learning rate of the critics", group="critic", gt=0)
    gamma: float = setting(0.99, "discount factor", group="critic", ge=0, le=1)
    tau: float = setting(
        0.005,
        "soft update coefficient of the target networks (Polyak averaging)",
        former=("polyak",),
        group="critic",
        gt=0,
        le=1,
    )

    # optimisation
    steps_per_iteration: int = setting(
        1000,
        "global environment steps per iteration, that is, per row of metrics",
        group="optimisation",
        unit="environment steps",
        ge=1,
        le=LARGEST_BATCH,
    )
    rollout_len: int = setting(
        2,
        "global environment steps between updates; a multiple of num_envs",
        group="optimisation",
        unit="environment steps",
        ge=1,
        le=LARGEST_BATCH,
    )
    updates_per_step: float = setting(
        1.0,
        "gradient steps per global environment step, for any number of environments",
        group="optimisation",
        gt=0,
        le=100,
    )
    learning_starts: int = setting(
        5_000,
        "global environment steps with random actions before the first update",
        former=("warm_up",),
        group="optimisation",
        unit="environment steps",
        ge=0,
    )
    batch_size: int = setting(
        256,
        "global minibatch, shared by the workers; a multiple of num_envs",
        group="optimisation",
        unit="transitions",
        ge=1,
        le=LARGEST_BATCH,
    )
    lr_schedule: Literal["constant", "linear"] = setting(
        "constant",
        "learning rates: constant, or linear decay to 0 at num_timesteps",
        group="optimisation",
    )
    clip_norm: float = clip_norm_setting(0.0)
    compile: bool = compile_setting()
    layer_norm: bool = layer_norm_setting()
    init: Init = init_setting("default")

    def frames_apart(self, picture: Picture | None) -> int:
        """Stacked frames of which the memory keeps each once; 1 where it keeps observations whole.

        Priorities, and files of memories, are of whole transitions.
        """
        whole = self.priority_exponent > 0 or self.memory_export or self.memory_import
        return 1 if picture is None or whole else picture.frames

    @property
    def schedules(self) -> tuple[str, ...]:
        """Those of the learning rates and of the importance weights."""
        found = ["lr_schedule=linear"] if self.lr_schedule == "linear" else []
        if self.priority_exponent > 0 and self.priority_correction < 1:
            found.append(f"priority_correction={self.priority_correction:g}")
        return tuple(found)

    def warnings(self) -> tuple[str, ...]:
        """A run that ends before its first update."""
        if self.num_timesteps > self.learning_starts:
            return super().warnings()
        line = (
            f"num_timesteps={self.num_timesteps} ends within learning_starts={self.learning_starts}: all actions are "
            "random and nothing is learned; a run this short learns with "
            f"--learning_starts={self.num_timesteps // 4}."
        )
        return (*super().warnings(), line)

    @model_validator(mode="after")
    def _check_multiples(self) -> ReplayConfig:
        """Every environment gives equally many steps to a rollout and to a minibatch."""
        if self.task == "eval":
            return self
        for name, value, divisor_name, divisor in (
            ("rollout_len", self.rollout_len, "num_envs", self.num_envs),
            ("batch_size", self.batch_size, "num_envs", self.num_envs),
            ("mem_size", self.mem_size, "num_envs", self.num_envs),
            ("steps_per_iteration", self.steps_per_iteration, "rollout_len", self.rollout_len),
        ):
            if value % divisor:
                nearest = max(1, round(value / divisor)) * divisor
                raise cross_field_error(
                    f"{name}={value} is not a multiple of {divisor_name}={divisor}.",
                    f"This works: --{name}={nearest}.",
                )
        return self

    @model_validator(mode="after")
    def _check_memory(self) -> ReplayConfig:
        """The memory holds a minibatch, and the steps that a target sums."""
        rows = self.mem_size // self.num_envs
        if self.task == "eval":
            return self
        if self.mem_size < self.batch_size:
            raise cross_field_error(
                f"mem_size={self.mem_size} is less than batch_size={self.batch_size}.",
                f"This works: --mem_size={self.batch_size}.",
            )
        if self.sees_pictures and self.frame_stack > rows:
            raise cross_field_error(
                f"frame_stack={self.frame_stack} is more than the {rows} steps of each environment that "
                f"mem_size={self.mem_size} holds for num_envs={self.num_envs}.",
                f"This works: --mem_size={self.frame_stack * self.num_envs}.",
            )
        if self.n_step > rows:
            raise cross_field_error(
                f"n_step={self.n_step} is more than the {rows} steps of each environment that "
                f"mem_size={self.mem_size} holds for num_envs={self.num_envs}.",
                f"This works: --n_step={rows}, or --mem_size={self.n_step * self.num_envs}.",
            )
        return self
