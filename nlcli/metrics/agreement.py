"""How far people who labelled the same things agree: raw, Cohen's kappa, Krippendorff's alpha."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """How far people agree.

    Attributes:
        units: Things that two people or more labelled.
        people: Who labelled one of these.
        raw: Share of pairs of answers to a thing that are alike, averaged over the things.
        kappa: Cohen's kappa (Cohen 1960) where there are two people, else None.
        alpha: Krippendorff's alpha of nominal labels (Krippendorff 2004, section 11.3), any number of people; None
            where all answers are alike, so that no agreement by chance can be told.
    """

    units: int
    people: int
    raw: float
    kappa: float | None
    alpha: float | None


def agreement(units: Sequence[Mapping[str, Hashable]]) -> Agreement | None:
    """The agreement on ``units``, each a label by who gave it; None where none has two."""
    several = [unit for unit in units if len(unit) > 1]
    if not several:
        return None
    people = sorted({name for unit in several for name in unit})
    raw = sum(_alike(Counter(unit.values())) for unit in several) / len(several)
    return Agreement(len(several), len(people), raw, _kappa(several, people, raw), _alpha(several))


def _alike(counts: Counter[Hashable]) -> float:
    """Share of pairs of different answers to one thing that are alike."""
    total = counts.total()
    return sum(count * (count - 1) for count in counts.values()) / (total * (total - 1))


def _kappa(units: Sequence[Mapping[str, Hashable]], people: Sequence[str], raw: float) -> float | None:
    if len(people) != 2:
        return None
    first, second = (Counter(unit[name] for unit in units) for name in people)
    chance = sum(count * second[label] for label, count in first.items()) / len(units) ** 2
    return (raw - chance) / (1 - chance) if chance < 1 else None


def _alpha(units: Sequence[Mapping[str, Hashable]]) -> float | None:
    """1 - D_o / D_e: observed and expected disagreement, every thing weighted by its number of answers."""
    counts: Counter[Hashable] = Counter()
    observed = 0.0
    for unit in units:
        of_unit = Counter(unit.values())
        counts += of_unit
        observed += len(unit) * (1 - _alike(of_unit))
    total = counts.total()
    expected = 1 - sum(count * (count - 1) for count in counts.values()) / (total * (total - 1))
    return 1 - observed / total / expected if expected > 0 else None
