"""The confusion of true and noisy labels in a data set's directory, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlcli.stages.files import write_csv

TABLE, PLOT = "label_confusion.csv", "label_confusion.png"


def write_confusion(path: Path, classes: Sequence[str], counts: np.ndarray) -> None:
    """Write counts or shares of pairs as ``add-noise --matrix`` reads them.

    Args:
        classes: C names.
        counts: (C, C), true class by row, what it was called by column.
    """
    write_csv(path, ("true", *classes), ((name, *row) for name, row in zip(classes, counts.tolist(), strict=True)))


def write_pairs(path: Path, classes: Sequence[str], true: np.ndarray, called: np.ndarray, name: str) -> int:
    """Write the pairs of classes that occur and how often, where a table of all of them would be too large.

    Args:
        classes: C names.
        true, called: (n,) class numbers.
        name: Of the second column.

    Returns:
        How many pairs occur.
    """
    pairs, counts = np.unique(true.astype(np.int64) * len(classes) + called, return_counts=True)
    of, other = np.divmod(pairs, len(classes))
    rows = ((classes[t], classes[n], c) for t, n, c in zip(of, other, counts.tolist(), strict=True))
    write_csv(path, ("true", name, "images"), rows)
    return len(pairs)
