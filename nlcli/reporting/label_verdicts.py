"""A detection of wrong labels where an image has one."""

from __future__ import annotations

from typing import Any

import numpy as np

from nlcli.data.detection_files import DETECTION, NOISE, DetectionRecord
from nlcli.metrics.arrays import Bools, Floats
from nlcli.reporting.cards import Card, Change
from nlcli.reporting.columns import Columns, Type
from nlcli.reporting.reliability import Reliability
from nlcli.reporting.shares import Share
from nlcli.reporting.verdicts import WRONG_LABELS, ClassVerdicts, Histogram, Sort, Verdicts
from nlcli.stages.stage import StageRecord

_OF_LABELS: dict[str, Type] = {
    **dict.fromkeys(("key", "path", "split", "label", "verified"), "text"),
    "score": "number",
    **dict.fromkeys(("verdict", "measured"), "text"),
}
_SUGGESTIONS: dict[str, Type] = {"probability": "number", "suggested": "text", "suggested_probability": "number"}
_BARS = 24


def read_labels(record: StageRecord, most: int) -> Verdicts:
    """The detection ``record`` with cards of at most ``most`` images.

    Raises:
        NlcliError: its files are damaged.
    """
    said = DetectionRecord.read(record.path / DETECTION)
    table = Columns(record.path / NOISE, _OF_LABELS, _SUGGESTIONS)
    wrong = table.is_word("verdict", "wrong")
    counts = table.known("measured") & table.known("verified")
    is_wrong, called = table.is_word("verified", "wrong")[counts], table.is_word("measured", "wrong")[counts]
    probability = table.numbers("probability") if "probability" in table else None
    sort = Sort(
        name=WRONG_LABELS,
        looked_at=len(table),
        called=int(wrong.sum()),
        precision=Share.of(int((is_wrong & called).sum()), int(called.sum())),
        recall=Share.of(int((is_wrong & called).sum()), int(is_wrong.sum())),
        checked=len(is_wrong),
        reliability=None if probability is None else Reliability.of(probability[counts], ~is_wrong),
    )
    judged, called_wrong = table.counts("label"), table.counts("label", wrong)
    # The file is worst first; those that nobody has looked at are news, and stand before the others, which are marked.
    news = wrong & ~table.known("verified")
    first = np.concatenate([np.flatnonzero(news), np.flatnonzero(wrong & ~news)])[:most]
    return Verdicts(
        record=record,
        method=said.method,
        several=False,
        sorts=(sort,),
        base=Share.of(int(is_wrong.sum()), len(is_wrong)),
        error=Share.of(int((is_wrong != called).sum()), len(is_wrong)),
        by_class={name: ClassVerdicts(judged[name], called_wrong.get(name, 0)) for name in judged},
        histogram=_histogram(table.numbers("score")[counts], is_wrong, said.threshold.value),
        cards=tuple(_label_card(row) for row in table.rows(first)),
        remarks=said.remarks,
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


def _histogram(score: Floats, wrong: Bools, threshold: float) -> Histogram | None:
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
    shown = threshold if low <= threshold <= high else None
    return Histogram(edges, parts[0], parts[1], shown)
