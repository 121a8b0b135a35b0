"""From which score on a class counts as given: chosen on validation, where people said what is there.

The threshold of a class is the one of the best F1 on its verified entries, where there are ``FEWEST`` of either kind;
other classes share the one of the best F1 of all entries together. Precision and recall are measured by thresholds that
were chosen without the image (five folds of images), with intervals over images.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from nlcli.console import progress
from nlcli.data.labels import LabelTable, true_classes
from nlcli.errors import NlcliError
from nlcli.estimation.cross_fitting import stratified_folds
from nlcli.evaluation.image_scorer import ImageScorer, open_scorer
from nlcli.evaluation.metrics_file import Estimate
from nlcli.evaluation.scored_images import Answers, Entries, ScoredImages, joined
from nlcli.metrics.arrays import Array, Bools, Floats, Ints
from nlcli.metrics.clustered_shares import Share, clustered_share
from nlcli.stages.files import number
from nlcli.stages.stage import StageRecord

FEWEST = 10
"""Verified entries with the class, and as many without, that a class has a threshold of its own from."""
_FOLDS = 5
_UNCHOSEN = 0.5


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassThreshold(_Part):
    """The threshold of one class.

    Attributes:
        value: A class is given where its score is at least this.
        chosen_on: Verified entries of the ``class``, or of ``all classes``; ``nothing`` where there are none.
        positives, verified: Its verified entries with it, and all of them.
    """

    value: float
    chosen_on: Literal["class", "all classes", "nothing"]
    positives: int
    verified: int


class DecisionThresholds(_Part):
    """Thresholds of all classes, in their order.

    Attributes:
        images: Validation images that chose them.
        precision, recall: Of all classes together, by thresholds chosen without the image.
    """

    by_class: tuple[ClassThreshold, ...]
    images: int
    precision: Estimate
    recall: Estimate

    @property
    def values(self) -> Floats:
        """(C,)."""
        return np.array([threshold.value for threshold in self.by_class])


def choose_thresholds(scored: ScoredImages) -> DecisionThresholds:
    """Thresholds of the classes of ``scored``, whose verified entries are held one by one."""
    entries, classes = scored.verified, len(scored.classes)
    assert isinstance(entries, Entries)
    values, own = _best(entries.column, entries.label, entries.score, classes)
    positives, verified = (
        np.bincount(entries.column[part], minlength=classes) for part in (entries.label, slice(None))
    )
    pooled: Literal["all classes", "nothing"] = "all classes" if entries.label.any() else "nothing"
    by_class = tuple(
        ClassThreshold(
            value=float(values[c]),
            chosen_on="class" if own[c] else pooled,
            positives=int(positives[c]),
            verified=int(verified[c]),
        )
        for c in range(classes)
    )
    precision, recall = _cross_fitted(entries, len(scored), classes)
    return DecisionThresholds(
        by_class=by_class, images=len(np.unique(entries.image)), precision=precision, recall=recall
    )


def _best(column: Ints, label: Bools, score: Array, classes: int) -> tuple[Floats, Bools]:
    """(C,) thresholds, and whether they are the classes' own."""
    values = np.full(classes, best_f1(label, score) if label.any() else _UNCHOSEN)
    own = np.zeros(classes, bool)
    order = np.argsort(column, kind="stable")
    ends = np.searchsorted(column[order], np.arange(classes + 1))
    for c in range(classes):
        part = order[ends[c] : ends[c + 1]]
        positives = int(label[part].sum())
        if min(positives, len(part) - positives) >= FEWEST:
            values[c], own[c] = best_f1(label[part], score[part]), True
    return values, own


def best_f1(label: Array, score: Array) -> float:
    """The threshold of the best F1: halfway between the lowest score that counts and the next one.

    Args:
        label: (n,) bool, some of them True.
        score: (n,).
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order].astype(np.float64)
    right = np.cumsum(label[order])
    called = np.arange(1, len(ranked) + 1)
    f1 = 2 * right / (called + right[-1])
    ends = np.append(ranked[1:] < ranked[:-1], True)  # equal scores count together
    last = int(np.argmax(np.where(ends, f1, -1.0)))
    return float(ranked[last] if last + 1 == len(ranked) else (ranked[last] + ranked[last + 1]) / 2)


def _cross_fitted(entries: Entries, images: int, classes: int) -> tuple[Estimate, Estimate]:
    folds = stratified_folds(np.zeros(images, np.int64), _FOLDS)[entries.image]
    called = np.zeros(len(entries.label), bool)
    for fold in range(_FOLDS):
        inside = folds == fold
        values, _ = _best(entries.column[~inside], entries.label[~inside], entries.score[~inside], classes)
        called[inside] = entries.score[inside] >= values[entries.column[inside]]
    right, calls, there = (
        np.bincount(entries.image[part], minlength=images) for part in (called & entries.label, called, entries.label)
    )
    return (
        _estimate(clustered_share(right, calls), "tags given"),
        _estimate(clustered_share(right, there), "tags there"),
    )


def _estimate(share: Share, counted: str) -> Estimate:
    return Estimate(value=number(share.value), interval=share.interval, rests_on=share.whole, counted=counted)


# --- scores of validation --------------------------------------------------------------------


def scored_validation(
    model: StageRecord,
    reading: ImageScorer | None,
    *,
    classes: tuple[str, ...],
    score: str | None = None,
    batch_size: int = 32,
    workers: int = 0,
) -> tuple[LabelTable, ScoredImages]:
    """The verified validation images of the data set that ``model`` was trained on, with their scores.

    Args:
        reading: The model reading image files; None for one that is trained on features that only exist.
        classes: Of ``model``; those of the data set are the same.
        score: Which of the method's scores.

    Raises:
        NlcliError: they are gone, have changed, or none is verified.
    """
    from nlcli.data.features.store import FeatureStore
    from nlcli.data.label_files import read_dataset
    from nlcli.training.saved_head import own_backbone

    dataset = model.input_stage("dataset")
    table = read_dataset(dataset.path)
    if table.classes != classes:
        raise NlcliError(f"{dataset.path} has other classes than {model.path}, so nothing chooses thresholds")
    rows = table.rows("validation")
    rows = rows[table.verification[rows] > 0]
    if not len(rows):
        raise NlcliError(f"no validation image of {dataset.path} is verified, so nothing chooses thresholds")
    if model.kind == "run" and own_backbone(model.path) is None:
        reading = open_scorer(model, FeatureStore(model.input_stage("features").path), score=score)
    assert reading is not None
    return table, _scored(reading, table, rows, batch_size, workers)


def _scored(scorer: ImageScorer, table: LabelTable, rows: Ints, batch_size: int, workers: int) -> ScoredImages:
    truth = true_classes(table) if table.task == "single-label" else np.full(len(table), -1)
    held: list[Ints] = []
    entries: list[Entries] = []
    answers: list[Answers] = []
    with progress(len(rows), "scoring validation", unit="images") as bar:
        for part, batch in scorer.score_rows(table, rows, batch_size, workers):
            position, column, label = table.verified_entries(part)
            before = sum(map(len, held))
            entries.append(Entries(position + before, column, label, batch.scores[position, column]))
            answers.append(Answers.of(truth[part], batch.scores))
            held.append(part)
            bar.advance(len(part))
    if not held:
        raise NlcliError(f"none of the validation images of {scorer.path} can be used, so nothing chooses thresholds")
    return ScoredImages(table.classes, table.keys[np.concatenate(held)], joined(entries), joined(answers))
