"""Fetch a run's configuration and one checkpoint from wandb, so that they can be evaluated here.

The wandb client runs in a child process (why: see `helpers.trackers.wandb.feeder`), started as
`python -m helpers.trackers.wandb.download` with the order as JSON on its input; it answers with one JSON object.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import CheckpointError, ConfigurationError, UserError
from helpers.trackers.feeder import REPOSITORY, answers
from helpers.trackers.wandb.feeder import PROBE_SECONDS

if TYPE_CHECKING:
    import wandb

STALL_SECONDS = 60.0  # a download that brings nothing for so long is given up
CONFIG = "config.yaml"
CONFIGS = (f"run/{CONFIG}", CONFIG)  # where a run keeps its configuration, best first
CHECKPOINT_FILE = re.compile(r"checkpoints/([\w.-]+)/([\w-][\w.-]*)", re.ASCII)
ERRORS: Mapping[str, type[UserError]] = {
    "configuration": ConfigurationError,
    "checkpoint": CheckpointError,
}


def download_run(
    run_path: str,
    *,
    iter_num: str,
    replace: bool,
    root_folder: Path = Path("data/wandb"),
) -> Path:
    """The local run folder ROOT/entity/project/run with the checkpoint asked for, fetched if need be.

    What lies there already is kept, without asking the network. A checkpoint appears there whole
    or not at all.

    Args:
        run_path: "entity/project/run".
        iter_num: "best", "latest" or the number of an iteration.
        replace: fetch again what lies there already.
        root_folder: where such folders are kept.

    Raises:
        ConfigurationError: the path's form, no key, no network, no such run.
        CheckpointError: the run has no such checkpoint.
    """
    parts = run_path.split("/")
    if len(parts) != 3 or not all(re.fullmatch(r"(?!\.+$)[^\s\\:?#%]+", part) for part in parts):
        raise ConfigurationError(
            f"wandb_run_path={run_path!r} is not of the form entity/project/run.",
            "Copy it from the run's page in wandb: Overview, Run path.",
        )
    folder = root_folder.joinpath(*parts)
    checkpoint = f"iter_{int(iter_num):06d}" if iter_num.isdigit() else iter_num
    target = folder / "checkpoints" / checkpoint
    if not replace and target.is_dir() and (folder / CONFIG).is_file():
        return folder
    root_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=root_folder) as partial:
        _fetch(run_path, checkpoint, Path(partial))
        target.parent.mkdir(parents=True, exist_ok=True)
        _put(Path(partial) / "checkpoints" / checkpoint, target, replace=replace)
        config = next(Path(partial, name) for name in CONFIGS if Path(partial, name).is_file())
        _put(config, folder / CONFIG, replace=replace)
    return folder


def _put(source: Path, target: Path, *, replace: bool) -> None:
    """Move a file or folder to its name at once; what was there is removed only if it is to be replaced."""
    if target.exists():
        if not replace:
            return
        target.rename(source.with_name(f"{source.name}.old"))
    source.rename(target)


def _fetch(run_path: str, checkpoint: str, folder: Path) -> None:
    """Let the child download into a folder; raise what it reports."""
    if importlib.util.find_spec("wandb") is None:
        raise ConfigurationError(
            "wandb_run_path needs wandb, which is not installed.",
            "Install it (pip install wandb), or give --model_path=RUN_FOLDER.",
        )
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    environment["WANDB_ERROR_REPORTING"] = "false"
    environment["WANDB_CACHE_DIR"] = str(folder.resolve())
    child = subprocess.Popen(
        [sys.executable, "-m", "helpers.trackers.wandb.download"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
        env=environment,
        text=True,
    )
    order = {"run_path": run_path, "checkpoint": checkpoint, "folder": str(folder.resolve())}
    try:
        output, errors = _wait(child, json.dumps(order), folder)
    finally:
        child.kill()
        child.wait()
    reply = _last_object(output)
    if reply.get("error") in ERRORS:
        raise ERRORS[reply["error"]](reply["problem"], reply["remedy"])
    if child.returncode or "done" not in reply:
        problem = (errors.strip().splitlines() or ["no answer"])[-1]
        raise _unreachable(f"{run_path} could not be downloaded: {problem}")


def _wait(child: subprocess.Popen[str], order: str, folder: Path) -> tuple[str, str]:
    """The child's output and errors, once it ends; it is given up when its files stop growing."""
    size, since = -1, time.monotonic()
    pending: str | None = order
    while time.monotonic() - since < STALL_SECONDS:
        try:
            return child.communicate(pending, timeout=0.5)
        except subprocess.TimeoutExpired:
            pending = None
        now = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if now != size:
            size, since = now, time.monotonic()
    raise _unreachable(f"wandb sent nothing for {STALL_SECONDS:.0f} s.")


def _unreachable(problem: str) -> ConfigurationError:
    return ConfigurationError(
        problem,
        "Try again with network access, or give --model_path=RUN_FOLDER.",
    )


def _last_object(output: str) -> dict[str, Any]:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


def main() -> None:
    """The child: obey the order on the input, report on the output."""
    order = json.loads(sys.stdin.read())
    try:
        _download(order["run_path"], order["checkpoint"], Path(order["folder"]))
    except UserError as error:
        kind = next(name for name, known in ERRORS.items() if isinstance(error, known))
        reply: dict[str, Any] = {"error": kind, "problem": error.problem, "remedy": error.remedy}
    else:
        reply = {"done": True}
    print(json.dumps(reply), flush=True)


def _download(run_path: str, checkpoint: str, folder: Path) -> None:
    files = {file.name: file for file in _find_run(run_path).files(per_page=500)}
    config = next((name for name in CONFIGS if name in files), None)
    there: dict[str, list[str]] = {}
    for name in files:
        if match := CHECKPOINT_FILE.fullmatch(name):
            there.setdefault(match[1], []).append(name)
    if checkpoint not in there or config is None:
        raise CheckpointError(
            (
                f"{run_path} has no checkpoint {checkpoint!r} in wandb."
                if checkpoint not in there
                else f"{run_path} has no {CONFIG} in wandb."
            ),
            f"Choose --iter_num among: {', '.join(sorted(there)) or 'none, it has no checkpoint'}.",
        )
    for name in (config, *there[checkpoint]):
        files[name].download(root=str(folder)).close()


def _find_run(run_path: str) -> wandb.apis.public.Run:
    import wandb

    url = wandb.setup().settings.base_url
    if not answers(url, PROBE_SECONDS):
        raise _unreachable(f"{url} does not answer.")
    try:
        api = wandb.Api(timeout=20)
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
        raise ConfigurationError(
            f"wandb at {url} needs a valid key: {' '.join(str(error).split())[:120]}",
            "Run `wandb login`, or set WANDB_API_KEY (and WANDB_BASE_URL for your own server).",
        ) from error
    try:
        return api.run(run_path)
    except wandb.errors.CommError as error:
        if isinstance(error.exc, ValueError):  # the client found no such run
            raise ConfigurationError(
                f"There is no run {run_path} at {url}, or your key has no access to it.",
                "Copy the path from the run's page in wandb: Overview, Run path.",
            ) from error
        raise _unreachable(f"wandb did not answer: {' '.join(str(error).split())[:160]}") from error


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # not through wandb's exit hooks, which wait for the network
