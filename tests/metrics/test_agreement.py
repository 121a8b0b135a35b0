"""Agreement between people: worked examples of the literature, and scikit-learn's kappa."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from nlcli.metrics.agreement import agreement

NAN = None
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: four observers, twelve units, nominal.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3),
    (NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN),
)


def test_alpha_of_the_published_example() -> None:
    units = [
        {str(who): line[unit] for who, line in enumerate(OBSERVERS) if line[unit] is not None} for unit in range(12)
    ]
    made = agreement(units)
    assert made is not None
    assert made.alpha == pytest.approx(0.743, abs=5e-4)
    assert (made.units, made.people, made.kappa) == (11, 4, None)


def test_two_people_by_hand() -> None:
    """20 and 15 of 50 alike, 5 and 10 not: raw 0.7, kappa 0.4, the textbook's grant proposals."""
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    made = agreement([{"a": first, "b": second} for first, second in pairs])
    assert made is not None
    assert made.raw == pytest.approx(0.7)
    assert made.kappa == pytest.approx(0.4)


def test_kappa_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(4, size=200)
    second = np.where(rng.random(200) < 0.6, first, rng.integers(4, size=200))
    made = agreement([{"a": int(a), "b": int(b)} for a, b in zip(first, second, strict=True)])
    assert made is not None
    assert made.kappa == pytest.approx(cohen_kappa_score(first, second))


def test_what_cannot_be_told() -> None:
    assert agreement([{"a": 1}, {"b": 2}, {}]) is None
    alike = agreement([{"a": 1, "b": 1}, {"a": 1, "b": 1}])
    assert alike is not None
    assert (alike.raw, alike.kappa, alike.alpha) == (1.0, None, None)
