"""The battery that every detector of tags passes: ours in our tests, one from outside in its own.

    from nlcli.detection.tags.checks import check_tag_detector

    def test_mine():
        check_tag_detector("mine")

It needs no pytest: what is wrong is told by the sentence of an ``AssertionError``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.labels import FULL, SPLITS, LabelTable, matrix_from_lists, strings
from nlcli.detection.tags.base import TagData, TagDetector
from nlcli.detection.tags.verified import known_rows, only_known

CLASSES = ("ant", "bee", "cat", "dog", "elk", "fox")
IMAGES = {"train": 600, "validation": 120, "test": 200}
WIDTH = 16
DROPPED, ADDED = 0.3, 0.4
"""Share of true tags that are missing, and wrong tags for every true one."""
LEAST_AREA = 0.6
"""What the area under the ROC curve must exceed on test, of given tags and of missing ones; chance is 0.5."""


def check_tag_detector(detector: str | type[TagDetector], **options: Any) -> None:
    """Put a detector of tags through the whole battery.

    Args:
        detector: Its name, if it is registered, or the class.
        options: Of its configuration, with which it tells wrong entries from right ones on a planted problem of 920
            images, six classes and 16 features. It is fitted three times.

    Raises:
        AssertionError: With a sentence that says what is wrong.
    """
    if isinstance(detector, str):
        from nlcli.detection.tags import TAG_DETECTORS

        detector = TAG_DETECTORS.get(detector)
    case = Case(detector, options)
    for check in CHECKS:
        check(case)


class PlantedStore:
    """Features of no network, in memory."""

    path = Path("/nowhere")
    backbone_fingerprint = "planted"

    def __init__(self, keys: np.ndarray, features: np.ndarray) -> None:
        self.keys, self._features = keys, features

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return self._features.shape[0], self._features.shape[1]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(n, D)."""
        features: np.ndarray = self._features[rows]
        return features


@dataclass(frozen=True)
class Planted:
    """Images with directions of their classes in their features, tags dropped and added at random.

    The class ``elk`` has one training image, the class ``fox`` none. A tenth of train, and all other images are
    verified.

    Attributes:
        table: With all that is verified.
        true: (N, C) bool.
    """

    table: LabelTable
    store: PlantedStore
    true: np.ndarray


def planted(seed: int = 0, spread: float = 0.7) -> Planted:
    """The problem on which detectors of tags are checked; features are not negative, as pooled ones are not.

    Args:
        spread: Of the features of images with the same classes.
    """
    rng = np.random.default_rng(seed)
    split = np.repeat(np.arange(len(SPLITS)), [IMAGES[name] for name in SPLITS])
    count, many = len(split), len(CLASSES) - 2
    true = np.zeros((count, len(CLASSES)), bool)
    true[:, :many] = rng.random((count, many)) < 0.3
    true[0, many] = True
    directions = rng.random((len(CLASSES), WIDTH)) ** 3
    features = np.abs(0.3 + true @ directions + spread * rng.normal(size=(count, WIDTH))).astype(np.float32)
    chance = ADDED * true.mean(axis=0) / np.maximum(1 - true.mean(axis=0), 1e-9)
    wrong = rng.random(true.shape) < np.where(true, DROPPED, chance)
    wrong[:, many:] = False
    given = true ^ wrong
    keys = strings([f"image {i:04d}" for i in range(count)])
    verification = np.where((split > 0) | (rng.random(count) < 0.1), FULL, 0).astype(np.uint8)
    present = np.where((verification == FULL)[:, None], true, False)

    def lists(of: np.ndarray) -> list[list[int]]:
        return [np.flatnonzero(row).tolist() for row in of]

    table = LabelTable(
        task="multi-label",
        classes=CLASSES,
        keys=keys,
        paths=keys,
        image_root=Path("/nowhere"),
        split=split.astype(np.int8),
        noisy=matrix_from_lists(lists(given), len(CLASSES), [[1.0] * int(row.sum()) for row in given]),
        present=matrix_from_lists(lists(present), len(CLASSES)),
        absent=matrix_from_lists([[]] * count, len(CLASSES)),
        verification=verification,
    )
    return Planted(table, PlantedStore(keys, features), true)


