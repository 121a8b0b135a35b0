"""``verification.json``: what answers said, how far people agree, and how many labels are wrong."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from nlcli.data.labels import Task
from nlcli.stages.records import Record

VERIFICATION = "verification.json"
Ends = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgreementRecord(_Part):
    """How far people agree on images (of several labels: on images and classes) that two or more answered.

    Attributes:
        units, people: How many of these there are, and who answered them.
        raw, kappa, alpha: As ``nlcli.metrics.agreement.Agreement`` has them.
    """

    units: int
    people: int
    raw: float
    kappa: float | None
    alpha: float | None


class Found(_Part):
    """Predicted and found wrong labels among answered ones.

    Attributes:
        how: How the images were chosen, or ``all``; of a part by probability, ``0.1 to 0.3``.
        labels: Answered labels whose probability to be wrong was predicted.
        expected, wrong: How many were predicted to be wrong, and how many are.
        interval: 95 % of the share of wrong ones; None of fewer than five.
    """

    how: str
    labels: int
    expected: float
    wrong: int
    interval: Ends | None


class RoundRecord(_Part):
    """What one round tells of the share of wrong labels; of one label an image.

    Attributes:
        suggestion: Fingerprint of the queue.
        unchecked, known_wrong, drawn, wrong: As ``nlcli.metrics.repeated_samples.Round`` has them.
        answered, found: Images of the queue that were answered, and those whose label is wrong.
    """

    suggestion: str
    unchecked: int
    known_wrong: int
    drawn: int
    wrong: int
    answered: int
    found: int


class TagRoundRecord(_Part):
    """What one round tells of the share of wrong given tags; of several labels an image.

    Attributes:
        suggestion: Fingerprint of the queue.
        images, tags, drawn, given, wrong, given_squares, products, wrong_squares, found, others, told, told_wrong,
            told_squares: As ``nlcli.metrics.repeated_tag_samples.TagRound`` has them.
        answered, answered_tags: Images of the queue that were answered, and all of their given tags.
    """

    suggestion: str
    images: int
    tags: int
    drawn: int
    given: float
    wrong: float
    given_squares: float
    products: float
    wrong_squares: float
    found: int
    others: int
    told: int
    told_wrong: int
    told_squares: int
    answered: int
    answered_tags: int


class Rate(_Part):
    """The share of wrong labels, by what was drawn at random.

    Attributes:
        of: Images that it is the share of; of several labels their given tags.
        value, interval: The share, and its 95 % interval.
        drawn: Images that were drawn at random and answered.
        rounds: In how many rounds.
    """

    of: str
    value: float
    interval: Ends | None
    drawn: int
    rounds: int


class VerificationRecord(Record):
    """What ``verification.json`` says.

    Attributes:
        round: 1 for the first answers that a data set took in.
        scope, conflicts, measured_splits: As asked for.
        answers: Answers by what became of them: ``answered``, ``skipped``, ``not looked at``, ``no such image``.
        images: Images of which something is known now that was answered.
        present, absent: Words that became known.
        left_out: Words that did not, by reason.
        changed: Words known before that are no longer so.
        annotators: Answers by who gave them.
        found: Predicted and found wrong labels by how the images were chosen, then of all by probability.
        rates: Shares of wrong labels.
        rounds: Of one label an image, the rounds so far whose images follow each other.
        tag_rounds: The same of several labels an image.
        ancestors: Fingerprints of the data sets that this one was made of by answers, the first one first.
    """

    made_by: ClassVar[str] = "import-verification"

    task: Task
    round: int
    scope: str
    conflicts: str
    measured_splits: str
    answers: dict[str, int]
    images: int
    present: int
    absent: int
    left_out: dict[str, int]
    changed: int
    annotators: dict[str, int]
    agreement: AgreementRecord | None
    found: tuple[Found, ...]
    by_probability: tuple[Found, ...]
    rates: tuple[Rate, ...]
    rounds: tuple[RoundRecord, ...]
    pool: int
    tag_rounds: tuple[TagRoundRecord, ...] = ()
    ancestors: tuple[str, ...]
    dataset_fingerprint: str
    suggestion_fingerprint: str | None
    remarks: tuple[str, ...] = ()
