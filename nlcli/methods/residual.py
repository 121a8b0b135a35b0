"""Noise regularisation by a residual net (Hu et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from nlcli.estimation.contest import Contest
from nlcli.methods.base.contract import Activation, Batch, Phase, Rows, Tensor
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.losses import Normalise, binary_cross_entropy
from nlcli.methods.base.search_range import Range
from nlcli.methods.base.solved_start import SolvedLogits, StartedConfig, StartedMethod
from nlcli.methods.citations import HU_2019
from nlcli.networks.linear_layer import LinearLayer


class ResidualConfig(StartedConfig):
    """Settings of the residual method."""

    activation: Activation = Field("sigmoid", description="Non-linearity of both nets.")
    hidden: Annotated[int, Range(32, 1024)] = Field(
        512, ge=1, description="Units of both hidden layers (no paper states it)."
    )
    alpha: Annotated[float, Range(0.02, 2.0)] = Field(0.2, ge=0, description="Weight of the clean loss.")
    train: Literal["joint", "clean-only", "noise-only"] = Field(
        "joint", description="Both losses, or one of them alone (table 5)."
    )
    normalise: Normalise = Field(
        "entries",
        description="What losses over verified labels are divided by: verified entries, or all entries of the images.",
    )


class Residual(StartedMethod):
    """A clean net ``c`` and a residual net ``r`` on the same features.

    ``g = sigmoid(c)`` (eq. 2) fits the verified labels, ``h = sigmoid(c + r)`` (eq. 4) the noisy
    ones. What makes noisy labels differ from true ones goes into ``r``; the rest teaches ``c``.
    Single-label data keeps the sigmoid (section 3.2). With ``start=solved`` solved classifiers stand
    beside the nets, so that ``g`` begins as that of true labels and ``h`` as that of noisy ones.
    """

    name = "residual"
    Config = ResidualConfig
    # Section 4.2.
    presets: ClassVar = {
        "coco": {"optimizer": "adam", "learning_rate": 1e-4, "steps": 100_000, "alpha": 0.2},
        "open-images": {"optimizer": "rmsprop", "learning_rate": 1e-3, "steps": 2_000_000, "alpha": 0.1},
        "clothing1m": {"optimizer": "adam", "learning_rate": 1e-4, "steps": 120_000, "alpha": 0.2},
    }
    scores = ("clean", "noisy")
    citation = HU_2019
    config: ResidualConfig

    @classmethod
    def preset_settings(cls, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        settings = dict(cls.presets[name])
        if name == "coco" and options.get("activation", "sigmoid") != "sigmoid":
            settings["learning_rate"] = 1e-5  # section 4.2: tanh and ReLU converge faster
        return settings

    def build(self, init: LinearLayer | None) -> None:
        settings = self.config
        started = self.starts_solved
        self.clean = self.nonlinear("clean", settings.hidden, settings.activation, zeros=started)
        self.residual = self.nonlinear("residual", settings.hidden, settings.activation, zeros=started)
        if started:
            self.begun, self.begun_noisy = SolvedLogits(self, "clean_start"), SolvedLogits(self, "noisy_start")

    @classmethod
    def can_start(cls, config: Any) -> bool:
        return bool(config.train == "joint")

    def begin_at(self, solved: Contest) -> None:
        super().begin_at(solved)
        self.begun_noisy.take(solved.noisy)

    def noisy_logits(self, c: Tensor, features: Tensor) -> Tensor:
        """``c + r`` of eq. (4) and the net ``c``; where it begins solved, the sum begins as that of noisy labels."""
        h = c + self.residual(features)
        return h + self.begun_noisy(features) if self.starts_solved else h

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        rows: dict[str, Rows] = {"joint": "mixed", "clean-only": "clean", "noise-only": "noisy"}
        rates = {"head": settings.learning_rate}
        return (self.make_phase(settings.train, rows[settings.train], settings.steps, rates),)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        c = self.clean(features)  # eq. (1), of V and T in one product
        parts = {}
        if phase != "noise-only":
            g, norm = self.started(batch.of_clean(c), batch.of_clean(features)), self.config.normalise
            parts["L_clean"] = binary_cross_entropy(g, batch.verified, batch.mask, norm)  # eq. (6)
        if phase != "clean-only":
            h = self.noisy_logits(batch.of_noisy(c), batch.of_noisy(features))
            parts["L_noise"] = binary_cross_entropy(h, batch.noisy)  # eq. (5)
        if phase == "joint":
            return {"loss": self.config.alpha * parts["L_clean"] + parts["L_noise"], **parts}  # eq. (7)
        (alone,) = parts.values()
        return {"loss": alone, **parts}

    @property
    def averages_classes(self) -> bool:
        return True  # sigmoids, on single-label data, too

    def offered(self) -> tuple[str, ...]:
        # Table 5 scores h when it is trained alone: c is then no more than one of two summands.
        return {"joint": self.scores, "clean-only": ("clean",), "noise-only": ("noisy",)}[self.config.train]

    def score(self, features: Tensor, name: str) -> Tensor:
        c = self.clean(features)
        return ops.sigmoid(self.started(c, features) if name == "clean" else self.noisy_logits(c, features))
