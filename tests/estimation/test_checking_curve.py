"""What checking brings, on planted classes whose best classifier is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from nlcli.estimation import checking_curve as module
from nlcli.estimation.checking_curve import CheckingCurve, Point, checking_curve
from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.images import Images

CLASSES, WIDTH = 3, 6


def _one_hot(classes: np.ndarray) -> csr_array:
    return csr_array(np.eye(CLASSES, dtype=np.uint8)[classes])


def _planted(rng: np.random.Generator, count: int, checked: int, wrong: float) -> tuple[Images, np.ndarray]:
    """Classes one standard deviation apart whose labels become the next class's in a share ``wrong`` of the images."""
    true = rng.integers(0, CLASSES, count)
    features = rng.standard_normal((count, WIDTH)).astype(np.float32)
    features[np.arange(count), true] += 2.0
    noisy = np.where(rng.random(count) < wrong, (true + 1) % CLASSES, true)
    of_checked = np.zeros(count, bool)
    of_checked[rng.choice(count, checked, replace=False)] = True
    known = csr_array(np.outer(of_checked, np.ones(CLASSES)).astype(np.uint8))
    images = Images(
        design=ArrayBlocks(features),
        task="single-label",
        classes=CLASSES,
        noisy=_one_hot(noisy),
        labelled=np.ones(count),
        verified=csr_array(_one_hot(true).multiply(of_checked[:, None])),
        known=known,
        checked=of_checked,
    )
    return images, true


def test_checking_brings_much_where_most_labels_are_wrong() -> None:
    """60 % of the labels are the next class's: noisy labels teach the wrong classes until enough are checked."""
    images, _ = _planted(np.random.default_rng(0), 700, 400, 0.6)
    curve = checking_curve(images, 0)
    assert curve is not None
    assert [point.images for point in curve.points] == [100, 200, 400]
    values = [point.value for point in curve.points]
    assert values[0] < values[1] < values[2]
    gain, low, high = curve.gain
    assert gain == pytest.approx(values[2] - values[1])
    assert 0 < low < gain < high
    assert curve.judged == 400


def test_checking_brings_nothing_where_all_labels_are_right() -> None:
    images, _ = _planted(np.random.default_rng(1), 900, 200, 0.0)
    curve = checking_curve(images, 0)
    assert curve is not None
    _, low, high = curve.gain
    assert low <= 0 <= high
    assert high - low < 0.05


def test_all_checked_is_the_same_as_another_librarys_classifier() -> None:
    """The last point, with scikit-learn's regression at the same penalty on the same folds."""
    from sklearn.linear_model import LogisticRegression

    images, true = _planted(np.random.default_rng(2), 500, 200, 0.4)
    curve = checking_curve(images, 0)
    assert curve is not None
    rows = np.flatnonzero(images.checked)
    verified = np.asarray(images.verified[rows].toarray(), np.float64)
    folds = np.full(500, -1)
    folds[rows] = module.stratified_folds(verified.argmax(axis=1), 5)
    weight, l2 = module._strength(images, module.Checked(verified, np.ones_like(verified), rows=rows))
    features = np.concatenate([part for _, part in images.design.blocks()])
    labels = np.where(images.checked, true, images.noisy.toarray().argmax(axis=1))
    counts = np.where(images.checked, weight, 1.0)
    right = 0
    for fold in range(5):
        kept = folds != fold
        total = counts[kept].sum()
        other = LogisticRegression(C=1 / (l2 * total), tol=1e-8, max_iter=5000)
        other.fit(features[kept], labels[kept], sample_weight=counts[kept])
        right += int((other.predict(features[~kept]) == true[~kept]).sum())
    assert curve.points[-1].value == pytest.approx(right / 200, abs=0.5 / 200 + 1e-9)


def test_parts_lie_within_each_other() -> None:
    checked = np.arange(100) % 2 == 0
    rows = np.flatnonzero(checked)
    quarters, halves = (module._drawn(rows, part, checked, 5) for part in (0.25, 0.5))
    for quarter, half in zip(quarters, halves, strict=True):
        assert (quarter.sum(), half.sum()) == (12, 25)
        assert not (quarter & ~half).any()
        assert not (half & ~checked).any()
    assert len(module._drawn(rows, 1.0, checked, 5)) == 1


def test_what_more_images_bring_is_by_doublings() -> None:
    curve = CheckingCurve((Point(50, 0.5, 0.4, 0.6), Point(100, 0.6, 0.5, 0.7)), (0.02, 0.01, 0.03), 100)
    assert curve.of_more(100) == pytest.approx((0.02, 0.01, 0.03))
    assert curve.of_more(300) == pytest.approx((0.04, 0.02, 0.06))


def test_too_few_tell_nothing() -> None:
    assert checking_curve(_planted(np.random.default_rng(3), 300, 59, 0.3)[0], 0) is None


def test_several_labels_an_image() -> None:
    rng = np.random.default_rng(4)
    features = rng.standard_normal((500, WIDTH)).astype(np.float32)
    true = (features[:, :CLASSES] > 0.3).astype(np.uint8)
    noisy = true * (rng.random(true.shape) < 0.5)
    checked = np.zeros(500, bool)
    checked[rng.choice(500, 160, replace=False)] = True
    rows = checked[:, None].astype(np.uint8)
    images = Images(
        design=ArrayBlocks(features),
        task="multi-label",
        classes=CLASSES,
        noisy=csr_array(noisy.astype(np.uint8)),
        labelled=np.ones(500),
        verified=csr_array(true * rows),
        known=csr_array(np.ones_like(true) * rows),
        checked=checked,
    )
    curve = checking_curve(images, 0)
    assert curve is not None
    assert all(0.8 < point.value <= 1.0 for point in curve.points)
    assert curve.gain[1] <= curve.gain[0] <= curve.gain[2]


@pytest.mark.slow
def test_the_interval_of_the_gain_covers_what_it_says() -> None:
    """300 worlds of one kind: what the last doubling brings on average lies in as many intervals as are promised."""
    gains = []
    for world in range(300):
        curve = checking_curve(_planted(np.random.default_rng([7, world]), 400, 160, 0.5)[0], world)
        assert curve is not None
        gains.append(curve.gain)
    values = np.array(gains)
    expected = values[:, 0].mean()
    covered = ((values[:, 1] <= expected) & (expected <= values[:, 2])).mean()
    assert 0.92 <= covered <= 0.985
