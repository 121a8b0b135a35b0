"""scikit-learn's own battery: what an estimator has to keep to, with a list of what is excused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import nlcli

EXCUSED: dict[str, str] = {}
"""By name of the check why it is not passed: nothing is excused."""
NOT_APPLICABLE = {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}
"""Checks that skip themselves: of arrays that are not NumPy's, and of ``decision_function``, which there is none of."""


@parametrize_with_checks(
    [nlcli.NoisyLabelClassifier(), nlcli.LabelNoiseDetector("naive")], expected_failed_checks=lambda _: EXCUSED
)
def test_every_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def battery(estimator: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        results = check_estimator(estimator, expected_failed_checks=EXCUSED)
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
