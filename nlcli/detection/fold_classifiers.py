"""Linear classifiers of all folds, trained together: number f does not see the images of fold f."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from pydantic import Field

from nlcli.methods.base.contract import Batch, MethodConfig, Phase, Tensor
from nlcli.methods.base.method import Method
from nlcli.methods.citations import NORTHCUTT_2021
from nlcli.networks.linear_layer import LinearLayer

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.detection.base import Data


class FoldConfig(MethodConfig):
    """Settings of the classifiers."""

    folds: int = Field(5, ge=2)


def fold_config(settings: Mapping[str, Any]) -> FoldConfig:
    """``settings`` checked."""
    return FoldConfig(**settings)


class FoldClassifiers(Method):
    """One matrix product gives the logits of all classifiers.

    A batch's noisy labels are (rows, C + folds): the noisy class, and the fold that the row is in.
    """

    name = "fold-classifiers"
    citation = NORTHCUTT_2021
    scores = ("classifier",)
    config: FoldConfig

    def build(self, init: LinearLayer | None) -> None:
        units = self.config.folds * self.problem.num_classes
        layer = keras.layers.Dense(units, kernel_initializer="zeros", name="classifiers")
        self.classifiers = self.add("classifiers", layer, self.problem.num_features)

    def phases(self) -> tuple[Phase, ...]:
        return (self.make_phase("noisy", "noisy", self.config.steps, {"head": self.config.learning_rate}),)

    def _logits(self, features: Tensor) -> Tensor:
        return ops.reshape(self.classifiers(features), (-1, self.config.folds, self.problem.num_classes))

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        classes = self.problem.num_classes
        labels, inside = batch.noisy[:, :classes], batch.noisy[:, classes:]
        each = -ops.sum(labels[:, None, :] * ops.log_softmax(self._logits(features), axis=-1), axis=-1)
        seen = 1 - inside
        means = ops.sum(seen * each, axis=0) / ops.maximum(ops.sum(seen, axis=0), 1)
        return {"loss": ops.sum(means)}  # the classifiers share no weights: each has the gradient of its own mean

    def score(self, features: Tensor, name: str) -> Tensor:
        """(rows, C) mean probabilities of the classifiers."""
        return ops.mean(ops.softmax(self._logits(features), axis=-1), axis=1)

    def parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernels (folds, D, C) and biases (folds, C) of the classifiers."""
        kernel, bias = (np.asarray(w) for w in self.classifiers.get_weights())
        folds, classes = self.config.folds, self.problem.num_classes
        kernel = np.ascontiguousarray(kernel.reshape(-1, folds, classes).transpose(1, 0, 2))
        return kernel, bias.reshape(folds, classes)


def with_folds(data: Data, fold: np.ndarray, count: int) -> LabelTable:
    """The table of ``data`` with ``count`` more columns of noisy labels, which tell the fold of training images."""
    from scipy.sparse import csr_array, hstack

    table = data.table
    shape = (len(table), count)
    marks = csr_array((np.ones(len(fold), np.float32), (data.train.rows, fold)), shape=shape)
    nothing = csr_array(shape, dtype=np.uint8)

    def wider(matrix: Any, columns: Any) -> Any:
        return csr_array(hstack([matrix, columns], format="csr"))

    return replace(
        table,
        classes=(*table.classes, *(f"\0fold {i}" for i in range(count))),
        groups=None,
        noisy=wider(table.noisy, marks),
        present=wider(table.present, nothing),
        absent=wider(table.absent, nothing),
    )
