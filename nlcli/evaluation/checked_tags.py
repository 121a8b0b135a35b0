"""Entries (an image and a class) whose truth a person told, with what a detector says of them; intervals over images.

``checked.parquet`` holds one row an entry, sorted by image and class: ``key``, ``class`` (its number), ``given``,
``present`` (what a person said), ``called_present`` (the verdict that counts) and ``probability``. The classes' names
are in the file's metadata under ``classes``, as JSON.

A given tag is wrong where the class is not there, a tag is missing where the class is there and its tag is not given.
Given tags are ranked by falling probability that they are wrong, others by that of being missing. What is resampled are
the images, because the entries of one go wrong together.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlcli.evaluation.checked_files import checked_schema, read_checked_table, write_checked_table
from nlcli.evaluation.measured import Measured
from nlcli.metrics.arrays import Bools, Floats, Ints
from nlcli.metrics.expected_calibration import ProbabilityBins
from nlcli.metrics.intervals import FEWEST_TO_RANK, Support, area_support, calibration_support
from nlcli.metrics.weighted_areas import WeightedAreas

KINDS = ("wrong", "missing")


@dataclass(frozen=True)
class CheckedTags:
    """Entries with truth and verdict; the arrays but ``keys`` are ``(e,)``.

    Attributes:
        classes: C names.
        keys: ``(n,)`` strings of the images, sorted.
        image: int64 index of each entry's image in ``keys``, rising.
        of_class: int64.
        given, present, called_present: bool.
        probability: float32, that the class is there.
    """

    classes: tuple[str, ...]
    keys: NDArray[np.object_]
    image: Ints
    of_class: Ints
    given: Bools
    present: Bools
    called_present: Bools
    probability: NDArray[np.float32]

    def __len__(self) -> int:
        """How many images."""
        return len(self.keys)

    @property
    def entries(self) -> int:
        """How many entries."""
        return len(self.image)

    @property
    def wrongly_judged(self) -> Bools:
        """``(e,)`` bool: the verdict is not the truth."""
        wrongly: Bools = self.present != self.called_present
        return wrongly

    def of_kind(self, kind: str) -> tuple[Bools, Bools, Bools, Floats]:
        """Of ``wrong`` (given tags) or ``missing`` (others): which entries, which of all are wrong and are called so,
        and how sure the wrong is."""
        given = kind == "wrong"
        which: Bools = self.given == given
        sure = 1.0 - self.probability if given else self.probability
        return which, self.given != self.present, self.given != self.called_present, sure.astype(np.float64)

    def only(self, keys: NDArray[np.object_]) -> CheckedTags:
        """The images called ``keys``, in that order; every key must be among these images."""
        where = {key: i for i, key in enumerate(self.keys.tolist())}
        place = np.full(len(self.keys), -1)
        place[[where[key] for key in keys.tolist()]] = np.arange(len(keys))
        inside = np.flatnonzero(place[self.image] >= 0)
        inside = inside[np.argsort(place[self.image[inside]], kind="stable")]
        columns = ("of_class", "given", "present", "called_present", "probability")
        return CheckedTags(
            self.classes, keys, place[self.image[inside]], *(getattr(self, name)[inside] for name in columns)
        )

    def label_hash(self) -> str:
        """Hash of the images, their entries, given tags and the truth."""
        hashed = hashlib.sha256(json.dumps(self.keys.tolist()).encode())
        for column in (self.image, self.of_class, self.given, self.present):
            hashed.update(column.astype(np.int64).tobytes())
        return hashed.hexdigest()

    def naive(self) -> CheckedTags:
        """The same entries with every label believed."""
        return replace(self, called_present=self.given, probability=self.given.astype(np.float32))

    def measure(self, resamples: int, seed: int, advance: Callable[[int], None] | None = None) -> Measured:
        """All metrics with ``resamples`` bootstrap replicates over images (0: none)."""
        sizes = np.bincount(self.of_class, minlength=len(self.classes)).astype(np.int64)
        return Measured.of_resamples(
            _Counter(self), sizes, self.supports, images=len(self), resamples=resamples, seed=seed, advance=advance
        )

    def supports(self, counts: Ints, per_class: Floats) -> dict[str, Support]:
        """What the metrics' intervals rest on; the arguments, of the classes, have no part in it."""
        supports = {"label_error": _over_images(len(self), self.entries, "entries")}
        for kind in KINDS:
            which, wrong, called, _ = self.of_kind(kind)
            ones, others = int((which & wrong).sum()), int((which & ~wrong).sum())
            of_ranking = area_support(ones, others, "entries of the rarer kind")
            rows, freedom = int(which.sum()), max(1, len(np.unique(self.image[which])) - 1)
            of_calibration = calibration_support(rows, "given tags" if kind == "wrong" else "tags that are not given")
            supports |= {
                f"AUC_{kind}": of_ranking,
                f"AP_{kind}": of_ranking,
                f"precision_{kind}": self._share_support(which & called, f"tags called {kind}"),
                f"recall_{kind}": self._share_support(which & wrong, f"{kind} tags"),
                f"calibration_{kind}": replace(of_calibration, freedom=freedom),
            }
        return supports

    def _share_support(self, which: Bools, counted: str) -> Support:
        return _over_images(len(np.unique(self.image[which])), int(which.sum()), counted)


