"""A two-layer network, nearest neighbours and a support vector machine a class: Lee 2018, section 4.2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from nlcli.detection.base import Data, DetectorConfig
from nlcli.detection.detectors.per_class import ClassImages, PerClass, Setting, State
from nlcli.detection.verification import RIGHT
from nlcli.methods.citations import LEE_2018, YU_2015
from nlcli.runtime import cpu_count
from nlcli.seeds import stream

# --- two-layer network -----------------------------------------------------------------------


class MlpConfig(DetectorConfig):
    """Options of the two-layer network."""

    hidden: int = Field(64, ge=1, description="Hidden units.")
    weight_decay: float | None = Field(
        None, ge=0, description="L2 penalty on the weights (default: 1e-3, 1e-2 or 1e-1, chosen on validation)."
    )
    iterations: int = Field(100, ge=1, description="Most iterations of L-BFGS.")


class Mlp(PerClass):
    """scikit-learn's ``MLPClassifier``: one hidden layer of rectified units, and a sigmoid.

    A class has hundreds of verified images: L-BFGS, on all of them at once, needs a third of the time
    that Adam does and ends with less error.
    """

    name = "mlp"
    title = "MLP"
    citation = f"{LEE_2018}\n\n{YU_2015}"
    Config = MlpConfig
    config: MlpConfig

    def settings(self) -> Sequence[Setting]:
        given = self.config.weight_decay
        return [{"weight_decay": alpha} for alpha in ((1e-2, 1e-3, 1e-1) if given is None else (given,))]

    def fit_class(self, images: ClassImages, settings: Sequence[Setting], seed: int) -> list[State]:
        from sklearn.neural_network import MLPClassifier

        found: list[State] = []
        for setting in settings:
            network = MLPClassifier(
                (self.config.hidden,),
                alpha=setting["weight_decay"],
                max_iter=self.config.iterations,
                solver="lbfgs",
                random_state=int(stream(seed, "detection", "mlp").integers(2**31)),
            )
            network.fit(images.features, images.label)
            found.append(
                {
                    f"{part}{i}": np.asarray(values, np.float32)
                    for part, layers in (("kernel", network.coefs_), ("bias", network.intercepts_))
                    for i, values in enumerate(layers)
                }
            )
        return found

    def score_class(self, images: ClassImages, state: State, setting: Setting, features: np.ndarray) -> np.ndarray:
        hidden = np.maximum(features @ state["kernel0"] + state["bias0"], 0)
        return _sigmoid((hidden @ state["kernel1"] + state["bias1"])[:, 0])


# --- nearest neighbours ----------------------------------------------------------------------


class KnnConfig(DetectorConfig):
    """Options of the nearest neighbours."""

    neighbours: int | None = Field(
        None, ge=1, description="Verified images that vote (default: 1, 3, 5, 9, 15, 25 or 51, chosen on validation)."
    )
    weights: Literal["uniform", "distance"] = Field(
        "uniform", description="Whether votes count alike, or by the inverse of the distance."
    )


class Knn(PerClass):
    """scikit-learn's ``KNeighborsClassifier``; the score is the share of votes for right."""

    name = "knn"
    title = "kNN"
    citation = LEE_2018
    Config = KnnConfig
    config: KnnConfig

    def settings(self) -> Sequence[Setting]:
        given = self.config.neighbours
        return [{"neighbours": k} for k in ((5, 1, 3, 9, 15, 25, 51) if given is None else (given,))]

    def fit_class(self, images: ClassImages, settings: Sequence[Setting], seed: int) -> list[State]:
        return [{} for _ in settings]  # the images are all it knows

    def score_class(self, images: ClassImages, state: State, setting: Setting, features: np.ndarray) -> np.ndarray:
        from sklearn.neighbors import KNeighborsClassifier

        count = min(setting["neighbours"], len(images.label))
        model = KNeighborsClassifier(count, weights=self.config.weights, algorithm="brute", n_jobs=cpu_count())
        votes = model.fit(images.features, images.label).predict_proba(features)
        return votes[:, model.classes_.tolist().index(RIGHT)]


# --- support vector machine ------------------------------------------------------------------


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
        found: list[State] = []
        for setting in settings:
            model = SVC(C=setting["c"], kernel="precomputed").fit(kernel, images.label)
            found.append(
                {
                    "support": model.support_,
                    "dual": model.dual_coef_[0],
                    "bias": model.intercept_,
                    "gamma": np.array(gamma),
                }
            )
        return found

    def _kernel(self, a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
        from sklearn.metrics.pairwise import rbf_kernel

        return rbf_kernel(a, b, gamma=gamma) if self.config.kernel == "rbf" else a @ b.T

    def score_class(self, images: ClassImages, state: State, setting: Setting, features: np.ndarray) -> np.ndarray:
        kernel = self._kernel(features, images.features[state["support"]], float(state["gamma"]))
        return _sigmoid(kernel @ state["dual"] + state["bias"])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(x)
