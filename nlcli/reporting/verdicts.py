"""What a page tells of a detection: how many labels look wrong, how sure that is, and which ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.data.detection_files import DETECTION, NOISE
from nlcli.metrics.arrays import Bools, Floats
from nlcli.reporting.cards import Card, Change
from nlcli.reporting.columns import Columns, Type, column_names
from nlcli.reporting.reliability import Reliability
from nlcli.reporting.shares import Share
from nlcli.stages.files import read_json
from nlcli.stages.stage import StageRecord

_OF_LABELS: dict[str, Type] = {
    **dict.fromkeys(("key", "path", "split", "label", "verified"), "text"),
    "score": "number",
    **dict.fromkeys(("verdict", "measured"), "text"),
}
_SUGGESTIONS: dict[str, Type] = {"probability": "number", "suggested": "text", "suggested_probability": "number"}
_OF_ENTRIES: dict[str, Type] = {
    **dict.fromkeys(("key", "split", "class", "tag", "verdict"), "text"),
    **dict.fromkeys(("score", "probability"), "number"),
    "verified": "truth",
}
_BARS = 24
WRONG_TAGS, MISSING_TAGS = "wrong tags", "missing tags"
_MOST_REMARKS = 20


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
        base: Share of the checked labels that are wrong; None where none is checked, and of several labels.
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


def read_verdicts(record: StageRecord, most: int) -> Verdicts:
    """The detection ``record`` with cards of at most ``most`` images.

    Raises:
        NlcliError: its files are damaged.
    """
    said = read_json(record.path / DETECTION)
    said = said if isinstance(said, dict) else {}
    several = "tag" in column_names(record.path / NOISE)
    return (_of_entries if several else _of_labels)(record, said, most)


def _remarks(said: dict[str, Any]) -> tuple[str, ...]:
    remarks = said.get("remarks")
    return tuple(str(remark) for remark in remarks[:_MOST_REMARKS]) if isinstance(remarks, list) else ()


# --- one label an image ----------------------------------------------------------------------


def _of_labels(record: StageRecord, said: dict[str, Any], most: int) -> Verdicts:
    table = Columns(record.path / NOISE, _OF_LABELS, _SUGGESTIONS)
    wrong = table.is_word("verdict", "wrong")
    counts = table.known("measured") & table.known("verified")
    is_wrong, called = table.is_word("verified", "wrong")[counts], table.is_word("measured", "wrong")[counts]
    probability = table.numbers("probability") if "probability" in table else None
    sort = Sort(
        name="wrong labels",
        looked_at=len(table),
        called=int(wrong.sum()),
        precision=Share.of(int((is_wrong & called).sum()), int(called.sum())),
        recall=Share.of(int((is_wrong & called).sum()), int(is_wrong.sum())),
        checked=len(is_wrong),
        reliability=None if probability is None else _reliability(probability[counts], ~is_wrong),
    )
    threshold = said.get("threshold")
    value = threshold.get("value") if isinstance(threshold, dict) else None
    judged, called_wrong = table.counts("label"), table.counts("label", wrong)
    # The file is worst first; those that nobody has looked at are news, the others are marked.
    first = np.flatnonzero(wrong)[:most]
    return Verdicts(
        record=record,
        method=str(said.get("method", record.config.get("method", "?"))),
        several=False,
        sorts=(sort,),
        base=Share.of(int(is_wrong.sum()), len(is_wrong)),
        error=Share.of(int((is_wrong != called).sum()), len(is_wrong)),
        by_class={name: ClassVerdicts(judged[name], called_wrong.get(name, 0)) for name in judged},
        histogram=_histogram(table.numbers("score")[counts], is_wrong, value if isinstance(value, float) else None),
        cards=tuple(_label_card(row) for row in table.rows(first)),
        remarks=_remarks(said),
    )


def _label_card(row: dict[str, Any]) -> Card:
    suggested, probability = row.get("suggested"), row.get("probability")
    change = Change(
        old=row["label"],
        new=suggested,
        wrong=None if probability is None else 1 - probability,
        sure=row.get("suggested_probability") if suggested else None,
        score=row["score"] if probability is None else None,
        checked={"wrong": "checked: wrong", "right": "checked: right"}.get(row["verified"] or ""),
    )
    return Card(key=row["key"], path=row["path"], split=row["split"], changes=(change,))


def _reliability(probability: Floats, outcome: Bools) -> Reliability | None:
    known = ~np.isnan(probability)
    return Reliability.of(probability[known], outcome[known])


def _histogram(score: Floats, wrong: Bools, threshold: float | None) -> Histogram | None:
    known = np.isfinite(score)
    score, wrong = score[known], wrong[known]
    if not len(score) or wrong.all() or not wrong.any():
        return None
    low, high = np.quantile(score, (0.005, 0.995)) if len(score) > 200 else (score.min(), score.max())
    if not high > low:
        return None
    edges = np.linspace(low, high, _BARS + 1)
    inside = np.clip(score, low, high)
    parts = [np.histogram(inside[of], edges)[0] / max(1, int(of.sum())) for of in (~wrong, wrong)]
    shown = threshold if threshold is not None and low <= threshold <= high else None
    return Histogram(edges, parts[0], parts[1], shown)


# --- several labels an image -----------------------------------------------------------------


def _of_entries(record: StageRecord, said: dict[str, Any], most: int) -> Verdicts:
    table = Columns(record.path / NOISE, _OF_ENTRIES)
    given, missing = table.is_word("tag", "given"), table.is_word("tag", "missing")
    wrong, verified, probability = (
        table.is_word("verdict", "wrong"),
        table.truths("verified"),
        table.numbers("probability"),
    )
    measured = (verified >= 0) & ~table.is_word("split", "train")
    sorts = []
    for name, of, is_so in ((WRONG_TAGS, given, verified == 0), (MISSING_TAGS, missing, verified == 1)):
        counts = of & measured
        hits = int((counts & wrong & is_so).sum())
        sorts.append(
            Sort(
                name=name,
                looked_at=int(of.sum()),
                called=int((of & wrong).sum()),
                precision=Share.of(hits, int((counts & wrong).sum())),
                recall=Share.of(hits, int((counts & is_so).sum())),
                checked=int(counts.sum()),
                reliability=_reliability(probability[counts], verified[counts] == 1),
            )
        )
    judged, called = table.counts("class", given), table.counts("class", given & wrong)
    return Verdicts(
        record=record,
        method=str(said.get("method", record.config.get("method", "?"))),
        several=True,
        sorts=tuple(sorts),
        base=None,
        error=None,
        by_class={name: ClassVerdicts(judged[name], called.get(name, 0)) for name in judged},
        histogram=None,
        cards=_entry_cards(table, given & wrong, missing & wrong, probability, most),
        remarks=_remarks(said),
    )


def _entry_cards(table: Columns, wrong: Bools, missing: Bools, probability: Floats, most: int) -> tuple[Card, ...]:
    """A card an image, those with the surest mistake first."""
    sure = np.nan_to_num(np.where(wrong, 1 - probability, np.where(missing, probability, -1)), nan=-1)
    rows = np.flatnonzero(wrong | missing)
    order = rows[np.argsort(-sure[rows], kind="stable")][: 8 * most]
    cards: dict[str, Card] = {}
    for row in table.rows(order):
        is_missing = row["tag"] == "missing"
        present = row["verified"]
        change = Change(
            old=None if is_missing else row["class"],
            new=row["class"] if is_missing else None,
            wrong=None if is_missing or row["probability"] is None else 1 - row["probability"],
            sure=row["probability"] if is_missing else None,
            checked=None if present is None else "checked: wrong" if present is is_missing else "checked: right",
        )
        card = cards.get(row["key"])
        if card is None and len(cards) < most:
            cards[row["key"]] = Card(key=row["key"], path=None, split=row["split"], changes=(change,))
        elif card is not None:
            cards[row["key"]] = card.with_change(change)
    return tuple(cards.values())
