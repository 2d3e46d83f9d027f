"""The child process that holds the real wandb client: `python -m helpers.trackers.wandb.feeder`.

With a run folder as its argument it sends what the server lacks of that run, and ends.

Why a process of its own: the client replaces `sys.exit` and `sys.excepthook`, registers exit hooks that
wait for the network, and starts a service that can crash; none of that may reach a training run. It follows
`metrics.jsonl`, so that training never waits for it, and can be killed at any moment without a loss
(helpers/trackers/feeder.py).
"""

from __future__ import annotations

import glob
import json
import os
import queue
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import BAD_CONFIGURATION, DONE, STOPPED_EARLY
from helpers.trackers.feeder import (
    answers,
    beat,
    lock,
    new_rows,
    next_command,
    one_line,
    read_commands,
    tell,
)
from helpers.trackers.jsonl import is_number
from helpers.trackers.wandb.offline_log import last_iteration

if TYPE_CHECKING:
    import wandb

INIT_SECONDS = 15.0
PROBE_SECONDS = 2.0
JOB_FILE = "job.json"
METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class Job:
    """What to feed, as the tracker sends it."""

    run_folder: str
    mode: str
    run_id: str
    name: str
    group: str
    project: str | None
    entity: str | None
    settings: dict[str, Any]
    continued: bool  # the run is resumed from a checkpoint
    sync_command: str  # what uploads the offline parts

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.run_folder)

    @property
    def offline_folders(self) -> list[Path]:
        """The offline parts that wandb wrote of this run so far."""
        return sorted(self.folder.glob("wandb/offline-run-*"))


def main(arguments: list[str]) -> int:
    """Feed one run, from its first command to its last; or send what an earlier feeder could not."""
    if arguments:
        return resend(Path(arguments[0]))
    job = Job(**json.loads(sys.stdin.readline()))
    finishing = threading.Event()
    commands = read_commands(finishing)
    only_one = lock(job.folder / "wandb" / "lock")
    if only_one is None:
        tell(say="wandb: not used, another process still feeds this run")
        return DONE
    with only_one:
        (job.folder / "wandb" / JOB_FILE).write_text(json.dumps(asdict(job)))
        feed(job, commands, finishing)
    return DONE


def feed(
    job: Job,
    commands: queue.SimpleQueue[dict[str, Any]],
    finishing: threading.Event,
) -> None:
    """Open the run, follow the rows, obey the commands."""
    import wandb

    url = wandb.setup().settings.base_url
    offline = threading.Event()
    beat(finishing, lambda: offline.is_set() or answers(url, PROBE_SECONDS))
    run, first = open_run(job, *effective_mode(job.mode, url))
    if run.offline:
        offline.set()
    rows = new_rows(job.folder / METRICS_FILE)
    while True:
        command = next_command(commands)
        _send_rows(run, rows, first)
        if "upload" in command:
            _upload(run, job.folder, command["upload"])
        elif "finish" in command:
            if command["finish"] == STOPPED_EARLY:
                run.mark_preempting()
            run.finish(exit_code=command["finish"])
            if not run.offline:
                _tidy(job, Path(run.settings.sync_dir))
            return


def resend(folder: Path) -> int:
    """Bring a run on the server up to its metrics.jsonl, with its configuration and best checkpoint."""
    import wandb

    try:
        text = (folder / "wandb" / JOB_FILE).read_text()
    except OSError:
        print(f"{folder} is no run folder of a run that used wandb.\nGive one: data/runs/NAME.")
        return BAD_CONFIGURATION
    job = replace(Job(**json.loads(text)), run_folder=str(folder.resolve()), continued=True)
    try:
        run = _init(job, "online")
    except wandb.errors.Error as error:
        print(
            f"wandb cannot be reached: {one_line(error)}\nLog in (`wandb login`), then try again.",
        )
        return BAD_CONFIGURATION
    _send_rows(run, new_rows(folder / METRICS_FILE), run.starting_step)
    _upload(run, folder.resolve(), ["config.yaml", "checkpoints/best"])
    run.finish()
    _tidy(job, Path(run.settings.sync_dir))
    print(f"wandb: {run.url} is up to date")
    return DONE


