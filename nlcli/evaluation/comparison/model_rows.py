"""``comparison.json``: models side by side, a row each, their seeds taken together."""

from __future__ import annotations

from typing import ClassVar

from nlcli.evaluation.metrics_file import Ends, Part
from nlcli.metrics.arrays import Floats
from nlcli.metrics.bootstrap import LEVEL, interval
from nlcli.metrics.names import common_metrics
from nlcli.stages.files import number
from nlcli.stages.records import Record


class OverSeeds(Part):
    """A metric of a model, all its seeds together.

    Attributes:
        value: Mean over seeds; None where it is not defined.
        spread: Standard deviation over seeds (one degree of freedom less); None for one seed.
        interval: Of ``value`` over images; None without a bootstrap.
        difference: ``value`` minus that of the first row; None in the first row.
        difference_interval: Its paired interval over images.
    """

    value: float | None
    spread: float | None = None
    interval: Ends | None = None
    difference: float | None = None
    difference_interval: Ends | None = None

    @classmethod
    def of(
        cls, values: Floats, replicates: Floats | None, reference: tuple[Floats, Floats | None] | None = None
    ) -> OverSeeds:
        """From what was measured.

        Args:
            values: ``(S,)``, of every seed.
            replicates: ``(B,)``, mean over seeds; None without a bootstrap.
            reference: The same two of the first row; None in the first row itself.
        """
        value = float(values.mean())
        difference, paired = None, None
        if reference is not None:
            difference = number(value - float(reference[0].mean()))
            if replicates is not None and reference[1] is not None:
                paired = _ends(replicates - reference[1])
        return cls(
            value=number(value),
            spread=number(values.std(ddof=1)) if len(values) > 1 else None,
            interval=None if replicates is None else _ends(replicates),
            difference=difference,
            difference_interval=paired,
        )


def _ends(replicates: Floats) -> Ends:
    low, high = interval(replicates, LEVEL)
    return number(low), number(high)


class Row(Part):
    """One model, all its seeds together.

    Attributes:
        label: Method and what tells it from the others.
        clean_fraction: Part of the clean set it was given; None for a model without one.
        clean_images: How many images that is; None where the model used none.
        seeds: Of the evaluations in this row, in order.
        selected_by: What chose the checkpoint, such as ``validation AP_all``.
        planted: Of detections, average error on unverified training images of planted truth, mean over
            seeds; None without.
        metrics: By name.
    """

    label: str
    clean_fraction: float | None
    clean_images: int | None
    seeds: tuple[int, ...]
    selected_by: str
    planted: float | None
    metrics: dict[str, OverSeeds]

    @property
    def percent_told(self) -> str:
        """``, 5 % clean`` of a model with clean labels."""
        return "" if self.clean_fraction is None else f", {100 * self.clean_fraction:g} % clean"


class Comparison(Record):
    """Models on the same images.

    Attributes:
        task: ``multi-label``, ``single-label``, or ``label-noise`` of detections.
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
    def names(self) -> list[str]:
        """The metrics that every row has, in the order in which they are shown."""
        return common_metrics(row.metrics for row in self.rows)
