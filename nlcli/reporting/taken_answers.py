"""What a page tells of answers that were taken in: who gave them, how far people agree, how many labels are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlcli.answers.verification_record import VERIFICATION, AgreementRecord, Found, Rate, VerificationRecord
from nlcli.metrics.intervals import FEWEST_TO_RANK
from nlcli.reporting.given import Step
from nlcli.reporting.reliability import Bin, Reliability
from nlcli.reporting.shares import Share, percent_with_ends
from nlcli.stages.stage import StageRecord

_MOST_PEOPLE = 20


@dataclass(frozen=True)
class Outcome:
    """Labels that were answered: how many were expected to be wrong, and how many are.

    Attributes:
        how: Why the images were chosen.
        expected: None where nothing was predicted of them.
    """

    how: str
    expected: float | None
    wrong: Share | None


@dataclass(frozen=True)
class WrongShare:
    """A share of wrong labels with what it is of, and on how many images, drawn at random, it rests."""

    rate: Rate

    @property
    def told(self) -> str:
        """``30 % [19.6, 42.9]``."""
        return percent_with_ends(self.rate.value, self.rate.interval)

    @property
    def too_few(self) -> bool:
        """Whether it is not to be trusted."""
        return self.rate.drawn < FEWEST_TO_RANK


@dataclass(frozen=True)
class Round:
    """One time that answers were taken in.

    Attributes:
        images: Of which something became known.
        labels: Answered ones whose probability to be wrong was predicted.
    """

    number: int
    images: int
    labels: Outcome
    share: WrongShare | None


@dataclass(frozen=True)
class TakenAnswers:
    """The answers that a data set took in.

    Attributes:
        record: Of the data set that took in the last ones.
        said: What ``verification.json`` of that one says.
        people: Answers by person, most first.
        more_people: Others, who are not among them.
        outcomes: Of the last answers, by how the images were chosen.
        reliability: Of the predictions that labels are wrong, by what was found.
        shares: Shares of wrong labels by the images that were drawn at random: of the last round, then of all.
        rounds: All that are known, the first one first.
    """

    record: StageRecord
    said: VerificationRecord
    people: tuple[tuple[str, int], ...]
    more_people: int
    outcomes: tuple[Outcome, ...]
    reliability: Reliability | None
    shares: tuple[WrongShare, ...]
    rounds: tuple[Round, ...]

    @property
    def agreement(self) -> AgreementRecord | None:
        """None where no two people answered the same."""
        return self.said.agreement

    @property
    def answers(self) -> tuple[tuple[str, int], ...]:
        """Answers by what became of them; those of which there are none are left out."""
        return tuple((state, count) for state, count in self.said.answers.items() if count)


def read_taken_answers(steps: Sequence[Step]) -> TakenAnswers | None:
    """What the last data set among ``steps`` that took in answers says, and those that it was made of; None of none.

    Raises:
        NlcliError: a ``verification.json`` is damaged.
    """
    known = {step.record.fingerprint: step.record for step in steps}
    last = next((s.record for s in reversed(steps) if _took_answers(s.record)), None)
    if last is None:
        return None
    history: list[VerificationRecord] = []
    record: StageRecord | None = last
    while record is not None:
        if _took_answers(record):
            history.insert(0, VerificationRecord.read(record.path / VERIFICATION))
        record = known.pop(
            record.input_fingerprint("dataset") or "", None
        )  # once: what is read here may be in a circle
    said = history[-1]
    people = sorted(said.annotators.items(), key=lambda one: (-one[1], one[0]))
    return TakenAnswers(
        record=last,
        said=said,
        people=tuple(people[:_MOST_PEOPLE]),
        more_people=len(people[_MOST_PEOPLE:]),
        outcomes=tuple(map(_outcome, said.found)),
        reliability=_reliability(said.by_probability),
        shares=tuple(map(WrongShare, said.rates)),
        rounds=tuple(map(_round, history)),
    )


def _took_answers(record: StageRecord) -> bool:
    return record.kind == "dataset" and (record.path / VERIFICATION).is_file()


def _outcome(found: Found) -> Outcome:
    return Outcome(found.how, found.expected, _share(found))


def _share(found: Found) -> Share | None:
    return Share(found.wrong, found.labels, found.interval) if found.labels else None


def _round(said: VerificationRecord) -> Round:
    labels, wrong = (sum(getattr(one, name) for one in said.found) for name in ("labels", "wrong"))
    expected = sum(one.expected for one in said.found) if labels else None
    # No interval: these images are a mixture of chosen ones and of random ones.
    all_labels = Outcome("all", expected, Share(wrong, labels, None) if labels else None)
    share = next((rate for rate in said.rates if rate.rounds == 1), None)
    return Round(said.round, said.images, all_labels, None if share is None else WrongShare(share))


def _reliability(parts: Sequence[Found]) -> Reliability | None:
    """Bins by predicted probability, as wide as the record has them."""
    shares = [(part, share) for part in parts if (share := _share(part)) is not None]
    if not shares:
        return None
    bins = tuple(Bin(part.expected / part.labels, share) for part, share in shares)
    count = sum(share.whole for _, share in shares)
    distance = sum(abs(one.expected - one.observed.value) * one.observed.whole for one in bins)
    return Reliability(bins, distance / count, count)
