"""Small things to attack, made of embedded data alone, and how two results are compared."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

VOLATILE = frozenset({"seconds", "versions", "path", "images_per_second", "steps_per_second"})
"""Keys of JSON records that tell of the moment or the place, not of the result."""
_TOLD_OF_THE_MOMENT = frozenset({"pictures.parquet", "journal.log"})
"""Files that hold when pictures were changed and when trials began, and which process tried them."""
_DURATIONS = re.compile(rb'Took [^<.]+(\.\d+)?[^<.]*\.|"(fingerprint": "sha256:[0-9a-f]+|seconds": [\d.e-]+)')


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
    """Every file below ``folder`` by its path: bytes, or the stable part of a JSON record or a page."""
    files: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            if name.startswith("tensorboard/") or "/tensorboard/" in name or path.name in _TOLD_OF_THE_MOMENT:
                continue
            files[name] = _read(path)
    return files


def _read(path: Path) -> object:
    data = path.read_bytes()
    if path.suffix == ".html":  # a page tells how long its stages took, and carries a record of itself
        return _DURATIONS.sub(b"", data)
    return _stable(json.loads(data)) if path.suffix == ".json" else data


def _stable(value: object) -> object:
    if isinstance(value, dict):
        return {key: _stable(part) for key, part in value.items() if key not in VOLATILE}
    return [_stable(part) for part in value] if isinstance(value, list) else value


def difference(one: dict[str, object], other: dict[str, object]) -> str | None:
    """The first file in which two results differ, and how many others do; None when they are equal."""
    differing = [name for name in sorted(set(one) | set(other)) if one.get(name) != other.get(name)]
    if not differing:
        return None
    first = differing[0]
    how = "differs" if first in one and first in other else "is only in one of the two"
    return f"{first} {how}" + (f", and {len(differing) - 1} more do" if len(differing) > 1 else "")


def leftovers(folder: Path) -> list[str]:
    """Unfinished or replaced directories and temporary files below ``folder``."""
    ends = (".partial", ".replaced", ".tmp~")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith(ends))
