"""The table of confusions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.data.derived.add_noise import read_matrix
from nlcli.data.label_confusion import write_confusion


def test_what_is_written_is_what_add_noise_reads(tmp_path: Path) -> None:
    """Also with names that a spreadsheet would run as formulas, which get an apostrophe in the file."""
    classes, counts = ("cat", "=1+1", "-dog", "'quoted"), np.arange(16, dtype=np.int64).reshape(4, 4)
    write_confusion(tmp_path / "m.csv", classes, counts)
    lines = (tmp_path / "m.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "true,cat,'=1+1,'-dog,'quoted"
    assert lines[2] == "'=1+1,4,5,6,7"
    rows = read_matrix(tmp_path / "m.csv", classes, np.arange(4))
    np.testing.assert_allclose(rows, counts / counts.sum(axis=1, keepdims=True))
