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
