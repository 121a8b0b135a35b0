"""What a stage says at once of a result that one should not take as it is: sentences, also in its record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.training.loop.contract import Outcome

_NAMED = 5  # classes that are named at most
_EXPECTED = 3.0
"""Images that a class must be expected to have, by its share of the noisy labels, for none to be strange (5 %)."""


def step_remark(outcome: Outcome, *, started: bool = False) -> str | None:
    """That the best step is the first or the last one that was looked at, or that none was taken.

    Args:
        started: Whether it began at solved classifiers.
    """
    if started and not outcome.steps:
        return (
            "no validation image is verified, so that nothing tells whether a step makes it better: the head is that "
            "of auto; verify images of the validation split, or train from new weights with --set start=new"
        )
    looked = [(line.phase, line.step) for line in outcome.history if line.validation]
    if outcome.selected_by is None or len(looked) < 2:
        return None
    chosen, what = (outcome.phase, outcome.step), f"by validation {outcome.selected_by}"
    if chosen == looked[0] and started:
        return (
            f"no step was better than the solved classifier that it began at ({what}): the head is that of auto; your "
            "features may hold no more, or the verified images are too few to tell"
        )
    if chosen == looked[0]:
        return (
            f"the best step is the first one, {outcome.step:,} of phase '{outcome.phase}' ({what}): training made it "
            "no better; lower the learning rate, or look at the labels"
        )
    if chosen == looked[-1] and outcome.stopped == "steps":
        return f"the best step is the last one, {outcome.step:,} ({what}): more steps may make it better"
    return None


def classifier_remarks(table: LabelTable, rows: np.ndarray, first: np.ndarray, where: str) -> list[str]:
    """What the answers of a single-label classifier tell against it.

    Args:
        table: The data set.
        rows: (n,) rows of the images that it answered.
        first: (n,) the class that it gave each.
        where: Of the images, for people, such as ``validation``.
    """
    from nlcli.data.labels import noisy_classes, true_classes

    truth, noisy = true_classes(table)[rows], noisy_classes(table)[rows]
    remarks = []
    both = (truth >= 0) & (noisy >= 0)
    if both.any():
        own, believed = float((first == truth)[both].mean()), float((noisy == truth)[both].mean())
        if own <= believed < 1:
            remarks.append(
                f"no better than believing every label: of the {int(both.sum()):,} images of {where} whose true and "
                f"noisy class are known, it is right on {100 * own:.1f} %, and their noisy labels are on "
                f"{100 * believed:.1f} %"
            )
    of_train = noisy_classes(table)[table.rows("train")]
    shares = np.bincount(of_train[of_train >= 0], minlength=table.num_classes) / max(1, len(of_train))
    given = np.union1d(truth[truth >= 0], np.flatnonzero(shares * len(rows) >= _EXPECTED))
    never = [table.classes[c] for c in np.setdiff1d(given, first)]
    if never:
        named = ", ".join(f"'{name}'" for name in never[:_NAMED]) + (", ..." if len(never) > _NAMED else "")
        which = "class" if len(never) == 1 else "classes"
        remarks.append(
            f"on {len(rows):,} images of {where} it never predicts {len(never)} {which} that their true labels, or the "
            f"training images' noisy labels often enough, have: {named}"
        )
    return remarks
