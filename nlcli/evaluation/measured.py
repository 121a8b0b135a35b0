"""What was measured on some images: metrics, the same of the classes, and of every bootstrap resample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nlcli.metrics.arrays import Floats, Ints
from nlcli.metrics.bootstrap import resample_weights
from nlcli.metrics.intervals import Support, class_intervals, classes_support, ranking_support, share_support
from nlcli.metrics.ranking import RankingMetrics


@dataclass(frozen=True)
class Measured:
    """Metrics of one model or detection on some images, and the same on every bootstrap resample.

    Attributes:
        values: By name; NaN where one is not defined. Of classifiers top_1 and top_5 (single-label
            data), mAP, AP_all; of detections average_error, held_out_error (where classes were held
            out), micro_error, AUC, AP_wrong.
        of_classes: ``(C,)`` AP, or error rate, of the classes; NaN for one that has none.
        counts: ``(C,)`` positives, or images, of the classes.
        replicates: By the same names as ``values`` ``(B,)``; empty without a bootstrap.
        per_class: ``(B, C)`` of the classes.
        supports: By the same names as ``values``, what the metrics' intervals rest on.
        shares: Whether the classes' metrics are shares of their images, as error rates are.
    """

    values: dict[str, float]
    of_classes: Floats
    counts: Ints
    replicates: dict[str, Floats]
    per_class: Floats
    supports: dict[str, Support]
    shares: bool

    @classmethod
    def of_resamples(
        cls,
        count: Callable[[Ints], tuple[dict[str, float], Floats]],
        sizes: Ints,
        supports: Callable[[Ints, Floats], dict[str, Support]],
        *,
        images: int,
        resamples: int,
        seed: int,
        advance: Callable[[int], None] | None = None,
    ) -> Measured:
        """What ``count`` says of images drawn as often as it is told, of a detection.

        Args:
            count: ``(images,)`` weights to metrics by name and ``(C,)`` error rates.
            sizes: ``(C,)`` what the classes' error rates are shares of.
            supports: ``sizes`` and ``(resamples, C)`` error rates to what the intervals rest on.
            advance: Called with 1 after each resample.
        """
        values, of_classes = count(np.ones(images, np.int64))
        per_class = np.empty((resamples, len(sizes)))
        replicates = {name: np.empty(resamples) for name in values} if resamples else {}
        for b in range(resamples):
            drawn, per_class[b] = count(resample_weights(images, b, 1, seed)[0])
            for name, value in drawn.items():
                replicates[name][b] = value
            if advance is not None:
                advance(1)
        return cls(values, of_classes, sizes, replicates, per_class, supports(sizes, per_class), shares=True)

    @property
    def class_ends(self) -> tuple[Floats, Floats] | None:
        """Lower and upper ends of the classes' intervals, ``(C,)`` each; None without a bootstrap.

        NaN for a class with too few positives, or images.
        """
        if not len(self.per_class):
            return None
        return class_intervals(self.of_classes, self.per_class, self.counts, shares=self.shares)


@dataclass(frozen=True)
class MeasuredRanking(Measured):
    """The same of a classifier, with all of its ranking."""

    ranking: RankingMetrics

    @classmethod
    def of(
        cls,
        values: dict[str, float],
        ranking: RankingMetrics,
        replicates: dict[str, Floats],
        per_class: Floats,
        known: int,
    ) -> MeasuredRanking:
        """AP and positives of the classes are the ranking's; ``known`` images have a known true class."""
        supports = {name: share_support(known) for name in values}
        supports["mAP"] = classes_support(ranking.positives, per_class)
        supports["AP_all"] = ranking_support(int(ranking.positives.sum()))
        of_classes, positives = ranking.per_class, ranking.positives
        return cls(values, of_classes, positives, replicates, per_class, supports, False, ranking)
