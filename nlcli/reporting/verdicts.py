"""What a page tells of a detection: how many labels look wrong, how sure that is, and which ones."""

from __future__ import annotations

from dataclasses import dataclass

from nlcli.metrics.arrays import Floats
from nlcli.reporting.cards import Card
from nlcli.reporting.reliability import Reliability
from nlcli.reporting.shares import Share
from nlcli.stages.stage import StageRecord

WRONG_LABELS, WRONG_TAGS, MISSING_TAGS = "wrong labels", "wrong tags", "missing tags"


@dataclass(frozen=True)
class Histogram:
    """How scores of checked labels are spread.

    Attributes:
        edges: (k + 1,) of the bars.
        right, wrong: (k,) shares of the right and of the wrong ones, each adding up to 1.
        threshold: Between them.
    """

    edges: Floats
    right: Floats
    wrong: Floats
    threshold: float | None


@dataclass(frozen=True)
class Sort:
    """One sort of mistake that a detection looks for.

    Attributes:
        name: ``wrong labels``, ``wrong tags`` or ``missing tags``.
        looked_at, called: Labels that were judged, and those of them that are called so.
        precision: Of those called so, the share that is so, on checked images that had no part in it.
        recall: Of those that are so, the share that is called so.
        checked: Labels that the two rest on.
        reliability: Of the probabilities; None where there are none.
    """

    name: str
    looked_at: int
    called: int
    precision: Share | None
    recall: Share | None
    checked: int
    reliability: Reliability | None


@dataclass(frozen=True)
class ClassVerdicts:
    """Labels of a class that were judged, and those that look wrong."""

    judged: int
    called: int


@dataclass(frozen=True)
class Verdicts:
    """A detection.

    Attributes:
        sorts: One of single labels, two of several labels an image.
        base: Share of the checked labels that are wrong; None where none is checked.
        error: Share of the checked labels that are misjudged.
        by_class: Of given labels.
        histogram: Of single labels.
        cards: The worst, worst first.
        remarks: The detection's own.
    """

    record: StageRecord
    method: str
    several: bool
    sorts: tuple[Sort, ...]
    base: Share | None
    error: Share | None
    by_class: dict[str, ClassVerdicts]
    histogram: Histogram | None
    cards: tuple[Card, ...]
    remarks: tuple[str, ...]

    @property
    def called(self) -> int:
        """Labels that look wrong."""
        return sum(sort.called for sort in self.sorts)

    @property
    def backed(self) -> bool:
        """Whether a checked label that had no part in it tells how often it is right."""
        return any(sort.checked for sort in self.sorts)
