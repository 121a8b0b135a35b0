"""Pictures of a page with what is said of their labels."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from nlcli.console import progress
from nlcli.data.label_files import dataset_blocks
from nlcli.networks.photographs import thumbnail
from nlcli.runtime import cpu_count
from nlcli.stages.stage import StageRecord

_SIDE = 240  # pixels: sharp on a screen of twice the usual density
_MOST_BYTES = 36_000  # of a picture: 300 of them are less than 15 MB of page
_SMALL = 64  # pixels from which on a picture is shown as a photograph, not as the grid of pixels that it is
_MOST_CHANGES = 12


@dataclass(frozen=True)
class Change:
    """What is said of one label of an image.

    Attributes:
        old: The label that is doubted; None where one is missing.
        new: What should stand there; None where nothing is known to.
        wrong: Probability that ``old`` is wrong.
        sure: Probability of ``new``.
        score: Of ``old``, where there are no probabilities.
        checked: What a person said, in words.
        made: Whether the change was made; None where that is not what is told.
    """

    old: str | None = None
    new: str | None = None
    wrong: float | None = None
    sure: float | None = None
    score: float | None = None
    checked: str | None = None
    made: bool | None = None


@dataclass(frozen=True)
class Picture:
    """A picture in a page.

    Attributes:
        source: A data URI.
        small: It has few pixels, and is shown as they are.
    """

    source: str
    width: int
    height: int
    small: bool


@dataclass(frozen=True)
class Card:
    """An image with what is said of it.

    Attributes:
        path: Relative to the folder of the data set's pictures; None where it is to be looked up.
        note: A sentence about it.
        picture: None where it cannot be read.
    """

    key: str
    path: str | None
    split: str | None = None
    changes: tuple[Change, ...] = ()
    note: str | None = None
    picture: Picture | None = None

    def with_change(self, change: Change) -> Card:
        """With one more of its labels; of very many the first stay."""
        return self if len(self.changes) >= _MOST_CHANGES else replace(self, changes=(*self.changes, change))

    @property
    def classes(self) -> tuple[str, ...]:
        """That are mentioned."""
        names = [name for change in self.changes for name in (change.old, change.new) if name is not None]
        return tuple(dict.fromkeys(names))


def with_pictures(cards: Sequence[Card], dataset: StageRecord | None, root: Path | None) -> tuple[Card, ...]:
    """The cards with their pictures, as far as these can be read.

    Args:
        dataset: Tells paths that the cards do not.
        root: Folder of the pictures.
    """
    if root is None or not cards:
        return tuple(cards)
    unknown = {card.key for card in cards if card.path is None}
    paths = _paths(dataset, unknown) if dataset is not None and unknown else {}
    places = [_place(root, card.path if card.path is not None else paths.get(card.key)) for card in cards]
    with (
        ThreadPoolExecutor(min(4, cpu_count()), "pictures") as pool,
        progress(len(cards), "pictures for the page", unit="pictures") as bar,
    ):
        shown = []
        for card, picture in zip(cards, pool.map(_picture, places), strict=True):
            shown.append(replace(card, picture=picture))
            bar.advance()
    return tuple(shown)


def _paths(dataset: StageRecord, keys: Collection[str]) -> dict[str, str]:
    """Paths of the images called ``keys``."""
    paths = {}
    for block in dataset_blocks(dataset.path):
        for key, path in zip(block.keys.tolist(), block.paths.tolist(), strict=True):
            if key in keys:
                paths[key] = path
    return paths


def _place(root: Path, path: str | None) -> Path | None:
    """Where a picture lies; None of a path that would lead out of its folder."""
    if not path or "\0" in path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return None
    return root / path


def _picture(path: Path | None) -> Picture | None:
    made = None if path is None else thumbnail(path, _SIDE, _MOST_BYTES)
    if made is None:
        return None
    source = "data:image/jpeg;base64," + base64.b64encode(made.content).decode("ascii")
    return Picture(source, made.width, made.height, max(made.width, made.height) < _SMALL)