@dataclass(frozen=True)
class Case:
    """A detector with its options, as a check is given it."""

    cls: type[TagDetector]
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def planted(self) -> Planted:
        """The problem."""
        return planted()

    def data(self, table: LabelTable | None = None) -> TagData:
        """What it sees: nothing verified of test, or the verification of ``table``."""
        whole = self.planted.table
        seen = only_known(whole, known_rows(whole, 1.0, 0)) if table is None else table
        return TagData(seen, self.planted.store, np.arange(len(whole)))

    def fit(self, data: TagData | None = None) -> TagDetector:
        """The detector, fitted."""
        detector = self.cls(self.cls.Config(**self.options))
        detector.fit(self.data() if data is None else data, 0)
        return detector

    @cached_property
    def fitted(self) -> TagDetector:
        """The detector, fitted to what it may see."""
        return self.fit()

    def scores(self, detector: TagDetector, rows: np.ndarray) -> np.ndarray:
        """(n, C) scores of some rows, as the stage asks for them."""
        data = self.data()
        given = data.table.noisy_targets(rows)
        scores = detector.score(data.features(rows), given, rows)
        name, kind = self.cls.name, type(scores).__name__
        assert isinstance(scores, np.ndarray), f"{name}: score() gives a {kind}, not a NumPy array"
        assert scores.shape == given.shape, f"{name}: score() gives {scores.shape} for {given.shape} entries"
        assert np.isfinite(scores).all(), f"{name} gives scores that are not finite"
        return scores

    @cached_property
    def whole(self) -> np.ndarray:
        """(N, C) what ``fitted`` says of all images."""
        return self.scores(self.fitted, np.arange(len(self.planted.table)))


# --- the checks ------------------------------------------------------------------------------


def check_statements(case: Case) -> None:
    """It states its name, title, citation and options; one that is registered has a card."""
    from nlcli.detection.tags import TAG_DETECTORS

    TAG_DETECTORS.check_statements(case.cls)
    assert case.cls.title, f"{case.cls.name} has no title"
    json.dumps(case.fitted.notes)


def check_tells_wrong_from_right(case: Case) -> None:
    """On test, which it was not fitted on, a class that is there has higher scores, its tag given or not."""
    if case.cls.believes:
        return
    test = case.planted.table.rows("test")
    given, true = case.planted.table.noisy_targets(test) > 0, case.planted.true[test]
    score = case.whole[test]
    for name, which in (("given", given), ("missing", ~given)):
        area = _area(score[which & true], score[which & ~true])
        assert area > LEAST_AREA, (
            f"{case.cls.name} tells present classes from absent ones among {name} tags with an area under the ROC "
            f"curve of {area:.3f} on the planted problem; more than {LEAST_AREA} is asked for, and 0.5 is chance"
        )


def _area(ones: np.ndarray, others: np.ndarray) -> float:
    above = ones[:, None] - others
    return float(np.mean(above > 0) + 0.5 * np.mean(above == 0))


def check_parts(case: Case) -> None:
    """An image's score depends on nothing but the image, and one that it has not seen needs no row."""
    rows, name = case.planted.table.rows("test"), case.cls.name
    data = case.data()
    features, given = data.features(rows), data.table.noisy_targets(rows)
    unseen, nothing = case.fitted.score(features, given), case.fitted.score(features[:0], given[:0])
    few = np.concatenate([case.scores(case.fitted, rows[i : i + 50]) for i in range(0, len(rows), 50)])
    assert nothing.shape == (0, len(CLASSES)), f"{name}: score() of no image has the shape {nothing.shape}"
    for which, scores in (("unseen images without rows", unseen), ("images a few at a time", few)):
        close = np.allclose(scores, case.whole[rows], rtol=1e-4, atol=1e-4)
        assert close, f"{name} scores {which} otherwise than all together"


def check_same_seed_same_scores(case: Case) -> None:
    """Another run with the same seed gives the same bits."""
    second = case.scores(case.fit(), np.arange(len(case.planted.table)))
    assert np.array_equal(second, case.whole), f"{case.cls.name} gives other scores at a second run with the same seed"


def check_verified_images_are_scored_without_themselves(case: Case) -> None:
    """What is verified of an image does not come back as the image's own score; or the detector says that it does."""
    rows = np.flatnonzero((case.planted.table.verification == FULL) & (case.planted.table.split == 0))
    table, score = case.planted.table, case.whole[rows]
    given, true = table.noisy_targets(rows) > 0, case.planted.true[rows]
    if case.cls.believes or np.isin(rows, case.fitted.seen).all():
        return
    area = np.mean([_area(score[which & true], score[which & ~true]) for which in (given, ~given)])
    test = table.rows("test")
    own, there = table.noisy_targets(test) > 0, case.planted.true[test]
    on_test = np.mean([_area(case.whole[test][w & there], case.whole[test][w & ~there]) for w in (own, ~own)])
    assert area < on_test + 0.1, (
        f"{case.cls.name} ranks the verified images that it was fitted on with an area of {area:.3f}, others with "
        f"{on_test:.3f}: score them by what did not see them, or name them in 'seen'"
    )


def check_without_verification(case: Case) -> None:
    """It needs no verified image if it says so."""
    if case.cls.uses_verification:
        return
    none = only_known(case.planted.table, np.empty(0, np.int64))
    detector = case.fit(case.data(replace(none)))
    case.scores(detector, case.planted.table.rows("test"))


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_statements,
    check_tells_wrong_from_right,
    check_parts,
    check_same_seed_same_scores,
    check_verified_images_are_scored_without_themselves,
    check_without_verification,
)
