"""What a page tells of the images that a person should check next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nlcli.data.tables import read_rows
from nlcli.reporting.cards import Card

_MUST = ("key",)
_MAY = (
    "path",
    "split",
    "reason",
    "classes",
    "class",
    "label",
    "suggested",
    "expected_errors",
    "how",
    "chance",
    "probabilities",
    "given",
    "score",
)


@dataclass(frozen=True)
class NextImages:
    """A queue: how many images it lists, and cards of the first ones."""

    path: Path
    images: int
    cards: tuple[Card, ...]


def read_queue(path: Path, most: int) -> NextImages:
    """The queue at ``path``: a row an image, the first ones first; ``reason`` says in words why it is asked.

    Raises:
        NlcliError: the table is damaged, or has columns that a queue has not.
    """
    cards: list[Card] = []
    images = 0
    for _, row in read_rows(path, (*_MUST, *_MAY), _MUST):
        images += 1
        if len(cards) < most:
            asked = row.get("classes", "")
            told = [row.get("reason", ""), f"Asked: {asked}." if asked else ""]
            cards.append(
                Card(
                    key=row["key"],
                    path=row.get("path") or None,
                    split=row.get("split") or None,
                    note=" ".join(part for part in told if part) or None,
                )
            )
    return NextImages(path, images, tuple(cards))
