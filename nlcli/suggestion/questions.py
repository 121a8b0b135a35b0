"""What a person is asked of each image of a queue, and why, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nlcli.data.detection_files import Detection
from nlcli.data.labels import SPLITS, LabelTable
from nlcli.data.lists import shown
from nlcli.data.tag_detection_files import TagDetection
from nlcli.seeds import stream
from nlcli.suggestion.candidates import Candidates, Keys, asked_entries
from nlcli.suggestion.choice import ERRORS, RANDOM, UNCERTAIN, Choice
from nlcli.suggestion.config import Goal

LEAST_WRONG = 0.1
"""How likely a tag's label must be wrong to be asked about on an image that was not drawn at random."""
MOST_TAGS = 10
_TOLD = 2


@dataclass(frozen=True)
class Question:
    """An image to check.

    Attributes:
        path: Relative to the folder of the data set's pictures.
        how: ``random``, ``errors`` or ``uncertain``.
        chance: Probability of being drawn, of one that was drawn at random; else None.
        expected_errors: Expected number of wrong labels; None where it is not known.
        classes: That are asked about; of one label an image its label and, where there is one, what is suggested.
        chances: The probability of each of them to be there; NaN where it is not known.
        given: Those of them that are noisy labels.
        reason: In words.
        sampled: Of several labels, on an image that was chosen by score: the last of ``classes``, a tag that is not in
            question, drawn from ``sampled_of`` such tags of the image; empty where there is none.
    """

    key: str
    path: str
    split: str
    how: str
    chance: float | None
    expected_errors: float | None
    classes: tuple[str, ...]
    chances: tuple[float, ...]
    given: tuple[str, ...]
    reason: str
    sampled: str = ""
    sampled_of: int = 0


@dataclass(frozen=True)
class _Asked:
    classes: tuple[str, ...]
    chances: tuple[float, ...]
    given: tuple[str, ...]
    why: str
    sampled: str = ""
    sampled_of: int = 0


def questions(
    detection: Detection | TagDetection,
    table: LabelTable,
    keys: Keys,
    candidates: Candidates,
    choice: Choice,
    goal: Goal,
    seed: int,
) -> list[Question]:
    """The queue, the first image first; ``seed`` draws tags that are asked about though they are not in question."""
    rows = candidates.row[choice.chosen]
    drawn = {int(row) for row in rows[choice.at_random]}
    if isinstance(detection, TagDetection):
        asked = _tags(detection, table, keys, rows, drawn, seed)
    else:
        asked = _labels(detection, table, keys, rows)
    chance = len(drawn) / max(1, len(candidates))
    made = []
    for position, at_random in zip(choice.chosen.tolist(), choice.at_random.tolist(), strict=True):
        row, expected = int(candidates.row[position]), float(candidates.expected[position])
        why = asked[row].why
        made.append(
            Question(
                key=str(table.keys[row]),
                path=str(table.paths[row]),
                split=SPLITS[table.split[row]],
                how=RANDOM if at_random else ERRORS if goal == "clean" else UNCERTAIN,
                chance=chance if at_random else None,
                expected_errors=None if np.isnan(expected) else expected,
                classes=asked[row].classes,
                chances=asked[row].chances,
                given=asked[row].given,
                reason=f"Drawn at random; {why}." if at_random else f"{why[:1].upper()}{why[1:]}.",
                sampled=asked[row].sampled,
                sampled_of=asked[row].sampled_of,
            )
        )
    return made


def _labels(detection: Detection, table: LabelTable, keys: Keys, rows: np.ndarray) -> dict[int, _Asked]:
    asked = {}
    row = keys.rows(detection.keys)
    for number in np.flatnonzero(np.isin(row, rows)).tolist():
        label, other = int(detection.noisy[number]), int(detection.suggested[number])
        right, sure = float(detection.probability[number]), float(detection.suggested_probability[number])
        why = f"label '{shown(table.classes[label])}'"
        why += " has no probability" if np.isnan(right) else f" is right with probability {right:.2f}"
        if other >= 0:
            why += f", '{shown(table.classes[other])}' is suggested" + ("" if np.isnan(sure) else f" ({sure:.2f})")
        names, chances = (table.classes[label],), (right,)
        if other >= 0 and other != label:
            asked[int(row[number])] = _Asked((*names, table.classes[other]), (*chances, sure), names, why)
        else:
            asked[int(row[number])] = _Asked(names, chances, names, why)
    return asked


def _tags(
    detection: TagDetection, table: LabelTable, keys: Keys, rows: np.ndarray, drawn: set[int], seed: int
) -> dict[int, _Asked]:
    in_question: dict[int, list[tuple[float, int, bool]]] = {int(row): [] for row in rows}
    for entries in detection.blocks():
        row, wrong = asked_entries(entries, keys)
        for number in np.flatnonzero(np.isin(row, rows)).tolist():
            entry = (-float(wrong[number]), int(entries.classes[number]), bool(entries.given[number]))
            in_question[int(row[number])].append(entry)
    asked = {}
    for number, listed in in_question.items():
        listed.sort()
        if number in drawn:
            asked[number] = _asked_tags(listed, table.classes)
        else:
            random = stream(seed, "suggest", "tag", str(table.keys[number]))
            asked[number] = _asked_of_scored(listed, table.classes, random)
    return asked


Listed = Sequence[tuple[float, int, bool]]
"""Entries of an image: less the probability of being wrong, class, whether the tag is given."""


def _asked_of_scored(entries: Listed, classes: Sequence[str], random: np.random.Generator) -> _Asked:
    """Of entries, those that are likeliest wrong first: those in question, and one of the other given tags at random.

    The drawn one stands for all others: what is wrong of these is known without bias (``repeated_tag_samples``).
    """
    doubtful = [entry for i, entry in enumerate(entries) if i == 0 or -entry[0] >= LEAST_WRONG][:MOST_TAGS]
    others = [entry for entry in entries if entry[2] and entry not in doubtful]
    asked = _asked_tags(doubtful, classes)
    if not others:
        return asked
    wrong, of_class, _ = others[int(random.integers(len(others)))]
    name = classes[of_class]
    return replace(
        asked,
        classes=(*asked.classes, name),
        chances=(*asked.chances, 1 + wrong),
        given=(*asked.given, name),
        sampled=name,
        sampled_of=len(others),
    )


def _asked_tags(entries: Listed, classes: Sequence[str]) -> _Asked:
    """Of all ``entries``, those that are likeliest wrong first."""
    told = [
        f"tag '{shown(classes[of_class])}' is {'there' if given else 'missing'}, which is wrong with probability "
        f"{-wrong:.2f}"
        for wrong, of_class, given in entries[:_TOLD]
    ]
    more = len(entries) - len(told)
    return _Asked(
        tuple(classes[of_class] for _, of_class, _ in entries),
        tuple(1 + wrong if given else -wrong for wrong, _, given in entries),
        tuple(classes[of_class] for _, of_class, given in entries if given),
        "; ".join(told) + (f"; and {more} more" if more else ""),
    )
