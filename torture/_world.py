"""Small things to attack, made of embedded data alone, and how two results are compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

VOLATILE = frozenset({"seconds", "versions", "path", "images_per_second", "steps_per_second"})
"""Keys of JSON records that tell of the moment or the place, not of the result."""


def write_photographs(root: Path, classes: int = 3, images: int = 6, side: int = 24) -> Path:
    """``root/CLASS/NNN.png``: noise around a colour that is the class's own."""
    rng = np.random.default_rng(0)
    for number in range(classes):
        folder = root / f"class {number}"
        folder.mkdir(parents=True)
        colour = np.eye(3)[number % 3] * 120
        for image in range(images):
            pixels = np.clip(colour + rng.integers(0, 130, (side, side, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{image:03d}.png")
    return root


def content(folder: Path) -> dict[str, object]:
    """Every file below ``folder`` by its path: bytes, or the stable part of a JSON record."""
    files: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            if name.startswith("tensorboard/") or "/tensorboard/" in name or path.name == "pictures.parquet":
                continue
            data = path.read_bytes()
            files[name] = _stable(json.loads(data)) if path.suffix == ".json" else data
    return files


def _stable(value: object) -> object:
    if isinstance(value, dict):
        return {key: _stable(part) for key, part in value.items() if key not in VOLATILE}
    return [_stable(part) for part in value] if isinstance(value, list) else value


def difference(one: dict[str, object], other: dict[str, object]) -> str | None:
    """The first file in which two results differ; None when they are equal."""
    for name in sorted(set(one) | set(other)):
        if name not in one or name not in other:
            return f"{name} is only in one of the two"
        if one[name] != other[name]:
            return f"{name} differs"
    return None


def leftovers(folder: Path) -> list[str]:
    """Unfinished or replaced directories and temporary files below ``folder``."""
    ends = (".partial", ".replaced", ".tmp~")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith(ends))
