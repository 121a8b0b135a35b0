"""Features and labels in arrays, for estimators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worlds.small_training import planted

CLASSES = np.array(["ant", "bee", "cat"])


@dataclass
class SingleLabels:
    """Three classes, 30 % of the labels wrong; of each row ``checked`` the true label is known."""

    features: np.ndarray
    noisy: np.ndarray
    true: np.ndarray
    checked: np.ndarray

    @property
    def verified(self) -> np.ndarray:
        """The true label, None where nobody looked."""
        return np.where(self.checked, self.true.astype(object), None)


def single_labels(images: int = 240, checked: int = 60) -> SingleLabels:
    """Rows of which ``checked``, evenly spread, were looked at."""
    data = planted(images, num_features=8, classes=3, single=True)
    noisy, true = CLASSES[data.noisy.argmax(axis=1)], CLASSES[data.true.argmax(axis=1)]
    return SingleLabels(data.features, noisy, true, _spread(images, checked))


@dataclass
class SeveralLabels:
    """Four classes; of the rows ``checked`` every class is known."""

    features: np.ndarray
    noisy: np.ndarray
    present: np.ndarray
    absent: np.ndarray
    true: np.ndarray
    checked: np.ndarray


def several_labels(images: int = 240, checked: int = 60) -> SeveralLabels:
    """Rows of which ``checked``, evenly spread, were looked at."""
    data = planted(images, num_features=8, classes=4)
    which = _spread(images, checked)
    true = data.true.astype(bool)
    return SeveralLabels(data.features, data.noisy, true & which[:, None], ~true & which[:, None], data.true, which)


def _spread(images: int, checked: int) -> np.ndarray:
    return np.arange(images) % (images // checked) == 0
