"""The five facts on the first screen: what looks wrong, how sure that is, what it brings, and where everything lies."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlcli.errors import plain
from nlcli.evaluation.comparison.model_rows import OverSeeds
from nlcli.metrics.formats import ends_text
from nlcli.metrics.intervals import FEWEST_TO_RANK
from nlcli.metrics.names import ACCURACIES, HEADINGS
from nlcli.reporting.changes import Changes
from nlcli.reporting.labels import Labels
from nlcli.reporting.models import Table
from nlcli.reporting.next_images import NextImages
from nlcli.reporting.origins import Place
from nlcli.reporting.shares import Share, percent, percent_with_ends
from nlcli.reporting.taken_answers import TakenAnswers
from nlcli.reporting.verdicts import WRONG_TAGS, Sort, Verdicts

UNKNOWN = "not known"
UNBACKED = "No checked image backs this number: labels that look wrong may be right, and others may be wrong."
_ABOUT = {"noisy": "trained on the labels as they came", "auto": "what the checked images prefer"}
_MEANS = {"AP_all": " (how well all tags of all images are ranked; 1 is without a mistake)"}
_NOTHING = 0.0005


@dataclass(frozen=True)
class Fact:
    """One of them.

    Attributes:
        question: What it answers.
        answer: In a few words or a number.
        told: Sentences on what that rests on.
        place: Where something lies.
        known: Whether there is an answer.
        warning: Whether it is not to be trusted.
    """

    question: str
    answer: str
    told: tuple[str, ...]
    place: Place | None = None
    known: bool = True
    warning: bool = False


def five_facts(
    labels: Labels | None,
    verdicts: Verdicts | None,
    taken: TakenAnswers | None,
    table: Table | None,
    changes: Changes | None,
    queue: NextImages | None,
    page: Path,
) -> tuple[Fact, ...]:
    """Each of them, also where it is that something is not known, and how it would be."""
    return (
        _how_many(labels, verdicts, taken),
        _how_sure(labels, verdicts),
        _classifier(labels, table),
        _cleaned(changes, page),
        _queue(queue, page),
    )


def print_facts(facts: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Print facts as a page's record has them, a line each: the question, the answer, what it rests on, where it lies.

    Args:
        folder: Where the page lies, which the places are told from.
    """
    for fact in facts:
        place = [] if fact["place"] is None else [f"It lies in {os.path.normpath(folder / fact['place'])}."]
        told = [told for told in fact["told"] if told not in place]
        number = fact["answer"].partition(" ")[0]
        # "263. 263 of 800 labels look wrong": what the first sentence begins with is not said twice.
        answer = (
            [] if told and told[0].startswith(f"{number} ") else [f"{fact['answer'][:1].upper()}{fact['answer'][1:]}."]
        )
        print(plain(" ".join([fact["question"], *answer, *told, *place])))


def _how_many(labels: Labels | None, verdicts: Verdicts | None, taken: TakenAnswers | None) -> Fact:
    question = "How many labels look wrong?"
    share = taken.shares[-1] if taken is not None and taken.shares else None
    sample = (
        None if share is None else f"{share.told} of the {share.rate.of} are wrong, by {share.rate.drawn:,} of them"
    )
    if verdicts is not None:
        told = [_called_sentence(sort, verdicts.several) for sort in verdicts.sorts if sort.looked_at]
        people = [] if sample is None else [f"{sample} that were drawn at random and checked."]
        unbacked = not verdicts.backed and sample is None
        doubt = [UNBACKED] if unbacked else []
        by = f"Found by {verdicts.method}."
        return Fact(question, f"{verdicts.called:,}", (*told, by, *doubt, *people), warning=unbacked)
    if share is not None:
        told = [
            f"{sample} that were drawn at random; nothing has looked for them yet.",
            "nlcli detect-noise finds them.",
        ]
        return Fact(question, f"about {percent(share.rate.value)}", tuple(told), warning=share.too_few)
    wrong = labels.whole.wrong if labels is not None else None
    if wrong is not None:
        return Fact(
            question,
            f"about {percent(wrong.value)}",
            (
                f"{wrong.part:,} of {wrong.whole:,} checked labels are wrong, {wrong.told}; nothing has looked for the "
                "others yet.",
                "nlcli detect-noise finds them.",
            ),
        )
    return Fact(question, UNKNOWN, ("No detection was given; nlcli detect-noise makes one.",), known=False)


