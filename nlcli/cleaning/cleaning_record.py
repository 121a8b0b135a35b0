"""``cleaning.json``: how the labels of a data set were cleaned, and how far that can be relied on."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from nlcli.stages.records import Record

CLEANING = "cleaning.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Claim(_Part):
    """What is said of all changes of one kind.

    Attributes:
        kind: ``replace``, ``remove`` or ``add``.
        threshold: The probability from which on such changes are made; None where none is.
        proposed, changed: How many could be made in the splits that are rewritten, and how many were.
        expected: Mean probability that those which were made are right; None of none.
        verified, right: Verified images (of several labels, entries) on which such a change would be made, by the same
            threshold, and on how many of them it would be right.
        interval: 95 % of the share of these; None of fewer than five.
    """

    kind: str
    threshold: float | None
    proposed: int
    changed: int
    expected: float | None
    verified: int
    right: int
    interval: tuple[float, float] | None

    @property
    def precision(self) -> float | None:
        """The share of right ones among verified images; None without any."""
        return self.right / self.verified if self.verified else None


class ClassChanges(_Part):
    """What happens to the labels of one class in the splits that are rewritten.

    Attributes:
        labels, after: How many there were, and are.
        gone, come: How many went and came as a detection or a run has it.
        checked: How many went or came because a person's word says so.
        verified, right, interval: As in ``Claim``, of changes that take a label of the class away or add its tag.
    """

    name: str
    labels: int
    after: int
    gone: int
    come: int
    checked: int
    verified: int
    right: int
    interval: tuple[float, float] | None


class PlantedError(_Part):
    """Of planted noise, whose truth is known: wrong labels in the splits that are rewritten.

    Attributes:
        images: Images whose truth is known (of single labels, with a noisy label before).
        before, after: The share of labels that are wrong; of several labels, of all entries of images and classes.
        changes, right: Changes that a detection or a run made, and how many of them are right.
    """

    images: int
    before: float
    after: float
    changes: int
    right: int


class CleaningRecord(Record):
    """What ``cleaning.json`` says.

    Attributes:
        policy, precision, max_changes, splits, kept_classes: As asked for.
        method: Detector, or method of the run.
        source: Kind of what proposed the changes: ``detection`` or ``run``.
        source_fingerprint, dataset_fingerprint: Of that, and of the data set whose labels were cleaned.
        parent: What ``dataset.json`` of that data set says besides classes and counts of images.
        parent_labels: Hash of its noisy labels and their confidences.
        parent_images: Hash of its ``images.parquet``.
        claims: Of the kinds of changes that were proposed.
        classes: Of classes of which a label changed, or could have.
        checked: Labels that changed because a person's word says so.
        planted: Where the data set knows the truth.
        remarks: Sentences on what should not be taken as it is.
    """

    made_by: ClassVar[str] = "clean-labels"

    policy: str
    precision: float
    max_changes: float
    splits: tuple[str, ...]
    kept_classes: tuple[str, ...]
    method: str
    source: str
    source_fingerprint: str
    dataset_fingerprint: str
    parent: dict[str, Any]
    parent_labels: str
    parent_images: str
    claims: tuple[Claim, ...]
    classes: tuple[ClassChanges, ...]
    checked: int
    planted: PlantedError | None = None
    remarks: tuple[str, ...] = ()
