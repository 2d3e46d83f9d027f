"""What another program standardises observations by: of an .npz file, or of the pickle of SB3's VecNormalize."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.weights.migration.pickled import Inert, read_inert
from helpers.errors import CheckpointError

OUR_EPSILON = 1e-8  # that we add, as VecNormalize does
CLIP = 10.0  # of standardised observations, ours and VecNormalize's
NONE = "none"  # --migrate_moments=none: observations are taken raw
_VEC_NORMALIZE = "vec_normalize.VecNormalize"
_RECIPE = (
    'np.savez("moments.npz", mean=v.obs_rms.mean, var=v.obs_rms.var, count=v.obs_rms.count, '
    "epsilon=v.epsilon, clip_obs=v.clip_obs)"
)


@dataclass(frozen=True)
class Moments:
    """What observations, or values, are standardised by: x -> (x - mean) / sqrt(variance + epsilon), cut at +-clip."""

    mean: np.ndarray
    variance: np.ndarray
    count: float
    epsilon: float
    clip: float

    def state(self, *, epsilon: float = OUR_EPSILON) -> dict[str, Any]:
        """As `agents.nn.normalizer.RunningMoments` takes it: with the epsilon that it adds, theirs comes out."""
        variance = self.variance + (self.epsilon - epsilon)
        return {"count": self.count, "mean": self.mean, "m2": variance * self.count}


def read_moments(path: Path) -> Moments | None:
    """Moments of observations; None where the file says that observations were taken raw.

    Args:
        path: an .npz file with mean, var, count, and VecNormalize's epsilon and clip_obs if there; or the .pkl that
            VecNormalize.save wrote.

    Raises:
        CheckpointError: it cannot be read, or cannot be what we standardise by.
    """
    if path.suffix in (".pkl", ".pickle"):
        return _of_vec_normalize(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: np.asarray(archive[name], dtype=np.float64) for name in archive.files}
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror or error}.",
            f"Write it by {_RECIPE}.",
        ) from error
    except (ValueError, TypeError, zipfile.BadZipFile, AttributeError) as error:
        raise _refusal(path, f"is not an .npz file with mean, var and count ({error})") from error
    return _checked(path, found)


def _of_vec_normalize(path: Path) -> Moments | None:
    saved = read_inert(path)
    state = saved.state if isinstance(saved, Inert) else None
    if not isinstance(state, Mapping) or not str(saved.name).endswith(_VEC_NORMALIZE):
        name = saved.name if isinstance(saved, Inert) else type(saved).__name__
        raise CheckpointError(
            f"{path} holds a {name}, not a VecNormalize of Stable-Baselines3.",
            "Give the file that VecNormalize.save() wrote: vecnormalize.pkl.",
        )
    if state.get("norm_obs") is False:
        return None
    moments = state.get("obs_rms")
    if not isinstance(moments, Inert) or not isinstance(moments.state, Mapping):
        raise _refusal(path, "normalizes a dictionary of observations; here they are one vector")
    numbers = {**moments.state, **{k: state[k] for k in ("epsilon", "clip_obs") if k in state}}
    plain = {k: v for k, v in numbers.items() if isinstance(v, np.ndarray | int | float)}
    return _checked(path, {k: np.asarray(v, dtype=np.float64) for k, v in plain.items()})


def _checked(path: Path, found: Mapping[str, np.ndarray]) -> Moments:
    missing = [name for name in ("mean", "var", "count") if name not in found]
    if missing:
        raise _refusal(path, f"is not an .npz file with mean, var and count (no {missing[0]})")
    mean, variance, count = (found[name] for name in ("mean", "var", "count"))
    if mean.ndim != 1 or mean.shape != variance.shape or count.size != 1 or not count > 0:
        problem = (
            f"does not fit: mean {mean.shape}, var {variance.shape}, count {count} do not match"
        )
        raise _refusal(path, problem)
    clip = float(found.get("clip_obs", CLIP))
    if clip != CLIP:
        raise CheckpointError(
            f"{path}: clip_obs is {clip}; here it is {CLIP:g}.",
            f"Train it with VecNormalize(clip_obs={CLIP:g}).",
        )
    epsilon = float(found.get("epsilon", OUR_EPSILON))
    return Moments(mean, variance, float(count), epsilon, CLIP)


def _refusal(path: Path, problem: str) -> CheckpointError:
    return CheckpointError(f"{path} {problem}.", f"Write it by {_RECIPE}.")
