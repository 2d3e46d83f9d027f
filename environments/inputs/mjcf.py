"""The files that a MuJoCo model is made of: what it includes, meshes, textures, height fields, skins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

_ROOTS = ("mujoco", "mujocoinclude")
_ASSETS = {"mesh": "meshdir", "skin": "meshdir", "texture": "texturedir", "hfield": "meshdir"}
_SIDES = ("fileright", "fileleft", "fileup", "filedown", "filefront", "fileback")


def files_of_model(path: Path) -> list[Path]:
    """A model's file and all that it names, that exist; what is missing, MuJoCo says."""
    main = path.resolve()
    trees: dict[Path, ElementTree.Element] = {}
    found: list[Path] = []
    _collect(main, main.parent, trees, found)
    folders = _asset_folders(trees.values())
    for holder, tree in trees.items():
        for element in tree.iter():
            folder = folders.get(_ASSETS.get(element.tag, ""), "")
            for name in filter(None, (element.get(key) for key in ("file", *_SIDES))):
                part = _find(name, (main.parent / folder, holder.parent / folder, main.parent))
                if part is None or part in found:
                    continue
                found.append(part)
                if element.tag == "model":  # another model, with files of its own
                    found += [each for each in files_of_model(part) if each not in found]
    return found


def _asset_folders(trees: Iterable[ElementTree.Element]) -> dict[str, str]:
    """`meshdir` and `texturedir`, which `assetdir` stands for both of."""
    folders: dict[str, str] = {}
    for compiler in (each for tree in trees for each in tree.iter("compiler")):
        for key in ("meshdir", "texturedir"):
            value = compiler.get(key) or compiler.get("assetdir")
            if value:
                folders[key] = value
    return folders


def _find(name: str, places: Iterable[Path]) -> Path | None:
    """The first file of that name."""
    return next((path.resolve() for place in places if (path := place / name).is_file()), None)


def is_model(path: Path) -> bool:
    """Whether a file is MJCF or URDF by its name."""
    return path.suffix.lower() in (".xml", ".mjcf", ".urdf")


def _collect(
    path: Path,
    main: Path,
    trees: dict[Path, ElementTree.Element],
    order: list[Path],
) -> None:
    """A file and what it includes, which MuJoCo looks for beside the main file."""
    if path in order or not path.is_file():
        return
    order.append(path)
    try:
        tree = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, OSError, ValueError):
        return  # MuJoCo says so
    if tree.tag not in _ROOTS:
        return
    trees[path] = tree
    for include in tree.iter("include"):
        name = include.get("file")
        if name:
            beside = [place / name for place in (main, path.parent)]
            _collect(next(filter(Path.is_file, beside), beside[0]).resolve(), main, trees, order)