def _called_sentence(sort: Sort, several: bool) -> str:
    share = percent(sort.called / sort.looked_at)
    if not several:
        return f"{sort.called:,} of {sort.looked_at:,} labels look wrong ({share})."
    looks = "look wrong" if sort.name == WRONG_TAGS else "that are not given look as if they were missing"
    return f"{sort.called:,} of {sort.looked_at:,} tags {looks} ({share})."


def _how_sure(labels: Labels | None, verdicts: Verdicts | None) -> Fact:
    question = "How sure is that?"
    if verdicts is None:
        why = "Without a detection there is nothing to be sure of."
        if labels is not None:
            why += f" {labels.whole.verified:,} of {labels.whole.images:,} images were checked by a person."
        return Fact(question, UNKNOWN, (why,), known=False)
    measured = [sort for sort in verdicts.sorts if sort.checked and sort.precision is not None]
    if not measured:
        checked = max((sort.checked for sort in verdicts.sorts), default=0)
        why = (
            f"Of {checked:,} checked images none is among those that look wrong."
            if checked
            else "No checked image is left to measure it on: it cannot be known."
        )
        return Fact(
            question, UNKNOWN, (why, "Check some images that are drawn at random, and build again."), known=False
        )
    told = [sentence for sort in measured for sentence in _sure_sentences(sort, verdicts.several)]
    checked = max(sort.checked for sort in measured)
    few = checked < FEWEST_TO_RANK
    if few:
        told.append(f"So few ({checked:,}) are not to be trusted; {FEWEST_TO_RANK} are the least.")
    answer = " / ".join(percent(sort.precision.value) for sort in measured if sort.precision is not None) + " right"
    return Fact(question, answer, tuple(told), warning=few)


def _sure_sentences(sort: Sort, several: bool) -> list[str]:
    begins, judged = (f"{sort.name.capitalize()}: of", "tags") if several else ("Of", "labels")
    told = []
    if sort.precision is not None:
        told.append(
            f"{begins} {sort.precision.whole:,} checked {judged} that look so, {sort.precision.part:,} are: "
            f"{sort.precision.told}."
        )
    if sort.recall is not None:
        told.append(f"Of {sort.recall.whole:,} that are so, {sort.recall.part:,} are found: {sort.recall.told}.")
    told.append(
        f"Measured on {sort.checked:,} checked {'tags' if several else 'images'} that had no part in finding them."
    )
    return told


def _classifier(labels: Labels | None, table: Table | None) -> Fact:
    question = "What does the classifier reach?"
    if table is None and labels is not None and not labels.whole.verified:
        return Fact(question, UNKNOWN, ("No image was checked, so that nothing can measure it.",), known=False)
    if table is None:
        return Fact(
            question, UNKNOWN, ("No evaluation was given; nlcli eval makes one of a trained head.",), known=False
        )
    comparison = table.comparison
    known = comparison.images - comparison.images_of_unknown_class
    if table.chosen is None:
        few = f"{known:,} checked images of the {comparison.split} split are too few to rank models."
        return Fact(question, UNKNOWN, (few,), known=False)
    name, before, after = table.lead, table.chosen.before, table.chosen.after
    one, other = before.metrics[name], after.metrics[name]
    on = f"{HEADINGS[name]}{_MEANS.get(name, '')} on {known:,} checked {comparison.split} images."
    if before is after:
        others = [row for row in comparison.rows if row is not after and row.metrics[name].value is not None]
        every = [f"{_called(row.label)}: {_with_ends(name, row.metrics[name])}" for row in (after, *others[:3])]
        why = () if not others else (f"{after.label} is {table.chosen.why}.",)
        return Fact(question, _value(name, other), ("; ".join([*every, on]), *why), warning=table.chosen.flatters)
    told = [
        f"{_called(before.label)}: {_with_ends(name, one)}; {_called(after.label)}: {_with_ends(name, other)}; {on}"
    ]
    difference = _difference(name, before.label, comparison.reference, other)
    if difference is not None:
        told.append(difference)
    told.append(f"{after.label} is {table.chosen.why}.")
    return Fact(question, f"{_value(name, one)} → {_value(name, other)}", tuple(told), warning=table.chosen.flatters)


