"""Whether the images that a detection is measured on are a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nlcli.console import say
from nlcli.data.label_files import read_dataset
from nlcli.data.score_chosen import CARRIED, LOG, no_sample
from nlcli.stages.arrow_arrays import rows_of


def measured_apart(dataset: Path, keys: NDArray[np.object_]) -> tuple[str, ...]:
    """A remark, which is said, where some of the images ``keys`` were checked because of their score."""
    if not any((dataset / name).is_file() for name in (LOG, CARRIED)):
        return ()
    table = read_dataset(dataset)
    rows = rows_of(table.keys, keys)
    remark = no_sample(dataset, table, rows[rows >= 0])
    if remark is None:
        return ()
    say(f"note: {remark}")
    return (remark,)
