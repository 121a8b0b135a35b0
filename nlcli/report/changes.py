"""What a page tells of cleaned labels: what was changed, by which rule, and what is only proposed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nlcli.report.cards import Card, Change
from nlcli.report.columns import Columns
from nlcli.report.given import CHANGES
from nlcli.stages.stage import StageRecord

_MUST = ("key", "path", "split", "old", "new", "probability", "rule")
_MOST_PAIRS = 12
_KEPT, _VERIFIED = "kept", "verified"


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
        made: Labels that were changed.
        by_people: Of these, those that a person's word changed.
        proposed: Labels that stay, although a change is proposed.
        pairs: The commonest changes that were made, or else proposed.
        cards: The surest, surest first.
    """

    record: StageRecord
    made: int
    by_people: int
    proposed: int
    pairs: tuple[Pair, ...]
    cards: tuple[Card, ...]


def read_changes(record: StageRecord, most: int) -> Changes:
    """The changes of the data set ``record``, with cards of at most ``most`` images.

    Raises:
        NlcliError: the file is damaged.
    """
    table = Columns(record.path / CHANGES, _MUST, ("class",))
    kept = table.is_word("rule", _KEPT)
    sure = np.nan_to_num(table.numbers("probability"), nan=-1.0)
    shown = ~kept if not kept.all() else kept
    rows = np.flatnonzero(shown)
    # What a person said needs no second look: changes by the detector come first, the surest of them ahead.
    order = rows[np.lexsort((-sure[rows], table.is_word("rule", _VERIFIED)[rows]))]
    return Changes(
        record=record,
        made=int((~kept).sum()),
        by_people=int(table.is_word("rule", _VERIFIED).sum()),
        proposed=int(kept.sum()),
        pairs=_pairs(table, shown),
        cards=_cards(table, order, most),
    )


def _pairs(table: Columns, shown: np.ndarray) -> tuple[Pair, ...]:
    counts = table.pairs("old", "new", shown)[:_MOST_PAIRS]
    return tuple(Pair(old, new, labels) for old, new, labels in counts)


def _cards(table: Columns, order: np.ndarray, most: int) -> tuple[Card, ...]:
    cards: dict[str, Card] = {}
    for row in table.rows(order[: 8 * most]):
        change = _change(row)
        card = cards.get(row["key"])
        if card is None and len(cards) < most:
            cards[row["key"]] = Card(key=row["key"], path=row["path"], split=row["split"], changes=(change,))
        elif card is not None:
            cards[row["key"]] = card.with_change(change)
    return tuple(cards.values())


def _change(row: dict[str, Any]) -> Change:
    return Change(
        old=row["old"],
        new=row["new"],
        sure=row["probability"],
        checked="by a person's word" if row["rule"] == _VERIFIED else None,
        made=row["rule"] != _KEPT,
    )
