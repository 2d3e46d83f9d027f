"""From the names on a command line to runs: a swarm, a run, or a folder of runs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from helpers.config.settings import show
from helpers.data_root import place
from helpers.errors import ConfigurationError, StorageError
from helpers.run_folder.run_lock import holder_elsewhere, is_trained_here
from reports.foreign import find
from reports.foreign.others import Others
from reports.series import Series, Source, State, is_run_folder, read_series, run_folders
from swarm.backends.base import DeploymentError
from swarm.control import find_swarm, will_move
from swarm.places import swarm_places
from swarm.plan import PLAN_FILE, Plan, Run
from swarm.status import State as SwarmState
from swarm.status import run_statuses

RUNS = "data/runs"
_STATES: dict[SwarmState, State] = {
    "planned": "missing",
    "claimed": "missing",
    "queued": "missing",
    "running": "running",
    "stopping": "running",
    "unknown": "running",
    "done": "done",
    "stopped": "stopped",
    "failed": "failed",
    "lost": "stopped",
}
_MOST_NAMED = 3
Wanted = tuple[Source | None, str | None]  # which returns, or which other metric
_DIVERGED = "exit code 3"  # helpers.errors.NUMERICAL, as swarm.status words it


@dataclass(frozen=True)
class Collected:
    """The runs that were named.

    Attributes:
        label: of all of it: the swarm's name, or what was named.
        series: each run once; one that has not begun has no points and the state "missing".
        trials: by run, which draw of its swarm's sweep it is; empty without swarms.
        notes: what could not be found out, in words.
    """

    label: str
    series: tuple[Series, ...]
    trials: dict[str, int]
    notes: tuple[str, ...] = ()


def collect(
    names: Sequence[str],
    *,
    source: Source | None = None,
    others: Others | None = None,
    key: str | None = None,
    is_scored: bool = True,
) -> Collected:
    """The runs of swarms, runs and folders of runs, each once.

    Args:
        names: of a swarm (also the beginning of its name), a run of data/runs, or a folder of either or of runs; a
            pattern like 'ppo.*seed0?' is for runs of data/runs. Also results of other libraries (reports/foreign).
        source: which returns; None: of evaluations where there are any.
        others: the columns, seeds and tasks of other libraries' runs.
        key: another metric in the place of the returns.
        is_scored: whether runs are compared: then none has training returns where its like have evaluations.

    Raises:
        ConfigurationError: a name that is none of these, no runs, or two runs of one name.
    """
    found: dict[str, Series] = {}
    trials: dict[str, int] = {}
    notes: list[str] = []
    labels: list[str] = []
    for name in names:
        labels.append(_label_of(name))
        for series in _runs_of(name, (source, key), trials, notes, others or Others()):
            before = found.get(series.name)
            if before is not None and not _is_same(before, series):
                raise ConfigurationError(
                    f"Two runs are called {series.name}: {before.folder} and {series.folder}.",
                    "Rename one of the folders, or report them one after the other with another --name.",
                )
            found[series.name] = series
    if not found:
        raise ConfigurationError(
            f"There are no runs in {', '.join(names)}.",
            f"Give a swarm, a run or a folder of runs: {RUNS}/NAME; of other libraries {find.LAYOUTS}.",
        )
    find.refuse_names_of_ours(found.values())
    every = tuple(found.values())
    if is_scored and not (source or key):
        every = _measured_alike(every)
    label = labels[0] if len(labels) == 1 else common_label(labels)
    return Collected(label, every, trials, tuple(dict.fromkeys(notes)))


def _measured_alike(every: Sequence[Series]) -> tuple[Series, ...]:
    """Runs that have not ended and were not evaluated yet have no score where others of their kind have evaluations."""
    evaluated = {
        (r.algorithm, r.task) for r in every if r.source == "evaluation" and len(r.returns)
    }
    alike = []
    for run in every:
        if (
            run.source == "training"
            and not run.library
            and run.state in ("running", "stopped", "failed")
            and (run.algorithm, run.task) in evaluated
            and run.folder is not None
        ):
            again = read_series(run.folder, "evaluation")
            run = replace(again, state=run.state, reason=run.reason)
        alike.append(run)
    return tuple(alike)


def find_run(name: str) -> Path:
    """The folder of one run, named by itself or by its name in data/runs.

    Raises:
        ConfigurationError: there is none, or it is a swarm or several runs.
    """
    folders = folders_of(name)
    if folders is None:
        runs = [run.folder for run in find_swarm(name).runs]
    else:
        runs = [run for each in folders for run in _runs_in(each)]
    if folders == runs and len(runs) == 1:
        return runs[0]
    named = ", ".join(str(each) for each in runs[:_MOST_NAMED])
    raise ConfigurationError(
        f"{name} is not one run{f' but {len(runs)}' if len(runs) > 1 else ''}.",
        f"Give one: {named or f'{RUNS}/NAME'}.",
    )


def _runs_in(folder: Path) -> list[Path]:
    """A run folder itself, or the runs of a swarm's folder."""
    is_swarm = (folder / PLAN_FILE).exists()
    return [run.folder for run in find_swarm(str(folder)).runs] if is_swarm else [folder]


def common_label(words: Sequence[str]) -> str:
    """A name for several: theirs, joined."""
    joined = "_".join(words[:3])[:60].strip("._-")
    return joined + (f"_and_{len(words) - 3}_more" if len(words) > 3 else "")


def _label_of(name: str) -> str:
    """What a report of it is called: a swarm's whole name, a folder's, a pattern without its signs."""
    if (other := find.named(name)) is not None:
        return other.path.resolve().stem if other.path.is_file() else other.path.resolve().name
    if folders_of(name) is None:
        return find_swarm(name).name
    path = Path(name)
    return (
        path.resolve().name
        if path.exists()
        else re.sub(r"[^\w.+=@-]+", "", name).strip("._-") or "runs"
    )


