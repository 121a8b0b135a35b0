"""What a queue asked: for every image the classes, their probabilities, and how the image was chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.data.labels import LabelTable
from nlcli.data.sources.tag_tables import split_tags
from nlcli.data.tables import read_rows
from nlcli.errors import NlcliError
from nlcli.stages.stage import StageRecord
from nlcli.suggestion.choice import RANDOM
from nlcli.suggestion.queue_files import COLUMNS, QUEUE, SAMPLED, SUGGESTION, SuggestionRecord

_MOST_UNKNOWN = 0.01


@dataclass(frozen=True)
class Asked:
    """What was asked of one image.

    Attributes:
        classes: Indices.
        chances: Probability of each of them to be there; NaN where it was not known.
        how: ``random``, ``errors`` or ``uncertain``.
        chance: Of being drawn at random; None of an image that was chosen by score.
        given: How many of the classes are noisy labels.
        sampled: Of several labels: the class that is not in question and stands for ``sampled_of`` such tags; None
            where there is none.
    """

    classes: tuple[int, ...]
    chances: tuple[float, ...]
    how: str
    chance: float | None
    given: int = 0
    sampled: int | None = None
    sampled_of: int = 0

    @property
    def at_random(self) -> bool:
        """Whether it was drawn at random."""
        return self.how == RANDOM


@dataclass(frozen=True, eq=False)
class Queue:
    """A queue: what it says of itself, and by row of the label table what was asked."""

    record: SuggestionRecord
    asked: dict[int, Asked]


def read_queue(suggestion: StageRecord, table: LabelTable) -> Queue:
    """The queue in the directory ``suggestion``.

    Raises:
        NlcliError: it is of another data set, or damaged.
    """
    where = suggestion.path / QUEUE
    record = SuggestionRecord.read(suggestion.path / SUGGESTION)
    if record.task != table.task:
        raise NlcliError(f"{suggestion.path} asks about a {record.task} data set, and this one is {table.task}")
    number = {name: i for i, name in enumerate(table.classes)}
    row_of = dict(zip(table.keys.tolist(), range(len(table)), strict=True))
    asked: dict[int, Asked] = {}
    rows = unknown = 0
    for _, row in read_rows(where, (*COLUMNS, *SAMPLED), COLUMNS):
        rows += 1
        names = split_tags(row["classes"]) if row["classes"] else []
        image = row_of.get(row["key"])
        if image is None or not set(names) <= number.keys():
            unknown += 1
            continue
        chances = [float(text) if text else np.nan for text in row["probabilities"].split("|")]
        if len(chances) != len(names):
            raise NlcliError(f"{where} has other probabilities than classes; run nlcli suggest again")
        asked[image] = Asked(
            tuple(number[name] for name in names),
            tuple(chances),
            row["how"],
            float(row["chance"]) if row["chance"] else None,
            len(split_tags(row["given"])) if row["given"] else 0,
            number.get(row.get("sampled") or "\\"),
            int(row.get("sampled_of") or 0),
        )
    if unknown > _MOST_UNKNOWN * rows:
        raise NlcliError(
            f"{unknown:,} of {rows:,} images of {suggestion.path} are not in the data set, or ask about classes that "
            "it does not have; pass the queue that was made of this data set"
        )
    return Queue(record, asked)
