"""``comparison.json``: models side by side, a row each, their seeds taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nlcli.evaluation.measured import Measured
from nlcli.evaluation.metrics_file import Ends, Part
from nlcli.metrics.arrays import Floats
from nlcli.metrics.intervals import FEWEST_TO_RANK, LEVEL, Support, difference_interval, metric_interval, widest
from nlcli.metrics.names import common_metrics
from nlcli.stages.files import number
from nlcli.stages.records import Record


@dataclass(frozen=True)
class Seeds:
    """A metric of every seed of a model.

    Attributes:
        values: ``(S,)``.
        replicates: ``(S, B)`` of the same resamples of the images; None without a bootstrap.
        support: What their intervals rest on.
    """

    values: Floats
    replicates: Floats | None
    support: Support


def metrics_of_seeds(members: Sequence[Measured]) -> dict[str, Seeds]:
    """By name what every seed of a model was measured to have, on the same images."""
    names = [name for name in members[0].values if all(name in m.values for m in members)]
    return {
        name: Seeds(
            np.array([m.values[name] for m in members]),
            np.stack([m.replicates[name] for m in members]) if name in members[0].replicates else None,
            widest(m.supports[name] for m in members),
        )
        for name in names
    }


class OverSeeds(Part):
    """A metric of a model, all its seeds together.

    Attributes:
        value: Mean over seeds; None where it is not defined.
        spread: Standard deviation over seeds (one degree of freedom less); None for one seed.
        interval: Of ``value``, over images, and over seeds where there are several; None without a bootstrap, or where
            the metric rests on too little.
        difference: ``value`` minus that of the first row; None in the first row.
        difference_interval: Its interval, paired by image.
        no_interval: Why there is none although there was a bootstrap, such as ``4 positives, fewer than 5``.
        no_difference_interval: The same of the difference.
    """

    value: float | None
    spread: float | None = None
    interval: Ends | None = None
    difference: float | None = None
    difference_interval: Ends | None = None
    no_interval: str | None = None
    no_difference_interval: str | None = None

    @classmethod
    def of(cls, own: Seeds, reference: Seeds | None = None) -> OverSeeds:
        """Of a model beside that of the first row; without ``reference`` it is the first row itself."""
        value = float(own.values.mean())
        told: dict[str, Any] = {"spread": number(own.values.std(ddof=1)) if len(own.values) > 1 else None}
        if own.replicates is not None:
            told["interval"] = metric_interval(own.values, own.replicates, own.support)
            told["no_interval"] = own.support.too_few
        if reference is not None:
            told["difference"] = number(value - float(reference.values.mean()))
            if own.replicates is not None and reference.replicates is not None:
                both = widest([own.support, reference.support])
                told["difference_interval"] = difference_interval(
                    own.values, own.replicates, reference.values, reference.replicates, both
                )
                told["no_difference_interval"] = both.too_few_to_differ
        return cls(value=number(value), **told)


class Row(Part):
    """One model, all its seeds together.

    Attributes:
        label: Method and what tells it from the others.
        clean_fraction: Part of the clean set it was given; None for a model without one.
        clean_images: Images whose verified labels it was fitted on, of train and of validation; None for none.
        seeds: Of the evaluations in this row, in order.
        selected_by: What chose the checkpoint, such as ``validation AP_all``.
        selected_on: Verified images that chose it; None where that is not told.
        planted: Of detections, average error on unverified training images of planted truth, mean over
            seeds; None without.
        metrics: By name.
        remarks: What its evaluations say should not be taken as it is, with the seed where it has several.
    """

    label: str
    clean_fraction: float | None
    clean_images: int | None
    seeds: tuple[int, ...]
    selected_by: str
    selected_on: int | None = None
    planted: float | None
    metrics: dict[str, OverSeeds]
    remarks: tuple[str, ...] = ()

    @property
    def percent_told(self) -> str:
        """``, 5 % clean`` of a model with clean labels."""
        return "" if self.clean_fraction is None else f", {100 * self.clean_fraction:g} % clean"


class Comparison(Record):
    """Models on the same images.

    Attributes:
        task: ``multi-label``, ``single-label``, or of detections ``label-noise`` and ``tag-noise``.
        split: Of the data set.
        images: How many images all of them scored.
        images_left_out: Images that some of them did not score.
        images_of_unknown_class: Of single-label data; they have no part in top-1 and top-5.
        classes_without_positives: Without images, where labels are judged.
        resamples: Of the bootstrap; 0 means no intervals.
        reference: Label of the first row.
        naive: By name the error rates of calling every label right; empty of classifiers.
        rows: In the order in which the models were given.
    """

    FORMAT: ClassVar[int] = 1
    made_by: ClassVar[str] = "compare EVALUATION ... --output DIRECTORY"

    task: str
    split: str
    images: int
    images_left_out: int
    images_of_unknown_class: int
    classes_without_positives: int
    resamples: int
    level: float = LEVEL
    reference: str
    naive: dict[str, float | None]
    rows: tuple[Row, ...]

    @property
    def too_few_to_rank(self) -> bool:
        """Whether the images that the leading metric rests on are too few to call a row the best."""
        return self.images - self.images_of_unknown_class < FEWEST_TO_RANK

    @property
    def names(self) -> list[str]:
        """The metrics that every row has, in the order in which they are shown."""
        return common_metrics(row.metrics for row in self.rows)
