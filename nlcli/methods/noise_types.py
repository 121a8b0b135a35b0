"""Noise types by expectation maximisation (Xiao et al. 2015)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from keras import ops
from pydantic import Field

from nlcli.losses import log_probability, masked_mean, softmax_cross_entropy, verified_softmax_cross_entropy
from nlcli.methods.base import Batch, LastLayer, Phase, Tensor
from nlcli.methods.citations import XIAO_2015
from nlcli.methods.finetuning import FINETUNE
from nlcli.methods.noise_model import MixedConfig, NoiseModel
from nlcli.transition import NOISE_TYPES, confusing_noise

# --- the label noise model -------------------------------------------------------------------


def label_probabilities(noisy: Tensor, confusing: Tensor) -> Tensor:
    """``p(n | y, z)`` of each row's noisy label, (rows, L, 3) (eq. 1).

    Args:
        noisy: (rows, L), rows with a single 1.
        confusing: the matrix C, (L, L) [noisy, true].
    """
    other = (1.0 - noisy) / (noisy.shape[-1] - 1)
    return ops.stack([noisy, other, ops.matmul(noisy, confusing)], axis=-1)


def log_joint(classes: Tensor, types: Tensor, noisy: Tensor, confusing: Tensor) -> Tensor:
    """``log p(n, y, z | x)``, (rows, L, 3) (eq. 2).

    Args:
        classes, types: logits of ``p(y | x)``, (rows, L), and of ``p(z | x)``, (rows, 3).
        noisy, confusing: as for ``label_probabilities``.
    """
    of_class, of_type = ops.log_softmax(classes, axis=-1), ops.log_softmax(types, axis=-1)
    return log_probability(label_probabilities(noisy, confusing)) + of_class[:, :, None] + of_type[:, None, :]


def posterior(classes: Tensor, types: Tensor, noisy: Tensor, confusing: Tensor) -> Tensor:
    """The E-step: ``p(y, z | n, x)``, (rows, L, 3) (eq. 5); arguments as for ``log_joint``."""
    joint = log_joint(classes, types, noisy, confusing)
    pairs = joint.shape[1:]
    return ops.reshape(ops.softmax(ops.reshape(joint, (-1, pairs[0] * pairs[1])), axis=-1), (-1, *pairs))


def negative_log_likelihood(classes: Tensor, types: Tensor, noisy: Tensor, confusing: Tensor) -> Tensor:
    """Mean over labelled rows of ``-log sum_{y,z} p(n | y, z) p(y | x) p(z | x)``.

    Its gradient is that of the M-step, eq. (7): both nets' cross-entropy with their part of the
    posterior, which is held constant. Arguments as for ``log_joint``; rows without a label are left out.
    """
    rows = -ops.logsumexp(log_joint(classes, types, noisy, confusing), axis=(1, 2))
    return masked_mean(rows, ops.sum(noisy, axis=-1))


def noise_type_targets(noisy: Tensor, true: Tensor, confusing: Tensor) -> Tensor:
    """The most likely noise type of pairs, (rows, 3), one 1 a row (eq. 8); zeros where a label is missing.

    Args:
        noisy, true: (rows, L), rows with a single 1 or none.
        confusing: the matrix C. It is 0 or above 1/(L-1) (lemma 1).
    """
    known = ops.sum(noisy, axis=-1) * ops.sum(true, axis=-1)
    equal = ops.sum(noisy * true, axis=-1)
    confused = ops.cast(ops.sum(ops.matmul(noisy, confusing) * true, axis=-1) > 0, noisy.dtype)
    return ops.stack([equal, known - equal - confused, confused], axis=-1)


# --- the method ------------------------------------------------------------------------------


class NoiseTypesConfig(MixedConfig):
    """Settings of noise types; ``learning_rate`` and ``steps`` are those of the EM training."""

    type_weight: float = Field(0.5, ge=0, description="Weight of the loss on noise types of verified images.")
    z_gradient: float = Field(1.0, ge=0, description="Factor on what noisy labels teach the net of noise types.")
    first_steps: int = Field(0, ge=0, description="Steps of EM before that with the net of noise types held fixed.")
    first_clean_weight: float = Field(0.1, ge=0, description="Weight of the loss on verified classes in these.")


_SGD = {
    "optimizer": "sgd", "learning_rate": 1e-3, "pretrain_rate": 1e-3, "decay": 0.1, "decay_steps": 50_000,
    "weight_decay": 5e-4, "batch_size": 256,
}


class NoiseTypes(NoiseModel):
    """Two nets: ``p(y | x)``, the classifier, and ``p(z | x)``, what kind of noise an image's label suffers from.

    ``p(n | y, z)`` is fixed: none, any other class alike, or the confusing classes of C, which is
    estimated from verified pairs. Noisy labels train both nets by EM.
    """

    name = "noise-types"
    Config = NoiseTypesConfig
    # paper: section 5.2. clothing1m: the authors' program, both stages with the rates of the paper.
    presets: ClassVar = {
        "paper": _SGD | {"steps": 160_000, "pretrain_steps": 50_000},
        "clothing1m": _SGD | {
            "first_steps": 100_000, "first_clean_weight": 0.1, "steps": 60_000, "pretrain_steps": 50_000,
            "clean_ratio": 1.0, "clean_weight": 1.0, "type_weight": 0.1, "z_gradient": 0.1,
        },
    }
    citation = XIAO_2015
    config: NoiseTypesConfig

    @classmethod
    def uses_pairs(cls, config: Any) -> bool:
        return True

    def build(self, init: LastLayer | None) -> None:
        super().build(init)
        self.types = self.net("types", len(NOISE_TYPES), "types")
        pairs, classes = self.required_noise(), self.problem.num_classes
        confusing = np.zeros((classes, classes)) if pairs is None else confusing_noise(pairs)
        self.confusing = self.constant("C", confusing.astype(np.float32))

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        pretrain, rate = settings.pretrain_rate, settings.learning_rate
        # Selected by the loss: the E-step needs probabilities, not only the right order of classes.
        phases = [self.make_phase(
            "pretrain", "clean", settings.pretrain_steps, {"head": pretrain, "types": pretrain},
            noisy_labels="all", monitor="loss", clean_rows="named",
        )]
        mixed: dict[str, Any] = {"clean_share": settings.clean_share, "clean_rows": "named", "noisy_labels": "all"}
        if settings.first_steps:
            phases.append(self.make_phase("fixed-types", "mixed", settings.first_steps, {"head": rate}, **mixed))
        phases.append(self.make_phase("em", "mixed", settings.steps, {"head": rate, "types": rate}, **mixed))
        return (*phases, *self.finetuning())

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        settings, confusing = self.config, self.confusing.value
        classes = self.classifier(features)
        if phase == FINETUNE:
            return self.finetuning_losses(classes, batch)
        types = self.types(features)
        clean = verified_softmax_cross_entropy(batch.of_clean(classes), batch.verified, batch.mask)
        targets = noise_type_targets(batch.of_clean(batch.noisy), batch.verified * batch.mask, confusing)
        of_types = softmax_cross_entropy(batch.of_clean(types), targets, ops.sum(targets, axis=-1))
        if phase == "pretrain":
            return {"loss": clean + of_types, "L_clean": clean, "L_types": of_types}
        types = batch.of_noisy(types)
        factor = 0.0 if phase == "fixed-types" else settings.z_gradient
        types = factor * types + (1.0 - factor) * ops.stop_gradient(types)  # the value stays as it is
        noise = negative_log_likelihood(batch.of_noisy(classes), types, batch.of_noisy(batch.noisy), confusing)
        parts = {"L_clean": clean, "L_noise": noise, "L_types": of_types}
        if phase == "fixed-types":
            return {"loss": settings.first_clean_weight * clean + noise, **parts}
        return {"loss": settings.clean_weight * clean + noise + settings.type_weight * of_types, **parts}

    def noise_type_probabilities(self, features: Tensor) -> Tensor:
        """``p(z | x)``, (rows, 3) in the order of ``NOISE_TYPES``; the last is figure 8's confusing score."""
        return ops.softmax(self.types(features), axis=-1)

    def posterior(self, features: Tensor, noisy: Tensor) -> Tensor:
        """``p(y, z | n, x)``, (rows, L, 3), of images with noisy labels (rows, L): summed over z the cleaned labels."""
        return posterior(self.classifier(features), self.types(features), noisy, self.confusing.value)
