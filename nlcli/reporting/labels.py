"""What a page tells of a data set's labels: how many there are, how many a person checked, which classes suffer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nlcli.data.label_files import DESCRIPTION, DatasetRecord, dataset_blocks
from nlcli.data.labels import NONE, SPLITS, LabelTable, Task, paired_classes
from nlcli.data.statistics import checked_noise, class_counts
from nlcli.reporting.shares import Share
from nlcli.stages.stage import StageRecord

_MOST_CONFUSIONS = 15


@dataclass
class SplitCounts:
    """Counts of a split: images, those that a person looked at, noisy labels, those checked, those right."""

    name: str
    images: int = 0
    verified: int = 0
    noisy: int = 0
    checked: int = 0
    right: int = 0

    @property
    def wrong(self) -> Share | None:
        """Share of the checked noisy labels that are wrong."""
        return Share.of(self.checked - self.right, self.checked)


@dataclass(frozen=True)
class ClassCounts:
    """Labels of a class over all splits.

    Attributes:
        present: Verified.
        noisy, checked, right: Noisy labels, those that a person checked, those of them that are right.
    """

    name: str
    group: str | None
    present: int
    noisy: int
    checked: int
    right: int

    @property
    def wrong(self) -> Share | None:
        """Share of the checked noisy labels that are wrong."""
        return Share.of(self.checked - self.right, self.checked, of_class=True)


@dataclass(frozen=True)
class Confused:
    """Images of the class ``true`` that are labelled ``called``, of all checked images of the class."""

    true: str
    called: str
    images: int
    share: Share


@dataclass(frozen=True)
class Labels:
    """The labels of a data set.

    Attributes:
        name: Of the data set.
        root: Where its pictures lie.
        splits: Those that have images, then all together.
        classes: In the data set's order.
        confused: The commonest pairs of a true and a noisy class, of single labels.
        pairs: Images whose true and noisy class are both known.
    """

    name: str
    task: Task
    root: Path
    splits: tuple[SplitCounts, ...]
    classes: tuple[ClassCounts, ...]
    confused: tuple[Confused, ...]
    pairs: int

    @property
    def whole(self) -> SplitCounts:
        """All splits together."""
        return self.splits[-1]


@dataclass
class _Counting:
    classes: int
    splits: dict[str, SplitCounts] = field(default_factory=lambda: {name: SplitCounts(name) for name in SPLITS})
    pairs: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.by_class = np.zeros((4, self.classes), np.int64)

    def add(self, block: LabelTable) -> None:
        for number, name in enumerate(SPLITS):
            rows = np.flatnonzero(block.split == number)
            if not len(rows):
                continue
            counts = self.splits[name]
            right, checked = checked_noise(block, rows)
            counts.images += len(rows)
            counts.verified += int((block.verification[rows] > NONE).sum())
            counts.noisy += int((block.noisy[rows] > 0).sum())
            counts.checked += checked
            counts.right += right
        every = np.arange(len(block))
        self.by_class += np.stack(class_counts(block, every))
        if block.task == "single-label":
            true, noisy = paired_classes(block, every)
            cells, images = np.unique(true.astype(np.int64) * self.classes + noisy, return_counts=True)
            self.pairs.update(dict(zip(cells.tolist(), images.tolist(), strict=True)))


def count_labels(record: StageRecord) -> Labels:
    """The labels of the data set ``record``, counted a block of images at a time.

    Raises:
        NlcliError: its files are damaged.
    """
    described = DatasetRecord.read(record.path / DESCRIPTION)
    classes = described.classes
    counting, root = _Counting(len(classes)), Path(described.image_root)
    for block in dataset_blocks(record.path):
        counting.add(block)
        root = block.image_root
    splits = [split for split in counting.splits.values() if split.images]
    whole = SplitCounts("all")
    for split in splits:
        for name in ("images", "verified", "noisy", "checked", "right"):
            setattr(whole, name, getattr(whole, name) + getattr(split, name))
    groups = described.groups or (None,) * len(classes)
    present, noisy, checked, right = counting.by_class.tolist()
    return Labels(
        name=str(described.info.get("name") or record.path.name),
        task=described.task,
        root=root,
        splits=(*splits, whole),
        classes=tuple(map(ClassCounts, classes, groups, present, noisy, checked, right)),
        confused=_confused(counting.pairs, classes),
        pairs=sum(counting.pairs.values()),
    )


def _confused(pairs: Counter[int], classes: tuple[str, ...]) -> tuple[Confused, ...]:
    """The pairs of different classes with the most images; of as many the first in the order of classes."""
    of_class: Counter[int] = Counter()
    for cell, images in pairs.items():
        of_class[cell // len(classes)] += images
    wrong = [(cell, images) for cell, images in pairs.items() if cell // len(classes) != cell % len(classes)]
    told = []
    for cell, images in sorted(wrong, key=lambda pair: (-pair[1], pair[0]))[:_MOST_CONFUSIONS]:
        true, called = divmod(cell, len(classes))
        share = Share.of(images, of_class[true], of_class=True)
        if share is not None:
            told.append(Confused(classes[true], classes[called], images, share))
    return tuple(told)
