"""What a method is asked: images with noisy labels, some of them verified, and the answer it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Case:
    """What a method may see.

    Attributes:
        name: Of the row and seed, a file name.
        classes: C.
        several: Whether an image has several labels.
        features: (n, D) float32.
        noisy: (n,) int64 classes, or (n, C) uint8.
        verified: (m,) int64, which of the n images were verified, in a random order.
        known: (m,) int64 true classes, or (m, C) uint8.
        test_features: (k, D) float32.
        seed: Of the draws.
    """

    name: str
    classes: int
    several: bool
    features: np.ndarray
    noisy: np.ndarray
    verified: np.ndarray
    known: np.ndarray
    test_features: np.ndarray
    seed: int

    @property
    def labels(self) -> np.ndarray:
        """Noisy labels, the verified ones put in."""
        labels = self.noisy.copy()
        labels[self.verified] = self.known
        return labels

    @property
    def unverified(self) -> np.ndarray:
        """(n - m,) int64 rows that nobody looked at."""
        return np.setdiff1d(np.arange(len(self.noisy)), self.verified)


@dataclass(frozen=True, eq=False)
class Truth:
    """What no method sees.

    Attributes:
        labels: Of the images of the case, as ``Case.noisy`` has them.
        test: Of the test images.
    """

    labels: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method says.

    Attributes:
        test: (k, C) scores of the test images; None of a detector.
        right: How right each noisy label looks, higher is better: (n,), or (n, C) how likely each class is there.
            None of a classifier.
        threshold: From which a noisy label is right; None: chosen on the verified images.
        present: (n, C) bool, of several labels which classes are called there; None: by thresholds of ``right`` that
            are chosen on the verified images, of given tags and of the others apart.
        note: What it chose.
    """

    test: np.ndarray | None = None
    right: np.ndarray | None = None
    threshold: float | None = None
    present: np.ndarray | None = None
    note: str = ""
    more: dict[str, float] = field(default_factory=dict)
