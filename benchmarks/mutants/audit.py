"""Judges mutants: each is put into a copy of the tree, and its tests are run there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.mutants.mutant import Mutant
from helpers.durable import write_atomically

CAUGHT, SURVIVED, BROKEN = "caught", "survived", "broken"
PASSED, FAILED = 0, 1  # exit statuses of pytest; any other says that no verdict was reached
TIME_LIMIT = "the time limit"
COMPILES = (
    "native_code_equals_torch or compiled_steps"  # tests that take a minute: none of them counts
)
# to the first that fails, and of plugins only what the tests need
PYTEST = (
    *("-q", "-x", "-rfE", "--tb=line", "-p", "pytest_timeout"),
    *("-p", "no:cacheprovider", "-p", "no:unraisableexception"),
)
LEFT_OUT = ("data/", "assets/", "docs/results/")
# what tests of the algorithms take most of their time to import
HEAVY = ("numpy", "torch", "torch._dynamo", "gymnasium", "h5py", "pydantic", "yaml", "safetensors")
_SUMMARY = re.compile(r"^(?:FAILED|ERROR) (\S+(?:\[.*?\])?)(?: - (.*))?$", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        outcome: CAUGHT; SURVIVED: all its tests passed; BROKEN: they did not run.
        by: the first test that failed, or TIME_LIMIT; empty unless caught.
        says: what that test, or pytest, said, shortened.
        seconds: of the processor that it took, without what was imported before.
    """

    outcome: str
    by: str
    says: str
    seconds: float


class Results:
    """Verdicts in a file, each with the digest of what it is of.

    Attributes:
        verdicts: by the mutants' names.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path, self.root = path, root
        self.verdicts: dict[str, dict[str, Any]] = {}
        if path.exists():
            self.verdicts = json.loads(path.read_text(encoding="utf-8"))

    def has(self, mutant: Mutant) -> bool:
        """Whether there is a verdict of the mutant, its file and its tests as they are."""
        return self.verdicts.get(mutant.name, {}).get("digest") == mutant.digest(self.root)

    def outcome(self, mutant: Mutant) -> str:
        """What became of it; BROKEN without a verdict."""
        return str(self.verdicts.get(mutant.name, {}).get("outcome", BROKEN))

    def put(self, mutant: Mutant, verdict: Verdict, *, tree: Path) -> None:
        """Keep a verdict that was reached in a copy of the tree, now."""
        self.verdicts[mutant.name] = {"digest": mutant.digest(tree), **asdict(verdict)}
        self._write()

    def tests(self) -> list[str]:
        """The tests that have caught something."""
        return sorted({each["by"] for each in self.verdicts.values()} - {"", TIME_LIMIT})

    def forget(self, test: str) -> None:
        """Drop the verdicts of a test."""
        left = {name: each for name, each in self.verdicts.items() if each["by"] != test}
        if not test or len(left) == len(self.verdicts):
            raise RuntimeError("the tests that caught mutants do not run without any")
        self.verdicts = left
        self._write()

    def keep(self, mutants: Sequence[Mutant]) -> None:
        """Drop the verdicts of all others, and put these in their order."""
        names = [each.name for each in mutants if each.name in self.verdicts]
        self.verdicts = {name: self.verdicts[name] for name in names}
        self._write()

    def _write(self) -> None:
        write_atomically(self.path, json.dumps(self.verdicts, indent=1) + "\n")


def copy_tree(root: Path, to: Path) -> None:
    """Copy what git tracks, or would, to another folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source = root / name
        if name.startswith(LEFT_OUT) or not source.is_file():
            continue
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to / name)


@contextmanager
def planted(mutant: Mutant, tree: Path) -> Iterator[None]:
    """Within it the file of a tree has the fault.

    Its time of change follows from the fault, so that no byte code of another version is taken for it.

    Raises:
        StaleError: the file has not the mutant's text exactly once.
    """
    path = tree / mutant.path
    sound, status = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(mutant.applied(sound), encoding="utf-8")
    second = zlib.crc32(mutant.name.encode()) >> 2  # before 2004
    os.utime(path, (second, second))
    try:
        yield
    finally:
        path.write_text(sound, encoding="utf-8")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


class Judge:
    """Runs tests in a copy of a tree, in forks of one process that has imported already what takes long.

    Args:
        root: of the tree, a repository of git.
        tree: where to copy it.
        preload: what to import.
    """

    def __init__(self, root: Path, tree: Path, *, preload: Sequence[str] = HEAVY) -> None:
        copy_tree(root, tree)
        self.tree = tree
        self._output = tree / ".printed"
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("preloaded.py")), *preload],
            cwd=tree,
            env=_environment(tree),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # its input ends, and so does it

    def judge(self, mutant: Mutant, *, seconds: float) -> Verdict:
        """Plant a mutant and run its tests, to the first that fails; after so many seconds they count as failed.

        Raises:
            StaleError: the file has not the mutant's text exactly once.
        """
        with planted(mutant, self.tree):
            return self.run(mutant.tests, seconds=seconds)

    def run(self, tests: Sequence[str], *, seconds: float) -> Verdict:
        """Run tests in the tree as it is, to the first that fails."""
        options = [*PYTEST, "-k", f"not ({COMPILES})", f"--timeout={seconds:g}"]
        request = {
            "arguments": [*options, *tests],
            "output": str(self._output),
            "seconds": 2.0 * seconds,  # of what no test's own limit ends
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        if answer["status"] is None:
            return Verdict(CAUGHT, TIME_LIMIT, "", answer["seconds"])
        printed = self._output.read_text(errors="replace")
        return _verdict(answer["status"], printed, answer["seconds"])


def _verdict(status: int, printed: str, seconds: float) -> Verdict:
    if status == PASSED:
        return Verdict(SURVIVED, "", "", seconds)
    found = _SUMMARY.search(printed)
    if status != FAILED or found is None:
        last = printed.strip().splitlines()[-1:] or [f"pytest ended with status {status}"]
        return Verdict(BROKEN, "", last[0][:200], seconds)
    return Verdict(CAUGHT, found[1], (found[2] or "")[:200], seconds)


def _environment(tree: Path) -> dict[str, str]:
    """One thread, and a cache of compiled code of the tree's own: that of a mutant is nobody else's."""
    others = ("PYTEST_", "PYTHONDONTWRITEBYTECODE")  # byte code lies in the tree, and goes with it
    kept = {name: text for name, text in os.environ.items() if not name.startswith(others)}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "XDG_CACHE_HOME": str(tree / ".cache"),
        "COLUMNS": "300",  # of the line that says why a test failed
    }
