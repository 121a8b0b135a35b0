"""Confident learning (Northcutt et al. 2021) through the cleanlab package, on out-of-fold probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig
from nlcli.detection.threshold import folds
from nlcli.errors import NlcliError
from nlcli.methods.citations import NORTHCUTT_2021
from nlcli.runtime import quiet_tensorflow
from nlcli.seeds import stream

if TYPE_CHECKING:
    from nlcli.methods.base.contract import Phase

MONITOR = "out_of_fold_loss"
_MONITORED = 8192  # training images on which the step is chosen


class ConfidentLearningConfig(DetectorConfig):
    """Options of confident learning."""

    folds: int = Field(
        5, ge=2, description="Parts of the training images; each is scored by a classifier trained on the others."
    )
    steps: int = Field(4000, ge=1, description="Training steps of the classifiers, all of which are trained together.")
    batch_size: int = Field(64, ge=2, description="Rows in a step.")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate (Adam).")
    quality: Literal["normalized_margin", "self_confidence"] = Field(
        "normalized_margin", description="The score: margin over the best other class, or the label's own probability."
    )


class ConfidentLearning(Detector):
    """cleanlab's label quality; its own verdict on the training images gives the threshold it has of itself."""

    name = "confident-learning"
    title = "confident learning"
    citation = NORTHCUTT_2021
    Config = ConfidentLearningConfig
    uses_verification = False
    soft = True
    config: ConfidentLearningConfig

    def check(self) -> None:
        try:
            import cleanlab  # noqa: F401
        except ImportError as error:
            raise NlcliError(
                "confident-learning needs the package cleanlab; install it with: pip install 'nlcli[cleanlab]'"
            ) from error

    def fit(self, data: Data, seed: int, work: Path) -> None:
        self.check()
        count = self.config.folds
        if len(data.train) < count:
            raise NlcliError(
                f"confident-learning parts the training images into {count} folds, and there are {len(data.train)}"
            )
        fold = folds(data.train.noisy, seed, count)
        self._kernel, self._bias = self._trained(data, fold, seed, work)
        self._fold_of = np.full(len(data.table), -1, np.int64)
        self._fold_of[data.train.rows] = fold
        self.natural_threshold = self._own_threshold(data)

    # --- probabilities ---

    def _trained(self, data: Data, fold: np.ndarray, seed: int, work: Path) -> tuple[np.ndarray, np.ndarray]:
        """Kernels (folds, D, C) and biases (folds, C) of the classifiers; number f has not seen fold f."""
        quiet_tensorflow()
        from nlcli.detection.fold_classifiers import FoldClassifiers, fold_config, with_folds
        from nlcli.detection.noisy_training import train_on_noisy_labels
        from nlcli.methods.base.contract import Problem

        model = FoldClassifiers(
            fold_config(self.config.model_dump(exclude={"quality"})),
            Problem(data.num_features, data.classes, "single-label"),
            None,
            seed,
        )
        drawn = np.sort(stream(seed, "detection", "monitored").permutation(len(data.train))[:_MONITORED])
        features, noisy, outside = data.features(data.train, drawn), data.train.noisy[drawn], fold[drawn]

        def evaluate(phase: Phase) -> Mapping[str, float]:
            p = probabilities(*model.parameters(), features, outside)
            own = np.take_along_axis(p, noisy[:, None], axis=1)
            return {MONITOR: float(-np.mean(np.log(np.maximum(own, 1e-12))))}

        (phase,) = model.phases()
        outcome = train_on_noisy_labels(
            model,
            replace(phase, monitor=MONITOR),
            data,
            with_folds(data, fold, self.config.folds),
            evaluate,
            seed,
            work,
            "training classifiers of all folds",
        )
        self.notes |= {"best_step": outcome.step, "steps": outcome.steps, "training": outcome.metrics()}
        return model.parameters()

    def _own_threshold(self, data: Data) -> float | None:
        """The score that parts what cleanlab calls label issues of the training images from the others."""
        from cleanlab.experimental.label_issues_batched import LabelInspector

        inspector = LabelInspector(
            num_class=len(data.classes),
            store_results=True,
            verbose=False,
            n_jobs=1,
            quality_score_kwargs={"method": self.config.quality},
        )
        for labels, p in self._out_of_fold(data):
            inspector.update_confident_thresholds(labels, p)
        for labels, p in self._out_of_fold(data):
            inspector.score_label_quality(labels, p)
        score = np.sort(np.asarray(inspector.get_quality_scores(), np.float64))
        issues = len(inspector.get_label_issues())
        self.notes["cleanlab_issues"] = issues
        if issues == 0:
            return float(score[0])
        return float(score[-1] + 1 if issues == len(score) else (score[issues - 1] + score[issues]) / 2)

    def _out_of_fold(self, data: Data) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Noisy classes and probabilities of training images by classifiers that have not seen them, in parts."""
        for positions, features in data.parts(data.train):
            fold = self._fold_of[data.train.rows[positions]]
            yield data.train.noisy[positions], probabilities(self._kernel, self._bias, features, fold)

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        from cleanlab.rank import get_label_quality_scores

        fold = np.full(len(noisy), -1, np.int64) if rows is None else self._fold_of[rows]
        score = np.empty(len(noisy), np.float32)
        for first in range(0, len(noisy), READ_ROWS):
            part = slice(first, first + READ_ROWS)
            p = probabilities(self._kernel, self._bias, features[part], fold[part])
            score[part] = get_label_quality_scores(noisy[part], p, method=self.config.quality)
        return score


def probabilities(kernel: np.ndarray, bias: np.ndarray, features: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(n, C) float64 class probabilities.

    Args:
        kernel, bias: (folds, D, C) and (folds, C).
        features: (n, D).
        fold: (n,) the fold that an image was in, whose classifier has not seen it; -1: in none, and it
            gets the mean of all classifiers.
    """
    from scipy.special import softmax

    p = np.zeros((len(features), kernel.shape[2]))
    for number in range(len(kernel)):
        inside = np.flatnonzero((fold == number) | (fold < 0))
        share = np.where(fold[inside] < 0, 1 / len(kernel), 1.0)[:, None]
        logits = (features[inside] @ kernel[number] + bias[number]).astype(np.float64)
        p[inside] += share * softmax(logits, axis=1)
    return p
