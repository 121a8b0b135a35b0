"""Fine-tuning backbone and last layer on the clean set: Backbone (Noisy-FT-W)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from nlcli.methods.base import Batch, LastLayer, Method, MethodConfig, Phase, Tensor


class FinetuneWholeConfig(MethodConfig):
    """Settings of fine-tuning the whole network."""

    learning_rate: float = Field(1e-4, gt=0, description="Initial learning rate of the whole network.")


class FinetuneWhole(Method):
    """The last layer on a backbone that is trained with it, on verified labels alone."""

    name = "finetune-whole"
    Config = FinetuneWholeConfig
    # Section 4.2 of Hu 2019 (coco) and of Hu 2018 (coco-2018, open-images): "variants of fine-tuning".
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "coco": {"optimizer": "adam", "learning_rate": 1e-4, "steps": 50_000},
        "coco-2018": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 100_000, "batch_size": 64},
        "open-images": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 4_000_000},
    }
    scores = ("classifier",)
    accepts_last_layer = True
    whole_network = True
    citation = """\
@inproceedings{hu2018multilabel,
  title     = {Multi-label Learning from Noisy Labels with Non-linear Feature Transformation},
  author    = {Hu, Mengying and Han, Hu and Shan, Shiguang and Chen, Xilin},
  booktitle = {Asian Conference on Computer Vision (ACCV)},
  year      = {2018}
}"""
    config: FinetuneWholeConfig

    def build(self, init: LastLayer | None) -> None:
        self.classifier = self.linear("classifier", init=init)

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        rates = {"head": settings.schedule(settings.learning_rate)}
        # Named as in nlcli.pretrain, so that both draw the same batches.
        return (Phase("verified", "clean", settings.steps, rates, settings.optimizer),)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.classification_loss(self.classifier(features), batch.verified, batch.mask)}

    def score(self, features: Tensor, name: str) -> Tensor:
        return self.probabilities(self.classifier(features))

    def last_layer(self) -> LastLayer | None:
        return LastLayer(*self.classifier.get_weights())
