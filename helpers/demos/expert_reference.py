"""Reference returns of the expert, for the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.checkpoints.manifests import iteration_of
from helpers.checkpoints.resolve import resolve_checkpoint
from helpers.demos.load import Demos, subsample_steps
from helpers.episodes import summary
from helpers.errors import StorageError
from helpers.run_folder.references import Reference
from helpers.trackers.jsonl import is_number, read_metrics

_EVALUATED = "eval/"


def expert_figures(config: Any, demos: Demos) -> Reference | None:
    """What the expert of a configuration returns: a policy that is asked, else that of the demonstrations.

    Args:
        config: the settings of demonstrations, `seed`, and `expert_policy` where a policy is asked.
        demos: of this configuration.

    Returns:
        A reference; None without an expert, or where nobody has evaluated the policy.

    Raises:
        CheckpointError: there is no such policy.
    """
    asked = getattr(config, "expert_policy", None)
    found = _of_policy(Path(asked).expanduser(), config.expert_iter_num) if asked else None
    return found or _of_demos(demos, config)


def _of_policy(path: Path, iter_num: str) -> Reference | None:
    """The evaluation of a saved policy while it was trained."""
    checkpoint = resolve_checkpoint(path, iter_num).resolve()
    run, iteration = checkpoint.parent.parent, iteration_of(checkpoint)
    try:
        rows = read_metrics(run / "metrics.jsonl")
    except StorageError:
        return None  # a policy that was brought in has none
    for row in rows:
        if row.get("iteration") == iteration and is_number(row.get(f"{_EVALUATED}return_mean")):
            figures = {
                name.removeprefix(_EVALUATED): value
                for name, value in row.items()
                if name.startswith(_EVALUATED)
            }
            return {"source": "its evaluation", **figures, "policy": str(checkpoint)}
    return None


def _of_demos(demos: Demos, config: Any) -> Reference | None:
    """The demonstrations that are used, whole, and which of their steps are learned from."""
    if not demos.episodes or any("rewards" in demo.origin for demo in demos.episodes):
        return None  # none, or without rewards
    used = []
    for index, demo in zip(demos.indices, demos.episodes, strict=True):
        steps = subsample_steps(config, index, demo.length)
        used.append(
            {
                "episode": index,
                "source": demo.source,
                "sha256": demo.sha256,
                "return": demo.return_,
                "length": demo.length,
                "first_step": steps.start,
                "every": steps.step,
                "steps": len(steps),
            },
        )
    count = len(used)
    return {
        "source": f"{count} demonstration{'s' if count > 1 else ''}",
        **summary(
            [demo.return_ for demo in demos.episodes],
            [demo.length for demo in demos.episodes],
        ),
        "demonstrations": used,
    }
