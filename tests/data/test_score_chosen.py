"""Images that were checked because of a score are counted apart from the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlcli.data.labels import clean_set_record, single_label_table
from nlcli.data.score_chosen import LOG, chosen_by_score, no_sample, used_clean_set
from nlcli.errors import NlcliError

TABLE = single_label_table(
    ("ant", "bee"),
    list("abcdef"),
    [f"{key}.jpg" for key in "abcdef"],
    Path("/images"),
    np.zeros(6, np.int8),
    np.array([0, 1, 0, 1, 0, 1]),
    np.array([0, 0, 1, 1, 0, -1]),  # of f nothing is verified
)
EVERY = np.arange(6)


def write_log(folder: Path, *rows: tuple[str, str | None]) -> None:
    keys, how = zip(*rows, strict=True)
    pq.write_table(pa.table({"key": pa.array(keys), "how": pa.array(how, pa.string())}), folder / LOG)


def test_counts_by_hand(tmp_path: Path) -> None:
    """d was drawn at random and later asked about by its score; of c nothing tells how; z is in no data set; e stands in
    no log."""
    write_log(
        tmp_path, ("a", "errors"), ("b", "random"), ("c", None), ("d", "random"), ("d", "uncertain"), ("z", "errors")
    )
    assert chosen_by_score(tmp_path, TABLE).tolist() == [True, False, False, True, False, False]
    assert used_clean_set(tmp_path, TABLE, EVERY[:3]) == clean_set_record(TABLE, EVERY[:3]) | {"chosen_by_score": 1}
    assert used_clean_set(tmp_path, TABLE, EVERY[1:3]) == clean_set_record(TABLE, EVERY[1:3])
    assert no_sample(tmp_path, TABLE, EVERY) == (
        "2 of the 5 verified images were checked because of their score, and 3 were not: what is measured on all of "
        "them is not what a sample would show"
    )
    assert no_sample(tmp_path, TABLE, EVERY[1:3]) is None


def test_without_answers_nothing_was_chosen(tmp_path: Path) -> None:
    assert not chosen_by_score(tmp_path, TABLE).any()
    assert no_sample(tmp_path, TABLE, EVERY) is None
    (tmp_path / LOG).write_text("no table")
    with pytest.raises(NlcliError, match=r"cannot read .*verification.parquet: .*; make .* again"):
        chosen_by_score(tmp_path, TABLE)
