"""Packages of other people, as an installer leaves them: modules, and metadata with entry points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def installed(site: Path, name: str, entry_points: Mapping[str, Mapping[str, str]], files: Mapping[str, str]) -> Path:
    """Write the package ``name`` into the folder ``site``, which is to stand on ``sys.path``.

    Args:
        entry_points: By group, by name, ``"module:attribute"``.
        files: By path the text of each.
    """
    metadata = site / f"{name.replace('-', '_')}-1.0.dist-info"
    groups = {
        group: "".join(f"{key} = {value}\n" for key, value in points.items()) for group, points in entry_points.items()
    }
    made = {
        metadata / "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        metadata / "entry_points.txt": "".join(f"[{group}]\n{lines}\n" for group, lines in groups.items()),
        **{site / path: text for path, text in files.items()},
    }
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return site
