"""A registry that is killed at random instants of mixed load keeps what it acknowledged: whole, and once.

    python -m benchmarks.registry.kills [--kills 100] [--writers 8] [--readers 8]

Writers store archived and transient versions of 1 byte to 300 KiB in 4 models; readers read what was acknowledged.
After each kill -9 and restart, every archived version that was acknowledged must be there with its hash, its data must
have that hash, and no number may stand for two versions.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from helpers.machine.processor import cpu_model, instruction_set
from registry.client import RegistryClient, RegistryError, VersionInfo
from registry.service.storage.archive import Archive
from tests.registry.service.running import Service, service

MODELS = [f"model_{index}" for index in range(4)]
LARGEST = 300 << 10


class Load:
    """Writers and readers.

    Attributes:
        kept: acknowledged archived versions, by model and number, in the order of their acknowledgement.
    """

    def __init__(self, endpoint: str, writers: int, readers: int) -> None:
        self.endpoint = endpoint
        self.kept: dict[tuple[str, int], VersionInfo] = {}
        self.numbers: Counter[tuple[str, int]] = Counter()
        self.data: dict[str, bytes] = {}
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(index,)) for index in range(writers)
        ]
        self._threads += [
            threading.Thread(target=self._read, args=(index,)) for index in range(readers)
        ]

    def start(self) -> None:
        """Begin."""
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """End, once each has what it waits for."""
        self._over.set()
        for each in self._threads:
            each.join()

    def _write(self, index: int) -> None:
        generator = random.Random(index)
        with RegistryClient(self.endpoint, patience=60.0) as client:
            while not self._over.is_set():
                model = generator.choice(MODELS)
                data = generator.randbytes(
                    generator.choice([1, 1000, generator.randrange(LARGEST)]),
                )
                archived = generator.random() < 0.7
                try:
                    info = client.put(model, data, archived=archived)
                except RegistryError as error:
                    self._note(f"a writer: {error.problem}")
                    continue
                with self._lock:
                    self.counts["archived" if archived else "transient"] += 1
                    self.numbers[model, info.number] += 1
                    if archived:
                        self.kept[model, info.number] = info

    def _read(self, index: int) -> None:
        generator = random.Random(1000 + index)
        with RegistryClient(self.endpoint, patience=60.0) as client:
            while not self._over.is_set():
                with self._lock:
                    known = list(self.kept)
                if not known:
                    time.sleep(0.05)
                    continue
                model, number = generator.choice(known)
                try:
                    client.get(model, number)
                except RegistryError as error:
                    self._note(f"a reader of {model} version {number}: {error.problem}")
                    continue
                with self._lock:
                    self.counts["read"] += 1

    def _note(self, text: str) -> None:
        with self._lock:
            self.problems.append(text)


def check(load: Load, registry: Service, *, reads: int) -> None:
    """Stop where something that was acknowledged is missing, altered or double."""
    with load._lock:
        kept = dict(load.kept)
        double = [key for key, count in load.numbers.items() if count > 1]
    expect(double, [], "numbers that were given twice")
    with RegistryClient(registry.endpoint, patience=60.0) as client:
        there = {
            (info.model_id, info.number): info for name in MODELS for info in client.versions(name)
        }
        for key, info in kept.items():
            expect(there.get(key), info, f"what is known of {key}")
        for model, number in random.Random(0).sample(sorted(kept), min(reads, len(kept))):
            client.get(model, number)  # which compares the hash
    expect(load.problems, [], "problems")


def check_files(archive: Path) -> int:
    """Every version's data has the hash of its file; the number of versions."""
    held = Archive(archive)
    count = 0
    for found in held.scan():
        folder = archive / found.model_id
        for info in found.versions:
            data = (folder / f"{info.model_id}-v{info.number:06d}.data").read_bytes()
            expect(
                base64.b64encode(hashlib.sha256(data).digest()).decode(),
                info.data_hash,
                str(info),
            )
            count += 1
    held.close()
    return count


def expect(found: object, wanted: object, what: str) -> None:
    """Stop where they differ."""
    if found != wanted:
        raise SystemExit(f"{what}: {str(found)[:300]} in place of {str(wanted)[:300]}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.registry.kills",
        description=__doc__,
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--readers", type=int, default=8)
    arguments = parser.parse_args(argv)
    print(f"{cpu_model()}, {instruction_set()}")
    generator = random.Random(0)
    with (
        tempfile.TemporaryDirectory() as folder,
        service(
            "model_registry",
            Path(folder),
            "--log_level=warning",
        ) as registry,
    ):
        with RegistryClient(registry.endpoint) as client:
            for name in MODELS:
                client.put_model(name, {"of": "the benchmark"})
        load = Load(registry.endpoint, arguments.writers, arguments.readers)
        load.start()
        try:
            for number in range(1, arguments.kills + 1):
                time.sleep(generator.uniform(0.2, 1.5))
                registry.kill()
                registry.start()
                check(load, registry, reads=20)
                if number % 10 == 0:
                    print(f"{number} kills: {dict(load.counts)}", flush=True)
        finally:
            load.stop()
        check(load, registry, reads=len(load.kept))
        registry.stop()
        there = check_files(Path(folder) / "models")
    print(
        f"{arguments.kills} kills: {len(load.kept)} archived versions were acknowledged, all are there, "
        "whole and once; "
        f"{there - len(load.kept)} more are there whose answer was lost",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
