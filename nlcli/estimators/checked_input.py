"""What both estimators check of what they are given, by scikit-learn's own rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from nlcli.estimators.class_labels import WrongArray, plain_labels
from nlcli.estimators.feature_rows import Features
from nlcli.estimators.label_arrays import Checked, LabelArrays, label_arrays
from nlcli.estimators.row_weights import of_rows, row_weights


def checked_arrays(
    estimator: Any, X: Any, y: Any, checked: Checked, sample_weight: Any = None
) -> tuple[Features, LabelArrays, np.ndarray | None]:
    """Features float32, sparse ones as CSR, labels as a table, and weights, all of rows that weigh something.

    What scikit-learn checks is checked, and ``n_features_in_`` is set.

    Raises:
        ValueError: they do not fit together.
    """
    names = estimator.classes
    if names is None and hasattr(y, "columns") and len(y.columns) > 1:
        names = [str(name) for name in y.columns]
    if not hasattr(y, "ndim"):
        y = np.asarray(y)
    several = y.ndim == 2 and y.shape[1] > 1
    features, y = validate_data(estimator, X, y, dtype=np.float32, order="C", accept_sparse="csr", multi_output=several)
    check_classification_targets(y)
    weights = None if sample_weight is None else row_weights(sample_weight, features.shape[0])
    if weights is not None and not weights.all():
        rows = weights > 0
        features, y, weights, checked = features[rows], y[rows], weights[rows], of_rows(checked, rows)
    return features, label_arrays(y if several else plain_labels(y), checked, names), weights


def checked_features(estimator: Any, X: Any) -> Features:
    """Features float32 for an estimator that was fitted; sparse ones as CSR.

    Raises:
        ValueError: others than it was fitted to.
    """
    features: Features = validate_data(estimator, X, dtype=np.float32, order="C", accept_sparse="csr", reset=False)
    return features


def seed_of(random_state: Any) -> int:
    """A whole number is the seed itself; anything else draws one."""
    if isinstance(random_state, int | np.integer):
        if random_state < 0:
            raise WrongArray(f"random_state is {random_state}; a seed is 0 or more")
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def share_of_verified(share: float) -> float:
    """``validation_fraction``, checked."""
    if not 0 <= share < 1:
        raise WrongArray(f"validation_fraction is {share}; it has to be at least 0 and less than 1")
    return share
