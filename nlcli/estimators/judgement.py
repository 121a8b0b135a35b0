"""What a detection says of labels in arrays, a row of them as they came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from nlcli.estimators.label_arrays import LabelArrays

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Judgement:
    """Of n rows of one label each (n,) arrays; of several labels a row CSR matrices (n, C) of the entries listed.

    Attributes:
        given: The labels.
        wrong: bool, whether a label is called wrong (given and wrong, or missing).
        scores: float32, higher for what is more likely right; with several labels a row more likely present.
        probability: float32, that the label is right, NaN where nothing tells; with several that it is present.
        suggested: The likeliest other class, the label itself where none is known; with several all labels as they
            should be.
        suggested_probability: float32, that the suggested class is right; None with several.
    """

    given: Any
    wrong: Any
    scores: Any
    probability: Any
    suggested: Any
    suggested_probability: Any

    def of_rows(self, first: int, end: int) -> Judgement:
        """That of some rows."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Judgement(**{name: None if value is None else value[first:end] for name, value in values.items()})

    def issues(self, classes: np.ndarray) -> pd.DataFrame:
        """What is called wrong, the surest first; columns as ``LabelNoiseDetector.issues`` says."""
        import pandas as pd

        several = isinstance(self.wrong, csr_array)
        doubt, columns = self._of_several(classes) if several else self._of_one()
        return pd.DataFrame(columns).iloc[np.argsort(doubt, kind="stable")].reset_index(drop=True)

    def _of_several(self, classes: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        row, column = (axis.astype(np.int64) for axis in self.wrong.nonzero())
        given = np.asarray(self.given.tocsr()[row, column]).ravel() > 0
        probability = np.asarray(self.probability[row, column]).ravel()
        return np.where(given, probability, 1 - probability), {
            "row": row,
            "class": classes[column],
            "issue": np.where(given, "wrong", "missing"),
            "score": np.asarray(self.scores[row, column]).ravel(),
            "probability": probability,
        }

    def _of_one(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        row = np.flatnonzero(self.wrong)
        return self.scores[row], {
            "row": row,
            "label": self.given[row],
            "suggested": self.suggested[row],
            "score": self.scores[row],
            "probability": self.probability[row],
            "suggested_probability": self.suggested_probability[row],
        }


def judgement_of(detection: Path, labels: LabelArrays) -> tuple[Judgement, dict[str, Any]]:
    """Of the rows of ``labels``, and what ``detection.json`` says."""
    return _entries(detection, labels) if labels.several else _labels(detection, labels)


def _labels(detection: Path, labels: LabelArrays) -> tuple[Judgement, dict[str, Any]]:
    from nlcli.data.detection_files import read_detection

    found = read_detection(detection)
    back = np.argsort(found.keys.astype(np.int64))  # the keys are the rows' numbers; all of them are there
    other = np.where(found.suggested >= 0, found.suggested, found.noisy)[back]
    judgement = Judgement(
        given=labels.classes[found.noisy[back]],
        wrong=found.verdict[back] == 0,
        scores=found.score[back],
        probability=found.probability[back],
        suggested=labels.classes[other],
        suggested_probability=found.suggested_probability[back],
    )
    return judgement, found.info.to_json()


def _entries(detection: Path, labels: LabelArrays) -> tuple[Judgement, dict[str, Any]]:
    from nlcli.data.tag_detection_files import read_tag_detection

    found = read_tag_detection(detection)
    entries = found.entries()
    shape = (len(labels.table), labels.table.num_classes)
    at = (entries.keys.astype(np.int64), entries.classes)
    every = np.ones(len(at[0]), bool)
    should = entries.given == entries.right
    listed = _listing(at, shape)
    judgement = Judgement(
        given=listed(entries.given.astype(np.uint8), entries.given),
        wrong=listed(~entries.right, ~entries.right),
        scores=listed(entries.score, every),
        probability=listed(entries.probability, every),
        suggested=listed(should.astype(np.uint8), should),
        suggested_probability=None,
    )
    return judgement, found.info.to_json()


def _listing(
    at: tuple[np.ndarray, np.ndarray], shape: tuple[int, int]
) -> Callable[[np.ndarray, np.ndarray], csr_array]:
    """What makes a matrix of the values of those entries that a truth chooses."""

    def listed(values: np.ndarray, which: np.ndarray) -> csr_array:
        return csr_array((values[which], (at[0][which], at[1][which])), shape=shape)

    return listed
