"""The rows of the table: a data set, its noise, and the share of its images that is verified."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.accuracy import planting
from benchmarks.accuracy.cases import Case, Truth
from benchmarks.accuracy.images import Images, available, images

SHARES = (0, 2, 5, 10, 30)
"""Per cent of the images outside test."""
FOLDS = 5
_STREAM = 0x61636375


@dataclass(frozen=True)
class World:
    """A data set with its noise.

    Attributes:
        images: Name of the data set.
        weak: Whether methods see features that are half drowned in noise, while the noise of labels is by clear ones.
        kind: ``class``, by a matrix; ``image``, by what an image looks like; ``given``, as the data have it.
        rate: Per cent of the labels that are wrong.
        held_back: Whether no default was fixed by looking at it.
    """

    images: str
    kind: str
    rate: int = 0
    weak: bool = False
    held_back: bool = False

    @property
    def name(self) -> str:
        """As ``--rows`` takes it, the share left out."""
        name = ("weak-" if self.weak else "") + self.images
        return name if self.kind == "given" else f"{name}-{self.kind}-{self.rate}"

    @property
    def defaults(self) -> str:
        """What the rows of this world are to them."""
        return "held back" if self.held_back else "tuned on"


WORLDS = (
    World("digits", "class", 20),
    World("digits", "class", 38),
    World("digits", "image", 17, held_back=True),
    World("digits", "image", 40, held_back=True),
    World("digits", "class", 20, weak=True),
    World("digits", "class", 40, weak=True, held_back=True),
    World("digits", "image", 17, weak=True, held_back=True),
    World("digits", "image", 40, weak=True),
    World("clothing", "class", 20),
    World("clothing", "class", 38),
    World("clothing", "image", 38, held_back=True),
    World("clothing", "class", 20, weak=True, held_back=True),
    World("clothing", "image", 40, weak=True, held_back=True),
    World("scenes", "given"),
    World("coco", "given", held_back=True),
    World("scene-pile", "given"),
)


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    world: World
    share: int

    @property
    def name(self) -> str:
        """``digits-class-38@5``."""
        return f"{self.world.name}@{self.share}"


def rows(patterns: list[str], runs: Path) -> list[Row]:
    """Rows whose name one of ``patterns`` (``clothing-*@5``) is like and whose data can be had; all without one."""
    from fnmatch import fnmatchcase

    every = [Row(world, share) for world in WORLDS for share in SHARES]
    for pattern in patterns:
        if not any(fnmatchcase(row.name, pattern) for row in every):
            raise SystemExit(f"no row is like '{pattern}'; rows: {' '.join(row.name for row in every)}")
    return [
        row
        for row in every
        if available(row.world.images, runs) and (not patterns or any(fnmatchcase(row.name, one) for one in patterns))
    ]


def case(row: Row, seed: int, runs: Path, most: int | None = None, draw: int = 0) -> tuple[Case, Truth]:
    """What is asked in ``row`` with ``seed``, and the answer.

    The verified images of a smaller share are among those of a larger one.

    Args:
        most: Images outside test, the first of a drawing; all where it is not said.
        draw: Of the verified images; noise and test images are those of the seed in each.
    """
    world = row.world
    data, noisy, features = _noisy(world, seed, runs)
    rng = np.random.default_rng([seed, _STREAM, 2])
    order = rng.permutation(len(data.truth))
    if data.split is None:
        test = order[seed % FOLDS :: FOLDS] if seed < FOLDS else order[::FOLDS]
    else:
        test = np.flatnonzero(data.split == 2)
    outside = order[~np.isin(order, test)][:most]
    if draw:
        outside = np.random.default_rng([seed, _STREAM, 2, draw]).permutation(outside)
    count = round(len(outside) * row.share / 100)
    place = np.sort(outside)
    verified = np.searchsorted(place, outside[:count])
    asked = Case(
        name=f"{row.name}-{seed}" + (f".{draw}" if draw else ""),
        classes=int(data.truth.max()) + 1 if data.truth.ndim == 1 else data.truth.shape[1],
        several=data.truth.ndim == 2,
        features=features[place],
        noisy=noisy[place],
        verified=verified,
        known=data.truth[place][verified],
        test_features=features[test],
        seed=seed,
    )
    return asked, Truth(labels=data.truth[place], test=data.truth[test])


@cache
def _noisy(world: World, seed: int, runs: Path) -> tuple[Images, np.ndarray, np.ndarray]:
    """The data set, its noisy labels, and the features that methods see."""
    data = images(world.images, runs)
    features = data.features
    if world.weak:
        drawn = np.random.default_rng([_STREAM, 3]).normal(size=features.shape)
        features = np.asarray(features + 2.5 * features.std() * drawn, np.float32)
    if world.kind == "given":
        assert data.noisy is not None
        return data, data.noisy, features
    rng = np.random.default_rng([seed, _STREAM, 1])
    if world.kind == "image":
        return data, planting.by_image(data.truth, data.features, world.rate / 100, rng), features
    matrix = planting.confusing_classes(data.truth, data.features) if data.matrix is None else data.matrix
    return data, planting.by_matrix(data.truth, matrix, world.rate / 100, rng), features
