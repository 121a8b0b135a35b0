"""Which of the proposed changes are made, what that does to every class, and when it is refused.

A change is made where it is in a split that is rewritten, of no class that is kept, on an image of which no person's
word may be used, and where its probability reaches the threshold of its kind (``precision.py``). Where a person's word
may be used, that is what is written.

Refused, each with what to do about it, are changes

- whose precision verified images do not show to be what is asked, or that none of them can show;
- of more labels of a class than ``max_changes`` of it, rounded up: labels that go, and tags that come;
- that leave a class without any label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nlcli.cleaning.cleaning_record import Claim, ClassChanges
from nlcli.cleaning.precision import Measured, lowest_threshold, measure
from nlcli.cleaning.proposals import KINDS, NONE, REPLACE, Proposals, joined
from nlcli.data.labels import LabelTable
from nlcli.errors import printable
from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.metrics.intervals import FEWEST, FEWEST_OF_CLASS

RULES = VERIFIED, DETECTOR, KEPT = ("verified", "detector", "kept")
"""By what the new label came: a person's word, a detection or run, or nothing: the change is only proposed."""
REASONS = ("policy", "split", "class", "threshold", "verified")
"""Why a proposal is only that: nothing is changed, or not in this split, or of this class, or it is not sure enough, or
it is a person's word where nothing is changed."""
TRUSTED = 50
"""Verified images below which a precision is said not to be trusted."""
_DO = {"replace": "replace a label", "remove": "take a label away", "add": "add a tag"}


@dataclass(frozen=True)
class Limits:
    """What is asked for; as ``CleanDataset`` has it, classes by their index.

    Attributes:
        persons: With the policy ``suggest``: whether what persons said is made all the same.
    """

    policy: str
    precision: float
    max_changes: float
    splits: Ints
    kept: Ints
    persons: bool = False


@dataclass(frozen=True, eq=False)
class Plan:
    """What is done with every proposal.

    Attributes:
        changes: Proposals, those that are made first.
        rule: (n,) index into ``RULES``.
        reason: (n,) index into ``REASONS``, -1 for what is made.
        threshold: (n,) float64, NaN where a person's word decides, or where there is none.
        claims, classes, remarks: See ``CleaningRecord``.
        refusal: Why the changes may not be made, and what to do; None where they may.
    """

    changes: Proposals
    rule: Ints
    reason: Ints
    threshold: Floats
    claims: tuple[Claim, ...]
    classes: tuple[ClassChanges, ...]
    remarks: tuple[str, ...]
    refusal: str | None

    @property
    def made(self) -> Bools:
        """(n,) whether the change is made."""
        made: Bools = self.rule != RULES.index(KEPT)
        return made


def make_plan(table: LabelTable, proposals: Proposals, by_person: Proposals, told: Bools, limits: Limits) -> Plan:
    """Decide on all proposals.

    Args:
        proposals: Of a detection or a run, of any images.
        by_person: What persons' words say, of images of ``told`` alone.
        told: (N,) images of the table whose verified labels may be used.
    """
    judging = proposals.where(proposals.right >= 0)
    proposals = proposals.where(~told[proposals.row])
    reason = np.full(len(proposals), -1, np.int64)
    touches = np.isin(proposals.old, limits.kept) | np.isin(proposals.new, limits.kept)
    reason[touches] = REASONS.index("class")
    reason[~np.isin(table.split[proposals.row], limits.splits)] = REASONS.index("split")
    chosen = [_choose(kind, proposals.where(reason < 0), judging, limits) for kind in range(len(KINDS))]
    lowest = np.array([np.nan if one.threshold is None else one.threshold for one in chosen])
    threshold = lowest[proposals.kind]
    reason[(reason < 0) & ~(proposals.probability >= threshold)] = REASONS.index("threshold")

    ours = ~(np.isin(by_person.old, limits.kept) | np.isin(by_person.new, limits.kept))
    by_person = by_person.where(ours & np.isin(table.split[by_person.row], limits.splits))
    changes = joined([by_person, proposals])
    reason = np.concatenate([np.full(len(by_person), -1, np.int64), reason])
    threshold = np.concatenate([np.full(len(by_person), np.nan), threshold])
    by_rule = np.where(reason >= 0, RULES.index(KEPT), RULES.index(DETECTOR))
    by_rule[: len(by_person)] = RULES.index(VERIFIED)
    if limits.policy == "suggest":
        by_rule[len(by_person) :] = RULES.index(KEPT)
        of_machine = reason[len(by_person) :]
        of_machine[of_machine < 0] = REASONS.index("policy")
        if not limits.persons:
            by_rule[: len(by_person)] = RULES.index(KEPT)
            reason[: len(by_person)] = REASONS.index("verified")
    order = np.lexsort((changes.row, -changes.probability, by_rule))
    changes, rule, reason = changes.where(order), by_rule[order], reason[order]

    claims = tuple(_claim(kind, one, changes, rule, reason) for kind, one in enumerate(chosen) if one.proposed)
    classes = _classes(table, changes, rule, judging, lowest, limits)
    refusal = None
    if limits.policy != "suggest":
        refusal = _unsure(chosen, limits, bool(told.any())) or _too_much(classes, limits, table)
    elif limits.persons:
        refusal = _too_much(classes, limits, table)
    return Plan(changes, rule, reason, threshold[order], claims, classes, _remarks(chosen, claims, limits), refusal)


