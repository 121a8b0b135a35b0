"""All that a page says, before it is text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nlcli.reporting.cards import Card
from nlcli.reporting.changes import Changes
from nlcli.reporting.facts import Fact
from nlcli.reporting.labels import ClassCounts, Labels
from nlcli.reporting.models import Closer, Curve, Table
from nlcli.reporting.next_images import NextImages
from nlcli.reporting.origins import Origins
from nlcli.reporting.taken_answers import TakenAnswers
from nlcli.reporting.verdicts import ClassVerdicts, Verdicts

MOST_CLASSES = 400
"""Classes that a table of the page lists; the whole list is in the data set's directory."""


@dataclass(frozen=True)
class ClassLine:
    """A class as data set and detection tell of it; either may be missing."""

    counts: ClassCounts
    verdicts: ClassVerdicts | None


@dataclass(frozen=True)
class Content:
    """The parts of the page; None, or empty, is what was not given."""

    title: str
    facts: tuple[Fact, ...]
    labels: Labels | None
    verdicts: Verdicts | None
    suspects: tuple[Card, ...]
    changes: Changes | None
    changed: tuple[Card, ...]
    taken: TakenAnswers | None
    tables: tuple[Table, ...]
    closer: Closer | None
    curve_metric: str
    curves: tuple[Curve, ...]
    without_curve: int
    queue: NextImages | None
    queued: tuple[Card, ...]
    pictures_gone: bool
    origins: Origins
    other_detections: tuple[str, ...]
    page: Path

    @property
    def classes(self) -> tuple[ClassLine, ...]:
        """Those with the most noisy labels first; of very many the first ones."""
        if self.labels is None:
            return ()
        by_class = {} if self.verdicts is None else self.verdicts.by_class
        lines = [ClassLine(counts, by_class.get(counts.name)) for counts in self.labels.classes]
        return tuple(sorted(lines, key=lambda line: -line.counts.noisy)[:MOST_CLASSES])

    @property
    def missing(self) -> tuple[str, ...]:
        """Sentences on what is not on the page, and what would bring it."""
        told = []
        if self.labels is None:
            told.append("There is no data set: labels are not counted, and pictures are not shown.")
        if self.pictures_gone:
            told.append("The folder with the data set's pictures is no longer there, so that none can be shown.")
        if self.verdicts is None:
            told.append("There is no detection of wrong labels (nlcli detect-noise).")
        if self.changes is None:
            told.append("There are no cleaned labels (nlcli clean-labels).")
        if self.taken is None:
            told.append(
                "There are no answers of people to what suggest asked (nlcli suggest, then nlcli import-verification)."
            )
        if not self.tables:
            told.append("There is no evaluation of a classifier (nlcli train-head, then nlcli eval).")
        if not self.curves:
            told.append(
                "There is no learning curve: no trained head among the directories was validated while it trained."
            )
        if self.closer is None:
            told.append("There is no confusion and no calibration of a classifier: they need its evaluation.")
        if self.queue is None:
            told.append("There is no queue of images to check next (nlcli suggest).")
        return tuple(told)
