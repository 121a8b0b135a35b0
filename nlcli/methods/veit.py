"""Label cleaning and classification together (Veit et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from nlcli.methods.base.contract import Batch, Phase, Schedule, Tensor
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.losses import Normalise, binary_cross_entropy, clipped_absolute_error
from nlcli.methods.base.paper_settings import VEIT_SETTINGS
from nlcli.methods.base.search_range import Range
from nlcli.methods.base.solved_start import SolvedLogits, StartedConfig, StartedMethod
from nlcli.methods.citations import VEIT_2017
from nlcli.networks.linear_layer import LinearLayer


class VeitConfig(StartedConfig):
    """Settings of label cleaning; ``learning_rate`` is the classifier's."""

    variant: Literal["joint", "pretrained"] = Field(
        "joint", description="joint (TJ), or the cleaning net trained alone first (WP)."
    )
    cleaning_rate: Annotated[float, Range(1e-4, 1e-1)] = Field(
        3e-3, gt=0, description="Learning rate of the cleaning net."
    )
    pretrain_rate: float = Field(3e-3, gt=0, description="Its rate while it is trained alone.")
    pretrain_steps: int = Field(2000, ge=1, description="Most steps for which it is trained alone.")
    pretrain_patience: int = Field(
        5, ge=1, description="Validations without a lower L_clean that end the training alone."
    )
    embedding: int = Field(128, ge=1, description="Length of either embedding (the paper does not state it).")
    hidden: Annotated[int, Range(32, 512)] = Field(
        256, ge=1, description="Units of the cleaning net's hidden layer (nor this)."
    )
    normalise: Normalise = Field(
        "entries",
        description="What losses over verified labels are divided by: verified entries, or all entries of the images.",
    )


class Veit(StartedMethod):
    """A cleaning net ``g`` that reads noisy labels and features, and a linear classifier ``h``.

    ``g`` learns from V, where both noisy and verified labels are known, what to add to noisy labels;
    ``h`` learns from what ``g`` makes of the noisy labels of T. All layers of ``g`` are linear.
    Single-label data keeps the sigmoid: cleaned labels need not sum to 1.
    """

    name = "veit"
    Config = VeitConfig
    # open-images: section 4.4. coco: Hu 2019, section 4.2, for 5 and 10 % clean; coco-20 for 20 %.
    presets: ClassVar = {
        "coco": {
            "optimizer": "adam",
            "learning_rate": 1e-5,
            "cleaning_rate": 1e-4,
            "pretrain_rate": 1e-4,
            "steps": 200_000,
            "pretrain_steps": 200_000,
        },
        "coco-20": {
            "optimizer": "adam",
            "learning_rate": 1e-4,
            "cleaning_rate": 1e-3,
            "pretrain_rate": 1e-3,
            "steps": 200_000,
            "pretrain_steps": 200_000,
        },
        "open-images": VEIT_SETTINGS | {"cleaning_rate": 0.015, "pretrain_rate": 0.015, "pretrain_steps": 4_000_000},
    }
    scores = ("classifier",)
    accepts_last_layer = True
    cleans = True
    citation = VEIT_2017
    config: VeitConfig

    @classmethod
    def preset_settings(cls, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        settings = dict(cls.presets[name])
        if name == "open-images" and options.get("variant") == "pretrained":
            settings["cleaning_rate"] = 1e-3  # section 4.4: set to the classifier's once trained jointly
        return settings

    def build(self, init: LinearLayer | None) -> None:
        settings, classes = self.config, self.problem.num_classes
        features, group = self.problem.num_features, "cleaning"
        self.of_labels = self.dense("labels", classes, settings.embedding, group=group)
        self.of_features = self.dense("features", features, settings.embedding, group=group)
        self.hidden = self.dense("hidden", 2 * settings.embedding, settings.hidden, group=group)
        # Zero weights: before training nothing is added to the noisy labels, so c_hat = y.
        self.output = self.dense("output", settings.hidden, classes, group=group, zeros=True)
        if self.starts_solved:
            self.begun = SolvedLogits(self, "start")
            self.classifier = self.dense("classifier", features, classes, group="classifier", zeros=True)
        else:
            self.classifier = self.linear("classifier", group="classifier", init=init)

    def logits(self, features: Tensor) -> Tensor:
        """Those of ``h``."""
        return self.started(self.classifier(features), features)

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        rates = {"cleaning": settings.cleaning_rate, "classifier": settings.learning_rate}
        joint = self.make_phase("joint", "mixed", settings.steps, rates, noisy_labels="all")
        if settings.variant == "joint":
            return (joint,)
        alone = self.make_phase(
            "cleaning",
            "clean",
            settings.pretrain_steps,
            {"cleaning": settings.pretrain_rate},
            noisy_labels="all",
            monitor="L_clean",
            patience=settings.pretrain_patience,
            trunk_factor=0.0,  # "just the label cleaning network" (section 4.3): h must not move, either
        )
        # "Until convergence" at one rate (section 4.4): by epochs of the clean set it would be gone long before.
        alone = replace(alone, rates={"cleaning": Schedule(settings.pretrain_rate)})
        return (alone, joint)

    @property
    def averages_classes(self) -> bool:
        return True  # sigmoids, on single-label data, too

    def unclipped(self, noisy: Tensor, features: Tensor) -> Tensor:
        """``y + g'(y, f)``: what eq. (1) clips to [0, 1]."""
        embedded = ops.concatenate([self.of_labels(noisy), self.of_features(features)], axis=-1)
        return noisy + self.output(self.hidden(embedded))

    def cleaned(self, noisy: Tensor, features: Tensor) -> Tensor:
        """Cleaned labels ``c_hat`` of images with noisy labels, (rows, C) in [0, 1] (eq. 1)."""
        return ops.clip(self.unclipped(noisy, features), 0.0, 1.0)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        unclipped = self.unclipped(batch.noisy, features)
        norm = self.config.normalise
        cleaning = clipped_absolute_error(batch.of_clean(unclipped), batch.verified, batch.mask, norm)  # eq. (2)
        if phase == "cleaning":
            return {"loss": cleaning, "L_clean": cleaning}
        # Constants for the classifier, or both nets would agree on no labels at all (section 3.2).
        cleaned = ops.stop_gradient(ops.clip(batch.of_noisy(unclipped), 0.0, 1.0))
        targets = ops.concatenate([batch.verified, cleaned], axis=0)
        mask = ops.concatenate([batch.mask, ops.ones_like(cleaned)], axis=0)
        classify = binary_cross_entropy(self.logits(features), targets, mask, norm)  # eq. (3)
        return {"loss": 0.1 * cleaning + classify, "L_clean": cleaning, "L_classify": classify}

    def score(self, features: Tensor, name: str) -> Tensor:
        return ops.sigmoid(self.logits(features))

    def last_layer(self) -> LinearLayer | None:
        layer = LinearLayer.of(self.classifier, self.problem.classes)
        if not self.starts_solved:
            return layer
        if self.problem.task == "single-label":
            return None  # the log-odds of a softmax are not linear
        kernel, bias = (np.asarray(part.numpy()) for part in (self.begun.kernel, self.begun.bias))
        return LinearLayer(layer.kernel + kernel, layer.bias + bias, layer.classes)
