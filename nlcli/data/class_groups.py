"""Classes put into groups: by category, and into equal parts by frequency and by annotation quality.

Veit et al. 2017, figure 5: the classes are sorted and cut into ten equally sized groups, here between different
values only. How common a class is counts its noisy annotations in train; how good its annotations are is the
share of its noisy annotations that a person found right, over every verified image of the data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcli.data.label_files import dataset_blocks
from nlcli.data.labels import NONE, SPLITS, LabelTable
from nlcli.data.statistics import class_counts


@dataclass(frozen=True)
class ClassAnnotations:
    """Noisy annotations of every class; the arrays are ``(C,)`` int64.

    Attributes:
        in_train: Noisy annotations on training images.
        checked: Those, on images of any split, that a person checked.
        right: Those of ``checked`` that are right.
        verified_images: By split, images with any verified label: what ``checked`` comes from.
    """

    in_train: np.ndarray
    checked: np.ndarray
    right: np.ndarray
    verified_images: dict[str, int]

    @property
    def quality(self) -> np.ndarray:
        """``(C,)`` float64, share of the checked annotations that are right; NaN where none was checked."""
        with np.errstate(invalid="ignore"):
            shares: np.ndarray = self.right / self.checked
            return shares


def count_annotations(
    dataset: Path, keys: set[str]
) -> tuple[ClassAnnotations, dict[str, Path], dict[str, tuple[int, ...]]]:
    """Count a data set's annotations, a block of images at a time.

    Args:
        dataset: Data set directory.
        keys: Images whose files and noisy labels are looked up on the way.

    Returns:
        The counts, and by key the image files and the noisy classes.
    """
    counts = np.zeros((3, 0), np.int64)
    verified = dict.fromkeys(SPLITS, 0)
    paths: dict[str, Path] = {}
    labels: dict[str, tuple[int, ...]] = {}
    for block in dataset_blocks(dataset):
        of_block = _counts(block)
        counts = counts + of_block if counts.size else of_block
        for number, split in enumerate(SPLITS):
            verified[split] += int(np.count_nonzero((block.split == number) & (block.verification > NONE)))
        for row, key in enumerate(block.keys.tolist() if keys else ()):
            if key in keys:
                paths[key] = block.image_path(row)
                labels[key] = tuple(block.noisy.indices[block.noisy.indptr[row] : block.noisy.indptr[row + 1]].tolist())
    return ClassAnnotations(counts[0], counts[1], counts[2], verified), paths, labels


def _counts(block: LabelTable) -> np.ndarray:
    _, _, checked, right = class_counts(block, np.arange(len(block)))
    in_train = np.bincount(block.noisy[block.rows("train")].indices, minlength=block.num_classes)
    return np.stack([in_train, checked, right]).astype(np.int64)


def equal_groups(values: np.ndarray, usable: np.ndarray, most: int = 10) -> list[np.ndarray]:
    """Classes sorted by ``values`` from low to high and cut into groups of equal size.

    Sizes differ by one at most, the larger groups first. There are ``most`` groups, or fewer where a
    group would hold a single class. Classes of one value are in one group, or the alphabet would say which of them
    are the better ones: a cut that would part them is moved to their nearer end (the lower one of two as near), and
    two cuts that meet there are one.

    Args:
        values: ``(C,)`` floats.
        usable: ``(C,)`` bool; the other classes are in no group.
        most: Groups.

    Returns:
        Class indices (int64) of every group; empty where no class is usable.
    """
    chosen = np.flatnonzero(usable)
    if not len(chosen):
        return []
    order = chosen[np.argsort(values[chosen], kind="stable")]
    groups = max(1, min(most, len(order) // 2))
    equal = np.cumsum([len(part) for part in np.array_split(order, groups)])[:-1]
    ends = np.flatnonzero(np.diff(values[order])) + 1  # between different values
    ends = np.concatenate(([0], ends, [len(order)]))
    cuts = ends[np.abs(ends[None, :] - equal[:, None]).argmin(axis=1)]
    return [part for part in np.split(order, np.unique(cuts)) if len(part)]


def categories(groups: tuple[str | None, ...] | None) -> dict[str, np.ndarray]:
    """Class indices of every category in order of first appearance; empty unless there are two."""
    if groups is None:
        return {}
    names = [name for name in dict.fromkeys(groups) if name]
    if len(names) < 2:
        return {}
    of = np.array([name or "" for name in groups], object)
    return {name: np.flatnonzero(of == name) for name in names}


def mean_in_groups(per_class: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """Mean AP in every group over the classes that have one.

    Args:
        per_class: ``(..., C)`` floats, NaN for a class without positives.
        groups: Class indices of G groups.

    Returns:
        ``(..., G)`` float64; NaN where no class of a group has an AP.
    """
    means = np.full((*per_class.shape[:-1], len(groups)), np.nan)
    for i, group in enumerate(groups):
        part = per_class[..., group]
        defined = ~np.isnan(part)
        with np.errstate(invalid="ignore"):
            means[..., i] = np.where(defined, part, 0).sum(axis=-1) / defined.sum(axis=-1)
    return means
