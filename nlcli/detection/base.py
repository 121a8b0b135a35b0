"""What a detector is, and what it sees: features, noisy classes and verification labels.

A detector gives each image with a noisy label a score: the higher, the more likely the label is
right. It knows no files, splits, thresholds or error rates: the stage (``single_label.py``) feeds it and
turns its scores into verdicts. Adding one to nlcli is a file like ``detectors/average.py``, its name in
``detection/__init__.py`` and a card in ``detectors/cards/``; from another package it is as docs/add-your-own.md
shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from nlcli.data.features.extract import require_finite
from nlcli.data.labels import noisy_classes
from nlcli.detection.verification import RIGHT, UNVERIFIED, verification_labels
from nlcli.seeds import stream
from nlcli.training.loop.pools import CachedFeatures, stored_rows

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.networks.linear_layer import LinearLayer

READ_ROWS = 4096  # images that are read or scored at a time
CLASS_IMAGES = 20_000


class DetectorConfig(BaseModel):
    """Base of a detector's options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Features(CachedFeatures, Protocol):
    """Features of images, a ``FeatureStore`` or something in memory.

    Attributes:
        path: Where they lie.
        last_layer: Of the network that they are of, where it is known.
        backbone_fingerprint: Of that network.
    """

    path: Path
    last_layer: LinearLayer | None
    backbone_fingerprint: str

    @property
    def keys(self) -> np.ndarray:
        """(N,) strings."""


@dataclass(frozen=True)
class Images:
    """Images of one split that have features and a noisy label, in the order of their features.

    Attributes:
        rows: (n,) int64 rows of the data set.
        stored: (n,) int64 rows of the features, increasing.
        noisy: (n,) int64 noisy class.
        label: (n,) int8, Lee 2018 eq. 1: 1 relevant, 0 mislabelled, -1 not verified (or withheld).
    """

    rows: np.ndarray
    stored: np.ndarray
    noisy: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def of_class(self, c: int) -> np.ndarray:
        """int64 positions of the images with noisy class ``c``, increasing."""
        return np.flatnonzero(self.noisy == c)

    @property
    def verified(self) -> np.ndarray:
        """int64 positions of the images whose noisy label is verified right or wrong, increasing."""
        return np.flatnonzero(self.label != UNVERIFIED)


