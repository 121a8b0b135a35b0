"""Noisy labels whose truth a person told, with what a detector says of them: error rates, areas, intervals.

``checked.parquet`` holds one row an image, sorted by key: ``key``, ``label`` (the noisy class),
``right`` (what a person said), ``called_right`` (the detector's verdict that counts), ``score``,
``held_out`` (its class is one of those that are reported apart) and ``probability`` (that the label is
right, made without the image; NaN where there is none). The classes' names are in the file's metadata
under ``classes``, as JSON.

The error rate of a class is the share of its images whose verdict is not the truth; the average
error rate is the mean over classes (Lee 2018, section 4.2), the micro error rate the share of all
images. A resample in which a class has no image leaves it out of that resample's average.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlcli.evaluation.checked_files import checked_schema, read_checked_table, write_checked_table
from nlcli.evaluation.measured import Measured
from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.metrics.expected_calibration import ProbabilityBins
from nlcli.metrics.intervals import Support, area_support, calibration_support, classes_support, share_support
from nlcli.metrics.ranking import mean_over_classes
from nlcli.metrics.weighted_areas import WeightedAreas

FILE = "checked.parquet"


@dataclass(frozen=True)
class CheckedLabels:
    """Noisy labels with truth and verdict, sorted by key; the arrays are ``(n,)``.

    Attributes:
        classes: C names.
        keys: Strings.
        noisy: int64 noisy class.
        right: bool, the noisy label is the true class.
        called_right: bool, the detector says so.
        score: float32, higher is more likely right.
        held_out: bool, the image's class is one of those reported apart, their verification withheld.
        probability: float32 that the noisy label is right; NaN where it is not known.
    """

    classes: tuple[str, ...]
    keys: NDArray[np.object_]
    noisy: Ints
    right: Bools
    called_right: Bools
    score: NDArray[np.float32]
    held_out: Bools
    probability: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def wrongly_judged(self) -> Bools:
        """``(n,)`` bool: the verdict is not the truth."""
        wrongly: Bools = self.right != self.called_right
        return wrongly

    @property
    def held_out_classes(self) -> Ints:
        """Indices of the classes of held-out images."""
        return np.unique(self.noisy[self.held_out])

    def only(self, keys: NDArray[np.object_]) -> CheckedLabels:
        """The images called ``keys``, in that order; every key must be among these images."""
        where = {key: i for i, key in enumerate(self.keys.tolist())}
        return self._at(np.array([where[key] for key in keys.tolist()], np.int64))

    def _at(self, rows: Ints) -> CheckedLabels:
        columns = [field.name for field in fields(self) if field.name != "classes"]
        return CheckedLabels(self.classes, *(getattr(self, name)[rows] for name in columns))

    def label_hash(self) -> str:
        """Hash of the images, their noisy labels and the truth."""
        hashed = hashlib.sha256(json.dumps(self.keys.tolist()).encode())
        hashed.update(self.noisy.astype(np.int64).tobytes())
        hashed.update(self.right.astype(np.uint8).tobytes())
        return hashed.hexdigest()

    def naive(self) -> CheckedLabels:
        """The same images with every label called right."""
        ones = np.ones(len(self), np.float32)
        return replace(self, called_right=np.ones(len(self), bool), score=ones, probability=ones)

    @property
    def calibrated(self) -> Bools:
        """``(n,)`` bool: there is a probability."""
        known: Bools = ~np.isnan(self.probability)
        return known

    def measure(self, resamples: int, seed: int, advance: Callable[[int], None] | None = None) -> Measured:
        """All metrics with ``resamples`` bootstrap replicates over images (0: none)."""
        sizes = np.bincount(self.noisy, minlength=len(self.classes)).astype(np.int64)
        return Measured.of_resamples(
            _Counter(self), sizes, self.supports, images=len(self), resamples=resamples, seed=seed, advance=advance
        )

    def supports(self, counts: Ints, per_class: Floats) -> dict[str, Support]:
        """What the metrics' intervals rest on, from images of the classes ``(C,)`` and replicates ``(B, C)``."""
        wrong, held_out = int((~self.right).sum()), self.held_out_classes
        of_ranking = area_support(wrong, len(self) - wrong)
        calibrated = int(self.calibrated.sum())
        return {
            "average_error": classes_support(counts, per_class, shares=True),
            "held_out_error": classes_support(counts[held_out], per_class[:, held_out], shares=True),
            "micro_error": share_support(len(self)),
            "AUC": of_ranking,
            "AP_wrong": of_ranking,
            "calibration_error": calibration_support(calibrated, "images with a probability"),
        }


class _Counter:
    """Metrics of weighted images; what does not depend on the weights is prepared once."""

    def __init__(self, labels: CheckedLabels) -> None:
        self._labels = labels
        self._cells = labels.noisy * 2 + labels.wrongly_judged
        self._held_out = labels.held_out_classes
        self._areas = WeightedAreas(~labels.right, -labels.score.astype(np.float64))
        self._calibrated = np.flatnonzero(labels.calibrated)
        self._bins = ProbabilityBins(labels.probability[self._calibrated], labels.right[self._calibrated])

    def __call__(self, weights: Ints) -> tuple[dict[str, float], Floats]:
        classes = len(self._labels.classes)
        counts = np.bincount(self._cells, weights=weights, minlength=2 * classes).reshape(classes, 2)
        images, errors = counts.sum(axis=1), counts[:, 1]
        with np.errstate(invalid="ignore"):
            of_classes = errors / images
        values = {"average_error": mean_over_classes(of_classes)}
        if len(self._held_out):
            values["held_out_error"] = mean_over_classes(of_classes[self._held_out])
        values["micro_error"] = float(errors.sum() / images.sum()) if images.sum() else math.nan
        values["AUC"], values["AP_wrong"] = self._areas(weights.astype(np.float64))
        if len(self._calibrated):
            values["calibration_error"] = self._bins.error(weights[self._calibrated])
        return values, of_classes


# --- on disk ---------------------------------------------------------------------------------


def write_checked(path: Path, labels: CheckedLabels) -> None:
    """Write ``checked.parquet``, whole or not at all."""
    import pyarrow as pa

    columns = [
        pa.array(labels.keys.tolist(), pa.string()),
        pa.array(labels.noisy.astype(np.int32)),
        pa.array(labels.right),
        pa.array(labels.called_right),
        pa.array(labels.score.astype(np.float32)),
        pa.array(labels.held_out),
        pa.array(labels.probability.astype(np.float32), from_pandas=False),
    ]
    write_checked_table(path, columns, _schema(labels.classes))


def read_checked(path: Path) -> CheckedLabels:
    """The checked labels of a detection's evaluation.

    Raises:
        NlcliError: missing, damaged, or without the columns above.
    """
    table, classes = read_checked_table(path, _schema, "label", "checked labels")
    noisy = table["label"].to_numpy()
    return CheckedLabels(
        classes,
        np.array(table["key"].to_pylist(), object),
        noisy.astype(np.int64),
        table["right"].to_numpy(),
        table["called_right"].to_numpy(),
        table["score"].to_numpy(),
        table["held_out"].to_numpy(),
        table["probability"].to_numpy(),
    )


def _schema(classes: tuple[str, ...]) -> Any:
    import pyarrow as pa

    kinds = {
        "key": pa.string(),
        "label": pa.int32(),
        "right": pa.bool_(),
        "called_right": pa.bool_(),
        "score": pa.float32(),
        "held_out": pa.bool_(),
        "probability": pa.float32(),
    }
    return checked_schema(kinds, classes)
