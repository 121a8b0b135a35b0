"""Reference vectors of every class: K-means centroids of the features of its training images.

Lee et al. 2018, section 3.1, where K = 50: a class is represented by the centroids of all images
that carry its label, wrong ones among them. One class is in memory at a time, and a class that is
done lies in the work folder, so that a killed run goes on with the next one.

The clustering is our own because scikit-learn's adds the centroids of its threads in the order in
which they finish, which two runs with one seed do not share, and takes three times as long
(benchmarks/cleannet.py): k-means++ chooses its first centroids here in a random projection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nlcli.console import progress
from nlcli.detection.base import Data
from nlcli.errors import NlcliError
from nlcli.runtime import one_blas_thread
from nlcli.seeds import stream
from nlcli.stages.files import atomic_path

_FOLDER = "references"
_PROJECTED = 64  # dimensions in which first centroids are chosen


@dataclass(frozen=True)
class References:
    """References of all classes.

    Attributes:
        vectors: (C, K, D) float32; zeros beyond a class's count.
        counts: (C,) int64, from 0 to K: a class with fewer distinct images than K has fewer references.
    """

    vectors: np.ndarray
    counts: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(C, K) float32, 1 where there is a reference."""
        return np.asarray(np.arange(self.vectors.shape[1]) < self.counts[:, None], np.float32)

    def means(self) -> np.ndarray:
        """(C, D) float32 mean of each class's references; zeros for a class without any."""
        means: np.ndarray = self.vectors.sum(axis=1) / np.maximum(self.counts, 1)[:, None].astype(np.float32)
        return means


Selection = Literal["kmeans", "random"]


def class_references(
    data: Data,
    k: int = 50,
    seed: int = 0,
    work: Path | None = None,
    check: Callable[[np.ndarray], None] | None = None,
    selection: Selection = "kmeans",
) -> References:
    """References of every class, from its training images.

    Of a class with more than ``data.class_images`` that many are drawn and clustered.

    Args:
        k: K.
        seed: Of the clustering, and of which images are drawn.
        work: Folder in which finished classes are kept, a file each; none are without it.
        check: Sees the features of every class before they are clustered, and raises if they are unfit.
        selection: Centroids, or K of the class's images themselves, drawn by the seed: Lee 2018, section 3.1, has
            both and finds centroids slightly better.

    Raises:
        NlcliError: a file in ``work`` cannot be read, or a feature is not finite.
    """
    classes = len(data.classes)
    folder = None if work is None else work / _FOLDER
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    vectors = np.zeros((classes, k, data.num_features), np.float32)
    counts = np.zeros(classes, np.int64)
    with progress(classes, "clustering references", unit="classes") as bar:
        for c in range(classes):
            path = None if folder is None else folder / f"{c:05d}.npy"
            done = path is not None and path.exists()
            centroids = _kept(path) if path is not None and done else _made(data, c, k, seed, path, check, selection)
            counts[c] = len(centroids)
            vectors[c, : len(centroids)] = centroids
            bar.advance(1)
    return References(vectors, counts)


def _kept(path: Path) -> np.ndarray:
    try:
        centroids: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise NlcliError(f"{path} cannot be read ({error}); pass --force to begin anew") from error
    return centroids


def _made(
    data: Data,
    c: int,
    k: int,
    seed: int,
    path: Path | None,
    check: Callable[[np.ndarray], None] | None,
    selection: Selection,
) -> np.ndarray:
    positions = data.at_most(data.train.of_class(c), c, seed)
    if not len(positions):
        return np.empty((0, data.num_features), np.float32)
    features = data.features(data.train, positions)
    if check is not None:
        check(features)
    rng = stream(seed, "references", c)
    if selection == "random":
        made = features[np.sort(rng.permutation(len(features))[:k])]
    else:
        made = kmeans(features, k, rng)
    if path is not None:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, made)
    return made


# --- K-means ---------------------------------------------------------------------------------