class Data:
    """All that a detector sees.

    Args:
        table: As ``withheld`` leaves it: its only verification is whether a noisy label is right.
        store: Features of its images.
        true: (N,) int64 true class by row of ``table`` where it may be seen, else -1; without it, that of the images
            whose noisy label is right.
        classifier: Directory of a run to take predictions from, for detectors with ``takes_classifier``.
        class_images: Most images of a class that are to be held in memory to fit on.

    Attributes:
        classes: C names.
        num_features: D.
        train, validation: Their images.
        true: As above; never of test, nor of classes whose verification is withheld.
        shared: What one detector made and another may take instead of making it again, by a key that says what it is.
        subsampled: By class, how many images there were where ``at_most`` drew a part of them.
    """

    def __init__(
        self,
        table: LabelTable,
        store: Features,
        *,
        true: np.ndarray | None = None,
        classifier: Path | None = None,
        class_images: int = CLASS_IMAGES,
    ) -> None:
        self.table, self.store = table, store
        self.classifier, self.class_images = classifier, class_images
        self.classes, self.num_features = table.classes, int(store.shape[1])
        self.train = labelled_images(table, store, table.rows("train"))
        self.validation = labelled_images(table, store, table.rows("validation"))
        self.subsampled: dict[str, int] = {}
        self.shared: dict[Hashable, Any] = {}
        right = verification_labels(table) == RIGHT
        self.true = np.where(right, noisy_classes(table), -1) if true is None else true

    def features(self, images: Images, positions: np.ndarray) -> np.ndarray:
        """(n, D) float32 features of ``images`` at ``positions`` (n,), in that order.

        Memory is that of the result: ask for one class (``at_most``) or 4,096 images at a time.

        Raises:
            NlcliError: a value is not finite.
        """
        return read_features(self.store, images.stored[positions])

    def parts(self, images: Images, positions: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions and their features, up to 4,096 at a time; of all images without ``positions``."""
        positions = np.arange(len(images)) if positions is None else positions
        for first in range(0, len(positions), READ_ROWS):
            part = positions[first : first + READ_ROWS]
            yield part, self.features(images, part)

    def at_most(self, positions: np.ndarray, c: int, seed: int, most: int | None = None) -> np.ndarray:
        """``positions`` of images of class ``c``, or ``most`` of them drawn by ``seed``, increasing.

        What a detector fits on at one time goes through here, so that no class is too large for memory:
        ``class_images`` is the most where the detector has no smaller limit of its own.
        """
        most = min(self.class_images, self.class_images if most is None else most)
        if len(positions) <= most:
            return positions
        self.subsampled[self.classes[c]] = max(len(positions), self.subsampled.get(self.classes[c], 0))
        drawn = stream(seed, "detection", "class", c).permutation(len(positions))[:most]
        return positions[np.sort(drawn)]


class Detector(ABC):
    """A way of telling wrong labels from right ones.

    Args:
        config: Of the class's ``Config``.

    Attributes:
        natural_threshold: Threshold that the detector has of itself, from which a label is right; used
            where no verified label of validation can choose one. Known after ``fit``; None: it has none.
        notes: JSON values worth recording (chosen hyper-parameters, classes that fell back to a rule).
        remarks: Sentences on what should not be taken as it is.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """A few words for tables."""
    citation: ClassVar[str]
    """BibTeX."""
    Config: ClassVar[type[BaseModel]] = DetectorConfig
    uses_verification: ClassVar[bool]
    """Whether it learns from verified training labels, and so cannot be without."""
    takes_verification: ClassVar[bool] = False
    """Whether it learns from verified training labels where there are any."""
    out_of_fold: ClassVar[bool] = False
    """Whether what it says of a training image is from a fit without that image's own labels, verified or not."""
    soft: ClassVar[bool] = False
    """Whether max(0, score) is a weight in [0, 1] for the image's loss."""
    score_is_probability: ClassVar[bool] = False
    """Whether its score is, by its own model, the probability that the label is right."""
    cautious: ClassVar[bool] = False
    """Whether ``natural_threshold`` stands where there are verified labels, too, and every label is believed where that
    errs no more often on these."""
    fixed_threshold: ClassVar[bool] = False
    """Whether ``natural_threshold`` stands, whatever verified labels there are."""
    takes_classifier: ClassVar[bool] = False
    """Whether ``Data.classifier`` means something to it."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.natural_threshold: float | None = None
        self.notes: dict[str, Any] = {}
        self.remarks: list[str] = []

    def check(self) -> None:  # noqa: B027 - most have nothing to check
        """Refuse, before anything is done, what cannot work here, such as for a package that is not installed."""

    def explain(self, threshold: float) -> str | None:
        """What a threshold says in words, where its number says little; after ``fit``."""
        return None

    @abstractmethod
    def fit(self, data: Data, seed: int, work: Path) -> None:
        """Learn from ``data``.

        Args:
            seed: Of everything random.
            work: Existing directory for what takes long, each file written through ``atomic_path``.
                After a kill ``fit`` is called again with it and must come to the same result.
        """

    @abstractmethod
    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Scores of images of any split, after ``fit``; higher is more likely right.

        Args:
            features: (n, D) float32.
            noisy: (n,) int64 noisy classes. The stage hands over images of one class at a time.
            rows: (n,) int64 rows of the data set, by which a detector can know images that it was
                fitted on; None: images that it has not seen.

        Returns:
            (n,) float32.
        """

    def write_more(self, data: Data, seed: int, work: Path) -> None:  # noqa: B027 - most have nothing to show
        """Write files of its own into the detection's directory ``work``, after ``fit`` on ``data``."""

    def class_probabilities(
        self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None
    ) -> np.ndarray | None:
        """(n, C) float32 probabilities of the true class, after ``fit``; arguments as of ``score``.

        None: it knows nothing of other classes, and classifiers of the noisy labels say which one an image resembles.
        """
        return None


# --- from a table ----------------------------------------------------------------------------


def labelled_images(table: LabelTable, store: Features, rows: np.ndarray) -> Images:
    """Those of ``rows`` that have a noisy label and features, with the verification that ``table`` has."""
    rows = rows[np.diff(table.noisy.indptr)[rows] > 0]
    with_features = stored_rows(table, store, rows)
    rows = with_features.dataset
    return Images(rows, with_features.stored, noisy_classes(table)[rows], verification_labels(table)[rows])


def read_features(store: Features, stored: np.ndarray) -> np.ndarray:
    """(n, D) float32 features of the rows ``stored`` (n,) in that order.

    They are read, not mapped: what lies on disk does not come to count as this process's memory.

    Raises:
        NlcliError: a value is not finite.
    """
    order = np.argsort(stored, kind="stable")
    read = np.empty((len(stored), store.shape[1]), store.dtype)
    store.read_into(stored[order], read)
    if np.array_equal(order, np.arange(len(order))):
        features = np.asarray(read, np.float32)
    else:
        features = np.empty(read.shape, np.float32)
        features[order] = read
    require_finite(features, lambda i: str(store.keys[stored[i]]))
    return features
