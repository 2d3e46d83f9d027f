"""Whether a saved run resumes exactly: it is trained again from its last checkpoint but one, and compared."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evaluator import find_run
from helpers.checkpoints import manifests
from helpers.checkpoints.shards import packs
from helpers.checkpoints.store import Checkpoint, Checkpoints
from helpers.config.run import RunConfig
from helpers.config.schema import Parsed, Schema, defaults_of, former_names_of, identity_of
from helpers.display.progress import Progress
from helpers.errors import BUG, DONE, CheckpointError, ConfigurationError
from helpers.machine import choices
from helpers.parallel.crash import install_crash_handler
from helpers.parallel.deadline import Deadline
from helpers.parallel.workers import Workers
from helpers.run_folder.changes import (
    changed_keys,
    changes_since,
    has_other_files_since,
    last_change,
    refusal,
    changes_in_words,
)
from helpers.run_folder.experiment import CONFIG_FILE, choices_of, native_change_since
from helpers.run_folder.inputs import Input
from helpers.trackers.jsonl import bits_of, read_metrics


def verify_resume(
    schema: Schema,
    parsed: Parsed,
    workers: Workers,
    *,
    build: Callable[..., Any],
    inputs_of: Callable[[RunConfig, Workers], Sequence[Input]],
) -> int:
    """--task=verify_resume: train again from the last checkpoint but one; 0 if the last comes out.

    Args:
        schema: reads the run's saved configuration.
        parsed: names the run.
        workers: as many as trained it.
        build: makes the run's orchestrator.
        inputs_of: the files that a run reads, the root's all of them.

    Raises:
        ConfigurationError: the files that the run reads have changed: that is another task.
        CheckpointError: the two checkpoints are from before and after a change.
    """
    latest = parsed.config.model_copy(update={"iter_num": "latest"})
    folder, _ = find_run(latest, workers)
    config = schema.load_config(folder / CONFIG_FILE)  # as it was, evaluations included
    install_crash_handler(workers, folder)
    check_same_task(folder, inputs_of(config, workers), workers)
    line = native_change_since(folder) if workers.is_root else None
    if line:
        print(f"warning: {line}")
    for line in changes_in_words(folder) if workers.is_root else ():
        print(f"this run {line}")
    choices.set_presets(choices_of(folder, workers.rank))
    again = partial(_train_again, config, workers, folder=folder, build=build)
    with Verification(folder, workers) as verification:
        environment = again(verification)
        if not environment.inexact_because:
            return verification.verdict()
        with Verification(folder, workers) as second:  # which can only equal another resumed run
            again(second)
            return second.verdict(against=verification, because=environment.inexact_because)


def _train_again(
    config: RunConfig,
    workers: Workers,
    verification: Verification,
    *,
    folder: Path,
    build: Callable[..., Any],
) -> Any:
    """Resume a copy and train it to the checkpoint that is compared; its environment."""
    checkpoints = Checkpoints(
        verification.folder / "checkpoints",
        workers=workers,
        keep=0,
        identity=identity_of(config),
        defaults=defaults_of(config),
        former=former_names_of(config),
        changed=changed_keys(folder),
    )
    orchestrator = build(
        config,
        workers,
        checkpoints=checkpoints,
        tracker=verification,
        progress=Progress("auto", is_root=workers.is_root, total_steps=config.num_timesteps),
        deadline=Deadline(workers=workers),
    )
    begin = verification.start_from(checkpoints.load_latest())
    accepted = has_other_files_since(folder, begin.iteration)
    orchestrator.load(begin, accepts_changes=accepted)
    try:
        orchestrator.train(until=verification.until)
    finally:
        orchestrator.progress.close()
    return orchestrator.environment


def check_same_task(folder: Path, inputs: Sequence[Input], workers: Workers) -> None:
    """Refuse to compare a run with one of other files; collective.

    Raises:
        ConfigurationError: on every worker.
    """
    found = refusal(folder, changed) if (changed := changes_since(folder, inputs)) else None
    difference = workers.broadcast_json([found.problem, found.detail] if found else None)
    if difference:
        raise ConfigurationError(
            difference[0],
            "Restore them: what another task makes of a checkpoint says nothing about this run.",
            detail=difference[1],
        )


class Verification:
    """Trains a copy of a run again from its last checkpoint but one, and compares with the last.

    It is a tracker, too: it keeps the rows of metrics to compare them.
    """

    def __init__(self, folder: Path, workers: Workers) -> None:
        self.run, self.workers = folder, workers
        found = sorted(manifests.list_checkpoints(folder / "checkpoints"))
        if len(found) < 2:
            raise CheckpointError(
                f"{folder} holds {len(found)} checkpoint; verification needs two.",
                "Continue training past its next save, and keep at least two (--keep_checkpoints=3).",
            )
        (begin, self.source), (self.until, self.target) = found[-2:]
        changed = last_change(folder)
        if begin < changed <= self.until:
            raise CheckpointError(
                f"{folder} has changed after iteration {changed}, between its last checkpoints but one and the next.",
                "Continue training past its next save, then verify it.",
            )
        self.rows: list[Mapping[str, Any]] = []

    def __enter__(self) -> Verification:
        made = tempfile.mkdtemp(dir=self.run, prefix=".verify-") if self.workers.is_root else ""
        self.folder = Path(self.workers.broadcast_json(made))
        if self.workers.is_root:
            target = self.folder / "checkpoints"
            shutil.copytree(self.source, target / self.source.name)
            for pack in packs(self.source.parent):
                shutil.copyfile(pack, target / pack.name)
        self.workers.barrier()
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.barrier()
        if self.workers.is_root:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start_from(self, checkpoint: Checkpoint | None) -> Checkpoint:
        """The checkpoint to resume from."""
        if checkpoint is None:
            raise CheckpointError(
                f"{self.source} could not be copied.",
                f"Free some space under {self.run}.",
            )
        return checkpoint

    def log(self, row: Mapping[str, Any]) -> None:
        """Keep a row."""
        self.rows.append(row)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Nobody looks at them; the checkpoint says whether they come out the same."""

    def sync(self) -> None:
        """Nothing to write."""

    def verdict(self, *, against: Verification | None = None, because: str = "") -> int:
        """Print it on the root; the exit code.

        Args:
            against: another resumed copy, where the run itself cannot come out.
            because: why it cannot.
        """
        name = manifests.name_of(self.until)
        target = against.folder / "checkpoints" / name if against else self.target
        made = manifests.contents_of(manifests.read_manifest(self.folder / "checkpoints" / name))
        there = manifests.contents_of(manifests.read_manifest(target))
        differing = sorted(n for n in made | there if made.get(n) != there.get(n))
        past = against.rows if against else read_metrics(self.run / "metrics.jsonl")
        saved = {row["iteration"]: bits_of(row) for row in past}
        differing += [
            f"metrics of iteration {row['iteration']}"
            for row in self.rows
            if bits_of(row) != saved.get(row["iteration"])
        ]
        if self.workers.is_root:
            span = f"{self.source.name} to {self.target.name}"
            if because:
                print(
                    f"a resumed run begins new episodes: the environment cannot be saved ({because})",
                )
            both = "two resumed runs: " if because else ""
            if differing:
                print(f"{both}NOT identical from {span}: {', '.join(differing)} differ")
            else:
                print(
                    f"{both}bitwise identical from {span}: {len(there)} files, {len(self.rows)} rows",
                )
        return BUG if differing else DONE
