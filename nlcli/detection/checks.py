"""The battery that every detector passes: ours in our tests, one from outside in its own (docs/add-your-own.md).

    from nlcli.detection.checks import check_detector

    def test_mine():
        check_detector("mine", steps=300)

It needs no pytest: what is wrong is told by the sentence of an ``AssertionError``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.data.labels import SPLITS, LabelTable, single_label_table
from nlcli.detection.base import Data, Detector, Images, labelled_images
from nlcli.detection.verification import UNVERIFIED, verification_labels, visible_classes, withheld
from nlcli.networks.linear_layer import LinearLayer
from nlcli.training.planted import MemoryFeatures

CLASSES = ("ant", "bee", "cat", "dog", "elk", "fox")
IMAGES = {"train": 420, "validation": 150, "test": 120}
WIDTH = 16
WRONG = 0.35
"""Share of wrong noisy labels, of which most are the class after the true one."""
LEAST_AREA = 0.55
"""What the area under the ROC curve of right against wrong labels must exceed on test; chance is 0.5."""
_SAME = 0.1
"""How far a score may move because one other verified label is otherwise: it has part in what is chosen."""


def check_detector(detector: str | type[Detector], **options: Any) -> None:
    """Put a detector through the whole battery.

    Args:
        detector: Its name, if it is registered, or the class.
        options: Of its configuration, with which it tells wrong labels from right ones on a planted problem of
            690 images, six classes and 16 features. Give few steps: it is fitted three times.

    Raises:
        AssertionError: With a sentence that says what is wrong.
    """
    if isinstance(detector, str):
        from nlcli.detection import get_detector

        detector = get_detector(detector)
    case = Case(detector, options)
    for check in CHECKS:
        check(case)


class _Killed(BaseException):
    """Stands for the end of the process in the middle of ``fit``."""


class _KilledData(Data):
    """Data whose reader is killed as it asks for features for the ``last``-th time; 0: never.

    Attributes:
        asked: How often it asked.
    """

    last = 0
    asked = 0

    def features(self, images: Images, positions: np.ndarray) -> np.ndarray:
        self.asked += 1
        if self.asked == self.last:
            raise _Killed
        return super().features(images, positions)


class _PlantedFeatures(MemoryFeatures):
    """Features of no network."""

    path = Path("/nowhere")
    last_layer: LinearLayer | None = None
    backbone_fingerprint = "planted"

    def __init__(self, keys: list[str], features: np.ndarray) -> None:
        super().__init__(keys, features)
        self.keys = np.asarray(keys)


@dataclass(frozen=True)
class Planted:
    """Images around a centre for each class, and noisy labels that are wrong in a known way.

    The class ``elk`` has one training image, the class ``fox`` none. Half of train, and all other images are
    verified.

    Attributes:
        table: With all that is verified.
        right: (n,) bool, whether the noisy label is right.
    """

    table: LabelTable
    store: _PlantedFeatures
    right: np.ndarray


def planted(seed: int = 0) -> Planted:
    """The problem on which detectors are checked; features are not negative, as pooled ones are not."""
    rng = np.random.default_rng(seed)
    split = np.repeat(np.arange(len(SPLITS)), [IMAGES[name] for name in SPLITS])
    count, many = len(split), len(CLASSES) - 2
    true = rng.integers(many, size=count)
    rare = np.flatnonzero(split == 0)[:1]
    true[rare] = many
    true[np.flatnonzero(split == 1)[:3]] = many + 1
    centres = 1.5 * rng.random((len(CLASSES), WIDTH))
    features = np.abs(centres[true] + 0.35 * rng.normal(size=(count, WIDTH))).astype(np.float32)
    wrong = (rng.random(count) < WRONG) & (true < many)
    step = np.where(rng.random(count) < 0.6, 1, rng.integers(1, many, count))
    noisy = np.where(wrong, (true + step) % many, true)
    known = np.where((split > 0) | (rng.random(count) < 0.5), true, -1)
    keys = [f"image {i:04d}" for i in range(count)]
    table = single_label_table(CLASSES, keys, keys, Path("/nowhere"), split, noisy, known)
    return Planted(table, _PlantedFeatures(keys, features), ~wrong)


@dataclass(frozen=True)
class Case:
    """A detector with its options, as a check is given it."""

    cls: type[Detector]
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def planted(self) -> Planted:
        """The problem."""
        return planted()

    def make(self) -> Detector:
        """The detector, not fitted yet."""
        return self.cls(self.cls.Config(**self.options))

    def data(self, *, verified: bool = True, last: int = 0) -> _KilledData:
        """What it sees: nothing verified of test; nothing verified at all without ``verified``.

        Args:
            last: The process ends as features are asked for the ``last``-th time; 0: never.
        """
        table = self.planted.table
        label = np.where((table.split == 2) | (not verified), UNVERIFIED, verification_labels(table))
        true = visible_classes(table, label, np.zeros(len(CLASSES), bool))
        data = _KilledData(withheld(table, label), self.planted.store, true=true)
        data.last = last
        return data

    def fit(self, work: Path, data: Data | None = None, seed: int = 0) -> Detector:
        """The detector, fitted in ``work``."""
        detector = self.make()
        detector.fit(self.data() if data is None else data, seed, work)
        return detector

    @cached_property
    def _fitted(self) -> tuple[Detector, int]:
        data = self.data()
        return self.fit(Path(self._work.name), data), data.asked

    @property
    def fitted(self) -> Detector:
        """The detector, fitted with nothing in its way; its work folder stays as long as the case."""
        return self._fitted[0]

    @property
    def reads(self) -> int:
        """How often it asked for features as it was fitted."""
        return self._fitted[1]

    @cached_property
    def _work(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory()

    @cached_property
    def whole(self) -> Scores:
        """What ``fitted`` says."""
        return self.scores(self.fitted)

    def scores(self, detector: Detector) -> Scores:
        """Scores of all images, a class at a time, as the stage asks for them."""
        data = self.data()
        images = labelled_images(data.table, data.store, np.arange(len(data.table)))
        score = np.empty(len(images), np.float32)
        for c in range(len(CLASSES)):
            of_class = images.of_class(c)
            given = detector.score(data.features(images, of_class), images.noisy[of_class], images.rows[of_class])
            name, kind = self.cls.name, type(given).__name__
            assert isinstance(given, np.ndarray), f"{name}: score() gives a {kind}, not a NumPy array"
            assert given.shape == of_class.shape, f"{name}: score() gives {given.shape} for {len(of_class)} images"
            score[of_class] = given
        return Scores(score, detector.natural_threshold, json.dumps(detector.notes, sort_keys=True, default=_listed))


@dataclass(frozen=True, eq=False)
class Scores:
    """What a fitted detector says: (n,) scores in the order of the images, its own threshold, its notes as JSON."""

    score: np.ndarray
    threshold: float | None
    notes: str

    def same_as(self, other: Scores) -> bool:
        """To the bit."""
        same = self.threshold == other.threshold and self.notes == other.notes
        return same and np.array_equal(self.score, other.score)


def _listed(value: Any) -> Any:
    assert hasattr(value, "tolist"), f"notes hold a {type(value).__name__}, which JSON does not have"
    return value.tolist()


# --- the checks ------------------------------------------------------------------------------


def check_statements(case: Case) -> None:
    """It states its name, title, citation and options; one that is registered has a card."""
    from nlcli.detection import DETECTORS

    DETECTORS.check_statements(case.cls)
    assert case.cls.title, f"{case.cls.name} has no title"


def check_scores(case: Case) -> None:
    """Scores are finite, and weights in [0, 1] where it says that they are."""
    score, name = case.whole.score, case.cls.name
    assert np.isfinite(score).all(), f"{name} gives scores that are not finite"
    if case.cls.soft:
        assert score.max() <= 1 + 1e-6, f"{name} is soft, but gives the score {score.max():g}: none may be above 1"
    threshold = case.whole.threshold
    assert threshold is None or np.isfinite(threshold), f"the threshold that {name} has of itself is {threshold}"
    assert not case.cls.fixed_threshold or threshold is not None, f"{name} has a fixed threshold, but states none"


def check_tells_wrong_from_right(case: Case) -> None:
    """Right labels of test, which it was not fitted on, have higher scores; but not if it believes every label."""
    if case.cls.fixed_threshold:
        return
    test = case.planted.table.rows("test")
    score, right = case.whole.score[test], case.planted.right[test]
    above = score[right][:, None] - score[~right]
    area = float(np.mean(above > 0) + 0.5 * np.mean(above == 0))
    assert area > LEAST_AREA, (
        f"{case.cls.name} tells wrong labels from right ones with an area under the ROC curve of {area:.3f} on the "
        f"planted problem; more than {LEAST_AREA} is asked for, and 0.5 is chance"
    )


def check_class_probabilities(case: Case) -> None:
    """Where it says which class an image is of, it says so of every class, in probabilities."""
    data, name = case.data(), case.cls.name
    images = labelled_images(data.table, data.store, data.table.rows("train"))
    features = data.features(images, np.arange(len(images)))
    shares = case.fitted.class_probabilities(features, images.noisy, images.rows)
    if shares is None:
        return
    expected = (len(images), len(CLASSES))
    assert shares.shape == expected, f"{name}: class_probabilities() gives {shares.shape}, not {expected}"
    sound = np.isfinite(shares).all() and (shares >= 0).all() and np.allclose(shares.sum(axis=1), 1, atol=1e-3)
    assert sound, f"{name}: class_probabilities() gives rows that are no probabilities"


def check_out_of_fold(case: Case) -> None:
    """Where it says so, the score of a verified training image does not know what is verified of that image."""
    if not case.cls.out_of_fold or not case.cls.takes_verification:
        return
    label, data = verification_labels(case.planted.table), case.data()
    image = int(data.train.rows[data.train.verified[0]])
    changed = np.where(case.planted.table.split == 2, UNVERIFIED, label)
    changed[image] = 1 - changed[image]
    true = data.true.copy()
    true[image] = data.table.noisy.indices[image] if changed[image] == 1 else (data.true[image] + 1) % len(CLASSES)
    other = _KilledData(withheld(case.planted.table, changed), case.planted.store, true=true)
    with tempfile.TemporaryDirectory() as work:
        detector = case.fit(Path(work), other)
        features = data.features(data.train, data.train.verified[:1])
        noisy, rows = data.train.noisy[data.train.verified[:1]], data.train.rows[data.train.verified[:1]]
        told = float(detector.score(features, noisy, rows)[0])
    before = float(case.whole.score[image])
    assert abs(told - before) <= _SAME, (
        f"{case.cls.name} says that it scores training images out of fold, but the score of a verified one goes from "
        f"{before:.3f} to {told:.3f} where its own verification is another"
    )


def check_parts(case: Case) -> None:
    """An image's score depends on nothing but the image, and one that it has not seen needs no row."""
    data, name = case.data(), case.cls.name
    images = labelled_images(data.table, data.store, data.table.rows("test"))
    features, noisy, score = data.features(images, np.arange(len(images))), images.noisy, case.fitted.score
    unseen, nothing = score(features, noisy), score(features[:0], noisy[:0])
    few = np.concatenate([score(features[i : i + 50], noisy[i : i + 50]) for i in range(0, len(noisy), 50)])
    assert np.shape(nothing) == (0,), f"{name}: score() of no image has the shape {np.shape(nothing)}, not (0,)"
    for which, given in (("unseen images without rows", unseen), ("images a few at a time", few)):
        close = np.allclose(given, case.whole.score[data.table.rows("test")], rtol=1e-4, atol=1e-5)
        assert close, f"{name} scores {which} otherwise than class by class"


