"""Splits of images with several tags, drawn so that every class has some images in each where there are enough.

Rarest class first: its images that are not drawn yet are dealt out by what the splits still want of that class
(iterative stratification, Sechidis et al. 2011, a class at a time). Images of one group are dealt out together.
Everything depends on the seed and the images' keys alone. Drawing an image checks nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlcli.console import say
from nlcli.data.labels import NONE, SPLITS, LabelTable
from nlcli.data.sources.base import TEST, TRAIN, VALIDATION, enumerate_some
from nlcli.seeds import stream as random_stream

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_AT_MOST = 1 / 3


def shares_of_checked(images: int, checked: int, validation: float, test: float) -> tuple[float, float]:
    """Parts of the checked images for validation and test: the shares of all images, and a third at most of each."""
    if not checked:
        return validation, test
    return min(_AT_MOST, validation * images / checked), min(_AT_MOST, test * images / checked)


def deal_out(
    classes: csr_array, keys: np.ndarray, group: np.ndarray, shares: tuple[float, float], seed: int, stream: int = 0
) -> np.ndarray:
    """A split for each of n images: int8 (n,), index into ``SPLITS``.

    Args:
        classes: (n, C) CSR, where an image has a class.
        keys: (n,) the images' keys.
        group: (n,) images with the same number, from 0, come into one split; -1: by itself.
        shares: Of validation and of test; the rest is train. A class of three or more units has at least one in each
            split whose share is not 0, one of two has one in validation.
        seed, stream: Of the draw; ``stream`` tells draws of one data set apart.
    """
    unit, count = _units(keys, group)
    members = _of_units(classes, unit, count)
    order = random_stream(seed, "splits", stream).permutation(count)
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    of_units = np.full(count, -1, np.int8)
    share = np.zeros(3)
    share[VALIDATION], share[TEST] = shares
    share[TRAIN] = 1 - share.sum()
    totals = np.asarray(members.sum(axis=0)).ravel()
    dealt = np.zeros((3, classes.shape[1]), np.int64)
    by_class = members.tocsc()
    for c in np.lexsort((np.arange(len(totals)), totals)).tolist():
        units = by_class.indices[by_class.indptr[c] : by_class.indptr[c + 1]]
        units = units[of_units[units] < 0]
        if not len(units):
            continue
        units = units[np.argsort(rank[units])]
        wanted = share * totals[c]
        if totals[c] >= 3:
            wanted = np.where(share > 0, np.maximum(wanted, 1), wanted)
        elif totals[c] == 2:
            wanted = np.where([True, share[VALIDATION] > 0, False], 1, 0)
        else:
            wanted = np.array([1, 0, 0])
        counts = _parts(len(units), np.maximum(wanted - dealt[:, c], 0))
        begin = 0
        for split in (TEST, VALIDATION, TRAIN):
            chosen = units[begin : begin + counts[split]]
            of_units[chosen] = split
            np.add.at(dealt[split], members[chosen].indices, 1)
            begin += counts[split]
    rest = order[of_units[order] < 0]  # without any class
    ends = np.round(np.cumsum(share[[TEST, VALIDATION, TRAIN]]) * len(rest)).astype(int)
    for split, begin, end in zip((TEST, VALIDATION, TRAIN), (0, *ends), ends, strict=False):
        of_units[rest[begin:end]] = split
    dealt_out: np.ndarray = of_units[unit]
    return dealt_out


def _units(keys: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, int]:
    """The unit of every image and their number: units are numbered by the least of their images' keys."""
    order = np.argsort(keys, kind="stable")
    own = group.astype(np.int64).copy()
    alone = own < 0
    own[alone] = np.arange(len(own))[alone] + (own.max(initial=-1) + 1)
    ranked = own[order]
    _, first, inverse = np.unique(ranked, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first, kind="stable")] = np.arange(len(first))
    unit = np.empty(len(own), np.int64)
    unit[order] = number[inverse]
    return unit, len(first)


def _of_units(classes: csr_array, unit: np.ndarray, count: int) -> csr_array:
    from scipy.sparse import coo_array, csr_array

    entries = (classes > 0).tocoo()
    summed = coo_array(
        (np.ones(len(entries.row), np.int64), (unit[entries.row], entries.col)), shape=(count, classes.shape[1])
    ).tocsr()
    summed.data[:] = 1
    return csr_array(summed)


def _parts(count: int, wanted: np.ndarray) -> np.ndarray:
    """``count`` in three whole parts as ``wanted`` has them; what nobody wants is train's."""
    if wanted.sum() <= 0:
        return np.array([count, 0, 0])
    exact = count * wanted / wanted.sum()
    parts: np.ndarray = np.floor(exact + 1e-9).astype(int)
    order = np.lexsort(([2, 1, 0], -(exact - parts)))  # test before validation before train
    parts[order[: count - parts.sum()]] += 1
    return parts


# --- the splits of a table -------------------------------------------------------------------


