"""The generated code is that of the .proto files."""

from __future__ import annotations

from pathlib import Path

from registry.service.wire.generate import FOLDER, generate


def test_the_generated_code_is_current(tmp_path: Path) -> None:
    made = generate(tmp_path)
    assert made
    for path in made:
        assert (
            FOLDER / path.name
        ).read_text() == path.read_text(), "python -m registry.service.wire.generate"
    assert {path.name for path in made} == {path.name for path in FOLDER.glob("*_pb2*.py*")}
