"""Votes of an image's nearest training images with what is believed of *them*, not with the labels that they have.

Where labels of a class often go wrong, so do those of an image's neighbours, and their votes repeat the error; what is
believed of a neighbour has its own label weighed already. Neighbours are sought twice: by cosine of all features, and
by cosine along the longest directions in which images differ, where noise of many features is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nlcli.detection.base import Data
from nlcli.detection.reference_images import ReferenceImages
from nlcli.estimation.evidence import bounded_log
from nlcli.estimation.neighbours import Neighbours
from nlcli.estimation.random_features import RandomFeatures
from nlcli.estimation.scale import FeatureScale

COUNTS = (10, 50)
"""Neighbours whose votes are one piece of evidence."""
DIRECTIONS = 20
"""Longest directions by which neighbours are sought the second time."""


@dataclass(frozen=True, eq=False)
class SoftVotes:
    """Neighbours, and what is believed of them.

    Attributes:
        references: The images, and the search by all features.
        along: The search along the longest directions.
        directions: What these are.
        shares: (m, C) float32 what each reference votes; its rows sum to 1.
    """

    references: ReferenceImages
    along: Neighbours
    directions: RandomFeatures
    shares: np.ndarray

    @classmethod
    def of(cls, data: Data, references: ReferenceImages, directions: RandomFeatures, shares: np.ndarray) -> SoftVotes:
        """The second search made; ``shares`` as ``shares_of`` makes them."""
        place = references.place
        short = np.empty((len(shares), min(DIRECTIONS, directions.directions.shape[1])), np.float32)
        positions = np.flatnonzero(place[data.train.rows] >= 0)
        for part, features in data.parts(data.train, positions):
            short[place[data.train.rows[part]]] = directions.projected(FeatureScale("unit").apply(features), DIRECTIONS)
        return cls(references, Neighbours(short), directions, shares)

    def logs(
        self, features: np.ndarray, rows: np.ndarray | None, nearest: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """log of the shares of votes, half a vote added to each class; four pieces of evidence, (n, C) float32 each.

        Args:
            features: (n, D).
            rows: (n,) of the data set; None: images that are not in it.
            nearest: (n, 50) references nearest by all features, where they are known.
        """
        own = None if rows is None else self.references.place[rows]
        if nearest is None:
            nearest, _ = self.references.neighbours.nearest(features, max(COUNTS), own)
        short = self.directions.projected(FeatureScale("unit").apply(features), DIRECTIONS)
        along, _ = self.along.nearest(short, max(COUNTS), own)
        return [piece for found in (nearest, along) for piece in self._counted(found)]

    def _counted(self, nearest: np.ndarray) -> Iterator[np.ndarray]:
        """For each of ``COUNTS``, of the references ``nearest`` (n, k)."""
        total, voted = np.zeros((len(nearest), self.references.num_classes), np.float32), 0
        for count in COUNTS:
            for column in nearest[:, voted:count].T:
                total += self.shares[column]
            voted = max(1, min(count, nearest.shape[1]))
            yield bounded_log(total / np.float32(voted) + np.float32(0.5 / count))


def shares_of(references: ReferenceImages, rows: np.ndarray, beliefs: np.ndarray) -> np.ndarray:
    """(m, C) float32 what each reference votes.

    Args:
        rows: (n,) of the data set, images of which something is believed.
        beliefs: (n, C) that; a reference that is not among them votes for its label.
    """
    shares = np.zeros((len(references.neighbours), references.num_classes), np.float32)
    labelled = np.flatnonzero(references.classes >= 0)
    shares[labelled, references.classes[labelled]] = 1.0
    place = references.place[rows]
    inside = place >= 0
    shares[place[inside]] = beliefs[inside]
    return shares
