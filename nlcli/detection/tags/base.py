"""What a detector of tags is, and what it sees: features, given tags, and which entries a person verified.

An entry is an image and a class. A detector gives every entry a score: the higher, the more likely the class is in the
image, whether its tag is given or not. It knows no files, splits, thresholds or probabilities: the stage
(``detect_tags.py``) feeds it and makes probabilities and verdicts of its scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from nlcli.data.features.extract import require_finite
from nlcli.estimation.scale import FeatureScale
from nlcli.seeds import stream

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable

READ_ROWS = 4096
"""Images that are read at a time."""


class TagDetectorConfig(BaseModel):
    """Base of a detector's options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int = Field(
        50_000, ge=100, description="Most training images to fit on; the verified ones are always among them."
    )


class Features(Protocol):
    """Features of images, a ``FeatureStore`` or something in memory."""

    path: Path
    backbone_fingerprint: str

    @property
    def keys(self) -> np.ndarray: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    def read(self, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Fitted:
    """The training images that a detector fits on, in memory.

    Attributes:
        rows: (n,) int64 rows of the data set, increasing.
        features: (n, D) float32, of unit length.
        given: (n, C) CSR, 1 where the tag is given.
        verified: (n,) bool, a person verified classes of the image, and the detector may know.
    """

    rows: np.ndarray
    features: np.ndarray
    given: Any
    verified: np.ndarray


class TagData:
    """All that a detector of tags sees.

    Args:
        table: Its only verification is what may be known: nothing of test, nothing outside the clean set.
        store: Features of its images.
        stored: (N,) int64 row of the features of each image of the table, -1 where it has none.
        run: Directory of a run to take scores from, for the detector that does.
        score: Which of the run's scores; None for its own choice.
        kept: Folder for what takes long to fit, of this detection alone; None: nothing is kept.

    Attributes:
        classes: C names.
    """

    def __init__(
        self,
        table: LabelTable,
        store: Features,
        stored: np.ndarray,
        *,
        run: Path | None = None,
        score: str | None = None,
        kept: Path | None = None,
    ) -> None:
        self.table, self.store, self.stored = table, store, stored
        self.run, self.score = run, score
        self.classes = table.classes
        self._kept = kept

    def kept(self, name: str) -> Path | None:
        """Folder, not made yet, where a part of a detector keeps what it has fitted, so that a stopped run goes on."""
        return None if self._kept is None else self._kept / name

    @property
    def train(self) -> np.ndarray:
        """int64 rows of the training images that have features, increasing."""
        rows = self.table.rows("train")
        with_features: np.ndarray = rows[self.stored[rows] >= 0]
        return with_features

    def features(self, rows: np.ndarray) -> np.ndarray:
        """(n, D) float32 features of images as they are stored; ask for some thousands at a time.

        Raises:
            NlcliError: a value is not finite.
        """
        features = np.asarray(self.store.read(self.stored[rows]), np.float32)
        require_finite(features, lambda i: str(self.table.keys[rows[i]]))
        return features

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Some positions in ``rows`` at a time, and their features."""
        for first in range(0, len(rows), READ_ROWS):
            part = slice(first, min(first + READ_ROWS, len(rows)))
            yield part, self.features(rows[part])

    def fitted_on(self, most: int, seed: int) -> Fitted:
        """The training images to fit on: all, or ``most`` of them drawn by ``seed``, verified ones first."""
        rows = self.train
        verified = self.table.verification[rows] > 0
        if len(rows) > most:
            order = np.argsort(self.table.keys[rows], kind="stable")
            drawn = np.empty(len(rows))
            drawn[order] = stream(seed, "tags", "images").random(len(rows))
            chosen = np.sort(np.argsort(drawn - verified, kind="stable")[: max(most, int(verified.sum()))])
            rows, verified = rows[chosen], verified[chosen]
        features = np.empty((len(rows), self.store.shape[1]), np.float32)
        for part, values in self.blocks(rows):
            features[part] = FeatureScale("unit").apply(values)
        given = (self.table.noisy[rows] > 0).astype(np.uint8).tocsr()
        return Fitted(rows, features, given, verified)


class TagDetector(ABC):
    """A way of telling wrong tags from right ones, and missing tags from absent classes.

    Args:
        config: Of the class's ``Config``.

    Attributes:
        notes: JSON values worth recording.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """A few words for tables."""
    citation: ClassVar[str]
    """BibTeX."""
    Config: ClassVar[type[BaseModel]] = TagDetectorConfig
    uses_verification: ClassVar[bool]
    """Whether it learns from verified training images, and so cannot be without."""
    believes: ClassVar[bool] = False
    """Whether it calls every given tag right and no tag missing, whatever else is known."""
    takes_run: ClassVar[bool] = False
    """Whether ``TagData.run`` is what it takes its scores from."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.notes: dict[str, Any] = {}

    @property
    def seen(self) -> np.ndarray:
        """int64 rows of the data set whose verified classes its scores have seen, so that nothing is measured there.

        A detector that scores such images by what was fitted without them has none.
        """
        return np.empty(0, np.int64)

    @abstractmethod
    def fit(self, data: TagData, seed: int) -> None:
        """Learn from ``data``; everything random comes from ``seed``."""

    @abstractmethod
    def score(self, features: np.ndarray, given: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Scores of images of any split, after ``fit``: log-odds, or whatever is like them, that the class is there.

        Args:
            features: (n, D) float32 as they are stored.
            given: (n, C) uint8, 1 where the tag is given.
            rows: (n,) int64 rows of the data set, by which a detector knows images that it was fitted on, and scores
                them by what did not see them; None: images that it has not seen.

        Returns:
            (n, C) float32, finite.
        """
