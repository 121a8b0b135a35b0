"""Which of the images that may be asked about are asked about, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.metrics.arrays import Ints
from nlcli.seeds import stream
from nlcli.suggestion.candidates import Candidates
from nlcli.suggestion.config import Goal

RANDOM, ERRORS, UNCERTAIN = "random", "errors", "uncertain"
SHARES: dict[Goal, float] = {"clean": 0.2, "train": 0.5}
"""How many of a queue are drawn at random where nothing is said."""


@dataclass(frozen=True, eq=False)
class Choice:
    """The queue.

    Attributes:
        chosen: (n,) positions among the candidates, the first one first.
        at_random: (n,) bool, it was drawn at random.
        passed_over: How many were left out as near-duplicates of others in the queue.
    """

    chosen: Ints
    at_random: np.ndarray
    passed_over: int


def choose(
    candidates: Candidates, goal: Goal, count: int, share: float, seed: int, near: Mapping[int, Sequence[int]]
) -> Choice:
    """The images to ask about.

    First a share is drawn at random, each candidate as likely as any other. The rest is taken by ``goal`` from those
    that were not drawn, without near-duplicates of what is in the queue. Both stand spread evenly among each other,
    the random ones in the order in which they were drawn: whoever stops early has a random sample all the same.

    Args:
        near: By row of the table, rows of near-duplicates.
    """
    count = min(count, len(candidates))
    wanted = round(count * share)
    drawn = stream(seed, "suggest", "random").permutation(len(candidates))[:wanted].astype(np.int64)
    left = ~np.isnan(candidates.expected)
    left[drawn] = False
    rest = np.flatnonzero(left)
    order = most_wrong(candidates, rest) if goal == "clean" else most_doubtful(candidates, rest)
    asked = set(candidates.row[drawn].tolist())
    taken: list[int] = []
    passed_over = 0
    for position in order.tolist():
        if len(taken) == count - wanted:
            break
        row = int(candidates.row[position])
        if any(other in asked for other in near.get(row, ())):
            passed_over += 1
            continue
        asked.add(row)
        taken.append(position)
    chosen = np.concatenate([np.array(taken, np.int64), drawn])
    at_random = np.repeat([False, True], [len(taken), len(drawn)])
    place = np.concatenate([(np.arange(size) + 0.5) / max(1, size) for size in (len(taken), len(drawn))])
    spread = np.argsort(place, kind="stable")
    return Choice(chosen[spread], at_random[spread], passed_over)


def most_wrong(candidates: Candidates, rest: Ints) -> Ints:
    """``rest`` by the expected number of wrong labels, those with most first; of equal ones the first key."""
    order: Ints = rest[np.lexsort((rest, -candidates.expected[rest]))]
    return order


def most_doubtful(candidates: Candidates, rest: Ints) -> Ints:
    """``rest`` so that each class comes in proportion to its images, and of a class the most doubtful image first.

    The j-th image of a class of n stands at (j + 1/2) / n of the way.
    """
    group = candidates.group[rest]
    order = np.lexsort((rest, candidates.doubt[rest], group))
    sizes = np.bincount(group) if len(group) else np.zeros(0, np.int64)
    begin = np.cumsum(sizes) - sizes
    number = np.arange(len(rest)) - begin[group[order]]
    place = (number + 0.5) / sizes[group[order]]
    ordered: Ints = rest[order[np.lexsort((rest[order], place))]]
    return ordered
