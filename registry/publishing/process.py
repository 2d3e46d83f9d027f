"""The process that publishes: from copies of the policy to versions in a registry, at a low priority.

    python -m registry.publishing.process RUN_FOLDER     # archive what a run whose registry was away has left

The ONNX file of a run's policy is exported once; afterwards its numbers are replaced, and what comes out is compared
with the policy at some observations.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.torch import load_file

from agents.algorithms import SCHEMA
from agents.weights.architecture import NOISE, Architecture, Network
from helpers.checkpoints.resolve import resolve_checkpoint
from helpers.durable import write_atomically
from helpers.errors import CheckpointError, UserError
from helpers.run_folder.experiment import CONFIG_FILE
from helpers.trackers import feeder
from registry.client import RegistryClient, RegistryError
from registry.package import contract, packed
from registry.package.export import LARGEST_DIFFERENCE, export_checkpoint
from registry.package.onnx_file import IR_VERSION, OPSET, OnnxModel, write_onnx
from registry.publishing.publisher import BASE, FOLDER, model_name

ARCHIVED = "archived.json"
KINDS = ("best", "latest")
NAMES = {"best": "best", "latest": "last"}
_PRIORITY = 10
_PATIENCE, _AGAIN_SECONDS, _ROWS = 2.0, 5.0, 16
Say = Callable[[str], None]


class Publishing:
    """Sends policies of one run.

    Args:
        run: the run folder.
        say: prints to the user.
    """

    def __init__(self, run: Path, say: Say) -> None:
        self.run, self.folder, self._say = run, run / FOLDER, say
        self.config: Any = SCHEMA.load_config(run / CONFIG_FILE)
        self.model = model_name(self.config, run.name)
        self._client: RegistryClient | None = None
        self._template: onnx.ModelProto | None = None
        self._is_made = self._is_away = False

    # Requests

    def attempt(self, work: Callable[[RegistryClient], None]) -> bool:
        """Do it, if the registry takes it; a registry that is away is said once."""
        try:
            if self._client is None:
                self._client = RegistryClient(self.config.registry_endpoint, patience=_PATIENCE)
            if not self._is_made:
                self._make_model(self._client)
            work(self._client)
        except RegistryError as error:
            if error.code == "NOT_FOUND":
                self._is_made = False  # somebody has deleted the model
            if not self._is_away:
                self._say(
                    f"registry: {error.problem} Training continues; the newest policy is sent later.",
                )
            self._is_away = True
            return False
        if self._is_away:
            self._say("registry: answers again")
        self._is_away = False
        return True

    def _make_model(self, client: RegistryClient) -> None:
        try:
            client.model(self.model)
        except RegistryError as error:
            if error.code != "NOT_FOUND":
                raise
            client.put_model(
                self.model,
                {"env_id": self.config.env_id, "algorithm": self.config.algo, "run": self.run.name},
            )
        self._is_made = True

    # Transient versions

    def publish(self, name: str) -> bool:
        """Send the policy of a copy; whether the registry has it."""
        if not self.attempt(lambda client: None):  # it is away: no package is made for it
            return False
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            package = self._package(self.folder / name, Path(scratch) / "package")
            fields = contract.read_contract(package, prove=False)
            data = packed.pack(package)

        def send(client: RegistryClient) -> None:
            client.put(self.model, data, user_data=_user_data(fields, "training"))

        return self.attempt(send)

    def _package(self, copy: Path, package: Path) -> Path:
        """A policy package without evaluation, card and curve."""
        package.mkdir()
        content = json.loads((copy / BASE).read_text(encoding="utf-8"))
        content["environment"].pop("is_flat", None)
        tensors = load_file(copy / contract.WEIGHTS)
        layers = json.loads((copy / contract.ARCHITECTURE).read_text(encoding="utf-8"))
        network = Network(Architecture.from_json(layers, tensors, source=str(copy)))
        for file in (contract.WEIGHTS, contract.ARCHITECTURE):
            shutil.copyfile(copy / file, package / file)
        difference = self._write_onnx(network, package / contract.POLICY)
        content["policy"]["sha256"] = contract.sha256_of(package / contract.WEIGHTS)
        content["evaluation"] = None
        content["onnx"] = {"opset": OPSET, "ir_version": IR_VERSION}
        content["check"] = {"observations": _ROWS, "largest_difference": difference}
        contract.write_contract(package, content)
        return package

    def _write_onnx(self, network: Network, path: Path) -> float:
        """Write the file; the largest difference between its actions and the policy's."""
        if self._template is not None:
            _fill(self._template, network.architecture.tensors)
            path.write_bytes(self._template.SerializeToString())
            difference = _difference(network, path)
            if difference <= LARGEST_DIFFERENCE:
                return difference
        write_onnx(network, path, output="action")
        difference = _difference(network, path)
        if not difference <= LARGEST_DIFFERENCE:
            raise CheckpointError(
                f"The exported policy differs from the agent's by {difference:.1e}.",
                "Please report it: a layer is exported wrongly.",
            )
        self._template = onnx.load(path)
        return difference

    # Archived versions

    def archive(self) -> bool:
        """Archive the best and the last checkpoint's policy, each once; whether the registry has both."""
        if not self.attempt(lambda client: None):  # it is away: no episode is run for it
            return False
        return all([self._archive(kind) for kind in KINDS])

    def _archive(self, kind: str) -> bool:
        if not (self.run / "checkpoints" / kind).exists():
            return True
        checkpoint = resolve_checkpoint(self.run, kind).resolve()
        known = self._archived()
        if known.get(NAMES[kind], {}).get("checkpoint") == checkpoint.name:
            return True
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            package = export_checkpoint(
                self.config,
                self.run,
                checkpoint,
                target=Path(scratch) / "package",
            )
            fields = contract.read_contract(package, prove=False)
            data = packed.pack(package)

        def send(client: RegistryClient) -> None:
            user_data = _user_data(fields, NAMES[kind])
            info = client.put(self.model, data, archived=True, user_data=user_data)
            known[NAMES[kind]] = {"checkpoint": checkpoint.name, "version": info.number}
            write_atomically(self.folder / ARCHIVED, json.dumps(known, indent=1) + "\n")
            self._say(
                f"registry: {NAMES[kind]} policy archived as version {info.number} of {self.model}, "
                f"return {fields['evaluation']['return_mean']:,.2f}",
            )

        return self.attempt(send)

    def _archived(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / ARCHIVED).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}


