"""`contract.json` of a policy package: what goes in, what comes out, how good it is, and a checksum of each file.

It needs neither torch nor a simulator to be read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.durable import sync_file
from helpers.errors import CheckpointError

FORMAT = 1
CONTRACT, POLICY, WEIGHTS, ARCHITECTURE = (
    "contract.json",
    "policy.onnx",
    "policy.safetensors",
    "architecture.json",
)
CARD, CURVE, CHECK = "README.md", "learning_curve.png", "check.safetensors"
PACKAGES = "packages"  # the folder of a run's packages
AGAIN = "Copy the package again, or export the policy once more: python main.py --task=export"


def write_contract(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the contract of the files in a folder, which are synced to the disk.

    Raises:
        OSError: the disk is full or gone.
    """
    files = {}
    for path in sorted(folder.iterdir()):
        sync_file(path)
        data = path.read_bytes()
        files[path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps({"format": FORMAT, **content, "files": files}, indent=1, allow_nan=False)
    (folder / CONTRACT).write_text(text + "\n", encoding="utf-8")
    sync_file(folder / CONTRACT)


def read_contract(folder: Path, *, prove: bool = True) -> dict[str, Any]:
    """The contract of a package, after its files were compared with it.

    Args:
        folder: the package.
        prove: whether to compare them.

    Raises:
        CheckpointError: there is none, it is of another format, or a file is missing or was altered.
    """
    path = folder / CONTRACT
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        form, files = content["format"], content["files"]
        proofs = {str(name): str(each["sha256"]) for name, each in files.items()}
    except OSError as error:
        raise CheckpointError(
            f"{folder} is no policy package: {CONTRACT} cannot be read ({error.strerror}).",
            "Give a folder that --task=export has written.",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {error!r}.", AGAIN) from error
    if form != FORMAT:
        raise CheckpointError(
            f"{path} has format {form}, and this program reads {FORMAT}.",
            "Use the version of the program that wrote it, or export the policy again.",
        )
    for name, proof in proofs.items() if prove else ():
        if Path(name).name != name:
            raise CheckpointError(f"{path} names {name!r}, which is no file of the package.", AGAIN)
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise CheckpointError(f"{folder / name} is missing.", AGAIN) from error
        if found != proof:
            raise CheckpointError(f"{folder / name} was altered after the export.", AGAIN)
    return dict(content)


def sha256_of(path: Path) -> str:
    """The checksum of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bounds_to_json(low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """Bounds by name, None where there is none."""
    return {
        name: [float(x) if np.isfinite(x) else None for x in np.ravel(bound)]
        for name, bound in (("low", low), ("high", high))
    }


def draw_noise(kind: str, size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Noise (B, size) of the distribution that a contract names: normal or gumbel."""
    if kind == "normal":
        return generator.standard_normal(size)
    return generator.gumbel(size=size)
