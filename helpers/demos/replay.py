"""A demonstration taken again, beside a policy that begins in the same state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers.demos.episode import Demo, Expected
from helpers.demos.hdf5 import same_bits
from helpers.demos.load import read_demos
from helpers.display.captions import WORDS, Colour, add_caption, as_figure, fade, side_by_side
from helpers.errors import ConfigurationError

LONGEST = 10.0  # seconds of an episode that are filmed: a picture without a GPU takes 50 ms, and there are two
_EXPERT, _IMITATOR = 0, 1  # of the two environments
_IMITATORS_COLOUR = (37, 99, 168)  # as in the learning curve
_OTHERS = (
    "Name demonstrations that --save_traj wrote (--expert_path), or leave --beside_expert out."
)


@dataclass
class Side:
    """One of the two.

    Attributes:
        name, colour: of its caption.
        picture: (height, width, 3) uint8, the last one drawn.
        return_: rewards so far.
        length: steps so far.
        is_over: whether its episode has ended.
    """

    name: str
    colour: Colour
    picture: np.ndarray | None = None
    return_: float = 0.0
    length: int = 0
    is_over: bool = False

    def advance(self, reward: float, *, ended: bool) -> None:
        """One more step."""
        if not self.is_over:
            self.return_ += reward
            self.length += 1
            self.is_over = ended

    def draw(self, seconds_per_step: float) -> np.ndarray:
        """The picture under its caption."""
        assert self.picture is not None
        seconds = f"{self.length * seconds_per_step:.1f} s"
        return add_caption(
            fade(self.picture) if self.is_over else self.picture,
            self.name,
            f"return {as_figure(self.return_)}",
            note=f"ended at {seconds}" if self.is_over else seconds,
            colour=self.colour,
        )


class Replay:
    """The recorded actions of a demonstration, in an environment that is reset by the recorded seed.

    On the simulator that it was made with this gives the recorded observations in every bit; each is compared.

    Attributes:
        seed: what the environments are reset by.
        compared: steps so far.
        deviates_at: the first step that did not lead where the recording says, or None.
    """

    def __init__(self, demo: Demo) -> None:
        """
        Raises:
            ConfigurationError: it holds no actions, or does not say its seed.
        """
        if demo.actions is None:
            raise ConfigurationError(
                f"{demo.source} has no actions to replay.",
                _OTHERS,
            )
        seed = demo.origin.get("seed")
        if not isinstance(seed, int):
            raise ConfigurationError(f"{demo.source} does not contain its seed.", _OTHERS)
        self.demo, self.actions, self.seed = demo, demo.actions, seed
        self.compared = 0
        self.deviates_at: int | None = None

    def frames(
        self,
        environment: Any,
        act: Callable[[np.ndarray], np.ndarray],
        *,
        stride: int,
        fps: float,
    ) -> Iterator[np.ndarray]:
        """Pictures (height, width, 3) uint8: on the left the expert, on the right the policy, from one state on.

        Each side stands still once its episode has ended; the last picture says where both have come.

        Args:
            environment: of two environments, made with `render_mode="rgb_array"`; it is reset by `seed`.
            act: observations (1, obs_dim) of the policy's side to actions (1, ...).
            stride: steps between two pictures.
            fps: pictures a second.
        """
        sides = (Side("expert", WORDS), Side("imitator", _IMITATORS_COLOUR))
        observations, _ = environment.reset(seed=[self.seed, self.seed])
        self._compare(0, observations[_EXPERT], self.demo.observations)
        for step in range(round(LONGEST * fps * stride)):
            if step % stride == 0:
                yield _both(environment, sides, 1.0 / (fps * stride))
            if all(side.is_over for side in sides):
                break
            observations = self._step(environment, step, act(observations[_IMITATOR:]), sides)
        yield _both(environment, sides, 1.0 / (fps * stride), is_last=True)

    def _step(
        self,
        environment: Any,
        step: int,
        action: np.ndarray,
        sides: tuple[Side, Side],
    ) -> np.ndarray:
        """One step of both; the observations (2, obs_dim) after it."""
        last = self.demo.length - 1
        actions = np.stack([self.actions[min(step, last)], action[0]])
        after, rewards, terminated, truncated, infos = environment.step(actions)
        ended = terminated | truncated
        if not sides[_EXPERT].is_over:
            successors = environment.successors(after, infos)
            self._compare(step, successors[_EXPERT], self.demo.next_observations)
            self.compared = step + 1
            if bool(ended[_EXPERT]) != (step == last):
                self._deviate(step)
        sides[_EXPERT].advance(float(rewards[_EXPERT]), ended=bool(ended[_EXPERT]) or step >= last)
        sides[_IMITATOR].advance(float(rewards[_IMITATOR]), ended=bool(ended[_IMITATOR]))
        observations: np.ndarray = after
        return observations

    def _compare(self, step: int, found: np.ndarray, recorded: np.ndarray) -> None:
        if not same_bits(found.astype(recorded.dtype, copy=False), recorded[step]):
            self._deviate(step)

    def _deviate(self, step: int) -> None:
        if self.deviates_at is None:
            self.deviates_at = step

    def verdict(self, simulator: str, version: str, *, shown: str | None = None) -> str:
        """What is to be said of the expert's side once all is filmed.

        Args:
            simulator: its package.
            version: of it, here.
            shown: its name for people to read.
        """
        demo = self.demo
        if self.deviates_at is None:
            part = "" if self.compared >= demo.length else f"the first {self.compared} steps of "
            return f"expert: {part}{demo.source}, replayed bit for bit"
        theirs = demo.origin.get(f"{simulator.replace('-', '_')}_version", "of an unknown version")
        return (
            f"expert: {demo.source}; its replay leaves what was recorded at step {self.deviates_at} of "
            f"{demo.length} (recorded with {shown or simulator} {theirs}, replayed with {version})"
        )


def find_replay(config: Any, expected: Expected | None) -> Replay:
    """Of the first demonstration that a run uses.

    Raises:
        ConfigurationError: there is none, or it cannot be replayed.
    """
    demos = read_demos(config, expected, keep_actions=True).episodes
    if not demos:
        raise ConfigurationError(
            "--beside_expert shows a demonstration, and num_demos=0 uses none.",
            "Give some: --expert_path=data/demos/Hopper-v5 --num_demos=1, or omit --beside_expert.",
        )
    return Replay(demos[0])


def _both(
    environment: Any,
    sides: tuple[Side, Side],
    seconds_per_step: float,
    *,
    is_last: bool = False,
) -> np.ndarray:
    """Both sides as they are now; of one that is over, and for the last time, the picture before."""
    for index, side in enumerate(sides):
        if not side.is_over and not is_last:
            side.picture = environment.picture(index)
    return side_by_side(*(side.draw(seconds_per_step) for side in sides))
