"""Names and texts of an archive's files, as Cogment's own server has them.

ARCHIVE/my_model/my_model.yaml            its user_data
                 my_model-v000001.yaml    what is known of version 1
                 my_model-v000001.data    its bytes
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

TRANSIENT = ".transient-"
_ID = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,199}", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_SECOND = 1_000_000_000


class _Plain(yaml.SafeLoader):
    """Reads every value as the text that it is: a time keeps its nanoseconds."""


_Plain.yaml_implicit_resolvers = {}


@dataclass(frozen=True)
class VersionInfo:
    """What is known of a version.

    Attributes:
        created: nanoseconds since 1970.
        data_hash: SHA-256 of the data, base64.
        size: bytes.
    """

    model_id: str
    number: int
    created: int
    archived: bool
    data_hash: str
    size: int
    user_data: Mapping[str, str]


def is_id(text: str) -> bool:
    """Whether a model may have this name, which is that of a folder, too."""
    return _ID.fullmatch(text) is not None


def data_name(model_id: str, number: int) -> str:
    """The file of a version's bytes."""
    return f"{model_id}-v{number:06d}.data"


def info_name(model_id: str, number: int) -> str:
    """The file of what is known of a version."""
    return f"{model_id}-v{number:06d}.yaml"


def transient_name(number: int) -> str:
    """The file of the bytes of a version that is not archived."""
    return f"{TRANSIENT}{number:06d}"


def parse(text: str) -> dict[str, Any]:
    """The mapping of a file, its values as texts.

    Raises:
        ValueError, yaml.YAMLError: it is none.
    """
    content = _Plain(text).get_single_data()
    if not isinstance(content, dict):
        raise ValueError("it is no mapping")
    return content


def texts(content: Any) -> dict[str, str]:
    """A file's user_data."""
    if content in (None, ""):
        return {}
    if not isinstance(content, dict):
        raise ValueError("user_data is no mapping")
    return {str(key): str(value) for key, value in content.items()}


def dump(content: Mapping[str, Any]) -> str:
    """A file's text."""
    return yaml.safe_dump(
        dict(content),
        sort_keys=False,
    )  # others' line breaks (U+0085) would be lost


def dump_info(info: VersionInfo) -> str:
    """The file of what is known of a version; Cogment reads the time where it is not quoted."""
    head = {"model_id": info.model_id, "version_number": info.number}
    tail = {
        "data_hash": info.data_hash,
        "data_size": info.size,
        "user_data": dict(info.user_data),
    }
    seconds, rest = divmod(info.created, _SECOND)
    when = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    return f"{dump(head)}creation_timestamp: {when}\n{dump(tail)}"


def nanoseconds(text: str) -> int:
    """A time of RFC 3339, since 1970."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"creation_timestamp {text!r} is no time")
    zone = "+00:00" if match[3] == "Z" else match[3]
    seconds = int(datetime.fromisoformat(match[1] + zone).timestamp())
    return seconds * _SECOND + int((match[2] or "").ljust(9, "0"))
