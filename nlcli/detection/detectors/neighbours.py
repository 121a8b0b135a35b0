"""The vote of the nearest training images, whatever their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig, Images
from nlcli.detection.reference_images import IMAGES, ReferenceImages, reference_images
from nlcli.detection.threshold import best_threshold
from nlcli.detection.verification import RIGHT
from nlcli.estimation.neighbours import votes
from nlcli.methods.citations import COVER_1967
from nlcli.seeds import stream

COUNTS = (10, 50)
_AGREEMENT = 4096  # training images by whose labels k is chosen where too few are verified
_FEWEST = 20  # verified labels of either kind from which on they choose k


class NeighboursConfig(DetectorConfig):
    """Options of the vote."""

    neighbours: int | None = Field(None, ge=1, description="Images that vote (default: 10 or 50, chosen).")
    images: int = Field(
        IMAGES, ge=10, description="Most training images to seek neighbours among; more are drawn by the seed."
    )


class NeighboursVote(Detector):
    """The share of votes for the label less the largest share of another class; no image votes on itself."""

    name = "neighbours"
    title = "neighbours' vote"
    citation = COVER_1967
    Config = NeighboursConfig
    uses_verification = False
    takes_verification = True
    out_of_fold = True
    soft = True
    config: NeighboursConfig

    def fit(self, data: Data, seed: int, work: Path) -> None:
        self._references = reference_images(data, seed, self.config.images)
        given = self.config.neighbours
        if given is None:
            self._k = self._chosen(data, seed)
        else:
            self._k = given
        self.notes |= {"neighbours": self._k, "references": len(self._references.neighbours)}
        self.natural_threshold = 0.0  # no other class has more votes

    def _chosen(self, data: Data, seed: int) -> int:
        """The number of neighbours whose votes part right from wrong verified labels best, or predict labels best."""
        train = (data.train, data.train.verified)
        validation = (data.validation, data.validation.verified)
        labels = np.concatenate([images.label[which] for images, which in (train, validation)])
        by_verified = min((labels == RIGHT).sum(), (labels != RIGHT).sum()) >= _FEWEST
        costs = []
        if by_verified:
            noisy = np.concatenate([images.noisy[which] for images, which in (train, validation)])
            near = [_near(data, *part, self._references) for part in (train, validation)]
            for k in COUNTS:
                score = _scores(np.concatenate([part[:, :k] for part in near]), noisy, len(data.classes))
                costs.append(best_threshold(score, labels, noisy)[1])
        else:
            asked = np.sort(stream(seed, "detection", "agreement").permutation(len(data.train))[:_AGREEMENT])
            near_asked = _near(data, data.train, asked, self._references)
            for k in COUNTS:
                shares = votes(near_asked[:, :k], len(data.classes))
                costs.append(float(np.mean(shares.argmax(axis=1) != data.train.noisy[asked])))
        self.notes["chosen_by"] = "verified labels" if by_verified else "agreement with the labels"
        self.notes["errors"] = dict(zip(map(str, COUNTS), costs, strict=True))
        return COUNTS[int(np.argmin(costs))]

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return _scores(self._references.labels(features, rows, self._k), noisy, self._references.num_classes)

    def class_probabilities(
        self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None
    ) -> np.ndarray:
        return self._references.votes(features, rows, self._k)


def _near(data: Data, images: Images, positions: np.ndarray, references: ReferenceImages) -> np.ndarray:
    """(n, 50) int64 classes of the neighbours of some images, -1 beyond the last one."""
    most = max(COUNTS)
    near = np.full((len(positions), most), -1)
    for first in range(0, len(positions), READ_ROWS):
        part = positions[first : first + READ_ROWS]
        labels = references.labels(data.features(images, part), images.rows[part], most)
        near[first : first + len(part), : labels.shape[1]] = labels
    return near


def _scores(near: np.ndarray, noisy: np.ndarray, classes: int) -> np.ndarray:
    shares = votes(near, classes)
    own = np.take_along_axis(shares, noisy[:, None], axis=1)[:, 0]
    np.put_along_axis(shares, noisy[:, None], -np.inf, axis=1)
    best = shares.max(axis=1) if classes > 1 else np.zeros(len(own), np.float32)
    return np.asarray(own - best, np.float32)