def check_same_seed_same_scores(case: Case) -> None:
    """Another run with the same seed gives the same bits, though it was killed halfway and begun again."""
    name, whole, reads = case.cls.name, case.whole, case.reads
    with tempfile.TemporaryDirectory() as work:
        if reads:
            try:
                case.fit(Path(work), case.data(last=max(1, reads // 2)))
            except _Killed:
                pass
            else:
                raise AssertionError(f"{name} catches what ends the process; catch Exception, not everything")
        after_kill = case.scores(case.fit(Path(work)))
        again = case.scores(case.fit(Path(work)))
    if again.same_as(after_kill) and after_kill.same_as(whole):
        return
    with tempfile.TemporaryDirectory() as work:
        second = case.scores(case.fit(Path(work)))
    assert second.same_as(whole), f"{name} gives other scores at a second run with the same seed"
    assert again.same_as(after_kill), f"{name} gives other scores where everything is in the work folder already"
    raise AssertionError(f"{name} gives other scores when it was killed and goes on")


def check_without_verification(case: Case) -> None:
    """It needs no verified label if it says so."""
    if case.cls.uses_verification:
        return
    with tempfile.TemporaryDirectory() as work:
        scores = case.scores(case.fit(Path(work), case.data(verified=False)))
    assert np.isfinite(scores.score).all(), (
        f"{case.cls.name} gives scores that are not finite where nothing is verified"
    )


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_statements,
    check_scores,
    check_tells_wrong_from_right,
    check_class_probabilities,
    check_out_of_fold,
    check_parts,
    check_same_seed_same_scores,
    check_without_verification,
)
