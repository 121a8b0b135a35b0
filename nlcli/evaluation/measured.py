"""What was measured on some images: metrics, the same of the classes, and of every bootstrap resample."""

from __future__ import annotations

from dataclasses import dataclass

from nlcli.metrics.arrays import Floats, Ints
from nlcli.metrics.bootstrap import LEVEL, interval
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
    """

    values: dict[str, float]
    of_classes: Floats
    counts: Ints
    replicates: dict[str, Floats]
    per_class: Floats

    @property
    def class_ends(self) -> tuple[Floats, Floats] | None:
        """Lower and upper ends of the classes' intervals, ``(C,)`` each; None without a bootstrap."""
        return interval(self.per_class, LEVEL) if len(self.per_class) else None


@dataclass(frozen=True)
class MeasuredRanking(Measured):
    """The same of a classifier, with all of its ranking."""

    ranking: RankingMetrics

    @classmethod
    def of(
        cls, values: dict[str, float], ranking: RankingMetrics, replicates: dict[str, Floats], per_class: Floats
    ) -> MeasuredRanking:
        """AP and positives of the classes are the ranking's."""
        return cls(values, ranking.per_class, ranking.positives, replicates, per_class, ranking)
