"""Models as plain files for sharing, a state_dict each, beside the resumable checkpoints, where they are asked for.

    checkpoints/100000_policy.pt                       --checkpoint_policy_only, the default
    checkpoints/100000_critic_1.pt ...                 --no-checkpoint_policy_only: every model

A file holds tensors by name, as `torch.save` writes them and `torch.load(weights_only=True)` reads them. A reader
finds it whole or not at all; a machine that stops keeps those from before the run's last checkpoint, and the run that
resumes from there writes the others again. (To wait for the disk at each file would take PPO a third of its time where
disks are busy.) What is due follows from the number of environment steps alone, so that a run that is stopped and goes
on leaves the files that an uninterrupted one leaves.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.durable import make_folder, sync_file, sync_folder, write_atomically
from helpers.errors import CheckpointError, StorageError

if TYPE_CHECKING:
    from torch import Tensor

    from helpers.config.run import RunConfig
    from helpers.parallel.workers import Workers

POLICIES = ("policy", "q_network")  # the models that choose actions
AUTO_FILES = 10  # a run, with checkpoint_interval=auto


def interval_of(config: RunConfig) -> int:
    """Environment steps between two files; 0 where none are written."""
    interval = config.checkpoint_interval
    if interval is None:  # who asks for skrl's tracking looks for its checkpoints, too
        interval = "auto" if config.experiment_directory or config.experiment_name else "0"
    if interval == "auto":
        return max(1, config.num_timesteps // AUTO_FILES)
    return max(0, int(interval))


class PolicyFiles:
    """Writes the models of a run, on its root worker.

    Args:
        folder: the run's checkpoints folder.
        config: the run's configuration.
        workers: of the run; the root writes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: RunConfig,
        workers: Workers,
    ) -> None:
        self.folder, self.stopwatch = folder, workers.stopwatch
        self.interval = interval_of(config) if workers.is_root else 0
        self.policy_only = config.checkpoint_policy_only
        self._written: list[Path] = []  # since the last `sync`
        if workers.is_root and folder.is_dir():
            for unfinished in folder.glob(".*_*.pt.*"):  # of a process that died while it wrote
                unfinished.unlink(missing_ok=True)

    def write_if_due(self, step: int, agent: Any, *, since: int, is_last: bool) -> None:
        """Write if a multiple of the interval lies in (step - since, step], or if the run ends here.

        Args:
            step: global environment steps so far.
            agent: whose models.
            since: steps since the last call.
            is_last: whether no further call comes.

        Raises:
            StorageError: the disk is full or not writable; on the root, the others are ended with it.
        """
        if self.interval and (is_last or step // self.interval > (step - since) // self.interval):
            with self.stopwatch.saving:
                self.write(step, agent)

    def write(self, step: int, agent: Any) -> list[Path]:
        """Write the models as they are; the files."""
        written = []
        for name, model in agent.models().items():
            if name in POLICIES or not self.policy_only:
                written.append(self.folder / f"{step}_{name}.pt")
                write_state(written[-1], model.state_dict())
        self._written += written
        return written

    def sync(self) -> None:
        """Let all files reach the disk, before a checkpoint does: later ones are written again by a resumed run.

        Raises:
            StorageError: they cannot.
        """
        try:
            for path in self._written:
                with contextlib.suppress(FileNotFoundError):  # somebody has moved it away
                    sync_file(path)
            if self._written:
                sync_folder(self.folder)
        except OSError as error:
            raise _storage_error(self.folder, error) from error
        self._written.clear()


def write_state(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors by name, so that a reader finds them whole or not at all.

    Raises:
        StorageError: they cannot be written.
    """
    import torch

    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu().clone() for name, tensor in state.items()}, buffer)
    try:
        make_folder(path.parent)
        write_atomically(path, buffer.getvalue(), at_once=False)
    except OSError as error:
        raise _storage_error(path, error) from error


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written: {error.strerror or error}.",
        "Free some space there, or write fewer of these files: --checkpoint_interval=auto, 0 for none.",
    )


def read_torch_file(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote, if it is a dictionary of tensors and plain values.

    Raises:
        CheckpointError: it is missing, damaged or something else.
    """
    content = read_torch_content(path)
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} contains a {type(content).__name__}, not a dictionary of tensors.",
            "Give a file with a state_dict.",
        )
    return content


def read_torch_content(path: Path) -> Any:
    """What `torch.save` wrote, if it is tensors and plain values. Nothing is unpickled beyond these.

    Raises:
        CheckpointError: it is missing, damaged or something else.
    """
    import torch

    try:
        if not zipfile.is_zipfile(path):
            path.open("rb").close()  # says why, if it is that
            raise CheckpointError(
                f"{path} is not a file of torch.save, or it is truncated.",
                "Give a .pt file, or download it again.",
            )
        with zipfile.ZipFile(path) as archive:
            altered = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path} cannot be read: {reason}.", "Give another file.") from error
    if altered:
        raise CheckpointError(f"{path} is damaged: {altered} in it.", "Download the file again.")
    refusal = torch.serialization.pickle.UnpicklingError
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, AttributeError, TypeError, KeyError, EOFError, refusal) as error:
        raise CheckpointError(
            f"{path} contains more than tensors and plain values, which could run code when it is read.",
            "If you trust it, keep only its tensors: "
            'torch.save({"model": torch.load(FILE, weights_only=False)["model"]}, "weights.pth").',
        ) from error


def read_state(path: Path) -> dict[str, Tensor]:
    """The state_dict in a file.

    Raises:
        CheckpointError: it is missing, damaged or something else.
    """
    import torch

    content = read_torch_file(path)
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{path} holds {name!r}, a {type(value).__name__}: it is not a state_dict.",
                "Give a file such as checkpoints/100000_policy.pt.",
            )
    return content
