"""Imported first by every program: where packages are missing, two lines say so.

Only the standard library is imported here, and nothing newer than Python 3.8's syntax is used.
"""

import importlib.util
import sys

OLDEST = (3, 11)
NEEDED = ("numpy", "pydantic", "yaml")  # what every program imports
RUNS = ("gymnasium", "h5py", "mpi4py", "mujoco", "safetensors", "torch")  # and what a run does


def require(names=NEEDED):  # type: ignore[no-untyped-def]  # as Python 3.8 reads it
    """End with status 2 where this is not the Python that `make venv` made, or one like it."""
    version = ".".join(map(str, sys.version_info[:3]))
    problem = ""
    if sys.version_info < OLDEST:
        problem = (
            f"{sys.executable} is Python {version}, and {OLDEST[0]}.{OLDEST[1]} or newer is needed."
        )
    else:
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        if missing:
            problem = f"{sys.executable} (Python {version}) has no package {', '.join(missing)}."
    if problem:
        remedy = "Use the project's own: make venv, then .venv/bin/python, or: source .venv/bin/activate."
        sys.stderr.write(f"milozero: {problem}\n  remedy: {remedy}\n")
        raise SystemExit(2)


require()
