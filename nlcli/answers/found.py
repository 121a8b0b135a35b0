"""Predicted against found: how many labels that looked wrong are wrong, and how many labels are wrong at all.

Images that were chosen by score are no sample. Shares of wrong labels are taken from those that were drawn at random;
what was checked before is known (``nlcli.metrics.repeated_samples``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.answers.queue import Asked, Queue
from nlcli.answers.verification_record import Found, Rate, RoundRecord, TagRoundRecord
from nlcli.data.labels import LabelTable
from nlcli.metrics.clustered_shares import clustered_share
from nlcli.metrics.repeated_samples import Round, pooled_rate
from nlcli.metrics.repeated_tag_samples import TagRound, pooled_tag_rate

_EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True, eq=False)
class Entries:
    """Labels that were asked about and answered; the arrays are (n,).

    Attributes:
        row: Of the image.
        given: bool, it is a noisy label of the image.
        wrong: bool, the label (there, or not there) is wrong.
        predicted: Probability of that; NaN where it was not known.
        at_random: bool, the image was drawn at random.
        sampled: bool, it was not in question, and stands for others of an image that was chosen by score.
    """

    row: np.ndarray
    given: np.ndarray
    wrong: np.ndarray
    predicted: np.ndarray
    at_random: np.ndarray
    sampled: np.ndarray


def entries_of(table: LabelTable, asked: Mapping[int, Asked], known: Mapping[int, Mapping[int, int]]) -> Entries:
    """Of the images of a queue, the labels that were answered: of one label an image, its noisy label alone."""
    single = table.task == "single-label"
    parts: list[tuple[int, bool, bool, float, bool, bool]] = []
    for row, of in asked.items():
        if row not in known:
            continue
        noisy = set(table.noisy[[row]].indices.tolist())
        true = next((c for c, there in known[row].items() if there), None)
        for of_class, chance in zip(of.classes, of.chances, strict=True):
            given = of_class in noisy
            if single and (not given or (true is None and of_class not in known[row])):
                continue
            there = of_class == true if single else known[row].get(of_class)
            if there is not None:
                predicted = 1 - chance if given else chance
                parts.append((row, given, bool(there) != given, predicted, of.at_random, of.sampled == of_class))
    return Entries(
        row=np.array([part[0] for part in parts], np.int64),
        given=np.array([part[1] for part in parts], bool),
        wrong=np.array([part[2] for part in parts], bool),
        predicted=np.array([part[3] for part in parts], np.float64),
        at_random=np.array([part[4] for part in parts], bool),
        sampled=np.array([part[5] for part in parts], bool),
    )


def predicted_and_found(entries: Entries, how_of: Mapping[int, str]) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """By how the images were chosen, and of all by probability."""
    known = ~np.isnan(entries.predicted)
    how = np.array([how_of[row] for row in entries.row.tolist()], object)
    chosen = known & ~entries.sampled
    by_how = tuple(_found(str(name), entries, chosen & (how == name)) for name in sorted(set(how[chosen].tolist())))
    place = np.clip(np.digitize(entries.predicted, _EDGES) - 1, 0, len(_EDGES) - 2)
    by_probability = tuple(
        _found(f"{_EDGES[i]:g} to {_EDGES[i + 1]:g}", entries, known & (place == i))
        for i in range(len(_EDGES) - 1)
        if (known & (place == i)).any()
    )
    return by_how, by_probability


def _found(how: str, entries: Entries, which: np.ndarray) -> Found:
    _, image = np.unique(entries.row[which], return_inverse=True)
    wrong = entries.wrong[which]
    share = clustered_share(np.bincount(image, wrong), np.bincount(image))
    return Found(
        how=how,
        labels=int(which.sum()),
        expected=round(float(entries.predicted[which].sum()), 4),
        wrong=int(wrong.sum()),
        interval=_rounded(share.interval),
    )


def _rounded(ends: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if ends is None else (round(ends[0], 6), round(ends[1], 6))


# --- how many labels are wrong ---------------------------------------------------------------


def rate_of_round(entries: Entries, queue: Queue, task: str) -> Rate | None:
    """Of the images that nobody had checked, by those of them that were drawn at random."""
    chosen = entries.at_random & entries.given
    if not chosen.any():
        return None
    _, image = np.unique(entries.row[chosen], return_inverse=True)
    share = clustered_share(np.bincount(image, entries.wrong[chosen]), np.bincount(image))
    images = f"{queue.record.may_be_asked:,} images that nobody had checked"
    return Rate(
        of=images if task == "single-label" else f"given tags of {images}",
        value=round(share.value, 6),
        interval=_rounded(share.interval),
        drawn=share.images,
        rounds=1,
    )


def this_round(entries: Entries, queue: Queue, fingerprint: str, earlier: Sequence[RoundRecord]) -> RoundRecord:
    """What the round tells, of one label an image, after ``earlier`` ones."""
    drawn = entries.at_random
    return RoundRecord(
        suggestion=fingerprint,
        unchecked=queue.record.may_be_asked,
        known_wrong=sum(one.found for one in earlier),
        drawn=int(drawn.sum()),
        wrong=int(entries.wrong[drawn].sum()),
        answered=len(entries.row),
        found=int(entries.wrong.sum()),
    )


def follows(earlier: Sequence[RoundRecord], queue: Queue, pool: int) -> bool:
    """Whether the images that could be asked are those of the first round, but for what was answered since."""
    return bool(earlier) and queue.record.may_be_asked == pool - sum(one.answered for one in earlier)


def this_tag_round(
    entries: Entries, queue: Queue, fingerprint: str, asked: Mapping[int, Asked]
) -> TagRoundRecord | None:
    """What the round tells of given tags; None of a queue that does not say what it was drawn from."""
    if queue.record.given is None:
        return None
    rows = np.unique(entries.row).tolist()
    sums = dict.fromkeys(_SUMS, 0.0)
    counts = dict.fromkeys(("drawn", "found", "others", "told", "told_wrong", "told_squares"), 0)
    tags = 0
    for row in rows:
        of, own = asked[row], entries.row == row
        wrong = entries.wrong & own & entries.given
        others = of.sampled_of
        tags += of.given + max(others - 1, 0)
        if of.at_random:
            answered = int((own & entries.given).sum())
            # Tags of a random image that were passed over are taken to be wrong as often as those that were not.
            w = float(wrong.sum()) * (of.given / answered if answered else 0.0)
            g = float(of.given if answered else 0)
            counts["drawn"] += 1
            for name, value in zip(_SUMS, (g, w, g * g, g * w, w * w), strict=True):
                sums[name] += value
            continue
        counts["found"] += int((wrong & ~entries.sampled).sum())
        counts["others"] += others
        if (own & entries.sampled).any():
            counts["told"] += others
            counts["told_wrong"] += others * int((wrong & entries.sampled).any())
            counts["told_squares"] += others**2
    return TagRoundRecord(
        suggestion=fingerprint,
        images=queue.record.may_be_asked,
        tags=queue.record.given,
        answered=len(rows),
        answered_tags=tags,
        **sums,
        **counts,
    )


_SUMS = ("given", "wrong", "given_squares", "products", "wrong_squares")


def tags_follow(earlier: Sequence[TagRoundRecord], this: TagRoundRecord) -> bool:
    """Whether the images and tags that could be asked are those of the round before, but for what it answered."""
    if not earlier:
        return False
    last = earlier[-1]
    return (this.images, this.tags) == (last.images - last.answered, last.tags - last.answered_tags)


def rate_of_tag_rounds(rounds: Sequence[TagRoundRecord]) -> Rate | None:
    """Of the given tags of the images that nobody had checked in the first round."""
    left_out = {"suggestion", "answered", "answered_tags"}
    rate = pooled_tag_rate([TagRound(**one.model_dump(exclude=left_out)) for one in rounds])
    if math.isnan(rate.value):
        return None
    of = f"given tags of {rounds[0].images:,} images that nobody had checked in the first of {len(rounds)} rounds"
    return Rate(
        of=of, value=round(rate.value, 6), interval=_rounded(rate.interval), drawn=rate.drawn, rounds=len(rounds)
    )


def rate_of_rounds(pool: int, rounds: Sequence[RoundRecord]) -> Rate | None:
    """Of the images that nobody had checked in the first round, by all that was drawn at random since."""
    told = [Round(one.unchecked, one.known_wrong, one.drawn, one.wrong) for one in rounds]
    rate = pooled_rate(pool, told, found=sum(one.found for one in rounds))
    if not rate.drawn:
        return None
    return Rate(
        of=f"{pool:,} images that nobody had checked in the first of {len(rounds)} rounds",
        value=round(rate.value, 6),
        interval=_rounded(rate.interval),
        drawn=rate.drawn,
        rounds=len(rounds),
    )
