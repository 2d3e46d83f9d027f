"""OpenSim itself: imported quietly, its version checked, and what its Python wrapper leaves out."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from environments.opensim.catalogue import VERSION
from helpers.errors import ConfigurationError

INSTALL = "make opensim, or: python -m pip install -r requirements-opensim.txt"
_CHANGED = ("PATH", "LD_LIBRARY_PATH", "SIMBODY_HOME")  # by the package, where it is imported
_LIBRARY = "libSimTKmath.so"
_NEXT = "_ZNK5SimTK10Integrator24getPredictedNextStepSizeEv"
_FIRST = "_ZN5SimTK10Integrator18setInitialStepSizeEd"
_TAKEN = "_ZNK5SimTK10Integrator16getNumStepsTakenEv"


def require_opensim() -> None:
    """Refuse where the package is missing; nothing is imported.

    Raises:
        ConfigurationError: with the command that installs it.
    """
    if find_spec("opensim") is None:
        raise ConfigurationError(
            "OpenSim is not installed in this Python.",
            f"Install it: {INSTALL}. There are wheels for Linux (glibc 2.28) and Python 3.11 to 3.13.",
        )


@cache
def import_opensim() -> Any:
    """The package `opensim`, without its messages on the terminal and its opensim.log in the working folder.

    Raises:
        ConfigurationError: it is missing, of another version, or cannot be loaded.
    """
    require_opensim()
    before = {name: os.environ.get(name) for name in _CHANGED}
    try:
        import opensim
    except ImportError as error:
        raise ConfigurationError(
            f"OpenSim cannot be loaded: {error}.",
            f"Install it again: {INSTALL} (Linux with glibc 2.28 or newer).",
        ) from error
    finally:  # it would let every program that is started here look for libraries in all folders of PATH
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    found = opensim.GetVersion().split("-")[0]
    if found != VERSION:
        raise ConfigurationError(
            f"OpenSim {found} is installed, and these environments are made for {VERSION}.",
            f"Install that one: {INSTALL}.",
        )
    opensim.Logger.setLevelString("Off")
    opensim.Logger.removeFileSink()
    return opensim


class Integrator:
    """Of a manager: the size of its steps, which OpenSim's Python wrapper does not expose.

    An integrator chooses its steps as it goes. One that is begun anew at each action would begin each time with a
    guess. Told what it chose last, it steps about as one that never stopped, and all that there is to save of it is
    this one number.

    Args:
        manager: `opensim.Manager`; must live as long as this.
    """

    def __init__(self, manager: Any) -> None:
        library = _library()
        self._pointer = ctypes.c_void_p(int(manager.getIntegrator()))
        self._next, self._first, self._taken = (
            getattr(library, name) for name in (_NEXT, _FIRST, _TAKEN)
        )

    @property
    def next_step(self) -> float:
        """Seconds that it would step next."""
        return float(self._next(self._pointer))

    def begin_with(self, seconds: float) -> None:
        """The size of the first step after the manager is initialized."""
        self._first(self._pointer, ctypes.c_double(seconds))

    @property
    def steps_taken(self) -> int:
        """Steps since the manager was first initialized; before that, anything."""
        return int(self._taken(self._pointer))


@cache
def _library() -> ctypes.CDLL:
    """Simbody's, as the package has loaded it."""
    path = Path(import_opensim().__file__).with_name(_LIBRARY)
    try:
        library = ctypes.CDLL(str(path))
        next_step, first, taken = (getattr(library, name) for name in (_NEXT, _FIRST, _TAKEN))
    except (OSError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} is not the library of OpenSim {VERSION}: {error}.",
            f"Install it again: {INSTALL}.",
        ) from error
    next_step.argtypes, next_step.restype = [ctypes.c_void_p], ctypes.c_double
    first.argtypes, first.restype = [ctypes.c_void_p, ctypes.c_double], None
    taken.argtypes, taken.restype = [ctypes.c_void_p], ctypes.c_int
    return library