def _called(label: str) -> str:
    """A model with what it is, for readers who know no method."""
    about = _ABOUT.get(label)
    return label if about is None else f"{label} ({about})"


def _value(name: str, metric: OverSeeds) -> str:
    """Shares of images in percent; other metrics as they stand in tables."""
    if metric.value is None:
        return UNKNOWN
    return percent(metric.value) if name in ACCURACIES else f"{metric.value:.3f}"


def _with_ends(name: str, metric: OverSeeds) -> str:
    if metric.value is None:
        return UNKNOWN
    if name in ACCURACIES:
        return percent_with_ends(metric.value, metric.interval)
    return f"{metric.value:.3f}{ends_text(metric.interval, '.3f')}"


def _difference(name: str, before: str, reference: str, after: OverSeeds) -> str | None:
    """Whether the two differ beyond chance, where the table's differences are to ``before``."""
    if before != reference or after.difference is None or after.difference_interval is None:
        return None
    low, high = after.difference_interval
    if low is None or high is None:
        return None
    if max(abs(after.difference), abs(low), abs(high)) < _NOTHING:
        return "They hardly differ on these images."
    ends = f"{after.difference:+.3f}{ends_text((low, high), '+.3f')}"
    if name in ACCURACIES:
        ends = f"{100 * after.difference:+.1f} points{ends_text((low, high), '+.1f', 100)}"
    alike = "" if low > 0 or high < 0 else ": the interval holds 0, so that they may be alike"
    return f"The difference is {ends}{alike}."


def _cleaned(changes: Changes | None, page: Path) -> Fact:
    question = "Where are the cleaned labels?"
    if changes is None:
        return Fact(question, "not made", ("nlcli clean-labels makes them of a detection.",), known=False)
    place = Place.of(changes.record.path, page)
    if changes.made:
        told = [f"{changes.made:,} labels were changed, {changes.by_people:,} of them by a person's word."]
        if changes.left is not None:
            told.append(changes.left)
        answer = f"{changes.made:,} changes"
    else:
        told = [f"{changes.proposed:,} changes are proposed; no label was changed."]
        told += [] if changes.left is None else [changes.left]
        told += [f"{remark[:1].upper()}{remark[1:]}." for remark in changes.said.remarks[:1]]
        answer = f"{changes.proposed:,} proposals"
    for claim in changes.said.claims:
        share = Share.of(claim.right, claim.verified)
        if claim.changed and share is not None:
            few = f", and {claim.verified:,} are too few to trust" if share.too_few else ""
            told.append(
                f"Tried on checked images, {claim.right:,} of {claim.verified:,} changes that {claim.kind} a label are "
                f"right: {share.told}{few}."
            )
    told.append("changes.csv lists each of them.")
    return Fact(question, answer, tuple(told), place=place)


def _queue(queue: NextImages | None, page: Path) -> Fact:
    question = "What should be checked next?"
    if queue is None:
        return Fact(question, "not chosen", ("None of the directories holds a queue of images to check.",), known=False)
    told = [queue.order]
    if queue.sheet is not None:
        told.append(f"What you see goes into the column '{queue.column}' of {queue.sheet.name} beside it.")
    return Fact(question, f"{queue.images:,} images", tuple(told), place=Place.of(queue.path, page))
