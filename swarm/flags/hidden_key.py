"""Takes `--wandb_api_key VALUE` out of the process list. Imports next to nothing, so as to be first.

Every user of a machine may read the arguments of every process. Starting the same program anew
without them is the one way to take them back; what children get is never on a command line.
"""

import os
import sys
from collections.abc import Sequence

FLAG = "--wandb_api_key"
_CARRIER = "MILOZERO_SPAWNER_KEY"


def hide_key(argv: Sequence[str]) -> str | None:
    """The key of the command line; the process that returns has none there.

    Args:
        argv: as of `sys.argv`, of the program that is running.
    """
    key = os.environ.pop(_CARRIER, None)
    if key is not None:
        return key
    rest, key = split_key(argv[1:])
    if key is None:
        return None
    interpreter = sys.orig_argv[: len(sys.orig_argv) - len(argv) + 1]
    os.environ[_CARRIER] = key
    os.execv(sys.executable, [sys.executable, *interpreter[1:], *rest])


def split_key(argv: Sequence[str]) -> tuple[list[str], str | None]:
    """(the arguments without the key, the key or None); "" for a flag without a value."""
    rest: list[str] = []
    key: str | None = None
    arguments = iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.replace("-", "_") == FLAG.replace("-", "_"):
            key = value if equals else next(arguments, "")
        else:
            rest.append(argument)
    return rest, key