def is_under_way(names: Sequence[str]) -> bool:
    """Whether a run of these names is trained, or waits in a swarm; one of another machine until it is done."""
    for name in names:
        folders = folders_of(name)
        if folders is None or any((folder / PLAN_FILE).exists() for folder in folders):
            try:
                if any(map(will_move, run_statuses(find_swarm(name)).values())):
                    return True
            except (DeploymentError, StorageError):
                return True  # nobody can tell: it is asked again
            continue
        for folder in folders:
            if is_trained_here(folder):
                return True
            if holder_elsewhere(folder) is not None and read_series(folder).state != "done":
                return True
    return False


def _read(folder: Path, wanted: Wanted) -> Series:
    source, key = wanted
    return read_series(folder, source, key=key)


def _is_same(one: Series, other: Series) -> bool:
    if one.folder is None or other.folder is None:
        return one.folder is other.folder and one is other
    return one.folder.resolve() == other.folder.resolve()


def _runs_of(
    name: str,
    wanted: Wanted,
    trials: dict[str, int],
    notes: list[str],
    others: Others,
) -> Iterator[Series]:
    if (other := find.named(name)) is not None:
        yield from _of_others(other, wanted, notes, others)
        return
    folders = folders_of(name)
    if folders is None:
        yield from _runs_of_swarm(find_swarm(name), wanted, trials, notes)
    elif (swarm := folders[0] if len(folders) == 1 else None) and (swarm / PLAN_FILE).exists():
        yield from _runs_of_swarm(find_swarm(str(swarm)), wanted, trials, notes)
    else:
        for folder in folders:
            yield _read(folder, wanted)
        if Path(name).expanduser().is_dir():
            yield from _of_others(find.Named(Path(name).expanduser()), wanted, notes, others)


def _of_others(
    what: find.Named,
    wanted: Wanted,
    notes: list[str],
    others: Others,
) -> list[Series]:
    source, key = wanted
    series, remarks = find.read(what, source, others)
    if series and key is not None:
        notes.append(f"{what.path}: of other libraries only returns are read, not {key}.")
        return []
    notes += remarks
    return series


def folders_of(name: str) -> list[Path] | None:
    """Run folders, or one swarm's folder; None where the name may be a swarm's."""
    runs = place(RUNS)
    for path in (Path(name).expanduser(), runs / name):
        if (path / PLAN_FILE).exists() or is_run_folder(path):
            return [path]
        if path.is_dir() and (inside := run_folders(path)):
            return inside
    if any(sign in name for sign in "*?["):
        return [each for each in run_folders(runs) if fnmatchcase(each.name, name)]
    if Path(name).expanduser().is_dir():
        return []
    if "/" in name or not _may_be_swarm(name):
        raise _unknown(name, runs)
    return None


def _may_be_swarm(name: str) -> bool:
    return any(
        path.parent.name.startswith(name)
        for folder in swarm_places()
        for path in folder.glob(f"*/{PLAN_FILE}")
    )


def _unknown(name: str, runs: Path) -> ConfigurationError:
    swarms = [path.parent.name for each in swarm_places() for path in each.glob(f"*/{PLAN_FILE}")]
    known = [*swarms, *(each.name for each in run_folders(runs))]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
    return ConfigurationError(
        f"{name} is no swarm, no run of {runs} and no folder of runs.",
        (
            f"Give one of these: {', '.join(near or known[:3])}."
            if known
            else "Start one: python main.py -h, python spawner.py -h."
        ),
    )


def _runs_of_swarm(
    plan: Plan,
    wanted: Wanted,
    trials: dict[str, int],
    notes: list[str],
) -> Iterator[Series]:
    states = _states(plan, notes)
    for run in plan.runs:
        trials[run.name] = run.trial
        state, reason = states.get(run.name, (None, ""))
        if not is_run_folder(run.folder):
            told = "it has not begun" + (f" ({reason})" if reason else "")
            yield _missing(run, told if state in (None, "missing") else reason, state or "missing")
            continue
        series = _read(run.folder, wanted)
        if state in (None, "missing") or series.state == "diverged":
            yield series
        elif state == "failed" and reason.startswith(_DIVERGED):
            yield replace(series, state="diverged", reason=series.reason or reason)
        else:
            yield replace(
                series,
                state=state,
                reason=reason or (series.reason if state == series.state else ""),
            )


def _states(plan: Plan, notes: list[str]) -> dict[str, tuple[State, str]]:
    """(state, reason) of each run, from the swarm's ledger; empty where it is unknown."""
    try:
        return {
            name: (_STATES[status.state], status.reason)
            for name, status in run_statuses(plan).items()
        }
    except (DeploymentError, StorageError) as error:
        notes.append(f"{plan.name}: states are those that the run folders show ({error.problem})")
        return {}


def _missing(run: Run, reason: str, state: State) -> Series:
    """A planned run without a folder."""
    settings = {key: getattr(run.config, key) for key in run.config.settings}
    nothing = np.empty(0)
    return Series(
        name=run.name,
        group=run.group,
        task=run.config.env_id,
        seed=run.config.seed,
        algorithm=run.config.algo,
        source="evaluation",
        steps=nothing.astype(np.int64),
        returns=nothing,
        seconds=nothing,
        state="missing" if state == "done" else state,
        reason=reason,
        num_timesteps=run.config.num_timesteps,
        settings={key: None if each is None else show(each) for key, each in settings.items()},
        folder=run.folder,
    )
