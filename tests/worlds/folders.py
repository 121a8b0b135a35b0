"""Folders of empty images, and a data set as a dictionary."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.data.labels import LabelTable


def touch(root: Path, *names: str) -> None:
    """Empty files; building a data set looks at names only."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def by_key(table: LabelTable) -> dict[str, tuple[str, str, str, str, int]]:
    """key -> split, noisy, present, absent, verification."""

    def names(matrix: object, row: int) -> str:
        return ",".join(table.classes[c] for c in np.flatnonzero(matrix[[row]].toarray()[0]))  # type: ignore[index]

    return {
        key: (
            ("train", "validation", "test")[table.split[i]],
            names(table.noisy, i),
            names(table.present, i),
            names(table.absent, i),
            int(table.verification[i]),
        )
        for i, key in enumerate(table.keys)
    }
