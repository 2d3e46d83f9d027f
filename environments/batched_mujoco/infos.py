"""The `infos` of Gymnasium's vector environments, computed when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np

FINAL_OBS = ("final_obs", "_final_obs")

Terms = Mapping[str, np.ndarray]


class LateInfos(dict[str, Any]):
    """A dict that completes itself at the first look at anything but `FINAL_OBS`.

    The terms of a reward are rarely looked at, and putting them together for each step would take
    as long as the reward itself.

    Args:
        at_once: `FINAL_OBS` where episodes ended, else empty.
        later: gives all other entries.
    """

    def __init__(
        self,
        at_once: Mapping[str, Any],
        later: Callable[[], Mapping[str, Any]],
    ) -> None:
        super().__init__(at_once)
        self._later: Callable[[], Mapping[str, Any]] | None = later

    def complete(self) -> None:
        """Compute what is missing."""
        later, self._later = self._later, None
        if later is not None:
            for key, value in later().items():
                super().setdefault(key, value)  # what was set from outside stays

    def __missing__(self, key: str) -> Any:
        if self._later is None:
            raise KeyError(key)
        self.complete()
        return self[key]

    def __contains__(self, key: object) -> bool:
        if self._later is not None and key not in FINAL_OBS:
            self.complete()
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or else the default."""
        return self[key] if key in self else default

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _complete_first(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def on_all(self: LateInfos, *args: Any) -> Any:
        self.complete()
        return method(self, *args)

    return on_all


for _name in (
    *("__iter__", "__reversed__", "__len__", "__eq__", "__ne__", "__repr__", "__or__", "__ror__"),
    *("__ior__", "__delitem__", "keys", "values", "items", "copy", "pop", "popitem"),
    *("setdefault", "clear"),
):
    setattr(LateInfos, _name, _complete_first(getattr(dict, _name)))


def infos_of_terms(terms: Terms, has_terms: np.ndarray) -> dict[str, Any]:
    """Terms (N, ...) and for each its mask, both zero where an environment has none."""
    infos: dict[str, Any] = {}
    if not has_terms.any():
        return infos
    for name, array in terms.items():
        infos[name] = np.zeros(array.shape, array.dtype)
        infos[name][has_terms] = array[has_terms]
        infos[f"_{name}"] = has_terms.copy()
    return infos


def infos_of_ends(terms: Terms, first: Terms, ended: np.ndarray) -> dict[str, Any]:
    """Of a step that ended episodes: their terms as `final_info`, and the first of the next ones.

    Args:
        terms: of the step.
        first: what is known of the episodes that began.
        ended: (N,) where an episode ended.
    """
    infos = infos_of_terms(terms, ~ended)
    for name, array in first.items():
        if name not in infos:
            infos[name] = np.zeros(array.shape, array.dtype)
        infos[name][ended] = array[ended]
        infos[f"_{name}"] = np.ones(len(ended), dtype=np.bool_)
    infos["final_info"], infos["_final_info"] = infos_of_terms(terms, ended), ended.copy()
    return infos


def final_obs(observations: np.ndarray, ended: np.ndarray) -> dict[str, Any]:
    """The last observations of the episodes that ended."""
    last = np.full(len(ended), None, dtype=object)
    for index in np.flatnonzero(ended).tolist():
        last[index] = observations[index]
    return dict(zip(FINAL_OBS, (last, ended.copy()), strict=True))
