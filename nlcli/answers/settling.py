"""What is known of every image after all answers to it, and after what was known before.

Where words contradict each other, ``--conflicts`` settles it. What was known before is one word more, the oldest of
them. An answer that is marked as the truth stands alone.

On one label an image there are two questions: whether the noisy label is right, and if not, which class it is. Whoever
names another class says that it is wrong; whoever says that it is wrong and no more leaves the second to the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from nlcli.answers.answer import Answer
from nlcli.answers.config import Conflicts
from nlcli.answers.words import State, Word, Words
from nlcli.data.labels import FULL, NONE, LabelTable, noisy_classes
from nlcli.data.lists import shown
from nlcli.errors import NlcliError

WRONG = -2
"""On one label an image: the noisy label is wrong, and the true class is not known."""


@dataclass(eq=False)
class Settled:
    """What is known of the answered images now.

    Attributes:
        words: All that was said, and what became of it.
        known: By row, by class: 1 there, 0 not there.
        full: Rows of which every class is known.
        changed: Words that were known before and are no longer so.
    """

    words: list[Word] = field(default_factory=list)
    known: dict[int, dict[int, int]] = field(default_factory=dict)
    full: set[int] = field(default_factory=set)
    changed: int = 0


def settle(
    answers: Sequence[Answer],
    rows: Sequence[int],
    table: LabelTable,
    reader: Words,
    conflicts: Conflicts,
    closed: frozenset[int],
) -> Settled:
    """What the answers say together.

    Args:
        rows: The image of each answer, -1 for none.
        closed: Rows whose answers stay in the log, and do not become known.

    Raises:
        NlcliError: a class is unknown, what was asked is not told, or answers contradict each other.
    """
    result = Settled()
    of_row: dict[int, list[Word]] = {}
    for number, (answer, row) in enumerate(zip(answers, rows, strict=True)):
        if row < 0:
            continue
        words = reader.of(number, answer, row)
        result.words += words
        for word in words:
            if word.state == "used" and row in closed:
                word.state = "chosen by score"
            elif word.state == "used":
                of_row.setdefault(row, []).append(word)
    judge = _Judge(answers, table, conflicts)
    for row, words in of_row.items():
        final = [word for word in words if answers[word.answer].final]
        for word in words:
            if final and not answers[word.answer].final:
                word.state = "not the final one"
        known = judge.of_image(row, final or words)
        if not known:
            continue
        result.known[row] = known
        used = [word for word in final or words if word.state == "used"]
        if _is_full(table, row, known, used, reader):
            result.full.add(row)
    result.changed = judge.changed
    return result


def _is_full(table: LabelTable, row: int, known: Mapping[int, int], used: Sequence[Word], reader: Words) -> bool:
    """Whether every class of the image is known."""
    was = bool(table.verification[row] == FULL)
    if table.task == "single-label":
        return any(known.values()) and (was or any(word.there and not word.marked for word in used))
    return was or any(word.answer in reader.complete for word in used) or len(known) == table.num_classes


class _Judge:
    def __init__(self, answers: Sequence[Answer], table: LabelTable, conflicts: Conflicts) -> None:
        self._answers, self._table, self._conflicts = answers, table, conflicts
        self._single = table.task == "single-label"
        self._noisy = noisy_classes(table) if self._single else np.zeros(0, np.int64)
        self.changed = 0

    def of_image(self, row: int, words: Sequence[Word]) -> dict[int, int]:
        """By class, what is known of the image after ``words``, their states set."""
        if not self._single:
            known = {}
            for of_class in sorted({word.of_class for word in words}):
                votes = [(word, word.there) for word in words if word.of_class == of_class]
                value = self._settled(row, votes, self._before(row).get(of_class))
                if value is not None:
                    known[of_class] = value
            return known
        noisy = int(self._noisy[row])
        votes = [(word, word.of_class if word.there else WRONG) for word in words]
        before = self._before(row)
        true = next((c for c, there in before.items() if there), None)
        earlier = true if true is not None else WRONG if before else None
        value = self._one_label(row, noisy, votes, earlier)
        if value is None:
            return {}
        return {noisy: 0} if value == WRONG else {value: 1}

    def _one_label(self, row: int, noisy: int, votes: Sequence[tuple[Word, int]], earlier: int | None) -> int | None:
        """The true class, ``WRONG``, or None: first whether the noisy label is right, then which class it is."""

        if noisy < 0:
            return self._settled(row, votes, earlier)

        def right(value: int) -> int:
            return noisy if value == noisy else WRONG

        before = None if earlier is None else right(earlier)
        value = self._settled(row, [(word, right(said)) for word, said in votes], before)
        if value != WRONG:
            return value
        named = [(word, said) for word, said in votes if said not in (noisy, WRONG)]
        known = earlier if earlier not in (None, noisy, WRONG) else None
        if not named and known is None:
            return WRONG
        true = self._settled(row, named, known) if named else known
        return WRONG if true is None else true

    def _before(self, row: int) -> Mapping[int, int]:
        """What was known of the image."""
        table = self._table
        if table.verification[row] == NONE:
            return {}
        known = dict.fromkeys(table.absent[[row]].indices.tolist(), 0)
        if table.verification[row] == FULL and not self._single:
            known = dict.fromkeys(range(table.num_classes), 0)
        return known | dict.fromkeys(table.present[[row]].indices.tolist(), 1)

    def _settled(self, row: int, votes: Sequence[tuple[Word, int]], earlier: int | None) -> int | None:
        """The value that counts; None where none does."""
        values = {value for _, value in votes} | ({earlier} if earlier is not None else set())
        if len(values) == 1:
            return values.pop()
        if self._conflicts == "refuse":
            raise NlcliError(self._contradiction(row, votes, earlier))
        if self._conflicts == "newest":
            chosen: int | None = max(votes, key=lambda vote: (self._time(vote[0]), vote[0].answer))[1]
            state: State = "older"
        else:
            counts = Counter([value for _, value in votes] + ([] if earlier is None else [earlier]))
            (first, most), (_, second) = counts.most_common(2)
            chosen, state = (first, "outvoted") if most > second else (earlier, "undecided")
        for word, value in votes:
            if value != chosen:
                word.state = state
        if earlier is not None and chosen != earlier:
            self.changed += 1
        return chosen

    def _time(self, word: Word) -> float:
        return moment(self._answers[word.answer].when)

    def _contradiction(self, row: int, votes: Sequence[tuple[Word, int]], earlier: int | None) -> str:
        path, word = shown(str(self._table.paths[row])), votes[0][0]
        do = "pass --conflicts newest or --conflicts majority, or correct one of them"
        first, value = self._answers[word.answer], votes[0][1]
        other = next((self._answers[one.answer] for one, said in votes if said != value), None)
        what = "" if self._single else f" whether '{shown(self._table.classes[word.of_class])}' is there"
        if other is None:
            return f"{first.where} contradicts what is known of '{path}'{what}; {do}"
        return f"{first.where} and {other.where} contradict each other on '{path}'{what}; {do}"


def moment(text: str) -> float:
    """A time as seconds; minus infinity where it is none."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("-inf")
