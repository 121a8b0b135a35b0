"""Noise types by expectation maximisation (Xiao et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from nlcli.methods.base.array_ops import softmax
from nlcli.methods.base.contract import Batch, Phase, Tensor
from nlcli.methods.base.finetuning import FINETUNE
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.losses import cross_entropy, masked_mean
from nlcli.methods.base.noise_model import MixedConfig, NoiseModel
from nlcli.methods.base.search_range import Range
from nlcli.methods.base.transition import NOISE_TYPES, confusing_noise
from nlcli.methods.citations import XIAO_2015
from nlcli.networks.linear_layer import LinearLayer

# --- the label noise model -------------------------------------------------------------------


def label_probabilities(noisy: Tensor, confusing: Tensor) -> Tensor:
    """``p(n | y, z)`` of each row's noisy label, (rows, L, 3) (eq. 1).

    Args:
        noisy: (rows, L), rows with a single 1.
        confusing: the matrix C, (L, L) [noisy, true].
    """
    other = (1.0 - noisy) / (noisy.shape[-1] - 1)
    return ops.stack([noisy, other, ops.matmul(noisy, confusing)], axis=-1)


def posterior(classes: Tensor, types: Tensor, of_label: Tensor) -> Tensor:
    """The E-step: ``p(y, z | n, x)``, (rows, L, 3) (eq. 5).

    Args:
        classes, types: logits of ``p(y | x)``, (rows, L), and of ``p(z | x)``, (rows, 3).
        of_label: ``label_probabilities`` of the rows' labels.
    """
    # The logarithm of eq. (2) up to a constant. That of 0 is -inf, which softmax makes exactly 0; no
    # gradient goes through it, and something is always possible.
    joint = ops.log(of_label) + classes[:, :, None] + types[:, None, :]
    pairs = joint.shape[1:]
    return ops.reshape(ops.softmax(ops.reshape(joint, (-1, pairs[0] * pairs[1])), axis=-1), (-1, *pairs))


def noise_type_targets(true: Tensor, of_label: Tensor) -> Tensor:
    """The most likely noise type of pairs, (rows, 3), one 1 a row (eq. 8).

    Noise-free where both labels are equal, random where ``C <= 1/(L-1)``, else confusing (theorem 2).

    Args:
        true: (rows, L), rows with a single 1; of others the result means nothing.
        of_label: ``label_probabilities`` of the rows' noisy labels.
    """
    of_pair = ops.sum(of_label * true[:, :, None], axis=1)
    return ops.one_hot(ops.argmax(of_pair, axis=-1), of_label.shape[-1], dtype=of_label.dtype)


class _Targets(NamedTuple):
    """What a batch's rows are to learn: ``classes`` (rows, L), ``types`` (rows, 3), of the rows of V which count."""

    classes: Tensor
    types: Tensor
    named: Tensor
    paired: Tensor


def _slope(logits: np.ndarray, targets: np.ndarray, each: np.ndarray) -> np.ndarray:
    """The gradient of ``sum(each * cross_entropy(logits, targets))``."""
    slope: np.ndarray = softmax(logits)
    slope *= targets.sum(axis=-1, keepdims=True)
    slope -= targets
    slope *= each[:, None]
    return slope


# --- the method ------------------------------------------------------------------------------


class NoiseTypesConfig(MixedConfig):
    """Settings of noise types; ``learning_rate`` and ``steps`` are those of the EM training."""

    type_weight: Annotated[float, Range(0.05, 2.0)] = Field(
        0.5, ge=0, description="Weight of the loss on noise types of verified images."
    )
    z_gradient: float = Field(1.0, ge=0, description="Factor on what noisy labels teach the net of noise types.")
    first_steps: int = Field(0, ge=0, description="Steps of EM before that with the net of noise types held fixed.")
    first_clean_weight: float = Field(0.1, ge=0, description="Weight of the loss on verified classes in these.")


