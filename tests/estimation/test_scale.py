"""Scales by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler, normalize

from nlcli.estimation.scale import SCALES, FeatureScale
from nlcli.seeds import stream

FEATURES = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -9.0]], np.float32)


def test_scales_by_hand() -> None:
    assert FeatureScale().apply(FEATURES) is FEATURES
    np.testing.assert_allclose(FeatureScale("unit").apply(FEATURES), [[0.6, 0.8], [0, 0], [0, -1]])
    np.testing.assert_allclose(
        FeatureScale("root").apply(FEATURES), [[np.sqrt(3 / 7), np.sqrt(4 / 7)], [0, 0], [0, -1]], rtol=1e-6
    )
    length = FeatureScale.fitted("length", [FEATURES[:2], FEATURES[2:]])
    np.testing.assert_allclose(length.apply(FEATURES), FEATURES / np.sqrt((25 + 81) / 3), rtol=1e-6)


def test_scales_as_scikit_learn_has_them() -> None:
    features = stream(0, "scale").normal(size=(50, 7)) * np.arange(1, 8) + 1000.0
    features[:, 3] = 7.0  # constant
    standard = FeatureScale.fitted("standard", [features[:20], features[20:20], features[20:]])
    expected = StandardScaler().fit_transform(features)
    np.testing.assert_allclose(standard.apply(features), expected, atol=2e-4)
    np.testing.assert_allclose(FeatureScale("unit").apply(features), normalize(features), rtol=1e-6)


@pytest.mark.parametrize("kind", SCALES)
def test_every_scale_is_one_of_a_row_and_keeps_float_types(kind: str) -> None:
    features = stream(1, "scale").normal(size=(9, 5)).astype(np.float16)
    scale = FeatureScale.fitted(kind, [features])  # type: ignore[arg-type]
    whole = scale.apply(features)
    assert whole.dtype == np.float32
    assert scale.apply(features.astype(np.float64)).dtype == np.float64
    np.testing.assert_array_equal(whole[2:4], scale.apply(features[2:4]))
    assert np.isfinite(whole).all()
