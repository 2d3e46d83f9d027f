"""What a request is refused with: a gRPC status by its name, and a sentence."""

from __future__ import annotations

import errno


class Refusal(Exception):
    """A request that cannot be done.

    Attributes:
        code: the name of a gRPC status: NOT_FOUND, INVALID_ARGUMENT, ...
        text: what is wrong.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def unknown_model(model_id: str) -> Refusal:
    """There is no such model."""
    return Refusal("NOT_FOUND", f'no model "{shown(model_id)}" found')


def unknown_version(model_id: str, number: int) -> Refusal:
    """There is no such version, or none any longer."""
    return Refusal("NOT_FOUND", f'no version "{number}" for model "{shown(model_id)}" found')


def invalid(text: str) -> Refusal:
    """The request itself is wrong."""
    return Refusal("INVALID_ARGUMENT", text)


def too_much(text: str) -> Refusal:
    """It is over a limit of this server."""
    return Refusal("RESOURCE_EXHAUSTED", text)


def of_disk(error: OSError) -> Refusal:
    """The archive's disk does not take it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return too_much("the disk of the archive is full")
    return Refusal("INTERNAL", f"the archive cannot be used: {error.strerror}")


def shown(text: str) -> str:
    """A name of a client's, fit for a message and a log."""
    return text.encode("unicode_escape").decode("ascii")[:80]
