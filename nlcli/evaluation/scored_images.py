"""Scores of images beside their verified labels, in memory and as ``scores.parquet``.

One row an image: ``key``, ``scores`` (a list of float32, one for each class), ``present`` and
``absent`` (lists of class indices that a person verified; ``absent`` is null where every class that
is not present was verified to be absent). The classes' names are in the file's metadata under
``classes``, as JSON. The file is all that metrics, intervals and comparisons need.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nlcli.evaluation.measured import MeasuredRanking
from nlcli.metrics.arrays import Array, Bools, Floats, Ints
from nlcli.metrics.bootstrap import Replicates, bootstrap, resample_weights, sparse_bootstrap
from nlcli.metrics.decisions import ThresholdMetrics, classes_ahead, threshold_metrics, threshold_metrics_of_counts
from nlcli.metrics.names import accuracies_of
from nlcli.metrics.ranking import RankingMetrics, ranking_metrics, sparse_ranking_metrics
from nlcli.runtime import cpu_count


@dataclass(frozen=True)
class Entries:
    """Flat verified entries; all four are ``(E,)``.

    Attributes:
        image: int64 position among the images.
        column: int64 class.
        label: bool, verified present.
        score: float32.
    """

    image: Ints
    column: Ints
    label: Bools
    score: NDArray[np.float32]


@dataclass(frozen=True)
class Dense:
    """Labels ``(N, C)`` uint8 and scores ``(N, C)`` float32 of fully verified images."""

    labels: NDArray[np.uint8]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """What was answered for images that have one class; all three are ``(N,)`` int32.

    Attributes:
        truth: The one class that was verified to be there; -1 where none or several were.
        first: The class with the highest score, the lower one of two.
        ahead: Classes that score higher than the true one (0: it comes first); -1 where it is not known.
    """

    truth: NDArray[np.int32]
    first: NDArray[np.int32]
    ahead: NDArray[np.int32]

    @classmethod
    def of(cls, truth: Ints, scores: NDArray[np.float32]) -> Answers:
        """From true classes ``(n,)``, -1 where not known, and scores ``(n, C)``."""
        ahead = np.full(len(truth), -1, np.int32)
        known = np.flatnonzero(truth >= 0)
        ahead[known] = classes_ahead(truth[known], scores[known])
        return cls(truth.astype(np.int32), scores.argmax(axis=1).astype(np.int32), ahead)

    @property
    def known(self) -> Bools:
        """``(N,)`` bool: the true class is known."""
        return self.truth >= 0


@dataclass(frozen=True)
class ScoredImages:
    """Images with the scores of their verified entries.

    Fully verified data are held dense; as soon as one image is partly verified, only the verified
    entries are held. ``answers`` mean something for single-label data alone.
    """

    classes: tuple[str, ...]
    keys: NDArray[np.object_]
    verified: Dense | Entries
    answers: Answers

    def __len__(self) -> int:
        return len(self.keys)

    def metrics(self) -> RankingMetrics:
        """Per-class AP, mAP and AP_all."""
        v = self.verified
        if isinstance(v, Dense):
            return ranking_metrics(v.labels, v.scores)
        return sparse_ranking_metrics(v.column, v.label, v.score, len(self.classes))

    def resampled(self, resamples: int, seed: int, advance: Callable[[int], None] | None = None) -> Replicates:
        """The same on bootstrap resamples of the images, on all processors."""
        v, images, classes, threads = self.verified, len(self), len(self.classes), cpu_count()
        if isinstance(v, Dense):
            return bootstrap(v.labels, v.scores, resamples=resamples, seed=seed, threads=threads, advance=advance)
        return sparse_bootstrap(
            v.image,
            v.column,
            v.label,
            v.score,
            images,
            classes,
            resamples=resamples,
            seed=seed,
            threads=threads,
            advance=advance,
        )

    def accuracies(self) -> dict[str, Bools]:
        """Whether the true class is the first one, and among the first five where there are more: ``(N,)`` bool each.

        False where the true class is not known: count those of ``answers.known`` alone. Nothing where
        it is known of no image.
        """
        known, ahead = self.answers.known, self.answers.ahead
        if not known.any():
            return {}
        return {name: known & (ahead < k) for name, k in accuracies_of(len(self.classes)).items()}

    def at_threshold(self, threshold: float) -> ThresholdMetrics:
        """Micro and macro precision, recall and F1 at a threshold."""
        v = self.verified
        if isinstance(v, Dense):
            return threshold_metrics(v.labels, v.scores, threshold=threshold)
        called = v.score >= threshold
        chosen = (called & v.label, called, v.label)
        right, calls, positives = (np.bincount(v.column[c], minlength=len(self.classes)) for c in chosen)
        return threshold_metrics_of_counts(right, calls, positives, threshold)

    def by_class(self) -> Iterator[tuple[Array, NDArray[np.float32]]]:
        """Labels and scores of the verified entries of each class in turn."""
        v = self.verified
        if isinstance(v, Dense):
            for column in range(len(self.classes)):
                yield v.labels[:, column], v.scores[:, column]
            return
        order = np.argsort(v.column, kind="stable")
        ends = np.searchsorted(v.column[order], np.arange(len(self.classes) + 1))
        for start, end in itertools.pairwise(ends):
            yield v.label[order[start:end]], v.score[order[start:end]]

    def together(self) -> tuple[Array, NDArray[np.float32]]:
        """Labels and scores of all verified entries."""
        v = self.verified
        if isinstance(v, Dense):
            return v.labels.reshape(-1), v.scores.reshape(-1)
        return v.label, v.score

    def of_classes(self, columns: Ints) -> tuple[Array, NDArray[np.float32]]:
        """Labels and scores of all verified entries of the classes ``columns`` (int64)."""
        v = self.verified
        if isinstance(v, Dense):
            return v.labels[:, columns].reshape(-1), v.scores[:, columns].reshape(-1)
        wanted = np.zeros(len(self.classes), bool)
        wanted[columns] = True
        chosen = wanted[v.column]
        return v.label[chosen], v.score[chosen]

    def label_hash(self) -> str:
        """Hash of the verified entries and their labels, whichever way they are held."""
        v = self.verified
        if isinstance(v, Dense):
            image, column = np.divmod(np.arange(v.labels.size), len(self.classes))
            label = v.labels.reshape(-1) != 0
        else:
            order = np.lexsort((v.column, v.image))
            image, column, label = v.image[order], v.column[order], v.label[order]
        hashed = hashlib.sha256()
        for part in (image.astype(np.int64), column.astype(np.int64), label.astype(np.uint8)):
            hashed.update(part.data)
        return hashed.hexdigest()

    def only(self, keys: NDArray[np.object_]) -> ScoredImages:
        """The images called ``keys``, in that order; every key must be among these images."""
        where = {key: i for i, key in enumerate(self.keys.tolist())}
        rows = np.array([where[key] for key in keys.tolist()], np.int64)
        v = self.verified
        answers = Answers(*(getattr(self.answers, field.name)[rows] for field in fields(Answers)))
        if isinstance(v, Dense):
            return ScoredImages(self.classes, keys, Dense(v.labels[rows], v.scores[rows]), answers)
        position = np.full(len(self), -1, np.int64)
        position[rows] = np.arange(len(rows))
        kept = position[v.image] >= 0
        entries = Entries(position[v.image[kept]], v.column[kept], v.label[kept], v.score[kept])
        return ScoredImages(self.classes, keys, entries, answers)


def measure(
    scored: ScoredImages,
    task: str,
    resamples: int,
    seed: int,
    advance: Callable[[int], None] | None = None,
) -> MeasuredRanking:
    """All metrics of ``scored`` with ``resamples`` bootstrap replicates (0: none).

    Accuracies are shares of the images whose true class is known; resamples draw from all images,
    so that they stay paired with those of the other metrics.
    """
    ranking = scored.metrics()
    correct = scored.accuracies() if task == "single-label" else {}
    known = scored.answers.known
    values = {name: float(right[known].mean()) for name, right in correct.items()}
    values |= {"mAP": ranking.mean_ap, "AP_all": ranking.ap_all}
    if not resamples:
        return MeasuredRanking.of(values, ranking, {}, np.empty((0, len(scored.classes))), int(known.sum()))
    made = scored.resampled(resamples, seed, advance)
    replicates = _resampled_shares(correct, known, resamples, seed)
    replicates |= {"mAP": made.mean_ap, "AP_all": made.ap_all}
    return MeasuredRanking.of(values, ranking, replicates, made.per_class, int(known.sum()))


def _resampled_shares(correct: dict[str, Bools], known: Bools, resamples: int, seed: int) -> dict[str, Floats]:
    """The share of the known images that are right, on every resample: ``(B,)``; NaN where it has no known image."""
    if not correct:
        return {}
    counted = np.stack([known, *correct.values()], axis=1).astype(np.float64)
    sums = np.stack([resample_weights(len(known), b, 1, seed)[0] @ counted for b in range(resamples)])
    with np.errstate(invalid="ignore"):
        shares = sums[:, 1:] / sums[:, :1]
    return dict(zip(correct, shares.T, strict=True))


_Part = TypeVar("_Part", bound=Dense | Entries | Answers)


def joined(blocks: Sequence[_Part]) -> _Part:
    """Blocks of one kind behind one another."""
    kind = type(blocks[0])
    names = [field.name for field in fields(kind)]
    return kind(*(np.concatenate([getattr(block, name) for block in blocks]) for name in names))