# --- thresholds ------------------------------------------------------------------------------


class _Chosen(NamedTuple):
    kind: str
    proposed: int
    threshold: float | None
    measured: Measured
    everywhere: Measured  # of all such proposals, whatever their probability
    most: float  # the highest probability that is promised


def _choose(number: int, proposals: Proposals, judging: Proposals, limits: Limits) -> _Chosen:
    of_kind, of_verified = proposals.where(proposals.kind == number), judging.where(judging.kind == number)
    of_kind = of_kind.where(~np.isnan(of_kind.probability))
    probability, known, right = of_kind.probability, of_verified.probability, of_verified.right == 1
    if limits.precision > 0:
        threshold = lowest_threshold(probability, known, right, limits.precision) if len(probability) else None
    else:
        threshold = 0.0
    everywhere = measure(known, right, 0.0, of_verified.row)
    measured = Measured(0, 0, None) if threshold is None else measure(known, right, threshold, of_verified.row)
    most = float(probability.max(initial=0.0))
    return _Chosen(KINDS[number], len(of_kind), threshold, measured, everywhere, most)


def _claim(number: int, chosen: _Chosen, changes: Proposals, rule: Ints, reason: Ints) -> Claim:
    proposed = changes.kind == number
    reaches = (rule == RULES.index(DETECTOR)) | ((rule == RULES.index(KEPT)) & (reason == REASONS.index("policy")))
    would = changes.probability[proposed & reaches & (changes.right < 0)]
    return Claim(
        kind=chosen.kind,
        threshold=chosen.threshold,
        proposed=chosen.proposed,
        changed=int((proposed & (rule == RULES.index(DETECTOR))).sum()),
        expected=float(would.mean()) if len(would) else None,
        verified=chosen.measured.images,
        right=chosen.measured.right,
        interval=chosen.measured.interval,
    )


def _remarks(chosen: list[_Chosen], claims: tuple[Claim, ...], limits: Limits) -> tuple[str, ...]:
    remarks = []
    for one in chosen:
        if one.proposed and one.threshold is None:
            remarks.append(f"no change that would {_DO[one.kind]} is made: {_shortfall(one, limits)}")
    for claim in claims:
        if claim.threshold is not None and claim.verified < TRUSTED:
            rests = f"rests on {claim.verified} verified images" if claim.verified else "is not measured"
            remarks.append(f"how often changes that {_DO[claim.kind]} are right {rests}, and is not to be trusted")
    return tuple(remarks)


def _shortfall(one: _Chosen, limits: Limits) -> str:
    """Why there is no threshold."""
    if one.everywhere.images < FEWEST:
        number = f"only {one.everywhere.images}" if one.everywhere.images else "no"
        plural = "s" if one.everywhere.images > 1 else ""
        return f"{number} verified image{plural} can tell how often that is right (at least {FEWEST} are needed)"
    if one.most < limits.precision:
        return f"the surest is right with probability {one.most:.2f}, less than --precision {limits.precision:g}"
    assert one.everywhere.share is not None
    return (
        f"on {one.everywhere.images:,} verified images where that would be done it is right on "
        f"{one.everywhere.share:.2f}{_ends(one.everywhere)} of them, and no threshold brings it to --precision "
        f"{limits.precision:g}"
    )


