"""Returns as shares of the way from a policy of random actions to the expert, and the table of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.learning.case import EPISODES, Case
from benchmarks.learning.handover import centre
from environments.factory import make_vector_env
from helpers.episodes import random_figures
from helpers.errors import ConfigurationError
from helpers.seeding import Streams

RANDOM_EPISODES = 100
INTERVAL = (
    "95 % bootstrap interval (of three seeds it holds less often: docs/results/statistics.md)"
)


@dataclass(frozen=True)
class Scale:
    """Mean returns: 0 and 1 of an environment.

    Attributes:
        random: of uniformly random actions.
        expert: of the demonstrations.
    """

    random: float
    expert: float

    def share(self, return_: float) -> float:
        """Where a return lies."""
        return (return_ - self.random) / (self.expert - self.random)


def scales_of(env_ids: Iterable[str], *, demos: Path, results: Path) -> dict[str, Scale]:
    """The scale of each environment.

    Args:
        env_ids: of the environments.
        demos: the folder with a folder of demonstrations for each of them.
        results: the suite's JSON file: what is there of random policies is not measured again.

    Raises:
        ConfigurationError: demonstrations have no card, or are no better than random actions.
    """
    known = json.loads(results.read_text())["environments"] if results.exists() else {}
    scales = {}
    for env_id in dict.fromkeys(env_ids):
        card = demos / env_id / "card.json"
        expert = expert_return(card)
        random = known[env_id]["random"] if env_id in known else random_return(env_id)
        if expert <= random:
            raise ConfigurationError(
                f"{card}: the mean return is {expert:g}, that of random actions {random:g}.",
                "Demonstrations of an expert are needed: python -m benchmarks.learning.experts",
            )
        scales[env_id] = Scale(random, expert)
    return scales


def expert_return(card: Path) -> float:
    """The mean return of demonstrations, by their card.

    Raises:
        ConfigurationError: there is none.
    """
    if not card.exists():
        raise ConfigurationError(
            f"{card} does not exist.",
            "Make it: python -m benchmarks.learning.experts, or "
            f"python main.py --task=demos --expert_path={card.parent}",
        )
    return float(json.loads(card.read_text())["return"]["mean"])


def random_return(env_id: str) -> float:
    """Mean return of uniformly random actions, always the same."""
    seeds = [Streams(0).integer("random policy", i) for i in range(RANDOM_EPISODES)]
    figures = random_figures(make_vector_env(env_id, seeds=seeds), seeds=seeds)
    return float(figures["return_mean"])


def as_json(scales: Mapping[str, Scale], results: Mapping[str, Any]) -> dict[str, Any]:
    """What the suite's JSON file holds."""
    return {
        "environments": {env_id: asdict(scale) for env_id, scale in scales.items()},
        "cases": results,
    }


def tabulate(
    cases: Sequence[Case],
    results: Mapping[str, list[dict[str, Any]]],
    scales: Mapping[str, Scale],
    *,
    made_by: str,
) -> str:
    """The Markdown page.

    Args:
        cases: its rows.
        results: of each case, a seed each, with what `scales` makes of them as `normalised`.
        scales: of the environments.
        made_by: the sentence that says how.
    """
    lines = [
        "# Results: imitation",
        "",
        f"{made_by}, {EPISODES} deterministic episodes of the final policy (never the best one): mean +- standard "
        f"deviation over seeds; of what is normalised the interquartile mean with its {INTERVAL}, too. "
        "Normalised is (return - random) / (expert - random), and bars are of that: random is "
        f"the mean return of {RANDOM_EPISODES} episodes of uniform actions, expert that of all 16 demonstrations. "
        "A bar with < is one that must not be reached. Where a case does not say otherwise, it learns from "
        "4 demonstrations, one step in 20 of each; `red_16_whole` from all 16, `bc_16_whole` from 15, the 16th "
        "telling it when to stop; dagger from its expert alone. The steps of bc are gradient steps: it takes no "
        "others. Commits are those whose code the runs were started and gone on with.",
        "",
        "Controls: `no_demos` is told nothing of the expert, not even the moments to standardise by; `constant` is "
        "shown one action for ever; `reordered` the expert's actions in another order and the states that they then "
        "lead to; `shuffled` the expert's own states with his actions in another order, so that states alone can be "
        "imitated, as `states` does, which is shown no actions at all. Hopper's tell what is learned where to live on "
        "is a choice.",
        "",
        "| environment | random | expert |",
        "|---|---|---|",
        *(
            f"| {name} | {scale.random:.0f} | {scale.expert:.0f} |"
            for name, scale in scales.items()
        ),
        "",
        "| case | steps | seeds | return | normalised: IQM [95 %] | normalised | each seed | bar | published | "
        "minutes a run | commits |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        runs, bar = results.get(case.name, []), shown_bar(case)
        if not runs:
            lines.append(f"| {case.name} | | 0 | not run | | | | {bar} | {case.reference} | | |")
            continue
        shares = [run["normalised"] for run in runs]
        minutes = statistics.median(run["seconds"] for run in runs) / 60
        commits = dict.fromkeys(commit for run in runs for commit in run["commits"])
        verdict = "" if case.is_met(shares) else " **missed**"
        lines.append(
            f"| {case.name} | {runs[0]['steps']:,.0f} | {len(runs)} | {spread([run['final'] for run in runs])} | "
            f"{centre(shares, digits=2)} | {spread(shares, digits=2)} | "
            f"{', '.join(f'{share:.2f}' for share in shares)} | {bar}{verdict} | "
            f"{case.reference} | {minutes:.1f} | {', '.join(commits)} |",
        )
    return "\n".join(lines) + "\n"


def shown_bar(case: Case) -> str:
    """With its direction."""
    if case.bar is None:
        return "none"
    return f"{'<' if case.stays_below else '>='} {case.bar:.2f}"


def spread(values: Sequence[float], *, digits: int = 0) -> str:
    """Mean +- standard deviation; of one value, itself."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} +- {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean
