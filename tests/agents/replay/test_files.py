"""Files of memories: their names and layout, files that fit together, and files that are damaged."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.replay.files import (
    export_memory,
    iterate_memories,
    load_memories,
    memory_id,
)
from helpers import durable
from helpers.errors import ConfigurationError, StorageError
from tests.helpers.checkpoints.faulty_disk import damaged

ENDINGS = {"pt": "pt", "np": "npz", "csv": "csv"}


def columns(steps: int = 4, environments: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    lead = (steps, environments)
    return {
        "states": rng.normal(size=(*lead, 3)).astype(np.float32),
        "actions": rng.integers(0, 5, (*lead, 1)),
        "terminated": rng.random((*lead, 1)) < 0.5,
    }


def export(folder: Path, format_: str, *, rank: int = 0, **sizes: int) -> Path:
    return export_memory(columns(**sizes), folder, format_=format_, id_=memory_id("run", rank))


def refusal(pattern: object, num_envs: int = 2) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_memories(str(pattern), num_envs=num_envs)
    assert "\n" not in caught.value.problem + caught.value.remedy
    return caught.value.problem


# Layout


def test_a_file_is_named_as_skrl_names_it(tmp_path: Path) -> None:
    path = export(tmp_path, "np")
    assert path.parent == tmp_path / "memories"
    assert re.fullmatch(
        r"\d\d-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}_memory_0x[0-9a-f]{12}\.npz",
        path.name,
    )
    ids = [memory_id("run", rank) for rank in range(3)]
    assert ids == sorted(ids) and len(set(ids)) == 3 and ids[0] != memory_id("other", 0)


def test_a_pt_file_is_a_dictionary_of_tensors(tmp_path: Path) -> None:
    tensors = torch.load(export(tmp_path, "pt"), weights_only=True)
    assert list(tensors) == ["states", "actions", "terminated"]
    assert tensors["terminated"].dtype == torch.bool and tensors["states"].shape == (4, 2, 3)
    assert (tensors["actions"].numpy() == columns()["actions"]).all()


def test_an_npz_file_holds_arrays_by_name(tmp_path: Path) -> None:
    with np.load(export(tmp_path, "npz")) as arrays:
        assert set(arrays) == set(columns())
        assert all((arrays[name] == array).all() for name, array in columns().items())


def test_a_csv_file_has_a_line_for_each_environment_of_each_step(tmp_path: Path) -> None:
    lines = export(tmp_path, "csv").read_text().splitlines()
    assert lines[0] == "actions.0,states.0,states.1,states.2,terminated.0"
    assert len(lines) == 1 + 4 * 2
    made = columns()
    for row, line in enumerate(lines[1:]):
        step, environment = divmod(row, 2)
        fields = line.split(",")
        assert fields[0] == str(made["actions"][step, environment, 0])
        assert [np.float32(f) for f in fields[1:4]] == made["states"][step, environment].tolist()
        assert fields[4] == str(made["terminated"][step, environment, 0])


def test_files_are_read_one_after_the_other(tmp_path: Path) -> None:
    paths = [export(tmp_path, format_, seed=i) for i, format_ in enumerate(ENDINGS)]
    (tmp_path / "memories" / "notes.txt").write_text("mine")
    read = list(iterate_memories(f"{tmp_path}/memories/*"))
    assert [name for name, _ in read] == [path.name for path in paths]
    for i, (_, arrays) in enumerate(read):
        for column, array in columns(seed=i).items():
            assert (arrays[column].reshape(array.shape).astype(array.dtype) == array).all()
    assert [arrays["states"].shape for _, arrays in read] == [(4, 2, 3), (4, 2, 3), (8, 3)]


# Several files


@pytest.mark.parametrize("format_", ENDINGS)
def test_an_export_that_was_repeated_counts_once(format_: str, tmp_path: Path) -> None:
    for seed in (0, 1, 2, 1, 2, 3):  # killed after the third, continued from the first
        export(tmp_path, format_, seed=seed)
    read = load_memories(f"{tmp_path}/**/*", num_envs=2)
    expected = np.concatenate([columns(seed=seed)["states"] for seed in range(4)])
    assert (read["states"].astype(np.float32) == expected).all()


@pytest.mark.parametrize("format_", ENDINGS)
def test_files_that_do_not_fit_together_are_refused(format_: str, tmp_path: Path) -> None:
    export(tmp_path, format_, environments=2)
    export(tmp_path, format_, rank=1, environments=1, seed=1)
    everything = f"{tmp_path}/memories/*"
    assert load_memories(everything, num_envs=3)["states"].shape == (4, 3, 3)
    for num_envs in (2, 5, 7):
        words = refusal(everything, num_envs)
        assert "environments" in words and str(num_envs) in words
    export(tmp_path, format_, rank=1, environments=1, seed=2)
    words = refusal(everything, 3)
    assert "hold 8 steps" in words or "is not a line for each step" in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"states": np.zeros((4, 2, 9), np.float32)}, "(4, 2, 9) float32 in states, but"),
        ({"states": np.zeros((4, 2, 3))}, "(4, 2, 3) float64 in states, but"),
        ({"more": np.zeros((4, 2, 3))}, "has the columns states, actions, terminated, more, but"),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_files_of_different_runs_are_refused(
    rank: int,
    change: dict[str, np.ndarray],
    words: str,
    tmp_path: Path,
) -> None:
    first = export(tmp_path, "np")
    other = columns() | change
    second = export_memory(other, tmp_path, format_="np", id_=memory_id("run", rank))
    problem = refusal(f"{tmp_path}/memories/*", 4)
    assert problem.startswith(str(second)) and words in problem and first.name in problem


def test_formats_are_not_mixed(tmp_path: Path) -> None:
    export(tmp_path, "pt")
    export(tmp_path, "csv")
    assert "different formats: .csv, .pt" in refusal(f"{tmp_path}/memories/*")


def test_a_glob_that_names_nothing_is_told(tmp_path: Path) -> None:
    assert f"{tmp_path}/no*.pt matches no exported file" in refusal(f"{tmp_path}/no*.pt")


# Bad files


@pytest.mark.parametrize("format_", ENDINGS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_half_a_file_is_refused(format_: str, share: float, tmp_path: Path) -> None:
    path = export(tmp_path, format_, steps=50)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert refusal(path).startswith(f"{path} ")


@pytest.mark.parametrize("format_", ["pt", "np"])
def test_an_altered_array_is_refused(format_: str, tmp_path: Path) -> None:
    path = export(tmp_path, format_, steps=50)
    content = path.read_bytes()
    place = content.find(columns(steps=50)["states"].tobytes())
    assert place > 0
    for offset in (0, 100, 1199):
        path.write_bytes(damaged(content, "flip", place + offset))
        assert "is not a complete exported file" in refusal(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda text: text.replace("states.1", "states.7"),
            "'states.7' in its header, where states.1",
        ),
        (
            lambda text: text.replace("actions.0", "actions"),
            "'actions' in its header, where name.0",
        ),
        (
            lambda text: text.replace("terminated.0", "states.3"),
            "has booleans and numbers in states",
        ),
        (lambda text: re.sub(r"\n[^,]*,", "\n", text, count=1), "4 fields in line 2, but 5 in its"),
        (lambda text: re.sub(r"(.*)True", r"\1", text, flags=re.S), "'' for terminated.0 in line"),
        (
            lambda text: re.sub(r"(.*)(True|False)", r"\1Tru", text, flags=re.S),
            "'Tru' for terminated.0",
        ),
        (
            lambda text: re.sub(r"\n\d", "\nx", text, count=1),
            "'x' for actions.0 in line 2, which is no",
        ),
        (lambda text: text[:-1], "is truncated: its line 9 has no end"),
        (lambda text: text.splitlines()[0] + "\n", "has a header but no data"),
        (lambda text: text + "\n", "1 fields in line 10"),
        (lambda text: "", "'' in its header"),
    ],
)
def test_a_bad_csv_file_is_told_by_line_and_field(
    change: Callable[[str], str],
    words: str,
    tmp_path: Path,
) -> None:
    path = export(tmp_path, "csv")
    changed = change(path.read_text())
    path.write_text(changed)
    problem = refusal(path)
    assert str(path) in problem and words in problem


def test_lines_of_other_systems_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = export(tmp_path, "csv")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\n", b"\r\n"))
    read = load_memories(str(path), num_envs=2)["states"]
    assert (read.astype(np.float32) == columns()["states"]).all()
    path.write_bytes(content[:60] + b"\xff" + content[61:])
    assert "no text" in refusal(path)


class Trap:
    """What a pickle could make its reader do."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("trapped"),)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "content",
    [
        {"states": Trap()},
        [torch.zeros(1, 1, 1)],
        {"states": [1.0]},
        {"states": torch.zeros(2, 2)},
        {"states": torch.zeros(2, 2, 1), "actions": torch.zeros(3, 2, 1)},
        {"states": torch.zeros(2, 2, 1, dtype=torch.bfloat16)},
        {},
    ],
)
def test_other_things_than_tensors_are_refused(
    content: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x_memory_1.pt"
    torch.save(content, path)
    assert str(path) in refusal(path)
    assert not (tmp_path / "trapped").exists()


def test_objects_in_an_npz_file_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x_memory_1.npz"
    np.savez(path, states=np.array([Trap()]))
    assert "is not a complete exported file" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("states.npy", b"no array")
    assert "is not a complete exported file" in refusal(path)
    assert not (tmp_path / "trapped").exists()


# Writing


@pytest.mark.parametrize("format_", ENDINGS)
def test_what_cannot_be_written_leaves_nothing(
    format_: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "rename", fail)
    with pytest.raises(
        StorageError,
        match=f"memory_.*{ENDINGS[format_]} cannot be written: No space",
    ):
        export(tmp_path, format_)
    assert not list((tmp_path / "memories").iterdir())


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'h5' is not an export format"):
        export(tmp_path, "h5")
