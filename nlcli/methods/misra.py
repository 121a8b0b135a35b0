"""Seeing what people leave unsaid: a visual and a relevance classifier (Misra et al. 2016)."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

from pydantic import Field

from nlcli.methods.base.contract import Batch, MethodConfig, Phase, Tensor
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.losses import mixture_cross_entropy
from nlcli.methods.base.method import Method
from nlcli.methods.base.paper_settings import VEIT_SETTINGS
from nlcli.methods.base.search_range import Range
from nlcli.methods.citations import MISRA_2016
from nlcli.networks.linear_layer import LinearLayer


class MisraConfig(MethodConfig):
    """Settings of visual and relevance classifiers; ``learning_rate`` is the visual one's."""

    relevance_rate: Annotated[float, Range(1e-4, 1e-1)] = Field(
        1e-3, gt=0, description="Learning rate of the relevance layers."
    )
    visual_steps: int = Field(
        1000, ge=1, description="Steps of the visual classifier alone, where it starts from new weights."
    )
    labelled_if_present: float = Field(
        0.9, gt=0, lt=1, description="p(labelled | present) of every class before training."
    )
    labelled_if_absent: float = Field(
        0.01, gt=0, lt=1, description="p(labelled | absent) of every class before training."
    )


class Misra(Method):
    """Whether a class is visible, ``z``, and whether it is then labelled, ``r1``, or labelled anyway, ``r0``.

    All three are logistic in the features. Only ``h = r1 z + r0 (1 - z)`` is fitted, to noisy labels;
    verified ones are not looked at.
    """

    name = "misra"
    Config = MisraConfig
    # Veit 2017, section 4.4, as for its other fine-tuned variants.
    presets: ClassVar = {
        "open-images": VEIT_SETTINGS | {"relevance_rate": 1e-3, "visual_steps": 1_000_000},
    }
    scores = ("visual", "relevance")
    accepts_last_layer = True
    citation = MISRA_2016
    config: MisraConfig

    def build(self, init: LinearLayer | None) -> None:
        self.visual = self.linear("visual", group="visual", init=init)
        # z and 1 - z could change places, and so could z and r1. What makes z the visual one is that
        # it already tells classes apart while every image still has the same r1 and r0, one high and
        # one low: from a trained layer, or from a phase of its own.
        self.started = init is not None
        self.if_present = self._relevance("if_present", self.config.labelled_if_present)
        self.if_absent = self._relevance("if_absent", self.config.labelled_if_absent)

    def _relevance(self, name: str, start: float) -> Any:
        logit = math.log(start / (1.0 - start))
        classes, features = self.problem.num_classes, self.problem.num_features
        return self.dense(name, features, classes, group="relevance", zeros=True, bias=logit)

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        visual = {"visual": settings.learning_rate}
        both = visual | {"relevance": settings.relevance_rate}
        joint = self.make_phase("joint", "noisy", settings.steps, both)
        if self.started:
            return (joint,)
        return (self.make_phase("visual", "noisy", settings.visual_steps, visual), joint)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        z, r1, r0 = self.visual(features), self.if_present(features), self.if_absent(features)
        return {"loss": mixture_cross_entropy(z, r1, r0, batch.noisy)}

    def score(self, features: Tensor, name: str) -> Tensor:
        z = ops.sigmoid(self.visual(features))
        if name == "visual":
            return z
        r1, r0 = ops.sigmoid(self.if_present(features)), ops.sigmoid(self.if_absent(features))
        return r1 * z + r0 * (1.0 - z)

    def last_layer(self) -> LinearLayer | None:
        return LinearLayer.of(self.visual, self.problem.classes)
