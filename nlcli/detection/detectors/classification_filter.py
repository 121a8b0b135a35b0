"""Is the label among the top K of a classifier that was trained on noisy labels (Lee 2018, section 4.2)?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig
from nlcli.errors import NlcliError
from nlcli.methods.citations import LEE_2018, THONGKAM_2008
from nlcli.runtime import quiet_tensorflow

if TYPE_CHECKING:
    from nlcli.methods.base.contract import Phase
    from nlcli.methods.base.method import Method
    from nlcli.networks.linear_layer import LinearLayer

_MONITOR = "noisy_loss"


class ClassificationFilterConfig(DetectorConfig):
    """Options of the classifier that is trained where there is none."""

    steps: int = Field(4000, ge=1, description="Training steps of a classifier of its own.")
    batch_size: int = Field(32, ge=2, description="Rows in a step of it.")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of it (Adam).")


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
            self._outputs, source = _of_run(data), "run"
        elif last_layer is not None and last_layer.lacking(data.classes) is None:
            self._outputs = last_layer.for_classes(data.classes).logits
            source = "last layer of the features' backbone"
        else:
            self._outputs = self._trained(data, seed, work)
            source = "trained on the noisy labels"
        self.notes["classifier"] = source
        self.natural_threshold = -1.0  # the label is what the classifier says (Thongkam et al. 2008)

    def _trained(self, data: Data, seed: int, work: Path) -> Callable[[np.ndarray], np.ndarray]:
        quiet_tensorflow()
        from nlcli.detection.noisy_training import train_on_noisy_labels
        from nlcli.methods import configure
        from nlcli.methods.base.contract import Problem
        from nlcli.methods.noisy import Noisy

        problem = Problem(data.num_features, data.classes, "single-label")
        head = Noisy(configure("noisy", self.config.model_dump()), problem, None, seed)
        phase = replace(head.phases()[0], monitor=_MONITOR)

        def evaluate(phase: Phase) -> Mapping[str, float]:
            """Cross-entropy on the noisy labels of validation: no verification chooses the step."""
            return {_MONITOR: _noisy_loss(_layer(head).logits, data)}

        outcome = train_on_noisy_labels(
            head,
            phase,
            data,
            data.table,
            evaluate if len(data.validation) else None,
            seed,
            work,
            "training a classifier on noisy labels",
        )
        self.notes |= {"best_step": outcome.step, "steps": outcome.steps, "validation": outcome.metrics()}
        return _layer(head).logits

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        score = np.empty(len(noisy), np.float32)
        for first in range(0, len(noisy), READ_ROWS):
            part = slice(first, first + READ_ROWS)
            score[part] = -ranks(self._outputs(features[part]), noisy[part])
        return score

    def explain(self, threshold: float) -> str | None:
        k = min(max(math.floor(-threshold), 0), len(self._classes))
        return f"the label is among the top {k} of the classifier's {len(self._classes)} classes"


def ranks(outputs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(n,) int64 rank of ``classes`` (n,) in ``outputs`` (n, C), 1 the highest; of equals all have the best rank."""
    own = np.take_along_axis(outputs, classes[:, None], axis=1)
    better: np.ndarray = np.sum(outputs > own, axis=1)
    return 1 + better


def _layer(head: Method) -> LinearLayer:
    layer = head.last_layer()
    assert layer is not None
    return layer


def _noisy_loss(outputs: Callable[[np.ndarray], np.ndarray], data: Data) -> float:
    from scipy.special import logsumexp

    total = 0.0
    for positions, features in data.parts(data.validation):
        logits = outputs(features)
        own = np.take_along_axis(logits, data.validation.noisy[positions][:, None], axis=1)[:, 0]
        total += float(np.sum(logsumexp(logits, axis=1) - own))
    return total / len(data.validation)


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
