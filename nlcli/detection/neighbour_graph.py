"""A graph of nearest neighbours a class, over which verified labels spread: Lee 2018, section 4.2.

A class's graph links each image to its nearest neighbours among the class's verified images and at
most ``unlabelled`` others, drawn by the seed. Graphs are therefore bounded, and work grows with the
number of classes and of scored images, not with the square of any. An image to be scored gets the
mean of what its nearest neighbours in the graph have, as scikit-learn predicts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from nlcli.detection.base import Data, DetectorConfig
from nlcli.detection.per_class import ClassImages, PerClass, Setting, State, verified_of_class
from nlcli.detection.verification import RIGHT, UNVERIFIED
from nlcli.runtime import cpu_count
from nlcli.seeds import stream


class GraphConfig(DetectorConfig):
    """Options of the graph."""

    neighbours: int | None = Field(
        None, ge=1, description="Neighbours in the graph (default: 5, 10, 20 or 40, chosen on validation)."
    )
    unlabelled: int = Field(1000, ge=0, description="Unverified images of a class in its graph.")
    iterations: int = Field(1000, ge=1, description="Most iterations.")


class NeighbourGraph(PerClass):
    """Base of the detectors that spread verified labels over such a graph."""

    config: GraphConfig

    def settings(self) -> Sequence[Setting]:
        given = self.config.neighbours
        return [{"neighbours": k} for k in ((10, 5, 20, 40) if given is None else (given,))]

    def positions(self, data: Data, c: int, seed: int) -> np.ndarray:
        others = np.flatnonzero((data.train.noisy == c) & (data.train.label == UNVERIFIED))
        drawn = stream(seed, "detection", "unlabelled", c).permutation(len(others))[: self.config.unlabelled]
        verified = data.at_most(verified_of_class(data.train, c), c, seed)
        return np.sort(np.concatenate([verified, others[drawn]]))

    @abstractmethod
    def estimator(self, setting: Setting, kernel: Any) -> Any:
        """scikit-learn's, with ``kernel`` giving the graph."""

    def fit_class(self, images: ClassImages, settings: Sequence[Setting], seed: int) -> list[State]:
        from scipy.sparse import csr_matrix

        count = len(images.label)
        nearest = _nearest(images.features, images.features, max(s["neighbours"] for s in settings))
        states: list[State] = []
        for setting in settings:
            k = min(setting["neighbours"], count)
            rows = np.repeat(np.arange(count), k)
            graph = csr_matrix((np.ones(count * k), (rows, nearest[:, :k].ravel())), shape=(count, count))
            model = self.estimator(setting, lambda a, b, graph=graph: graph.copy())
            model.fit(np.zeros((count, 1)), images.label)  # the graph is all it looks at
            states.append(
                {
                    "right": model.label_distributions_[:, model.classes_.tolist().index(RIGHT)],
                    "any": model.label_distributions_.sum(axis=1),
                }
            )
        return states

    def score_class(self, images: ClassImages, state: State, setting: Setting, features: np.ndarray) -> np.ndarray:
        near = _nearest(images.features, features, setting["neighbours"])
        right, weight = state["right"][near].sum(axis=1), state["any"][near].sum(axis=1)
        known = images.label != UNVERIFIED
        # Where no verified image is linked to any of the neighbours, the class's share of right labels remains.
        share = np.mean(images.label[known] == RIGHT)
        return np.asarray(np.where(weight > 0, right / np.where(weight > 0, weight, 1), share))


def _nearest(images: np.ndarray, features: np.ndarray, k: int) -> np.ndarray:
    """(n, at most k) indices into ``images`` of those nearest to ``features`` (n, D), nearest first."""
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=min(k, len(images)), algorithm="brute", n_jobs=cpu_count()).fit(images)
    nearest: np.ndarray = finder.kneighbors(features, return_distance=False)
    return nearest
