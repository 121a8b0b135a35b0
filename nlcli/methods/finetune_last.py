"""Fine-tuning the last layer on the clean set: Backbone (Noisy-FT-L)."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base import Batch, LastLayer, Method, MethodConfig, Phase, Tensor


class FinetuneLastConfig(MethodConfig):
    """Settings of fine-tuning the last layer."""


class FinetuneLast(Method):
    """The backbone's own last layer, from its trained weights, on verified labels alone."""

    name = "finetune-last"
    Config = FinetuneLastConfig
    # Section 4.2 of Hu 2019 (coco) and of Hu 2018 (coco-2018, open-images).
    presets: ClassVar = {
        "coco": {"optimizer": "adam", "learning_rate": 1e-4, "steps": 50_000},
        "coco-2018": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 100_000, "batch_size": 64},
        "open-images": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 4_000_000},
    }
    scores = ("classifier",)
    needs_last_layer = True
    citation = """\
@inproceedings{veit2017learning,
  title     = {Learning From Noisy Large-Scale Datasets With Minimal Supervision},
  author    = {Veit, Andreas and Alldrin, Neil and Chechik, Gal and Krasin, Ivan and Gupta, Abhinav
               and Belongie, Serge},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {839--847},
  year      = {2017}
}"""
    config: FinetuneLastConfig

    def build(self, init: LastLayer | None) -> None:
        self.classifier = self.linear("classifier", init=init)

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        rates = {"head": settings.schedule(settings.learning_rate)}
        return (Phase("clean", "clean", settings.steps, rates, settings.optimizer),)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.classification_loss(self.classifier(features), batch.verified, batch.mask)}

    def score(self, features: Tensor, name: str) -> Tensor:
        return self.probabilities(self.classifier(features))

    def last_layer(self) -> LastLayer | None:
        return LastLayer(*self.classifier.get_weights())