def kmeans(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Centroids of Lloyd's algorithm, started by greedy k-means++; the same to the bit for one generator.

    Args:
        points: (n, D) float32.
        k: Number of clusters.

    Returns:
        (min(k, distinct points), D) float32. With fewer than ``k`` distinct points these themselves.

    References:
        Lloyd 1982; Arthur and Vassilvitskii 2007, with the candidates of their section 5.
    """
    middle = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    given, points = points, points - middle  # distances are differences of squares: small ones keep more digits
    with one_blas_thread():
        chosen = _plus_plus(_projected(points, rng), k, rng)
    if len(chosen) < k:
        return np.asarray(given[chosen])
    with one_blas_thread():
        return np.asarray(lloyd(points, points[chosen]) + middle)


def lloyd(points: np.ndarray, centres: np.ndarray, iterations: int = 100, tolerance: float = 1e-4) -> np.ndarray:
    """(k, D) means of the points that each of ``centres`` (k, D) is nearest to, again and again.

    Ends when no point changes its cluster, when the sum of squared distances falls by less than
    ``tolerance`` of itself, or after ``iterations``.
    """
    squares = np.einsum("ij,ij->i", points, points).astype(np.float64)
    member = np.zeros((len(centres), len(points)), np.float32)
    every, cluster, before = np.arange(len(points)), np.full(len(points), -1), np.inf
    for _ in range(iterations):
        # |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2): one product, and the largest is the nearest.
        nearness = points @ centres.T - 0.5 * np.einsum("ij,ij->i", centres, centres)
        now = nearness.argmax(axis=1)
        distances = squares - 2.0 * nearness[every, now]
        # A cluster that lost all of its points takes the point that is farthest from its centre.
        empty = np.flatnonzero(np.bincount(now, minlength=len(centres)) == 0)
        now[np.argsort(-distances, kind="stable")[: len(empty)]] = empty
        total = float(distances.sum())
        if np.array_equal(now, cluster) or (not len(empty) and before - total <= tolerance * abs(total)):
            break
        cluster, before = now, total
        member[:] = 0.0
        member[cluster, every] = 1.0
        counts = member.sum(axis=1)
        means = member @ points / np.maximum(counts, 1.0)[:, None]
        centres = np.where(counts[:, None] > 0, means, centres)  # the farthest point may have been one's only one
    return centres


def _projected(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points in a random projection that nearly keeps their distances (Johnson and Lindenstrauss 1984).

    Choosing the first centroids reads all points k times; here they are 32 times shorter.
    """
    width = points.shape[1]
    if width <= _PROJECTED:
        return points
    return points @ rng.standard_normal((width, _PROJECTED), np.float32)


def _plus_plus(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of up to ``k`` distinct points, each drawn by its squared distance to those before it.

    Of a few candidates the one is taken that leaves the smallest sum of squared distances.
    """
    squares = np.einsum("ij,ij->i", points, points)
    candidates = 2 + int(np.log(k))
    chosen = [int(rng.integers(len(points)))]
    nearest = _distances(points, squares, chosen)[:, 0]
    while len(chosen) < k:
        cumulated = np.cumsum(nearest, dtype=np.float64)
        if cumulated[-1] <= 0.0:
            break
        drawn = np.searchsorted(cumulated, rng.random(candidates) * cumulated[-1], side="right")
        drawn = np.minimum(drawn, len(points) - 1)
        drawn[nearest[drawn] <= 0.0] = nearest.argmax()  # the sum's rounding must not take a point twice
        left = np.minimum(nearest[:, None], _distances(points, squares, drawn))
        best = int(left.sum(axis=0).argmin())
        chosen.append(int(drawn[best]))
        nearest = left[:, best]
    return np.array(chosen)


def _distances(points: np.ndarray, squares: np.ndarray, of: np.ndarray | list[int]) -> np.ndarray:
    """(n, len(of)) squared distances; 0 where they are lost in the rounding of their terms."""
    terms = squares[:, None] + squares[of]
    distances = terms - 2.0 * (points @ points[of].T)
    return np.where(distances > 1e-6 * terms, distances, 0.0)
