"""scikit-learn's own battery: what an estimator has to keep to, with a list of what is excused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import nlcli

_DIGITS = (
    "asks for seven digits of probabilities: those of a head whose loss is solved to 1e-8 agree to three or four, and the "
    "strength of regularisation is chosen by rows left out in turn, where one that is there twice is not one of weight 2"
)
EXCUSED = {
    "check_sample_weight_equivalence_on_dense_data": _DIGITS,
    "check_sample_weight_equivalence_on_sparse_data": _DIGITS,
}
"""Of the classifier, by name of the check, why it is not passed; the detector passes all."""
NOT_APPLICABLE = {"check_array_api_input"}
"""A check that skips itself: of arrays that are not NumPy's."""


def excused(estimator: Any) -> dict[str, str]:
    """What of the checks is excused."""
    return EXCUSED if isinstance(estimator, nlcli.NoisyLabelClassifier) else {}


@parametrize_with_checks(
    [nlcli.NoisyLabelClassifier(), nlcli.LabelNoiseDetector("naive")], expected_failed_checks=excused
)
def test_every_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def battery(estimator: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(estimator, expected_failed_checks=excused(estimator))
    assert len(results) > 35
    assert {result["check_name"] for result in results if result["status"] == "skipped"} <= NOT_APPLICABLE


@pytest.mark.slow
def test_another_method() -> None:
    """One of those that take labels of both kinds, none of them checked, as the checks give them."""
    battery(nlcli.NoisyLabelClassifier("noisy"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "confident-learning", "margin"])
def test_other_detectors(method: str) -> None:
    battery(nlcli.LabelNoiseDetector(method))
