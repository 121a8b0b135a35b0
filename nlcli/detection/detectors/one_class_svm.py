"""A one-class support vector machine a class: the unsupervised detector that Lee 2018, section 4.2, set DRAE before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from nlcli.console import progress
from nlcli.detection.base import READ_ROWS, Data, Detector, DetectorConfig
from nlcli.detection.per_class import unit_length
from nlcli.methods.citations import LEE_2018, SCHOELKOPF_2001
from nlcli.stages.files import read_arrays, write_arrays


class OneClassSvmConfig(DetectorConfig):
    """Options of the one-class support vector machine."""

    nu: float = Field(0.2, gt=0, le=1, description="At most this share of a class's images lies outside.")
    images: int = Field(2000, ge=2, description="Most images of a class to fit on; more are drawn by the seed.")


class OneClassSvm(Detector):
    """scikit-learn's ``OneClassSVM`` on features of length one; the score is its decision value, 0 at the boundary.

    The width of the Gaussian kernel is scikit-learn's ``scale``: 1 / (D times the features' variance).
    """

    name = "one-class-svm"
    title = "one-class SVM"
    citation = f"{LEE_2018}\n\n{SCHOELKOPF_2001}"
    Config = OneClassSvmConfig
    uses_verification = False
    config: OneClassSvmConfig

    def fit(self, data: Data, seed: int, work: Path) -> None:
        from sklearn.svm import OneClassSVM

        self._work, self._without = work, set[int]()
        with progress(len(data.classes), "fitting one-class-svm", unit="classes") as bar:
            for c in range(len(data.classes)):
                positions = data.at_most(data.train.of_class(c), c, seed, self.config.images)
                if len(positions) < 2:  # nothing to tell apart
                    self._without.add(c)
                elif not _path(work, c).exists():
                    features = unit_length(data.features(data.train, positions))
                    gamma = 1.0 / (features.shape[1] * max(float(features.var()), 1e-12))
                    model = OneClassSVM(nu=self.config.nu, gamma=gamma).fit(features)
                    arrays = {
                        "support": features[model.support_],
                        "dual": model.dual_coef_[0],
                        "bias": model.intercept_,
                        "gamma": np.array(gamma),
                    }
                    write_arrays(_path(work, c), arrays)
                bar.advance(1)
        self.natural_threshold = 0.0
        self.notes["classes_without_boundary"] = [data.classes[c] for c in sorted(self._without)]

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        from sklearn.metrics.pairwise import rbf_kernel

        scores = np.zeros(len(noisy), np.float32)  # a class without a boundary calls none of its images wrong
        for c in np.unique(noisy).tolist():
            if c in self._without:
                continue
            kept = read_arrays(_path(self._work, c))
            inside = np.flatnonzero(noisy == c)
            for first in range(0, len(inside), READ_ROWS):
                part = inside[first : first + READ_ROWS]
                kernel = rbf_kernel(unit_length(features[part]), kept["support"], gamma=float(kept["gamma"]))
                scores[part] = kernel @ kept["dual"] + kept["bias"]
        return scores


def _path(work: Path, c: int) -> Path:
    return work / f"class-{c:05d}.npz"
