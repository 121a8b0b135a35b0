"""Resamples of the images (Efron 1979) for AP, mAP and AP_all; ``intervals`` makes intervals of them.

A resample draws ``N`` images with replacement; that is the same as weighting image ``i`` by how
often it was drawn. Nothing is sorted again: the entries are cut once into *segments*, one for each
distinct score of a positive and reaching down to the next lower one. Precision changes its
weighted counts only from segment to segment, so a resample needs the weight in every segment
(a sparse matrix times the weights of many resamples at once), a running sum, and a mean.

Resample ``b`` depends on the seed, ``b`` and the number of images alone. Two models scored on the
same images therefore meet the same resamples, and the difference of their replicates is paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.metrics.ranking import rank_keys, score_order

if TYPE_CHECKING:
    from scipy.sparse import csr_array

BLOCK = 1 << 21
"""Entries that are assigned to segments at a time; no result depends on it."""
BATCH_BYTES = 96 << 20
"""Memory of the resamples that a thread works on at a time; no result depends on it."""


@dataclass(frozen=True)
class Replicates:
    """Metrics of every resample, or differences of metrics.

    Attributes:
        mean_ap: ``(B,)`` float64, mean over the classes with a positive in that resample.
        ap_all: ``(B,)`` float64.
        per_class: ``(B, C)`` float64, NaN where a resample has no positive of the class.
    """

    mean_ap: Floats
    ap_all: Floats
    per_class: Floats


def resample_weights(images: int, first: int, count: int, seed: int) -> Ints:
    """How often each image is drawn in resamples ``first .. first + count``: ``(count, images)``."""
    weights = np.empty((count, images), np.int64)
    for i in range(count):
        drawn = np.random.default_rng([seed, first + i]).integers(0, images, images, dtype=np.int32)
        weights[i] = np.bincount(drawn, minlength=images)
    return weights


def bootstrap(
    labels: ArrayLike,
    scores: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    threads: int = 1,
    advance: Callable[[int], None] | None = None,
) -> Replicates:
    """AP, mAP and AP_all on ``resamples`` resamples of the images.

    Args:
        labels: ``(N, C)`` zeros and ones; a row is an image.
        scores: ``(N, C)`` floats.
        mask: ``(N, C)``, nonzero where the label is verified; other entries do not count.
        resamples: B.
        seed: Seed of the resamples.
        threads: Threads. The result does not depend on it.
        advance: Called with the number of resamples just done.

    Memory: about 40 bytes an entry while the segments are made, and ``threads`` times 96 MiB.

    Raises:
        NlcliError: a score is NaN.
    """
    truth, scores = np.asarray(labels) != 0, np.asarray(scores)
    verified = None if mask is None else np.asarray(mask)
    if verified is not None:
        scores = np.where(verified != 0, scores, scores.dtype.type(0))  # what does not count may be NaN
    order = score_order(scores)
    n_images, n_classes = order.shape

    def entries() -> Iterable[_Entries]:
        step = max(1, BLOCK // max(1, n_classes))
        for start in range(0, n_images, step):
            part = slice(start, min(start + step, n_images))
            image = np.repeat(np.arange(part.start, part.stop, dtype=np.int32), n_classes)
            column = np.tile(np.arange(n_classes, dtype=np.int32), part.stop - part.start)
            block = image, column, truth[part].reshape(-1), order[part].reshape(-1)
            if verified is None:
                yield block
            else:
                keep = verified[part].reshape(-1) != 0
                yield block[0][keep], block[1][keep], block[2][keep], block[3][keep]

    return _replicates(entries, n_images, n_classes, resamples, seed, threads, advance)


def sparse_bootstrap(
    images: ArrayLike,
    classes: ArrayLike,
    labels: ArrayLike,
    scores: ArrayLike,
    n_images: int,
    n_classes: int,
    *,
    resamples: int = 1000,
    seed: int = 0,
    threads: int = 1,
    advance: Callable[[int], None] | None = None,
) -> Replicates:
    """The same for flat verified entries.

    Args:
        images: ``(E,)`` integers in ``[0, n_images)``.
        classes: ``(E,)`` integers in ``[0, n_classes)``.
        labels: ``(E,)`` zeros and ones.
        scores: ``(E,)`` floats.
        n_images: Images that are drawn from, including those without an entry.
        n_classes: C.

    Other arguments and errors as in :func:`bootstrap`.
    """
    image, group = np.asarray(images, np.int32), np.asarray(classes, np.int32)
    truth, order = np.asarray(labels) != 0, score_order(scores)

    def entries() -> Iterable[_Entries]:
        for start in range(0, len(image), BLOCK):
            part = slice(start, start + BLOCK)
            yield image[part], group[part], truth[part], order[part]

    return _replicates(entries, n_images, n_classes, resamples, seed, threads, advance)


# image, class, label, order of the score: one of each for every entry
_Entries = tuple[NDArray[np.int32], NDArray[np.int32], Bools, NDArray[np.uint32]]


@dataclass(frozen=True)
class _Segments:
    """Entries cut at the distinct scores of each group's positives, from the highest down.

    ``positive`` and ``all`` are ``(S, N)``: entries of each image in each segment. Segments of
    group ``groups[i]`` begin at ``starts[i]``.
    """

    positive: csr_array
    all: csr_array
    groups: Ints
    starts: Ints

    def average_precision(self, weights: NDArray[np.float32], n_groups: int) -> Floats:
        """AP of every group under image weights ``(N, B)``: ``(B, n_groups)``, NaN without positives."""
        result = np.full((n_groups, weights.shape[1]), math.nan)
        if len(self.groups):
            hits = self.positive @ weights
            lengths = np.diff(self.starts, append=len(hits))
            # Running sums start anew in every group: subtract what stood there when it began.
            right = _running(hits.astype(np.float64), self.starts, lengths)
            called = _running((self.all @ weights).astype(np.float64), self.starts, lengths)
            right *= hits
            right /= np.maximum(called, 1.0, out=called)  # weights are integers; 0 means 0 / 0 here
            total = np.add.reduceat(hits, self.starts, axis=0, dtype=np.float64)
            with np.errstate(invalid="ignore"):
                result[self.groups] = np.add.reduceat(right, self.starts, axis=0) / total
        return result.T


def _running(values: Floats, starts: Ints, lengths: Ints) -> Floats:
    total = np.cumsum(values, axis=0, out=values)
    before = np.zeros((len(starts), total.shape[1]))
    before[1:] = total[starts[1:] - 1]
    if len(starts) > 1:
        total -= np.repeat(before, lengths, axis=0)
    return total


def _segments(entries: Callable[[], Iterable[_Entries]], n_images: int, by_class: bool) -> _Segments:
    from scipy.sparse import csr_array

    def keys(group: NDArray[np.int32], order: NDArray[np.uint32]) -> NDArray[np.uint64]:
        return rank_keys(group if by_class else np.zeros(len(group), np.int32), order)

    cuts = [np.unique(keys(group[label], order[label])) for _, group, label, order in entries()]
    bounds = np.unique(np.concatenate(cuts)) if cuts else np.empty(0, np.uint64)
    groups, firsts = np.unique(bounds >> np.uint64(32), return_index=True)
    # ``bounds`` ascends within a group, segments are numbered from the group's highest score down.
    lasts = np.append(firsts[1:], len(bounds))
    mirrored = np.repeat(firsts + lasts - 1, lasts - firsts)
    number = (mirrored - np.arange(len(bounds))).astype(np.int32)

    rows: list[NDArray[np.int32]] = []
    columns: list[NDArray[np.int32]] = []
    positive_rows: list[NDArray[np.int32]] = []
    positive_columns: list[NDArray[np.int32]] = []
    for image, group, label, order in entries():
        key = keys(group, order)
        bound = np.searchsorted(bounds, key, side="right") - 1
        # Below the lowest positive of its own group an entry changes no precision.
        counts = bound >= 0
        counts[counts] = bounds[bound[counts]] >> np.uint64(32) == key[counts] >> np.uint64(32)
        row, column = number[bound[counts]], image[counts]
        rows.append(row)
        columns.append(column)
        positive_rows.append(row[label[counts]])
        positive_columns.append(column[label[counts]])

    def matrix(row: list[NDArray[np.int32]], column: list[NDArray[np.int32]], size: int) -> csr_array:
        # float32 holds counts up to 2^24 exactly.
        dtype = np.float32 if size < 1 << 24 else np.float64
        position = np.concatenate([*row, np.empty(0, np.int32)]), np.concatenate([*column, np.empty(0, np.int32)])
        return csr_array((np.ones(len(position[0]), dtype), position), shape=(len(bounds), n_images))

    size = sum(len(part) for part in rows)
    positive = matrix(positive_rows, positive_columns, size)
    return _Segments(positive, matrix(rows, columns, size), groups.astype(np.int64), firsts.astype(np.int64))


def _replicates(
    entries: Callable[[], Iterable[_Entries]],
    n_images: int,
    n_classes: int,
    resamples: int,
    seed: int,
    threads: int,
    advance: Callable[[int], None] | None,
) -> Replicates:
    if n_images == 0:
        raise ValueError("there is no image to resample")
    by_class = _segments(entries, n_images, by_class=True)
    together = _segments(entries, n_images, by_class=False)
    segments = max(by_class.all.shape[0], together.all.shape[0])
    batch: int = max(1, min(32, resamples, BATCH_BYTES // (8 * n_images + 32 * segments + 1)))
    result = Replicates(np.empty(resamples), np.empty(resamples), np.empty((resamples, n_classes)))

    def work(first: int) -> int:
        count = min(batch, resamples - first)
        part = slice(first, first + count)
        weights = resample_weights(n_images, first, count, seed)
        columns = np.ascontiguousarray(weights.T, dtype=by_class.all.dtype)
        result.per_class[part] = by_class.average_precision(columns, n_classes)
        result.ap_all[part] = together.average_precision(columns, 1)[:, 0]
        return count

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for done in pool.map(work, range(0, resamples, batch)):
            if advance is not None:
                advance(done)
    seen = ~np.isnan(result.per_class)
    with np.errstate(invalid="ignore"):
        result.mean_ap[:] = np.where(seen, result.per_class, 0).sum(axis=1) / seen.sum(axis=1)
    return result
