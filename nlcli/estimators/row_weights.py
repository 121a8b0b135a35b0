"""Weights of rows as scikit-learn's users give them: a row of weight 0 is not there."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.utils import check_array

from nlcli.estimators.class_labels import WrongArray
from nlcli.estimators.label_arrays import Checked


def row_weights(sample_weight: Any, rows: int) -> np.ndarray:
    """(rows,) float64 weights, one number for each row or one for all.

    Raises:
        WrongArray: another shape, a weight below 0, or none above.
    """
    if isinstance(sample_weight, str):
        raise WrongArray(f"sample_weight is the text {sample_weight[:40]!r}; give a number for each row")
    given = np.full(rows, sample_weight, np.float64) if np.isscalar(sample_weight) else sample_weight
    weights: np.ndarray = check_array(given, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (rows,):
        raise WrongArray(f"sample_weight has shape {weights.shape}, and X has {rows:,} rows; give a weight for each")
    if (weights < 0).any():
        raise WrongArray(f"sample_weight holds {weights.min():g}; a weight is 0 or more")
    if not weights.any():
        raise WrongArray("every weight in sample_weight is zero, so that no row counts")
    return weights


def of_rows(checked: Checked, rows: np.ndarray) -> Checked:
    """What was checked of ``rows`` (n,) bool.

    Raises:
        WrongArray: something has another number of rows.
    """
    return Checked(**{field.name: _chosen(getattr(checked, field.name), rows, field.name) for field in fields(checked)})


def _chosen(values: Any, rows: np.ndarray, name: str) -> Any:
    if values is None:
        return None
    if issparse(values):
        values = csr_array(values)
    elif not hasattr(values, "iloc"):
        values = np.asarray(values, object)
    if values.shape[:1] != rows.shape:
        raise WrongArray(f"{name} has shape {values.shape}, and X has {len(rows):,} rows; give one for each")
    return values.iloc[np.flatnonzero(rows)] if hasattr(values, "iloc") else values[rows]
