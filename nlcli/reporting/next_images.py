"""What a page tells of the images that a person should check next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nlcli.data.sources.tag_tables import split_tags
from nlcli.data.tables import read_rows
from nlcli.reporting.cards import Card
from nlcli.suggestion.choice import RANDOM
from nlcli.suggestion.queue_files import ANSWERS, COLUMNS, QUEUE_CSV, SAMPLED

_MUST = ("key",)
_MAY = tuple(dict.fromkeys((*COLUMNS, *SAMPLED, "class", "label", "suggested", "score")))
"""What nlcli suggest writes, and what a table of one's own may have."""


@dataclass(frozen=True)
class NextImages:
    """A queue: how many images it lists, and cards of the first ones.

    Attributes:
        path: Of the table that a person can open, where there is one beside the other.
        at_random: All were drawn at random.
        sheet: The table that is filled in, and the column that is (``label``, of several labels ``right``); None where
            there is none.
    """

    path: Path
    images: int
    cards: tuple[Card, ...]
    at_random: bool = False
    sheet: Path | None = None
    column: str = "label"

    @property
    def order(self) -> str:
        """In which order they stand, a sentence."""
        if self.at_random:
            return "Drawn at random, so that they measure how many labels are wrong."
        return "The most useful first."


def read_queue(path: Path, most: int) -> NextImages:
    """The queue at ``path``: a row an image, the first ones first; ``reason`` says in words why it is asked.

    Raises:
        NlcliError: the table is damaged, or has columns that a queue has not.
    """
    cards: list[Card] = []
    images, how = 0, set[str]()
    for _, row in read_rows(path, _MAY, _MUST):
        images += 1
        how.add(row.get("how", ""))
        if len(cards) < most:
            asked = ", ".join(split_tags(row.get("classes", "")))
            told = [row.get("reason", ""), f"Asked: {asked}." if asked else ""]
            cards.append(
                Card(
                    key=row["key"],
                    path=row.get("path") or None,
                    split=row.get("split") or None,
                    note=" ".join(part for part in told if part) or None,
                )
            )
    opened, sheet = path.parent / QUEUE_CSV, path.parent / ANSWERS
    return NextImages(
        path=opened if opened.is_file() else path,
        images=images,
        cards=tuple(cards),
        at_random=how == {RANDOM},
        sheet=sheet if sheet.is_file() else None,
        column=_to_fill_in(sheet),
    )


def _to_fill_in(sheet: Path) -> str:
    """The column of a sheet that a person fills in: ``right`` where a row is a class, else ``label``."""
    if not sheet.is_file():
        return "label"
    with open(sheet, encoding="utf-8") as lines:
        return "right" if "right" in lines.readline().strip().split(",") else "label"
