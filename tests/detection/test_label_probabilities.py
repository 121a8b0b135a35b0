"""Probabilities of labels and suggestions: by hand, and as often true as they say on simulated scores."""

from __future__ import annotations

import numpy as np
import pytest

from nlcli.detection.label_probabilities import Known, Suggestions, best_others, label_probabilities


def test_best_others_by_hand() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [1.0, 0.0, 0.0]])
    other, share = best_others(p, np.array([0, 1, 0]))
    assert other.tolist() == [1, 0, 1]
    np.testing.assert_allclose(share, [2 / 3, 6 / 7, 1 / 2])


def simulated(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores, the probability that the label is right, whether it is, and the true class (of 0, 1 and 2)."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=count)
    chance = 1 / (1 + np.exp(-2 * score - 0.5))
    right = rng.random(count) < chance
    true = np.where(right, 0, np.where(rng.random(count) < 0.8, 1, 2))
    return score, chance, right, true


@pytest.mark.parametrize("verified", [300, 3000])
def test_they_are_as_often_true_as_they_say(verified: int) -> None:
    score, chance, right, true = simulated(20_000, 3)
    noisy, at = np.zeros(len(score), np.int64), np.arange(verified)
    suggestions = Suggestions(np.ones(len(score), np.int64), np.full(len(score), 0.5))  # 0.8 is true
    known = Known(at, right[at].astype(np.int8), true[at], "validation")
    made = label_probabilities(score, noisy, 3, known, suggestions, 0)
    assert made.record is not None
    assert made.record.kind == ("sigmoid" if verified == 300 else "isotonic")
    assert (made.record.images, made.record.wrong) == (verified, int((~right[at]).sum()))
    assert made.record.suggested_on == verified
    others = np.arange(verified, len(score))
    assert np.abs(made.right[others] - chance[others]).mean() < 0.05
    for values, truth in ((made.right, right), (made.other, true == 1)):
        for low in np.arange(0, 1, 0.2):
            part = others[(values[others] >= low) & (values[others] < low + 0.2)]
            if len(part) > 300:
                assert abs(values[part].mean() - truth[part].mean()) < 0.07
    assert (made.right + made.other <= 1 + 1e-6).all()
    # Each verified image by the others: as good as on other images, not better.
    assert made.record.brier == pytest.approx(np.mean((made.right[others] - right[others]) ** 2), abs=0.03)
    assert made.record.share_brier == pytest.approx(right[at].mean() * (1 - right[at].mean()))


def test_a_verified_image_does_not_speak_for_itself() -> None:
    score, _, right, true = simulated(60, 4)
    noisy, at = np.zeros(60, np.int64), np.arange(40)
    suggestions = Suggestions(np.ones(60, np.int64), np.full(60, 0.5))
    order = np.argsort(score[:40])
    swapped = right.copy()
    swapped[order[0]] = ~swapped[order[0]]
    one, other = (
        label_probabilities(
            score, noisy, 3, Known(at, kind[at].astype(np.int8), true[at], "train"), suggestions, 0
        ).right
        for kind in (right, swapped)
    )
    assert abs(one[order[0]] - other[order[0]]) < abs(one[50:] - other[50:]).max() + 0.05


def test_with_too_few_verified_there_are_none_or_the_detector_s_own() -> None:
    score, _, right, true = simulated(50, 5)
    noisy = np.zeros(50, np.int64)
    suggestions = Suggestions(np.ones(50, np.int64), np.full(50, 0.5))
    few = Known(np.arange(12), right[:12].astype(np.int8), true[:12], "validation")
    nothing = label_probabilities(score, noisy, 3, few, suggestions, 0)
    assert nothing.record is None
    assert np.isnan(nothing.right).all()
    assert np.isnan(nothing.other).all()
    own = np.linspace(0, 1, 50)
    made = label_probabilities(score, noisy, 3, few, suggestions, 0, own)
    assert made.record is not None
    assert (made.record.kind, made.record.images, made.record.brier) == ("detector", 0, None)
    np.testing.assert_allclose(made.right, own, atol=1e-6)
    np.testing.assert_allclose(made.other, (1 - own) / 2, atol=1e-6)
