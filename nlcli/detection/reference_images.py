"""Training images among which the neighbours of an image are sought, with the classes that they vote for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.detection.base import Data
from nlcli.detection.verification import UNVERIFIED, WRONG
from nlcli.estimation.neighbours import Neighbours, votes
from nlcli.runtime import memory_available
from nlcli.seeds import stream

IMAGES = 50_000


@dataclass(frozen=True, eq=False)
class ReferenceImages:
    """Training images and their votes.

    Attributes:
        neighbours: The search among them.
        classes: (m,) int64 class that each votes for: its true class where that is known, else its noisy one; -1 where
            only is known that this one is wrong.
        place: (N,) int64 by row of the data set: its number among them, -1 for images that are not.
        num_classes: C.
    """

    neighbours: Neighbours
    classes: np.ndarray
    place: np.ndarray
    num_classes: int

    def labels(self, features: np.ndarray, rows: np.ndarray | None, k: int) -> np.ndarray:
        """(n, at most k) int64 classes of those nearest to (n, D) features, without the image itself."""
        own = None if rows is None else self.place[rows]
        nearest, _ = self.neighbours.nearest(features, k, own)
        labels: np.ndarray = self.classes[nearest]
        return labels

    def votes(self, features: np.ndarray, rows: np.ndarray | None, k: int) -> np.ndarray:
        """(n, C) float32 shares of the classes among the ``k`` nearest."""
        return votes(self.labels(features, rows, k), self.num_classes)


def reference_images(data: Data, seed: int, most: int = IMAGES) -> ReferenceImages:
    """All training images, or ``most`` of them drawn by ``seed``, every verified one among them where these are fewer.

    What fits half of the memory is the most in any case.
    """
    key = ("reference images", seed, most)
    if key not in data.shared:
        data.shared[key] = _made(data, seed, most)
    shared: ReferenceImages = data.shared[key]
    return shared


def _made(data: Data, seed: int, most: int) -> ReferenceImages:
    train = data.train
    room = min(most, max(1, memory_available() // (8 * data.num_features)))
    drawn = stream(seed, "detection", "references").permutation(len(train))
    known = train.label != UNVERIFIED
    positions = np.sort(np.concatenate([drawn[known[drawn]], drawn[~known[drawn]]])[:room])
    features = np.empty((len(positions), data.num_features), np.float32)
    first = 0
    for part, read in data.parts(train, positions):
        features[first : first + len(part)] = read
        first += len(part)
    true = data.true[train.rows[positions]]
    others = np.where(train.label[positions] == WRONG, -1, train.noisy[positions])
    place = np.full(len(data.table), -1)
    place[train.rows[positions]] = np.arange(len(positions))
    return ReferenceImages(Neighbours(features), np.where(true >= 0, true, others), place, len(data.classes))
