"""What the labels of a data set look like: counts, frequencies, and how good the noisy ones are.

The counts are those of Hu et al. 2018, table 1; class frequency and annotation quality those of
their figure 4: annotation quality is the share of a class's noisy labels that are right. Single-label
data also have the confusion of clean and noisy labels of Xiao et al. 2015, figure 6.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.data import label_confusion
from nlcli.data.labels import FULL, NONE, SPLITS, LabelTable, paired_classes, verified_pairs
from nlcli.metrics.confusion import Confusion
from nlcli.stages.files import read_json, write_csv, write_json

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FILE = "statistics.json"
_MOST_CONFUSIONS = 10
MOST_DENSE_CLASSES = 2000
"""With more, nothing is written or held that grows with the square of the classes."""
CLASS_COLUMNS = ("class", "group", "verified", "noisy", "noisy_checked", "noisy_right", "quality", "recall")


def label_statistics(table: LabelTable) -> dict[str, Any]:
    """Counts and quality of the labels of ``table``, as JSON values.

    Returns:
        ``splits``: for train, validation, test and all their ``images``, for ``clean`` (verified
        present) and ``noisy`` labels ``annotations``, ``labels_per_image`` and ``images_per_label``
        (annotations by number of classes), and the quality of the noisy labels; ``classes``: the
        same counts a class over all splits, in class order. A share of nothing is None.

    Quality. Only noisy labels that a person checked count: on fully verified images all of them, on
    partly verified ones those whose class is verified. ``precision`` is the share of them that are
    right, ``recall`` the share of verified present labels that are among the noisy ones;
    ``macro_precision`` and ``macro_recall`` are means over the classes that have any.
    """
    tallies = _Tallies(table)
    splits = {name: tallies.summary(table.rows(name)) for name in SPLITS}
    everything = np.arange(len(table))
    splits["all"] = tallies.summary(everything)
    verified, noisy, checked, right = tallies.per_class(everything)
    classes = [
        {
            "class": name,
            "group": None if table.groups is None else table.groups[number],
            "verified": int(verified[number]),
            "noisy": int(noisy[number]),
            "noisy_checked": int(checked[number]),
            "noisy_right": int(right[number]),
            "quality": _share(right[number], checked[number]),
            "recall": _share(right[number], verified[number]),
        }
        for number, name in enumerate(table.classes)
    ]
    return {"splits": splits, "classes": classes}


def class_counts(table: LabelTable, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Verified present, noisy, checked noisy and right noisy labels of every class on ``rows``: (C,) int64 each."""
    return _Tallies(table).per_class(rows)


