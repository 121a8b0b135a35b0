"""Confident learning: what cleanlab says, and folds that are not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlcli.detection import make_detector
from nlcli.errors import NlcliError
from worlds.detection import World


def test_confident_learning_agrees_with_cleanlab(world: World, fitted: Any) -> None:
    from cleanlab.experimental.label_issues_batched import find_label_issues_batched

    detector, data, _ = fitted("confident-learning")
    train, noisy = data.train.rows, data.train.noisy
    p = detector.class_probabilities(world.features[train], noisy, train).astype(np.float64)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    quality = {"method": "normalized_margin"}
    issues = find_label_issues_batched(noisy, p, verbose=False, n_jobs=1, quality_score_kwargs=quality)
    found = detector.score(world.features[train], noisy, train)
    assert set(np.flatnonzero(found < detector.natural_threshold)) == set(issues.tolist())
    own = p[np.arange(len(p)), noisy]
    p[np.arange(len(p)), noisy] = -1
    np.testing.assert_allclose(found, (own - p.max(axis=1) + 1) / 2, atol=1e-6)
    assert np.mean(world.right[train[issues]] == 0) > 0.8  # most of what it calls wrong is wrong
    assert len(issues) > 0.7 * np.sum(world.right[train] == 0)


def test_confident_learning_without_cleanlab(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(
        NlcliError, match=r"needs the package cleanlab; install it with: pip install 'nlcli\[cleanlab\]'"
    ):
        make_detector("confident-learning").check()