def _ends(measured: Measured) -> str:
    return "" if measured.interval is None else f" [{measured.interval[0]:.2f}, {measured.interval[1]:.2f}]"


# --- classes ---------------------------------------------------------------------------------


def _classes(
    table: LabelTable, changes: Proposals, rule: Ints, judging: Proposals, lowest: Floats, limits: Limits
) -> tuple[ClassChanges, ...]:
    count = table.num_classes
    rows = np.flatnonzero(np.isin(table.split, limits.splits))

    def number(classes: Ints, which: Bools) -> Ints:
        counts: Ints = np.bincount(classes[which & (classes >= 0)], minlength=count)
        return counts

    labels = np.bincount(table.noisy[rows].indices, minlength=count)
    by_machine, by_person = rule == RULES.index(DETECTOR), rule == RULES.index(VERIFIED)
    gone, come = number(changes.old, by_machine), number(changes.new, by_machine)
    checked_gone, checked_come = number(changes.old, by_person), number(changes.new, by_person)
    reached = judging.probability >= lowest[judging.kind]  # NaN: none
    of = np.where(judging.old == NONE, judging.new, judging.old)
    verified, right = number(of, reached), number(of, reached & (judging.right == 1))
    seen = np.zeros(count, bool)
    for part in (changes.old, changes.new):
        seen[part[part >= 0]] = True
    after = labels - gone - checked_gone + come + checked_come

    def interval(c: int) -> tuple[float, float] | None:
        if verified[c] < FEWEST_OF_CLASS:
            return None
        from nlcli.metrics.intervals import metric_interval, share_support

        support = share_support(int(verified[c]), of_class=True)
        return metric_interval(right[c] / verified[c], np.zeros(0), support)

    return tuple(
        ClassChanges(
            name=table.classes[c],
            labels=int(labels[c]),
            after=int(after[c]),
            gone=int(gone[c]),
            come=int(come[c]),
            checked=int(checked_gone[c] + checked_come[c]),
            verified=int(verified[c]),
            right=int(right[c]),
            interval=interval(c),
        )
        for c in np.flatnonzero(seen).tolist()
    )


# --- refusals --------------------------------------------------------------------------------

REFUSED = "no label is changed: "


def _unsure(chosen: list[_Chosen], limits: Limits, some_told: bool) -> str | None:
    """Why no change is sure enough."""
    proposed = [one for one in chosen if one.proposed]
    if proposed and all(one.threshold is None for one in proposed):
        first = max(proposed, key=lambda one: one.proposed)
        less = "verify more images and detect again" if first.everywhere.images < FEWEST else "pass a lower --precision"
        drop = ", --policy drop" if first.kind == REPLACE and some_told else ""
        return (
            f"{REFUSED}to {_DO[first.kind]}, {_shortfall(first, limits)}; {less}{drop}, or --policy "
            "suggest, which only lists proposals"
        )
    return None


def _too_much(classes: tuple[ClassChanges, ...], limits: Limits, table: LabelTable) -> str | None:
    """Why a class would change too much."""
    several = table.task == "multi-label"
    for one in classes:
        changed = one.gone + (one.come if several else 0)
        allowed = int(np.ceil(limits.max_changes * one.labels - 1e-9))
        if changed > allowed:
            share = (
                f"{100 * changed / one.labels:.0f} % of its {one.labels:,} labels"
                if one.labels
                else f"{changed:,} labels"
            )
            least = min(1.0, np.ceil(100 * changed / one.labels) / 100) if one.labels else 1.0
            raised = f"pass --max-changes {least:g}, or " if changed <= one.labels else ""
            return (
                f"of class '{printable(one.name)}' {share} would change, more than --max-changes "
                f"{limits.max_changes:g}; look at them with --dry-run, then {raised}leave the class as it is with "
                f"--keep-class '{printable(one.name)}'"
            )
    for one in classes:
        if one.labels and one.after <= 0:
            return (
                f"class '{printable(one.name)}' would lose all of its {one.labels:,} labels; leave it as it is with "
                f"--keep-class '{printable(one.name)}', or pass a higher --precision"
            )
    return None
