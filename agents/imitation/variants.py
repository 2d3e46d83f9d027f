"""The imitations by name: what each sets otherwise, and the configuration of each with each of its learners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

from pydantic import create_model

from agents.common_settings import STACK_FORM, STACK_PATTERN
from agents.imitation.config import OF_ADVERSARIES, Imitation, ImitationSettings
from helpers.config.run import RunConfig
from helpers.config.settings import setting, settings_of


def again(key: str, default: Any) -> Any:
    """A setting that one of the imitations declares anew, with another default."""
    each = settings_of(ImitationSettings)[key]
    bounds: Mapping[str, Any] = each.bounds
    return setting(
        default,
        each.help_line,
        group=each.group,
        unit=each.unit,
        form=each.form,
        pattern=each.pattern,
        example=each.example,
        **bounds,
    )


RewardType = Literal["gail", "airl", "fairl", "log_d", "probability", "signed"]
Learner = Literal["ppo", "sac", "td3"]
LogProb = Literal["both", "discriminator", "none"]


class GAILSettings(Imitation):
    """Generative adversarial imitation learning (docs/gail.md)."""

    algo: Literal["gail"] = setting("gail", "what learns", group="run")


class AIRLSettings(Imitation):
    """Adversarial inverse reinforcement learning (docs/airl.md)."""

    IDLE: ClassVar[frozenset[str]] = Imitation.IDLE - {"d_log_prob"}

    algo: Literal["airl"] = setting("airl", "what learns", group="run")
    state_only: bool = again("state_only", True)
    reward_type: RewardType = again("reward_type", "airl")
    d_log_prob: LogProb = again("d_log_prob", "both")

    def _contradiction(self) -> tuple[str, str] | None:
        if self.state_state:
            return (
                "state_state does nothing with algo=airl: its shaping judges the successor already.",
                "Leave it out: --no-state_state. Its reward is of states (--state_only), or of actions too.",
            )
        return super()._contradiction()


class SAMSettings(Imitation):
    """Sample-efficient adversarial mimic (docs/sam.md)."""

    algo: Literal["sam"] = setting("sam", "what learns", group="run")
    learner: Learner = again("learner", "sac")
    spectral_norm: bool = again("spectral_norm", True)
    reward_type: RewardType = again("reward_type", "airl")
    real_ls_type: str = again("real_ls_type", "random-uniform_0.7_1.2")
    wrap_absorb: bool = again("wrap_absorb", True)


class DACSettings(Imitation):
    """Discriminator-actor-critic (docs/sam.md)."""

    algo: Literal["dac"] = setting("dac", "what learns", group="run")
    learner: Learner = again("learner", "td3")
    one_sided_pen: bool = again("one_sided_pen", False)
    reward_type: RewardType = again("reward_type", "airl")
    wrap_absorb: bool = again("wrap_absorb", True)


class REDSettings(Imitation):
    """Random expert distillation (docs/gail.md): a reward learnt before the policy, without an adversary."""

    LEARNS_ADVERSARIALLY: ClassVar[bool] = False
    IDLE: ClassVar[frozenset[str]] = OF_ADVERSARIES

    algo: Literal["red"] = setting("red", "what learns", group="run")


class MAADSettings(Imitation):
    """Imitation of states alone, its policy drawn towards the actions that would have led there (docs/maad.md)."""

    LEARNERS: ClassVar[tuple[str, ...]] = ("ppo",)

    algo: Literal["maad"] = setting("maad", "what learns", group="run")
    learner: Literal["ppo"] = setting("ppo", "what learns from the reward", group="run")
    expert_state_only: bool = again("expert_state_only", True)
    state_state: bool = again("state_state", True)
    guide_scale: float = setting(
        1.0,
        "weight of the policy's distance from the actions that are thought to be the expert's",
        group="policy",
        aliases=("gail_bc_lambda",),
        ge=0,
    )
    idm_perception_stack: str = setting(
        "mlp_128",
        "hidden layers of the inverse dynamics: state and successor to action",
        group="inverse dynamics",
        form=STACK_FORM,
        pattern=STACK_PATTERN,
    )
    idm_lr: float = setting(1e-3, "Adam step size of it", group="inverse dynamics", gt=0)
    idm_steps: int = setting(
        64,
        "gradient steps of it for each rollout, on d_batch_size transitions",
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


ON_POLICY: Mapping[str, Any] = {
    "d_steps": (int, again("d_steps", 8)),
}  # a rollout of 2048 is seen once
OF_LEARNER: Mapping[tuple[str, str], Mapping[str, Any]] = (
    {  # where the paper's correction is not right
        ("airl", "sac"): {
            "d_log_prob": (LogProb, again("d_log_prob", "discriminator")),
        },  # has entropy already
        ("airl", "td3"): {"d_log_prob": (LogProb, again("d_log_prob", "none"))},  # has no density
    }
)


def families(learners: Mapping[str, type[RunConfig]]) -> dict[str, type[RunConfig]]:
    """The configuration of each imitation with its own learner; it knows those with the others.

    Args:
        learners: the configuration of each learner.
    """
    found: dict[str, type[RunConfig]] = {}
    for own in (GAILSettings, AIRLSettings, SAMSettings, DACSettings, REDSettings, MAADSettings):
        algo = str(own.model_fields["algo"].default)
        own.FAMILY = {}
        for name in own.LEARNERS:
            fields = {**OF_LEARNER.get((algo, name), {}), **(ON_POLICY if name == "ppo" else {})}
            own.FAMILY[name] = create_model(
                f"{algo.upper()}With{name.upper()}",
                __base__=cast(tuple[type[RunConfig], ...], (own, learners[name])),
                __doc__=own.__doc__,
                __module__=__name__,
                **fields,
            )
        found[algo] = own.variant({})
    return found
