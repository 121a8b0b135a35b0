"""A two-layer network a class: Lee 2018, section 4.2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from nlcli.detection.base import DetectorConfig
from nlcli.detection.per_class import ClassImages, PerClass, Setting, State, sigmoid
from nlcli.methods.citations import LEE_2018, YU_2015
from nlcli.seeds import stream


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

        states: list[State] = []
        for setting in settings:
            network = MLPClassifier(
                (self.config.hidden,),
                alpha=setting["weight_decay"],
                max_iter=self.config.iterations,
                solver="lbfgs",
                random_state=int(stream(seed, "detection", "mlp").integers(2**31)),
            )
            network.fit(images.features, images.label)
            states.append(
                {
                    f"{part}{i}": np.asarray(values, np.float32)
                    for part, layers in (("kernel", network.coefs_), ("bias", network.intercepts_))
                    for i, values in enumerate(layers)
                }
            )
        return states

    def score_class(self, images: ClassImages, state: State, setting: Setting, features: np.ndarray) -> np.ndarray:
        hidden = np.maximum(features @ state["kernel0"] + state["bias0"], 0)
        return sigmoid((hidden @ state["kernel1"] + state["bias1"])[:, 0])
