"""A linear classifier on noisy labels: Backbone (Noisy), the baseline of every table."""

from __future__ import annotations

from typing import ClassVar

from nlcli.methods.base import Batch, LastLayer, Method, MethodConfig, Phase, Tensor


class NoisyConfig(MethodConfig):
    """Settings of the noisy baseline."""


class Noisy(Method):
    """One linear layer on features, trained on the noisy labels of all training images."""

    name = "noisy"
    Config = NoisyConfig
    # The papers train the whole backbone here; on cached features the last layer gets the settings
    # that they give to fine-tuning it (Hu 2019 and Hu 2018, section 4.2 of both).
    presets: ClassVar = {
        "coco": {"optimizer": "adam", "learning_rate": 1e-4, "steps": 50_000},
        "open-images": {"optimizer": "rmsprop", "learning_rate": 1e-4, "steps": 4_000_000},
    }
    scores = ("classifier",)
    citation = """\
@inproceedings{hu2018multilabel,
  title     = {Multi-label Learning from Noisy Labels with Non-linear Feature Transformation},
  author    = {Hu, Mengying and Han, Hu and Shan, Shiguang and Chen, Xilin},
  booktitle = {Asian Conference on Computer Vision (ACCV)},
  year      = {2018}
}"""
    config: NoisyConfig

    def build(self, init: LastLayer | None) -> None:
        self.classifier = self.linear("classifier")

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        rates = {"head": settings.schedule(settings.learning_rate)}
        return (Phase("noisy", "noisy", settings.steps, rates, settings.optimizer),)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.classification_loss(self.classifier(features), batch.noisy)}

    def score(self, features: Tensor, name: str) -> Tensor:
        return self.probabilities(self.classifier(features))

    def last_layer(self) -> LastLayer | None:
        return LastLayer(*self.classifier.get_weights())