class _Tallies:
    """The label matrices as patterns of zeros and ones, ready to be counted by rows and classes."""

    def __init__(self, table: LabelTable) -> None:
        self.present = _pattern(table.present)
        self.noisy = _pattern(table.noisy)
        self.right = _pattern(self.noisy.multiply(self.present))
        wrong = _pattern(self.noisy.multiply(_pattern(table.absent)))
        fully = (table.verification == FULL).astype(np.int64)
        on_full = _pattern(self.noisy.multiply(fully[:, None]))
        self.checked = _pattern(on_full + self.right + wrong)

    def per_class(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Verified present, noisy, checked noisy and right noisy labels of every class: (C,) each."""
        matrices = (self.present, self.noisy, self.checked, self.right)
        return tuple(np.asarray(matrix[rows].sum(axis=0)).ravel() for matrix in matrices)

    def summary(self, rows: np.ndarray) -> dict[str, Any]:
        verified, noisy, checked, right = self.per_class(rows)

        def counts(annotations: np.ndarray) -> dict[str, Any]:
            total = int(annotations.sum())
            return {
                "annotations": total,
                "labels_per_image": _share(total, len(rows)),
                "images_per_label": _share(total, len(annotations)),
            }

        return {
            "images": len(rows),
            "clean": counts(verified),
            "noisy": counts(noisy),
            "precision": _share(right.sum(), checked.sum()),
            "recall": _share(right.sum(), verified.sum()),
            "macro_precision": _mean_share(right, checked),
            "macro_recall": _mean_share(right, verified),
        }


def _pattern(matrix: Any) -> csr_array:
    """int64 CSR with a one wherever ``matrix`` is positive."""
    from scipy.sparse import csr_array

    pattern = csr_array(matrix > 0, dtype=np.int64)
    pattern.eliminate_zeros()
    return pattern


def _share(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole else None


def _mean_share(part: np.ndarray, whole: np.ndarray) -> float | None:
    some = whole > 0
    return float(np.mean(part[some] / whole[some])) if some.any() else None


def published_coco() -> dict[str, Any]:
    """The published counts of extended MS-COCO, in the layout of ``label_statistics``."""
    counts: dict[str, Any] = read_json(Path(str(resources.files("nlcli") / "resources" / "published_coco.json")))
    return counts


def write_statistics(directory: Path, statistics: dict[str, Any]) -> None:
    """Write ``statistics.json``, ``class_statistics.csv`` and ``class_statistics.png``."""
    from nlcli.data.plots import class_statistics_plot

    write_json(directory / FILE, statistics)
    rows = ([entry[column] for column in CLASS_COLUMNS] for entry in statistics["classes"])
    write_csv(directory / "class_statistics.csv", CLASS_COLUMNS, rows)
    class_statistics_plot(statistics, directory / "class_statistics.png")


def write_all_statistics(directory: Path, table: LabelTable) -> dict[str, Any]:
    """The statistics of a data set of either kind; what a stage's summary says of them."""
    if table.task == "single-label":
        return write_single_label_statistics(directory, table)
    write_statistics(directory, label_statistics(table))
    return {}


def write_single_label_statistics(directory: Path, table: LabelTable) -> dict[str, Any]:
    """The same for a single-label data set, with ``label_confusion.csv`` and ``.png`` where it has pairs.

    A pair is an image whose true and noisy class are both known, of any split.

    Returns:
        What the stage's summary says of it: ``pairs`` and ``pairs_right``, the share of them whose
        noisy label is the true class (None without any).
    """
    if table.num_classes > MOST_DENSE_CLASSES:
        return _statistics_of_many_classes(directory, table)
    confusion = Confusion(table.classes, verified_pairs(table, np.arange(len(table))))
    largest = [
        {"true": true, "noisy": noisy, "images": images, "share": share}
        for true, noisy, images, share in confusion.largest(_MOST_CONFUSIONS)
    ]
    record = {"images": confusion.images, "accuracy": confusion.accuracy, "largest": largest}
    write_statistics(directory, label_statistics(table) | {"label_confusion": record})
    if confusion.images:
        from nlcli.data.plots import confusion_plot

        label_confusion.write_confusion(directory / label_confusion.TABLE, table.classes, confusion.counts)
        confusion_plot([("noisy label", confusion)], directory / label_confusion.PLOT)
    return {
        "pairs": confusion.images,
        "pairs_right": None if confusion.accuracy is None else round(confusion.accuracy, 4),
    }


def _statistics_of_many_classes(directory: Path, table: LabelTable) -> dict[str, Any]:
    """The same where a table of classes by classes would be too large: the pairs that occur, and no plot of them."""
    true, noisy = paired_classes(table, np.arange(len(table)))
    images, right = len(true), int(np.count_nonzero(true == noisy))
    pairs, counts = np.unique(true.astype(np.int64) * table.num_classes + noisy, return_counts=True)
    of, called = np.divmod(pairs, table.num_classes)
    frequency = np.bincount(true, minlength=table.num_classes)
    wrong = np.flatnonzero(of != called)
    order = wrong[np.argsort(-counts[wrong], kind="stable")][:_MOST_CONFUSIONS]
    largest = [
        {
            "true": table.classes[of[i]],
            "noisy": table.classes[called[i]],
            "images": int(counts[i]),
            "share": float(counts[i] / frequency[of[i]]),
        }
        for i in order
    ]
    accuracy = right / images if images else None
    record = {"images": images, "accuracy": accuracy, "largest": largest}
    write_statistics(directory, label_statistics(table) | {"label_confusion": record})
    if images:
        occur = label_confusion.write_pairs(directory / label_confusion.TABLE, table.classes, true, noisy, "noisy")
        say(
            f"{table.num_classes:,} classes: {label_confusion.TABLE} lists the {occur:,} pairs of classes that "
            "occur, and there is no plot of them"
        )
    return {"pairs": images, "pairs_right": None if accuracy is None else round(accuracy, 4)}


def noise_summary(table: LabelTable) -> dict[str, Any]:
    """Images a split, how many are verified, which share of noisy labels is right, and of how many, as JSON values.

    A noisy label counts as checked when its class is verified on its image. Of Clothing1M's training images with a
    clean label half have a noisy one as well (Hu et al. 2019, section 4.5).
    """
    summary: dict[str, Any] = {"classes": table.num_classes}
    for number, name in enumerate(SPLITS):
        rows = table.split == number
        summary[name] = int(rows.sum())
        summary[f"{name}_verified"] = int(np.sum(rows & (table.verification > NONE)))
        right, checked = checked_noise(table, np.flatnonzero(rows))
        summary[f"{name}_noisy_right"] = round(right / checked, 4) if checked else None
        summary[f"{name}_noisy_checked"] = checked
    return summary


def checked_noise(table: LabelTable, rows: np.ndarray) -> tuple[int, int]:
    """Noisy labels of ``rows`` that are right, and noisy labels that were checked at all."""
    noisy = table.noisy[rows] > 0
    right = int(noisy.multiply(table.present[rows] > 0).sum())
    full = np.flatnonzero(table.verification[rows] == FULL)
    partly = np.flatnonzero(table.verification[rows] != FULL)
    wrong = int(noisy[partly].multiply(table.absent[rows][partly] > 0).sum())
    right_partly = int(noisy[partly].multiply(table.present[rows][partly] > 0).sum())
    return right, int(noisy[full].sum()) + right_partly + wrong
