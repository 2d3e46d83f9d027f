"""Learning rates over the course of a training."""

from __future__ import annotations

from agents.on_policy.config import PPOConfig

LOWEST, HIGHEST = 1e-2, 1e2  # of the adaptive scale


class LearningRates:
    """Adam's learning rates by segment: constant, falling linearly to 0, or steered by the KL.

    Attributes:
        scale: what `p_lr` and `v_lr` are multiplied by; state, where the schedule is adaptive.
    """

    def __init__(self, config: PPOConfig) -> None:
        self.config = config
        self.scale = 1.0

    def begin(self, steps: int) -> dict[str, float]:
        """The learning rates of the iteration that begins after `steps` environment steps."""
        if self.config.lr_schedule == "linear":
            self.scale = max(0.0, 1.0 - steps / self.config.num_timesteps)
        return self._rates()

    def adapt(self, kl: float) -> dict[str, float]:
        """The learning rates after an epoch of this divergence.

        The adaptive rule of Schulman et al. (arXiv:1707.06347, section 4), on the learning rate in place of
        a penalty: divided by 1.5 where the KL is above twice the desired one, times 1.5 below half of it.
        """
        if self.config.lr_schedule == "adaptive":
            if kl > 2.0 * self.config.desired_kl:
                self.scale = max(self.scale / 1.5, LOWEST)
            elif kl < 0.5 * self.config.desired_kl:
                self.scale = min(self.scale * 1.5, HIGHEST)
        return self._rates()

    def _rates(self) -> dict[str, float]:
        return {"policy": self.config.p_lr * self.scale, "value": self.config.v_lr * self.scale}
