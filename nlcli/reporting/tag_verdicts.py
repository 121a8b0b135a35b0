"""A detection of wrong and of missing tags, where an image has several labels."""

from __future__ import annotations

import numpy as np

from nlcli.data.detection_files import DETECTION, NOISE
from nlcli.data.tag_detection_files import (
    VERIFIED,
    MeasuredShare,
    MeasuredTags,
    TagDetectionRecord,
    VerifiedEntries,
    read_verified,
)
from nlcli.metrics.arrays import Bools, Floats
from nlcli.reporting.cards import Card, Change
from nlcli.reporting.columns import Columns, Type
from nlcli.reporting.reliability import Reliability
from nlcli.reporting.shares import Share
from nlcli.reporting.verdicts import MISSING_TAGS, WRONG_TAGS, ClassVerdicts, Sort, Verdicts
from nlcli.stages.stage import StageRecord

_COLUMNS: dict[str, Type] = {
    **dict.fromkeys(("key", "split", "class", "tag", "verdict"), "text"),
    "probability": "number",
    "verified": "truth",
}

_SAID = {
    (False, True): "right",
    (False, False): "wrong",
    (True, True): "it is there",
    (True, False): "it is not there",
}
"""What a person said, by whether the tag is missing and whether the class is in the image."""


def read_tags(record: StageRecord, most: int) -> Verdicts:
    """The detection ``record`` with cards of at most ``most`` images.

    Raises:
        NlcliError: its files are damaged.
    """
    said = TagDetectionRecord.read(record.path / DETECTION)
    checked = read_verified(record.path / VERIFIED, said.classes)
    table = Columns(record.path / NOISE, _COLUMNS)
    given, wrong = table.is_word("tag", "given"), table.is_word("verdict", "wrong")
    probability = table.numbers("probability")
    measured = said.measured
    sorts = (
        _sort(WRONG_TAGS, given, wrong, measured.given, checked, checked.given),
        _sort(MISSING_TAGS, ~given, wrong, measured.missing, checked, ~checked.given),
    )
    judged, called = table.counts("class", given), table.counts("class", given & wrong)
    return Verdicts(
        record=record,
        method=said.method,
        several=True,
        sorts=sorts,
        base=_share(measured.naive_error),
        error=_share(measured.error),
        by_class={name: ClassVerdicts(judged[name], called.get(name, 0)) for name in judged},
        histogram=None,
        cards=_cards(table, given, wrong, probability, most),
        remarks=said.remarks,
    )


def _sort(
    name: str, of: Bools, wrong: Bools, measured: MeasuredTags, checked: VerifiedEntries, checked_of: Bools
) -> Sort:
    return Sort(
        name=name,
        looked_at=int(of.sum()),
        called=int((of & wrong).sum()),
        precision=_share(measured.precision),
        recall=_share(measured.recall),
        checked=measured.entries,
        reliability=Reliability.of(checked.probability[checked_of].astype(np.float64), checked.present[checked_of]),
    )


def _share(measured: MeasuredShare) -> Share | None:
    return Share(measured.count, measured.whole, measured.interval) if measured.whole else None


def _cards(table: Columns, given: Bools, wrong: Bools, probability: Floats, most: int) -> tuple[Card, ...]:
    """A card an image, those with the surest mistake first."""
    sure = np.nan_to_num(np.where(given, 1 - probability, probability), nan=-1)
    rows = np.flatnonzero(wrong)
    order = rows[np.argsort(-sure[rows], kind="stable")][: 8 * most]
    cards: dict[str, Card] = {}
    for row in table.rows(order):
        missing, chance, present = row["tag"] != "given", row["probability"], row["verified"]
        change = Change(
            old=None if missing else row["class"],
            new=row["class"] if missing else None,
            wrong=None if missing or chance is None else 1 - chance,
            sure=chance if missing else None,
            checked=None if present is None else f"checked: {_SAID[missing, present]}",
        )
        card = cards.get(row["key"])
        if card is None and len(cards) < most:
            cards[row["key"]] = Card(key=row["key"], path=None, split=row["split"], changes=(change,))
        elif card is not None:
            cards[row["key"]] = card.with_change(change)
    return tuple(cards.values())
