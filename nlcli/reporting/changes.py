"""What a page tells of cleaned labels: what was changed, by which rule, and what is only proposed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.cleaning.cleaning_record import CLEANING, CleaningRecord
from nlcli.cleaning.label_changes import CHANGES, GIVEN
from nlcli.cleaning.plan import DETECTOR, KEPT, VERIFIED
from nlcli.data.label_files import DESCRIPTION, DatasetRecord
from nlcli.reporting.cards import Card, Change
from nlcli.reporting.columns import Columns, Type
from nlcli.stages.stage import StageRecord

_MUST: dict[str, Type] = {
    **dict.fromkeys(("key", "path", "split", "class", "old", "proposed", "new", "rule"), "text"),
    "probability": "number",
}
_MAY: dict[str, Type] = {"reason": "text"}
_STAYS = {
    "split": "in splits whose labels are not touched",
    "policy": "by the detector",
    "class": "of classes that are kept",
    "threshold": "not sure enough",
    "verified": "by a person's word",
}
_MOST_PAIRS = 12


@dataclass(frozen=True)
class Pair:
    """How many labels became another: ``old`` is None where a tag was added, ``new`` where a label was taken away."""

    old: str | None
    new: str | None
    labels: int


@dataclass(frozen=True)
class Changes:
    """The rows of ``changes.parquet``.

    Attributes:
        record: Of the data set that holds it.
        said: How the labels were cleaned, and how far that can be relied on.
        made: Labels that were changed.
        by_people: Of these, those that a person's word changed.
        proposed: Labels that stay, although a change is proposed.
        stays: Why these stay: reasons in words, and how many labels each is for, most first.
        pairs: The commonest changes that were made, or else proposed.
        cards: The surest, surest first.
    """

    record: StageRecord
    said: CleaningRecord
    made: int
    by_people: int
    proposed: int
    stays: tuple[tuple[str, int], ...]
    pairs: tuple[Pair, ...]
    cards: tuple[Card, ...]

    @property
    def left(self) -> str | None:
        """A sentence on proposals that were not made, and why; None where there are none."""
        if not self.proposed or not (self.made or self.stays):
            return None
        if not self.made:
            told = ", ".join(f"{count:,} {why}" for why, count in self.stays)
            return f"Of the {self.proposed:,} proposals: {told}."
        if not self.stays:
            return f"{self.proposed:,} more are proposed and were not made."
        if len(self.stays) == 1:
            return f"{self.proposed:,} more are proposed and were not made, {self.stays[0][0]}."
        told = ", ".join(f"{count:,} {why}" for why, count in self.stays)
        return f"{self.proposed:,} more are proposed and were not made: {told}."


def read_changes(record: StageRecord, most: int) -> Changes:
    """The changes of the data set ``record``, with cards of at most ``most`` images.

    Raises:
        NlcliError: a file is damaged.
    """
    said = CleaningRecord.read(record.path / CLEANING)
    several = DatasetRecord.read(record.path / DESCRIPTION).task == "multi-label"
    table = Columns(record.path / CHANGES, _MUST, _MAY)
    kept, by_people = table.is_word("rule", KEPT), table.is_word("rule", VERIFIED)
    spoken = table.is_word("reason", VERIFIED) if "reason" in table else np.zeros(len(table), bool)
    sure = np.nan_to_num(table.numbers("probability"), nan=-1.0)
    shown = kept if kept.all() else ~kept
    rows = np.flatnonzero(shown)
    # What a person said needs no second look: changes by the detector come first, the surest of them ahead.
    order = rows[np.lexsort((-sure[rows], (by_people | spoken)[rows]))]
    return Changes(
        record=record,
        said=said,
        made=int((~kept).sum()),
        by_people=int(by_people.sum()),
        proposed=int(kept.sum()),
        stays=_stays(table, kept),
        pairs=_pairs(table, shown, several),
        cards=_cards(table, order, most, several),
    )


def _stays(table: Columns, kept: np.ndarray) -> tuple[tuple[str, int], ...]:
    if "reason" not in table:  # made before reasons were written
        return ()
    counts = [(told, int((kept & table.is_word("reason", reason)).sum())) for reason, told in _STAYS.items()]
    return tuple(sorted(((told, count) for told, count in counts if count), key=lambda one: -one[1]))


def _pairs(table: Columns, shown: np.ndarray, several: bool) -> tuple[Pair, ...]:
    if several:
        counts = table.pairs("class", "old", shown)[:_MOST_PAIRS]
        return tuple(
            Pair(name, None, labels) if old == GIVEN else Pair(None, name, labels) for name, old, labels in counts
        )
    return tuple(Pair(old, new, labels) for old, new, labels in table.pairs("old", "proposed", shown)[:_MOST_PAIRS])


def _cards(table: Columns, order: np.ndarray, most: int, several: bool) -> tuple[Card, ...]:
    cards: dict[str, Card] = {}
    for row in table.rows(order[: 8 * most]):
        change = _change(row, several)
        card = cards.get(row["key"])
        if card is None and len(cards) < most:
            cards[row["key"]] = Card(key=row["key"], path=row["path"], split=row["split"], changes=(change,))
        elif card is not None:
            cards[row["key"]] = card.with_change(change)
    return tuple(cards.values())


def _change(row: dict[str, Any], several: bool) -> Change:
    old, new = row["old"], row["proposed"]
    by_person = VERIFIED in (row["rule"], row.get("reason"))
    if several:
        old, new = (row["class"], None) if old == GIVEN else (None, row["class"])
    return Change(
        old=old,
        new=new,
        sure=None if by_person else row["probability"],
        checked="by a person's word" if by_person else None,
        made=row["rule"] in (VERIFIED, DETECTOR),
    )
