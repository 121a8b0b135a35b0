"""What a detection directory holds: writing it, reading it, and weights for training made of it.

================== ============================================================================
``detection.json``  method, options, threshold and how it was chosen, figures, errors by class
``noise.parquet``   one row an image with a noisy label and features, worst first
``noise.csv``       the same for spreadsheets
================== ============================================================================

Columns: key, path, split, label (the noisy class), verified (right, wrong or null), score, verdict
(right or wrong: the score is at least the threshold, or below), and ``measured``: the verdict by
which the image counts in the error rates, null where it does not count. That is ``verdict`` itself
where the threshold was chosen on other images, and the verdict by a threshold chosen without the
image's part of the split where it was cross-fitted.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nlcli.errors import NlcliError
from nlcli.stages.files import atomic_path, read_json, write_json
from nlcli.stages.stage import StageRecord, read_stage

DETECTION, NOISE, NOISE_CSV = "detection.json", "noise.parquet", "noise.csv"
COLUMNS = ("key", "path", "split", "label", "verified", "score", "verdict", "measured")
_WORDS = ("wrong", "right")  # by label 0 and 1
_CSV_ROWS = 1 << 16


@dataclass(frozen=True, eq=False)
class Detection:
    """A finished detection, its images in the order of ``noise.parquet``: worst first.

    Attributes:
        record: Of its directory.
        info: All of ``detection.json``.
        classes: C names.
        keys, paths, splits: (n,) strings.
        noisy: (n,) int64 noisy class.
        verified: (n,) int8: 1 right, 0 wrong, -1 not verified.
        score: (n,) float32.
        verdict: (n,) int8: 1 right, 0 wrong.
        measured: (n,) int8: the verdict that counts in the error rates, -1 where the image does not.
    """

    record: StageRecord
    info: dict[str, Any]
    classes: tuple[str, ...]
    keys: np.ndarray
    paths: np.ndarray
    splits: np.ndarray
    noisy: np.ndarray
    verified: np.ndarray
    score: np.ndarray
    verdict: np.ndarray
    measured: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def method(self) -> str:
        """Name of the detector."""
        return self.info["method"]

    @property
    def threshold(self) -> float:
        """The score from which a label is called right."""
        return float(self.info["threshold"]["value"])

    @property
    def held_out(self) -> tuple[str, ...]:
        """Classes whose verification was withheld."""
        return tuple(self.info["held_out"]["classes"])


def write_detection(work: Path, info: dict[str, Any], columns: dict[str, np.ndarray], classes: Sequence[str]) -> None:
    """Write the three files into ``work``.

    Args:
        info: What ``detection.json`` says.
        columns: key, path, split (strings), noisy (class index), verified, score, verdict, measured,
            each (n,) and as in ``Detection``, in any order.
        classes: Class names.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    # Worst first; of equal scores, the one whose key comes first, so that the order is the scores' alone.
    sorting = pa.table({"score": columns["score"], "key": pa.array(columns["key"].tolist(), pa.string())})
    order = pc.sort_indices(sorting, [("score", "ascending"), ("key", "ascending")]).to_numpy()

    def words(known: Sequence[str], codes: np.ndarray) -> Any:
        indices = pa.array(codes[order].astype(np.int32), mask=codes[order] < 0)
        return pa.DictionaryArray.from_arrays(indices, pa.array(known, pa.string())).cast(pa.string())

    def strings(name: str) -> Any:
        return pa.array(columns[name][order].tolist(), pa.string())

    table = pa.table(
        {
            "key": strings("key"),
            "path": strings("path"),
            "split": strings("split"),
            "label": words(list(classes), columns["noisy"]),
            "verified": words(_WORDS, columns["verified"]),
            "score": pa.array(columns["score"][order].astype(np.float32)),
            "verdict": words(_WORDS, columns["verdict"]),
            "measured": words(_WORDS, columns["measured"]),
        },
        schema=_schema(),
    )
    with atomic_path(work / NOISE) as temporary:
        pq.write_table(table, temporary)
    with atomic_path(work / NOISE_CSV) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            for batch in table.to_batches(_CSV_ROWS):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    rows.writerow([harmless(cell) for cell in row])
    write_json(work / DETECTION, info)


def harmless(cell: Any) -> Any:
    """``cell`` as a spreadsheet may have it: text that it would run as a formula gets an apostrophe."""
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + cell
    if isinstance(cell, float):
        return f"{cell:.7g}"
    return "" if cell is None else cell


def read_detection(path: Path | str) -> Detection:
    """The finished detection at ``path``.

    Raises:
        NlcliError: not a detection, or its files are damaged.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    record = read_stage(path, "detection")
    info = read_json(record.path / DETECTION)
    where = record.path / NOISE
    try:
        classes = tuple(info["classes"])
        info["method"], info["threshold"]["value"], info["held_out"]["classes"], info["soft"]
        table = pq.read_table(where)
    except (KeyError, TypeError) as error:
        raise NlcliError(f"{record.path / DETECTION} lacks {error}; run detect-noise again") from error
    except (OSError, pa.ArrowException) as error:
        raise NlcliError(f"cannot read {where}: {error}; run detect-noise again") from error
    if not table.schema.equals(_schema()):
        raise NlcliError(f"{where} does not have the columns of a detection; run detect-noise again")

    def codes(name: str, known: Sequence[str], *, empty: bool) -> np.ndarray:
        column = table.column(name)
        found = pc.index_in(column, value_set=pa.array(known, pa.string()))
        if found.null_count > (column.null_count if empty else 0):
            raise NlcliError(f"{where}: column '{name}' has a value that it cannot have; run detect-noise again")
        return found.fill_null(-1).to_numpy()

    def strings(name: str) -> np.ndarray:
        return table.column(name).to_numpy()

    return Detection(
        record=record,
        info=info,
        classes=classes,
        keys=strings("key"),
        paths=strings("path"),
        splits=strings("split"),
        noisy=codes("label", classes, empty=False).astype(np.int64),
        verified=codes("verified", _WORDS, empty=True).astype(np.int8),
        score=table.column("score").to_numpy(),
        verdict=codes("verdict", _WORDS, empty=False).astype(np.int8),
        measured=codes("measured", _WORDS, empty=True).astype(np.int8),
    )


def read_weights(detection: Path | str, keys: np.ndarray, kind: Literal["soft", "hard"]) -> np.ndarray:
    """Weights of images for a classifier's loss, from a detection: float32 (n,).

    Args:
        detection: Directory of a detection.
        keys: (n,) keys of images with a noisy label.
        kind: ``soft``: max(0, score) (Lee 2018 eq. 12); ``hard``: 1 where the score reaches the
            threshold, else 0 (eq. 13).

    Raises:
        NlcliError: not a detection, one without a score for one of the images, or soft weights of a
            detector whose score is none.
    """
    import pandas as pd

    found = read_detection(detection)
    if kind == "soft" and not found.info["soft"]:
        raise NlcliError(
            f"{detection}: the score of {found.method} is no weight between 0 and 1; use hard weights, or a detection "
            "by cleannet"
        )
    position = pd.Index(found.keys).get_indexer(np.asarray(keys, object))
    missing = np.flatnonzero(position < 0)
    if len(missing):
        raise NlcliError(
            f"{detection} has no score of {len(missing):,} of {len(keys):,} images (such as '{keys[missing[0]]}'); "
            "run detect-noise on this data set and these features"
        )
    if kind == "soft":
        return np.clip(found.score[position], 0, 1).astype(np.float32)
    return found.verdict[position].astype(np.float32)


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.float32() if name == "score" else pa.string()) for name in COLUMNS])