def _user_data(fields: Mapping[str, Any], kind: str) -> dict[str, str]:
    policy, evaluation = fields["policy"], fields["evaluation"]
    found = {
        "format": packed.KIND,
        "kind": kind,
        "env_id": fields["environment"]["id"],
        "algorithm": policy["algorithm"],
        "run": fields["run"]["name"],
        "iteration": str(policy["iteration"]),
        "step": str(policy["step"]),
        "policy_sha256": fields["files"][contract.WEIGHTS]["sha256"],
    }
    if evaluation:
        found["return_mean"] = f"{evaluation['return_mean']:.6g}"
        found["checkpoint_sha256"] = policy["sha256"]
    return found


def _fill(model: onnx.ModelProto, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a model other numbers; the exporter keeps the names of tensors."""
    fresh = {name.replace(".", "_"): each for name, each in tensors.items()}
    for each in model.graph.initializer:
        if each.name in fresh:
            each.CopyFrom(onnx.numpy_helper.from_array(fresh[each.name].numpy(), each.name))


def _difference(network: Network, path: Path) -> float:
    sizes = network.architecture.sizes
    generator = np.random.default_rng(0)
    inputs = {name: generator.standard_normal((_ROWS, size)) for name, size in sizes.items()}
    if network.architecture.noise:
        kind = network.architecture.noise
        inputs[NOISE] = contract.draw_noise(kind, (_ROWS, sizes[NOISE]), generator)
    rows = [torch.from_numpy(each).to(network.dtype) for each in inputs.values()]
    with torch.inference_mode():
        wanted = network(*rows).numpy()
    found = OnnxModel(path)([each.numpy() for each in rows])
    if wanted.dtype.kind == "i":
        return float(np.mean(found != wanted))
    return float(np.abs(found - wanted).max())


# The program


def main(argv: Sequence[str]) -> int:
    """Follow a run that gives commands, or archive what one has left; the exit code."""
    torch.set_num_threads(1)
    if argv:
        publishing = Publishing(Path(argv[0]), print)
        return 0 if publishing.archive() else 1
    job = json.loads(sys.stdin.readline())
    return follow(Publishing(Path(job["run_folder"]), lambda text: feeder.tell(say=text)))


def follow(publishing: Publishing) -> int:
    """Publish the newest copy again and again, until the run ends."""
    finishing = threading.Event()
    commands = feeder.read_commands(finishing)
    feeder.beat(finishing, lambda: True)
    waiting: str | None = None
    retry = 0.0
    while True:
        command = feeder.next_command(commands)
        while command:
            if "publish" in command:
                if waiting is not None:
                    shutil.rmtree(publishing.folder / waiting, ignore_errors=True)
                waiting, retry = command["publish"], 0.0
            if "finish" in command:
                return _finish(publishing, waiting, command["finish"])
            command = _at_once(commands)
        if waiting is not None and time.monotonic() >= retry:
            if _publish(publishing, waiting):
                yield_to_workers()
                shutil.rmtree(publishing.folder / waiting, ignore_errors=True)
                waiting = None
            else:
                retry = time.monotonic() + _AGAIN_SECONDS


def yield_to_workers() -> None:
    """Take a lower priority, once the first version is made: on busy cores that would take minutes."""
    if os.getpriority(os.PRIO_PROCESS, 0) < _PRIORITY:
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)


def _finish(publishing: Publishing, waiting: str | None, code: int) -> int:
    is_there = waiting is None or _publish(publishing, waiting)
    if code != 0 or (is_there and publishing.archive()):
        return 0
    feeder.tell(
        say="warning: the registry has not got the best and the last policy; later: "
        f"python -m registry.publishing.process {publishing.run}",
    )
    return 0


def _publish(publishing: Publishing, name: str) -> bool:
    try:
        return publishing.publish(name)
    except (UserError, OSError, ValueError) as error:
        feeder.tell(say=f"registry: {name} is not published: {feeder.one_line(error)}")
        return True  # it would not be next time, either


def _at_once(commands: queue.SimpleQueue[dict[str, Any]]) -> dict[str, Any]:
    try:
        return commands.get_nowait()
    except queue.Empty:
        return {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
