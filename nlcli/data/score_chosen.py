"""Which images people checked because of a score: what is told by those is not told by a sample.

``import-verification`` keeps it in ``verification.parquet`` beside the labels (see ``nlcli.answers.log``). A data set
that is made of another one has no such log, and keeps the keys of these images in ``chosen_by_score.parquet``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.known_labels import without_known
from nlcli.data.labels import NONE, LabelTable, clean_set_record
from nlcli.data.statistics import noise_summary, write_all_statistics
from nlcli.stages.arrow_arrays import arrow_texts, numpy_texts, rows_of
from nlcli.stages.files import atomic_path
from nlcli.stages.own_tables import read_own_table

LOG = "verification.parquet"
CARRIED = "chosen_by_score.parquet"


def chosen_by_score(directory: Path, table: LabelTable) -> np.ndarray:
    """(N,) bool: which images of the data set in ``directory`` were asked about because of their score.

    Raises:
        NlcliError: the log of answers, or what stands for it, is damaged.
    """
    import pyarrow.compute as pc

    chosen, remedy = np.zeros(len(table), bool), f"make {directory} again"
    keys = []
    if (directory / LOG).is_file():
        rows = read_own_table(directory / LOG, remedy, columns=("key", "how"))
        scored = pc.and_kleene(pc.is_valid(rows["how"]), pc.not_equal(rows["how"], "random"))
        keys.append(rows.filter(scored).column("key"))
    if (directory / CARRIED).is_file():
        keys.append(read_own_table(directory / CARRIED, remedy, columns=("key",)).column("key"))
    for column in keys:
        row = rows_of(table.keys, numpy_texts(column))
        chosen[row[row >= 0]] = True
    return chosen


def carry_score_chosen(dataset: Path, directory: Path, table: LabelTable) -> None:
    """Write which of ``table``'s images were chosen by score in ``dataset`` into ``directory``, where some were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys = table.keys[chosen_by_score(dataset, table)]
    if len(keys):
        with atomic_path(directory / CARRIED) as temporary:
            pq.write_table(pa.table({"key": arrow_texts(keys.tolist())}), temporary)


def sample_of(directory: Path, table: LabelTable) -> LabelTable:
    """``table``, of the data set in ``directory``, as if nobody had checked what was chosen by score."""
    chosen = chosen_by_score(directory, table)
    return without_known(table, chosen) if chosen.any() else table


def write_sample_statistics(directory: Path, table: LabelTable) -> dict[str, Any]:
    """The statistics of the data set in ``directory``; those of verified labels without what was chosen by score.

    Returns:
        What its summary says: ``noise_summary``, and of one label an image the pairs.
    """
    sample = sample_of(directory, table)
    told = noise_summary(table)
    if sample is not table:
        counted = ("_noisy_right", "_noisy_checked")
        told |= {name: value for name, value in noise_summary(sample).items() if name.endswith(counted)}
    return told | write_all_statistics(directory, sample)


def used_clean_set(directory: Path, table: LabelTable, rows: np.ndarray) -> dict[str, Any]:
    """As ``clean_set_record``, and how many of the images ``rows`` were chosen by score, where some were."""
    by_score = int(chosen_by_score(directory, table)[rows].sum())
    return clean_set_record(table, rows) | ({"chosen_by_score": by_score} if by_score else {})


def no_sample(directory: Path, table: LabelTable, rows: np.ndarray) -> str | None:
    """A sentence on the verified images of ``rows``, which something is measured on; None where none was chosen so."""
    verified = rows[table.verification[rows] > NONE]
    by_score = int(chosen_by_score(directory, table)[verified].sum())
    if not by_score:
        return None
    return (
        f"{by_score:,} of the {len(verified):,} verified images were checked because of their score, and "
        f"{len(verified) - by_score:,} were not: what is measured on all of them is not what a sample would show"
    )
