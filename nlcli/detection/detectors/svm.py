"""A support vector machine a class: Lee 2018, section 4.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from nlcli.detection.base import Data, DetectorConfig
from nlcli.detection.per_class import ClassImages, PerClass, Setting, State, sigmoid
from nlcli.methods.citations import LEE_2018


class SvmConfig(DetectorConfig):
    """Options of the support vector machine."""

    kernel: Literal["rbf", "linear"] = Field("rbf", description="Gaussian kernel, or a plane.")
    c: float | None = Field(
        None, gt=0, description="Weight of errors against the margin (default: 1, 3, 10 or 30, chosen on validation)."
    )
    images: int = Field(5000, ge=10, description="Most verified images of a class; more are drawn by the seed.")


class Svm(PerClass):
    """scikit-learn's ``SVC``; the score is the sigmoid of the decision value.

    The width of the Gaussian kernel is scikit-learn's ``scale``: 1 / (D times the features' variance).
    The kernel matrix is computed once for all weights.
    """

    name = "svm"
    title = "SVM"
    citation = LEE_2018
    Config = SvmConfig
    soft = False  # a decision value is no probability
    config: SvmConfig

    def positions(self, data: Data, c: int, seed: int) -> np.ndarray:
        return data.at_most(super().positions(data, c, seed), c, seed, self.config.images)  # the matrix is quadratic

    def settings(self) -> Sequence[Setting]:
        given = self.config.c
        return [{"c": c} for c in ((10.0, 1.0, 3.0, 30.0) if given is None else (given,))]

    def fit_class(self, images: ClassImages, settings: Sequence[Setting], seed: int) -> list[State]:
        from sklearn.svm import SVC

        gamma = 1.0 / (images.features.shape[1] * max(float(images.features.var()), 1e-12))
        kernel = self._kernel(images.features, images.features, gamma).astype(np.float64)
        states: list[State] = []
        for setting in settings:
            model = SVC(C=setting["c"], kernel="precomputed").fit(kernel, images.label)
            states.append(
                {
                    "support": model.support_,
                    "dual": model.dual_coef_[0],
                    "bias": model.intercept_,
                    "gamma": np.array(gamma),
                }
            )
        return states

    def _kernel(self, a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
        from sklearn.metrics.pairwise import rbf_kernel

        kernel: np.ndarray = rbf_kernel(a, b, gamma=gamma) if self.config.kernel == "rbf" else a @ b.T
        return kernel

    def score_class(self, images: ClassImages, state: State, setting: Setting, features: np.ndarray) -> np.ndarray:
        kernel = self._kernel(features, images.features[state["support"]], float(state["gamma"]))
        return sigmoid(kernel @ state["dual"] + state["bias"])