def draw_splits(
    table: LabelTable,
    given: np.ndarray,
    group: np.ndarray,
    shares: tuple[float, float],
    seed: int,
    *,
    unchecked_too: bool = False,
) -> None:
    """Draw the splits that there are none of, in place: both, or validation alone from train.

    Args:
        given: (N,) int8, -1 where the data set came without a split.
        group: (N,), see ``deal_out``.
        shares: Of all images, for validation and for test.
        unchecked_too: Draw images that nobody checked, too; else they belong to train, where any is checked.
    """
    whole = bool((given < 0).all())
    if not whole and (table.split == VALIDATION).any():
        _tell_split_groups(table.split, group)
        return
    if not whole:
        shares = (shares[0], 0.0)
    from_here = table.split == TRAIN
    checked = from_here & (table.verification > NONE)
    some = bool(checked.any()) and not bool(checked[from_here].all())
    has = _has_class(table)
    drawn = np.zeros(3, np.int64)
    pools = [checked, from_here & ~checked] if some and unchecked_too else [checked if some else from_here]
    for stream, pool in enumerate(pools):
        if some and not unchecked_too:
            parts = shares_of_checked(int(from_here.sum()), int(pool.sum()), *shares)
        else:
            parts = shares
        rows = np.flatnonzero(pool & (table.split == TRAIN))
        if not len(rows):
            continue
        dealt = deal_out(has[rows], table.keys[rows], group[rows], parts, seed, stream)
        table.split[rows] = dealt
        join_groups(table.split, rows, group, from_here)
    drawn = np.bincount(table.split[from_here], minlength=3)
    told = " and ".join(f"{drawn[s]:,} for {SPLITS[s]}" for s in ((TEST, VALIDATION) if whole else (VALIDATION,)))
    of = "checked training images, a third at most for each" if some and not unchecked_too else "training images"
    how = "--validation-share and --test-share (in a pipeline validation_share, test_share)"
    say(f"drew {told} from the {of}; {how} set how many")


def _has_class(table: LabelTable) -> csr_array:
    """(N, C) CSR: the classes that people saw on checked images, the noisy ones of others."""
    from scipy.sparse import csr_array, diags_array

    checked = (table.verification > NONE).astype(np.int8)
    seen = diags_array(checked, dtype=np.int8) @ (table.present > 0).astype(np.int8)
    noisy = diags_array(1 - checked, dtype=np.int8) @ (table.noisy > 0).astype(np.int8)
    return csr_array(seen + noisy)


def join_groups(split: np.ndarray, rows: np.ndarray, group: np.ndarray, from_here: np.ndarray) -> None:
    """Bring what belongs to the groups of drawn images into their splits, in place."""
    of_rows = group[rows]
    if not (of_rows >= 0).any():
        return
    of_group = np.full(int(group.max()) + 1, -1, np.int8)
    of_group[of_rows[of_rows >= 0]] = split[rows[of_rows >= 0]]
    others = np.flatnonzero(from_here & (group >= 0))
    others = others[of_group[group[others]] >= 0]
    split[others] = of_group[group[others]]


def _tell_split_groups(split: np.ndarray, group: np.ndarray) -> None:
    some = group >= 0
    if not some.any():
        return
    pairs = np.unique(np.stack([group[some], split[some]]), axis=1)
    torn = int(np.count_nonzero(np.bincount(pairs[0]) > 1))
    if torn:
        say(f"warning: {torn:,} groups have images in more than one of the given splits")


def tell_unchecked(table: LabelTable) -> None:
    """Say what cannot be known where nobody looked, and of which classes nothing can be measured."""
    checked = table.verification > NONE
    if not checked.any():
        say(
            "nobody checked any of these images, so how many tags are wrong or missing cannot be known, and nothing "
            "can be measured on them; check some and list them with --checked"
        )
        return
    seen = _classes_seen(table, checked)
    nowhere = [table.classes[c] for c in np.flatnonzero(~seen)]
    if nowhere:
        say(
            f"{len(nowhere):,} of {table.num_classes:,} classes are on no checked image ({enumerate_some(nowhere)}); "
            "what is measured says nothing of them"
        )
    for number in (TRAIN, VALIDATION, TEST):
        if not (table.split == number).any():
            continue
        without = seen & ~_classes_seen(table, checked & (table.split == number))
        names = [table.classes[c] for c in np.flatnonzero(without)]
        if names:
            what = "learned from checked images of them" if number == TRAIN else "measured of them"
            say(
                f"{len(names):,} of {table.num_classes:,} classes are on too few checked images to have one in "
                f"{SPLITS[number]} ({enumerate_some(names)}); nothing is {what} there"
            )


def _classes_seen(table: LabelTable, images: np.ndarray) -> np.ndarray:
    """bool (C,), which classes people saw on ``images`` (N,)."""
    seen: np.ndarray = np.bincount(table.present[np.flatnonzero(images)].indices, minlength=table.num_classes) > 0
    return seen