_SGD = {
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "pretrain_rate": 1e-3,
    "decay": 0.1,
    "decay_steps": 50_000,
    "weight_decay": 5e-4,
    "batch_size": 256,
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
        "clothing1m": _SGD
        | {
            "first_steps": 100_000,
            "first_clean_weight": 0.1,
            "steps": 60_000,
            "pretrain_steps": 50_000,
            "clean_ratio": 1.0,
            "clean_weight": 1.0,
            "type_weight": 0.1,
            "z_gradient": 0.1,
            "pairs_of": "train+validation",
        },
    }
    accepts_last_layer = True
    own_trunk = "types"  # "two independent CNNs" (section 4): in one, the classes would move the types
    cleans = True
    citation = XIAO_2015
    config: NoiseTypesConfig

    @classmethod
    def uses_pairs(cls, config: Any) -> bool:
        return True

    def build(self, init: LinearLayer | None) -> None:
        super().build(init)
        self.types = self.net("types", len(NOISE_TYPES), "types")
        pairs, classes = self.required_noise(), self.problem.num_classes
        confusing = np.zeros((classes, classes)) if pairs is None else confusing_noise(pairs)
        self.confusing = self.constant("C", confusing.astype(np.float32))

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        pretrain, rate = settings.pretrain_rate, settings.learning_rate
        # Selected by the loss: the E-step needs probabilities, not only the right order of classes.
        phases = [
            self.make_phase(
                "pretrain",
                "clean",
                settings.pretrain_steps,
                {"head": pretrain, "types": pretrain},
                noisy_labels="all",
                monitor="loss",
                clean_rows="named",
            )
        ]
        mixed: dict[str, Any] = {"clean_share": settings.clean_share, "clean_rows": "named", "noisy_labels": "all"}
        if settings.first_steps:
            phases.append(self.make_phase("fixed-types", "mixed", settings.first_steps, {"head": rate}, **mixed))
        phases.append(self.make_phase("em", "mixed", settings.steps, {"head": rate, "types": rate}, **mixed))
        return (*phases, *self.finetuning())

    def class_logits(self, features: Tensor) -> Tensor:
        """Logits of ``p(y | x)``, (rows, L)."""
        return self.classifier(features[:, : features.shape[-1] // 2] if self.problem.two_trunks else features)

    def type_logits(self, features: Tensor) -> Tensor:
        """Logits of ``p(z | x)``, (rows, 3)."""
        return self.types(features[:, features.shape[-1] // 2 :] if self.problem.two_trunks else features)

    @classmethod
    def steps_on_arrays(cls, config: NoiseTypesConfig) -> bool:
        return not config.hidden and config.optimizer in ("adam", "sgd")

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        classes = self.class_logits(features)
        if phase == FINETUNE:
            return self.finetuning_losses(classes, batch)
        types = self.type_logits(features)
        return self._weighed(phase, classes, types, self._targets(phase, classes, types, batch), batch)

    def slopes(
        self, phase: str, logits: Mapping[str, np.ndarray], batch: Batch
    ) -> tuple[Mapping[str, float], Mapping[str, np.ndarray]]:
        classes, types = logits["classifier"], logits["types"]
        if phase == FINETUNE:
            true = batch.verified * batch.mask
            share = true.sum(axis=1) / max(float(true.sum()), 1.0)
            return self.finetuning_losses(classes, batch), {"classifier": _slope(classes, true, share)}
        targets = self._targets(phase, classes, types, batch)
        losses = self._weighed(phase, classes, types, targets, batch)
        weights, named, paired = self._weights(phase), targets.named, targets.paired
        others = len(classes) - batch.clean

        def each(clean: str, counted: np.ndarray, noisy: str) -> np.ndarray:
            """(rows,) how much of the loss a row's cross-entropy is."""
            of_clean = weights.get(clean, 0.0) / np.maximum(counted.sum(), 1.0) * counted
            return np.concatenate([of_clean, np.full(others, weights.get(noisy, 0.0) / max(1, others), np.float32)])

        found = {"classifier": _slope(classes, targets.classes, each("L_clean", named, "L_noise"))}
        if phase != "fixed-types":
            found["types"] = _slope(types, targets.types, each("L_types", paired, "L_noise_types"))
        return losses, found

    def _targets(self, phase: str, classes: Tensor, types: Tensor, batch: Batch) -> _Targets:
        of_label = label_probabilities(batch.noisy, self.confusing.value)
        true = batch.verified * batch.mask
        class_targets, type_targets = true, noise_type_targets(true, batch.of_clean(of_label))
        if phase != "pretrain":
            nets = batch.of_noisy(classes), batch.of_noisy(types)
            expected = ops.stop_gradient(posterior(*nets, batch.of_noisy(of_label)))
            class_targets = ops.concatenate([class_targets, ops.sum(expected, axis=2)])
            type_targets = ops.concatenate([type_targets, ops.sum(expected, axis=1)])
        named = ops.sum(true, axis=-1)
        return _Targets(class_targets, type_targets, named, named * ops.sum(batch.of_clean(batch.noisy), axis=-1))

    def _weighed(
        self, phase: str, classes: Tensor, types: Tensor, targets: _Targets, batch: Batch
    ) -> dict[str, Tensor]:
        of_class, of_type = cross_entropy(classes, targets.classes), cross_entropy(types, targets.types)
        parts = {
            "L_clean": masked_mean(batch.of_clean(of_class), targets.named),
            "L_types": masked_mean(batch.of_clean(of_type), targets.paired),
        }
        if phase != "pretrain":
            parts["L_noise"] = ops.mean(batch.of_noisy(of_class))
            parts["L_noise_types"] = ops.mean(batch.of_noisy(of_type))
        return {"loss": sum(weight * parts[name] for name, weight in self._weights(phase).items()), **parts}

    def _weights(self, phase: str) -> dict[str, float]:
        """Of the parts of the loss."""
        settings = self.config
        if phase == "pretrain":
            return {"L_clean": 1.0, "L_types": 1.0}
        if phase == "fixed-types":
            return {"L_clean": settings.first_clean_weight, "L_noise": 1.0}
        return {
            "L_clean": settings.clean_weight,
            "L_types": settings.type_weight,
            "L_noise": 1.0,
            "L_noise_types": settings.z_gradient,
        }

    def cleaned(self, noisy: Tensor, features: Tensor) -> Tensor:
        """``p(y | n, x)``, (rows, L): the E-step's posterior of the true class (eq. 5, summed over noise types)."""
        of_label = label_probabilities(noisy, self.confusing.value)
        return ops.sum(posterior(self.class_logits(features), self.type_logits(features), of_label), axis=2)

    def noise_type_probabilities(self, features: Tensor) -> Tensor:
        """``p(z | x)``, (rows, 3) in the order of ``NOISE_TYPES``; the last is figure 8's confusing score."""
        return ops.softmax(self.type_logits(features), axis=-1)

    def posterior(self, features: Tensor, noisy: Tensor) -> Tensor:
        """``p(y, z | n, x)``, (rows, L, 3), of images with noisy labels (rows, L): summed over z the cleaned labels."""
        of_label = label_probabilities(noisy, self.confusing.value)
        return posterior(self.class_logits(features), self.type_logits(features), of_label)

    def score(self, features: Tensor, name: str) -> Tensor:
        return ops.softmax(self.class_logits(features), axis=-1)

    def last_layer(self) -> LinearLayer | None:
        layer = super().last_layer()
        if layer is None or not self.problem.two_trunks:
            return layer
        return LinearLayer(np.concatenate([layer.kernel, np.zeros_like(layer.kernel)]), layer.bias, layer.classes)
