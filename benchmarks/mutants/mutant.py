"""A small fault put into one file, and the tests that should notice it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

Fault = tuple[str, str, str]  # (what is wrong then, exact text, replacement)


class StaleError(Exception):
    """The text of a mutant is not in its file exactly once: the file has changed, and so must the mutant."""


@dataclass(frozen=True)
class Mutant:
    """A fault.

    Attributes:
        name: what is wrong then, in words; no two have the same.
        path: the file, from the repository's root.
        text: stands in the file exactly once.
        replacement: of the text.
        tests: files or tests of pytest, from the root; at least one of them must fail.
    """

    name: str
    path: str
    text: str
    replacement: str
    tests: tuple[str, ...]

    def applied(self, source: str) -> str:
        """The file's source with the fault.

        Raises:
            StaleError: the text is missing, or there more than once.
        """
        count = source.count(self.text)
        if count != 1:
            raise StaleError(
                f"{self.name}: {self.path} has its text {count} times: {self.text!r}\n"
                "Write the fault anew in benchmarks/mutants/faults/.",
            )
        return source.replace(self.text, self.replacement)

    def digest(self, root: Path) -> str:
        """Changes with the mutant, the file that it is of, and the files of its tests; a verdict is of this."""
        parts = [self.path, self.text, self.replacement, *self.tests]
        files = {self.path, *(each.partition("::")[0] for each in self.tests)}
        parts += [(root / name).read_text(encoding="utf-8") for name in sorted(files)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def faults_in(path: str, tests: str | tuple[str, ...], *faults: Fault) -> list[Mutant]:
    """Mutants of one file that the same tests should notice; a name begins with the file's."""
    listed = (tests,) if isinstance(tests, str) else tests
    place = path.removeprefix("agents/")
    return [Mutant(f"{place}: {name}", path, old, new, listed) for name, old, new in faults]
