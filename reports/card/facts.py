"""What a run is, how well it does and how it was made, read from its folder; no torch, no MPI, no simulator."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.algorithms import SCHEMA
from helpers.config.run import RunConfig
from helpers.errors import StorageError
from helpers.run_folder.experiment import CAPSULE_FILE, CONFIG_FILE
from helpers.run_folder.references import Reference, read_references
from helpers.trackers.jsonl import is_number, parse_row
from reports.series import KEYS, METRICS, Series, last_row_of, read_series

_EVALUATED = f'"{KEYS["evaluation"]}": '.encode()


@dataclass(frozen=True)
class Evaluation:
    """Episodes of one policy of a run.

    Attributes:
        policy: which, in words.
        iteration: after which it was saved.
        mean, sd, low, high: of the returns.
        length: mean steps of an episode.
        episodes: how many.
        how: whether it explored, on which seed, in which environment.
    """

    policy: str
    iteration: int
    mean: float
    sd: float
    low: float
    high: float
    length: float
    episodes: int
    how: str


@dataclass(frozen=True, eq=False)
class Facts:
    """All that a card is made of.

    Attributes:
        folder: of the run.
        series: its curve and its state.
        config: its settings, as they are now.
        capsule: empty where there is none.
        last: the last row of its metrics; empty where there is none.
        evaluations: the final policy's, the best one's, then those that were asked for later.
        references: of an imitation: the expert and a random policy.
    """

    folder: Path
    series: Series
    config: RunConfig
    capsule: Mapping[str, Any]
    last: Mapping[str, Any]
    evaluations: Sequence[Evaluation]
    references: Mapping[str, Reference]

    @property
    def final(self) -> Evaluation | None:
        """The last evaluation while it trained; None where there is none."""
        return next((each for each in self.evaluations if each.policy.startswith("final")), None)

    @property
    def best(self) -> Evaluation | None:
        """The best evaluation while it trained; None where there is none."""
        return next((each for each in self.evaluations if each.policy.endswith("best")), None)

    @property
    def unit(self) -> str:
        """Of its steps: "environment steps", or "gradient steps"."""
        return self.config.settings["num_timesteps"].unit


def read_facts(folder: Path) -> Facts:
    """Everything that a card is made of.

    Raises:
        ConfigurationError: it is no run folder, or its config.yaml is damaged.
        StorageError: another file of it is damaged.
    """
    config = SCHEMA.load_config(folder / CONFIG_FILE)
    series = read_series(folder)
    try:
        content = (folder / METRICS).read_bytes()
    except OSError:
        content = b""
    try:
        found = [*_trained(content), *_asked(folder, config)]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(
            f"The evaluations in {folder} are damaged: {type(error).__name__} {error}.",
            f"Move its evaluation_*.json away, or mend {METRICS}.",
        ) from error
    return Facts(
        folder,
        series,
        config,
        series.facts,
        last_row_of(content),
        found,
        read_references(folder),
    )


def _trained(content: bytes) -> list[Evaluation]:
    """The last and the best of the evaluations while it trained, once where these are one."""
    lines = (line for line in content.splitlines(keepends=True) if _EVALUATED in line)
    rows = [row for row in map(parse_row, lines) if row and is_number(row[KEYS["evaluation"]])]
    if not rows:
        return []
    final, best = rows[-1], max(rows, key=lambda row: float(row[KEYS["evaluation"]]))
    if final[KEYS["evaluation"]] == best[KEYS["evaluation"]]:
        return [_of_row("final, and the best", final)]
    return [_of_row("final", final), _of_row("best", best)]


def _of_row(policy: str, row: Mapping[str, Any]) -> Evaluation:
    figures = {
        name.removeprefix("eval/"): value for name, value in row.items() if name.startswith("eval/")
    }
    return _evaluation(policy, figures, int(row["iteration"]), "without exploration")


def _evaluation(
    policy: str,
    figures: Mapping[str, Any],
    iteration: int,
    how: str,
) -> Evaluation:
    names = ("return_mean", "return_sd", "return_min", "return_max", "length_mean")
    mean, sd, low, high, length = (float(figures.get(name, math.nan)) for name in names)
    episodes = int(figures.get("episodes", 0))
    return Evaluation(policy, iteration, mean, sd, low, high, length, episodes, how)


def _asked(folder: Path, config: RunConfig) -> list[Evaluation]:
    """Those of --task=eval."""
    found = []
    for path in sorted(folder.glob("evaluation_*.json")):
        figures = json.loads(path.read_text(encoding="utf-8"))
        how = ["without exploration" if figures.get("deterministic", True) else "exploring"]
        if figures.get("seed", config.seed) != config.seed:
            how.append(f"seed {figures['seed']}")
        if figures.get("env_id", config.env_id) != config.env_id:
            how.append(str(figures["env_id"]))
        if figures.get("env_options") and figures["env_options"] != config.environment_options:
            how.append(json.dumps(figures["env_options"], sort_keys=True))
        found.append(
            _evaluation(path.stem, figures, int(figures["iteration"]), ", ".join(how)),
        )
    return found


# Commands


def place_of(folder: Path) -> Path:
    """A folder as a command of this working folder names it."""
    try:
        return folder.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        return folder.resolve()


def commands_of(facts: Facts) -> dict[str, str]:
    """What may be done with a run, by what it is for; each quoted for a shell."""
    place, workers = place_of(facts.folder), facts.capsule.get("world_size")
    launcher = ["mpiexec", "-n", str(workers)] if isinstance(workers, int) and workers > 1 else []
    resume = [*launcher, "python", "main.py", f"--config={place / CONFIG_FILE}"]
    resume += [f"--uuid={facts.folder.name}", f"--runs_dir={place.parent}"]
    found = {}
    if (facts.folder / CAPSULE_FILE).is_file() and facts.last:
        found["Train it again, and say whether it comes out bit for bit"] = [
            "python", "reporter.py", "replay", str(place),
        ]  # fmt: skip
    if facts.series.state == "done":
        more = f"num_timesteps={2 * facts.config.num_timesteps}"
        bends = bool(facts.config.schedules)  # which end with num_timesteps
        found["Continue with more steps"] = [
            *resume,
            f"--override={more}" if bends else f"--{more}",
        ]
    else:
        found["Resume it"] = resume
    checkpoint = next(
        (each for each in ("best", "latest") if (facts.folder / "checkpoints" / each).exists()),
        None,
    )
    if checkpoint:
        asked = [f"--model_path={place}", f"--iter_num={checkpoint}"]
        found["Evaluate and film it"] = ["python", "main.py", "--task=eval", *asked, "--record"]
        found["Export it as a package of its own"] = ["python", "main.py", "--task=export", *asked]
    return {title: shlex.join(words) for title, words in found.items()}
