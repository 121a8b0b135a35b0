"""A one-class support vector machine a class against scikit-learn's own decision values, and planted outliers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.svm import OneClassSVM

from nlcli.detection import make_detector
from worlds.noisy import detection_data


def test_its_decision_values_are_scikit_learns_and_outliers_lie_outside(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, 20)) * 4
    noisy = np.repeat([0, 1, 2], [100, 80, 1])
    features = centres[noisy] + random.normal(size=(181, 20))
    wrong = np.arange(181) % 10 == 0
    features[wrong] = centres[(noisy[wrong] + 1) % 3] + random.normal(size=(int(wrong.sum()), 20))
    features = features.astype(np.float32)
    data = detection_data(tmp_path, features, noisy, np.full(181, -1), 3)
    detector = make_detector("one-class-svm", {"nu": 0.15})
    work = tmp_path / "work"
    work.mkdir()
    detector.fit(data, 0, work)
    score = detector.score(features, noisy)
    assert detector.natural_threshold == 0.0
    for c in (0, 1):
        inside = noisy == c
        unit = features[inside] / np.linalg.norm(features[inside], axis=1, keepdims=True)
        model = OneClassSVM(nu=0.15, gamma="scale").fit(unit)
        np.testing.assert_allclose(score[inside], model.decision_function(unit), atol=1e-4)
        lower = score[inside & wrong][:, None] < score[inside & ~wrong]
        assert lower.mean() > 0.85
        assert np.mean(score[inside & ~wrong] >= 0) > 0.85
    assert score[noisy == 2].tolist() == [0.0]  # an image alone has no boundary
    assert detector.notes["classes_without_boundary"] == [data.classes[2]]
