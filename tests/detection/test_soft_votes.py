"""Votes of what is believed of neighbours: by hand, and by brute force along the longest directions."""

from __future__ import annotations

from typing import Any

import numpy as np

from nlcli.detection.reference_images import ReferenceImages, reference_images
from nlcli.detection.soft_votes import SoftVotes, shares_of
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.neighbours import Neighbours
from nlcli.estimation.random_features import RandomFeatures
from worlds.detection import CLASSES, World, data_of


def test_a_reference_votes_for_what_is_believed_of_it_or_for_its_label() -> None:
    """Rows 5, 6 and 8 of the data set are references; of 6 and 7 something is believed; 8 is known to be none of its."""
    place = np.full(9, -1)
    place[[5, 6, 8]] = [0, 1, 2]
    references = ReferenceImages(Neighbours(np.eye(3, dtype=np.float32)), np.array([1, 0, -1]), place, 2)
    shares = shares_of(references, np.array([6, 7]), np.array([[0.3, 0.7], [0.9, 0.1]]))
    np.testing.assert_allclose(shares, [[0.0, 1.0], [0.3, 0.7], [0.0, 0.0]], atol=1e-7)


def test_votes_are_means_of_the_shares_of_the_nearest(world: World, fitted: Any) -> None:
    """10 and 50 nearest by all features, and by the longest directions, sought by brute force; never oneself."""
    data = data_of(world)
    references = reference_images(data, 0)
    random = np.random.default_rng(1)
    shares = random.dirichlet(np.ones(len(CLASSES)), len(references.neighbours)).astype(np.float32)
    rows = data.train.rows
    unit = world.features / np.linalg.norm(world.features, axis=1, keepdims=True)
    more = RandomFeatures.fitted(ArrayBlocks(unit[rows]), 0, count=0)
    votes = SoftVotes.of(data, references, more, shares)
    asked = rows[:25]
    pieces = votes.logs(world.features[asked], asked)
    by_place = rows[np.argsort(references.place[rows])]
    for space, first in ((unit, 0), ((unit - more.centre) @ more.directions[:, :20], 2)):
        long = space / np.linalg.norm(space, axis=1, keepdims=True)
        cosines = long[asked] @ long[by_place].T
        cosines[np.arange(25), references.place[asked]] = -np.inf
        order = np.argsort(-cosines, axis=1)
        for k, piece in zip((10, 50), pieces[first : first + 2], strict=True):
            expected = shares[order[:, :k]].mean(axis=1) + 0.5 / k
            np.testing.assert_allclose(np.exp(piece), expected, atol=2e-4)
    known, _ = references.neighbours.nearest(world.features[asked], 50, references.place[asked])
    for piece, again in zip(pieces, votes.logs(world.features[asked], asked, known), strict=True):
        np.testing.assert_array_equal(piece, again)


def test_few_references_are_all_that_vote() -> None:
    features = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    references = ReferenceImages(Neighbours(features), np.array([0, 0, 1]), np.array([0, 1, 2]), 2)
    directions = RandomFeatures(np.zeros(2, np.float32), np.eye(2, dtype=np.float32), np.empty((2, 0)), np.empty(0))
    shares = np.array([[1, 0], [0.5, 0.5], [0, 1]], np.float32)
    votes = SoftVotes(references, Neighbours(features), directions, shares)
    ten, fifty, _, _ = votes.logs(features[:1], np.array([0]))
    np.testing.assert_allclose(np.exp(ten), [[0.25 + 0.05, 0.75 + 0.05]], atol=1e-6)
    np.testing.assert_allclose(np.exp(fifty), [[0.25 + 0.01, 0.75 + 0.01]], atol=1e-6)