def effective_mode(wanted: str, url: str) -> tuple[str, str]:
    """The mode that works here, and why it is not the wanted one ("" where it is).

    Online needs a server that answers within 2 s (and a key: the client itself looks for one).
    `WANDB_MODE` may lower the mode.
    """
    if wanted == "online" and os.environ.get("WANDB_MODE") in ("offline", "dryrun"):
        return "offline", "WANDB_MODE asks for it"
    if wanted == "online" and not answers(url, PROBE_SECONDS):
        return "offline", f"{url} does not answer"
    return wanted, ""


def open_run(job: Job, mode: str, reason: str) -> tuple[wandb.Run, int]:
    """Start or continue the run; also the first iteration that it lacks.

    Online the server says how far it got, offline the files of the earlier parts do: what wandb lost
    on the way is sent again from metrics.jsonl, and nothing is sent twice.
    """
    import wandb

    lacking = last_iteration(job.offline_folders) + 1 if mode == "offline" else 0
    try:
        run = _init(job, mode)
    except (wandb.errors.Error, OSError) as error:
        if mode == "offline":
            raise
        wandb.teardown()
        return open_run(job, "offline", one_line(error))
    if mode == "online":
        lacking = run.starting_step
        known = run.resumed and not job.continued
        tell(say=f"wandb: {run.url}" + (f" (has iterations up to {lacking - 1})" if known else ""))
    else:
        because = f" ({reason})" if reason else ""
        tell(say=f"wandb: offline{because}; to upload later: {job.sync_command}")
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    return run, lacking


def _init(job: Job, mode: str) -> wandb.Run:
    import wandb

    settings = wandb.Settings(
        init_timeout=INIT_SECONDS,
        console="off",
        silent=True,
        symlink=False,  # hard links: what is uploaded later must outlive the checkpoint's rotation
        x_transaction_log_flush_interval=1.0,
        # No arguments, environment, packages or source: the capsule has them, without secrets.
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        x_disable_stats=True,
        disable_git=True,
        disable_code=True,
        save_code=False,
    )
    return wandb.init(
        mode=mode,  # type: ignore[arg-type]
        id=job.run_id,
        name=job.name,
        group=job.group,
        project=job.project,
        entity=job.entity,
        config=job.settings,
        dir=job.run_folder,
        resume="allow",
        settings=settings,
    )


def _send_rows(run: wandb.Run, rows: Iterator[dict[str, Any] | None], first: int) -> None:
    """Pass on the rows that are there by now, from an iteration on."""
    for row in rows:
        if row is None:
            return
        if row["iteration"] >= first:
            numbers = {name: value for name, value in row.items() if is_number(value)}
            run.log(numbers, step=row["iteration"], commit=True)


def _upload(run: wandb.Run, folder: Path, names: list[str]) -> None:
    """Store files and folders of the run folder with the run.

    What lies at the top (config.yaml) goes under `run/`: wandb owns a config.yaml of its own. Replay
    memories (.npy) stay here: nobody needs them to evaluate.
    """
    for name in names:
        source = folder / name
        if source.is_dir():
            for file in sorted(path for path in source.iterdir() if path.suffix != ".npy"):
                run.save(glob.escape(str(file)), base_path=folder, policy="now")
        elif source.is_file():
            beside = folder / "wandb" / "run" / source.name
            beside.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, beside)
            run.save(glob.escape(str(beside)), base_path=folder / "wandb", policy="now")


def _tidy(job: Job, part: Path) -> None:
    """All is on the server: drop this part's local copy, and mark the offline ones as uploaded."""
    shutil.rmtree(part, ignore_errors=True)
    for folder in job.offline_folders:
        for log in folder.glob("*.wandb"):
            log.with_suffix(".wandb.synced").touch()


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # not through wandb's exit hooks: what they would wait for is done