def _over_images(images: int, entries: int, counted: str) -> Support:
    """Of a share of entries that varies with the images, of which a few tell little however many entries they have."""
    freedom = max(1, images - 1)
    return Support(
        entries,
        counted=counted,
        fewest_to_differ=FEWEST_TO_RANK,
        inflation=1 + 1 / freedom,
        paired_inflation=1 + 1 / freedom,
        freedom=freedom,
    )


class _Counter:
    """Metrics of weighted images; what does not depend on the weights is prepared once."""

    def __init__(self, tags: CheckedTags) -> None:
        self._tags = tags
        self._cells = tags.of_class * 2 + tags.wrongly_judged
        self._kinds = {}
        for kind in KINDS:
            which, wrong, called, sure = tags.of_kind(kind)
            rows = np.flatnonzero(which)
            areas = WeightedAreas(wrong[rows], sure[rows])
            bins = ProbabilityBins(tags.probability[rows].astype(np.float64), tags.present[rows])
            self._kinds[kind] = (tags.image[rows], areas, wrong[rows], called[rows], bins)

    def __call__(self, weights: Ints) -> tuple[dict[str, float], Floats]:
        tags, classes = self._tags, len(self._tags.classes)
        counts = np.bincount(self._cells, weights=weights[tags.image], minlength=2 * classes).reshape(classes, 2)
        total = counts.sum()
        with np.errstate(invalid="ignore"):
            of_classes = counts[:, 1] / counts.sum(axis=1)
        values = {"label_error": float(counts[:, 1].sum() / total) if total else math.nan}
        for kind, (image, areas, wrong, called, bins) in self._kinds.items():
            drawn = weights[image].astype(np.float64)
            values[f"AUC_{kind}"], values[f"AP_{kind}"] = areas(drawn)
            caught = float((drawn * (wrong & called)).sum())
            values[f"precision_{kind}"] = _ratio(caught, float((drawn * called).sum()))
            values[f"recall_{kind}"] = _ratio(caught, float((drawn * wrong).sum()))
            values[f"calibration_{kind}"] = bins.error(drawn)
        return values, of_classes


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


# --- on disk ---------------------------------------------------------------------------------


def write_checked_tags(path: Path, tags: CheckedTags) -> None:
    """Write ``checked.parquet``, whole or not at all."""
    import pyarrow as pa

    keys = pa.DictionaryArray.from_arrays(
        pa.array(tags.image.astype(np.int32)), pa.array(tags.keys.tolist(), pa.string())
    )
    columns = [
        keys.cast(pa.string()),
        pa.array(tags.of_class.astype(np.int32)),
        pa.array(tags.given),
        pa.array(tags.present),
        pa.array(tags.called_present),
        pa.array(tags.probability.astype(np.float32)),
    ]
    write_checked_table(path, columns, _schema(tags.classes))


def read_checked_tags(path: Path) -> CheckedTags:
    """The checked entries of a detection's evaluation.

    Raises:
        NlcliError: missing, damaged, or without the columns above.
    """
    table, classes = read_checked_table(path, _schema, "class", "checked tags")
    of_class = table["class"].to_numpy()
    encoded = table["key"].combine_chunks().dictionary_encode()
    return CheckedTags(
        classes,
        np.array(encoded.dictionary.to_pylist(), object),
        encoded.indices.to_numpy().astype(np.int64),
        of_class.astype(np.int64),
        *(table[name].to_numpy() for name in ("given", "present", "called_present", "probability")),
    )


def _schema(classes: tuple[str, ...]) -> Any:
    import pyarrow as pa

    kinds = {
        "key": pa.string(),
        "class": pa.int32(),
        "given": pa.bool_(),
        "present": pa.bool_(),
        "called_present": pa.bool_(),
        "probability": pa.float32(),
    }
    return checked_schema(kinds, classes)
