"""Is the label among the top K of a classifier that was trained on noisy labels (Lee 2018, section 4.2)?"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import Field

from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig
from nlcli.detection.fold_classifiers import FOLDS, FoldSettings, fold_classifiers
from nlcli.errors import NlcliError
from nlcli.methods.citations import LEE_2018, THONGKAM_2008

_Outputs = Callable[[np.ndarray, np.ndarray | None], np.ndarray]
"""From features (n, D) and rows of the data set (n,) to (n, C), the larger the likelier."""


class ClassificationFilterConfig(DetectorConfig):
    """Options of the classifiers that are solved where there is none."""

    folds: int = Field(
        FOLDS, ge=2, description="Parts of the training images; each is ranked by a classifier solved on the others."
    )
    l2: float | None = Field(
        None, gt=0, description="L2, as a part of the features' variance (default: chosen on a path, out of fold)."
    )


class ClassificationFilter(Detector):
    """The score is minus the rank of the noisy class, so that the threshold is -K."""

    name = "classification-filter"
    title = "classification filtering"
    citation = f"{LEE_2018}\n\n{THONGKAM_2008}"
    Config = ClassificationFilterConfig
    uses_verification = False
    takes_classifier = True
    config: ClassificationFilterConfig

    def fit(self, data: Data, seed: int, work: Path) -> None:
        self._classes = data.classes
        last_layer = data.store.last_layer
        if data.classifier is not None:
            self._outputs, source = _seen_by_one(_of_run(data)), "run"
        elif last_layer is not None and last_layer.lacking(data.classes) is None:
            self._outputs = _seen_by_one(last_layer.for_classes(data.classes).logits)
            source = "last layer of the features' backbone"
        else:
            settings = FoldSettings(self.config.folds, self.config.l2, weights=())
            classifiers = fold_classifiers(data, seed, work, settings)
            self.notes |= classifiers.notes
            self._outputs, source = classifiers.probabilities, "solved on the noisy labels"
        self.notes["classifier"] = source
        self.natural_threshold = -1.0  # the label is what the classifier says (Thongkam et al. 2008)

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        score = np.empty(len(noisy), np.float32)
        for first in range(0, len(noisy), READ_ROWS):
            part = slice(first, first + READ_ROWS)
            outputs = self._outputs(features[part], None if rows is None else rows[part])
            score[part] = -ranks(outputs, noisy[part])
        return score

    def explain(self, threshold: float) -> str | None:
        k = min(max(math.floor(-threshold), 0), len(self._classes))
        return f"the label is among the top {k} of the classifier's {len(self._classes)} classes"


def ranks(outputs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(n,) int64 rank of ``classes`` (n,) in ``outputs`` (n, C), 1 the highest; of equals all have the best rank."""
    own = np.take_along_axis(outputs, classes[:, None], axis=1)
    better: np.ndarray = np.sum(outputs > own, axis=1)
    return 1 + better


def _seen_by_one(outputs: Callable[[np.ndarray], np.ndarray]) -> _Outputs:
    """Of one classifier for all images, whichever rows they are."""
    return lambda features, rows: outputs(features)


def _of_run(data: Data) -> Callable[[np.ndarray], np.ndarray]:
    """Scores of the head in ``data.classifier``, its classes in the data set's order."""
    from nlcli.training.saved_head import load_head

    assert data.classifier is not None
    head = load_head(data.classifier)
    if head.backbone_fingerprint != data.store.backbone_fingerprint:
        raise NlcliError(
            f"{data.classifier} was trained on features of another backbone than {data.store.path}; extract features "
            "with its backbone"
        )
    missing = next((name for name in data.classes if name not in set(head.classes)), None)
    if missing is not None:
        raise NlcliError(f"{data.classifier} has no class '{missing}'; pass a classifier of this data set's classes")
    columns = [head.classes.index(name) for name in data.classes]
    return lambda features: head.score(features)[:, columns]
