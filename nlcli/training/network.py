"""A backbone as something that is trained: a copy in the precision of training, and its losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from nlcli.data.labels import Task
from nlcli.methods.base.contract import Batch
from nlcli.methods.base.losses import classification_loss
from nlcli.networks.backbone import scale_pixels
from nlcli.networks.graph import as_graph
from nlcli.networks.images import Scaling

Part = Literal["all", "last"]


class Network:
    """A network with a last layer ``logits``, as the training loop wants it.

    Args:
        model: Scaled images to ``{"features", "logits"}``.
        scaling: Of the uint8 pixels that it is given.
        task: Sigmoids with binary cross-entropy (multi-label), or softmax (single-label).
        part: ``last`` trains the last layer alone. The rest then runs as in inference: BatchNorm by
            its running statistics, which stay as they are, and no dropout.
    """

    def __init__(self, model: keras.Model, scaling: Scaling, task: Task, part: Part) -> None:
        self.model, self.scaling, self.task, self.part = model, scaling, task, part
        self._probabilities: Any = None

    def groups(self) -> Mapping[str, Sequence[keras.Variable]]:
        """One group, ``network``: what is trained."""
        trained = self.model if self.part == "all" else self.model.get_layer("logits")
        return {"network": trained.trainable_variables}

    def weights(self) -> Mapping[str, keras.Variable]:
        """Everything that training changes, with BatchNorm's statistics and the state of dropout."""
        trained = self.model if self.part == "all" else self.model.get_layer("logits")
        # By number: Keras numbers unnamed layers through the process, so that paths differ between two.
        return {f"{i:04d}/{v.name}": v for i, v in enumerate(trained.variables)}

    def begin(self, phase: str, inputs: Any) -> None:
        """Nothing: a phase begins with the weights as they are."""
        return

    def losses(self, phase: str, inputs: Any, batch: Batch) -> dict[str, Any]:
        """``loss`` of uint8 images (b, S, S, 3): on verified labels where the batch is of V, else on noisy ones."""
        logits = self._logits(inputs, training=self.part == "all")
        if batch.clean:
            return {"loss": classification_loss(self.task, logits, batch.verified, batch.mask)}
        return {"loss": classification_loss(self.task, logits, batch.noisy)}

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(b, C) float32 of uint8 images (b, S, S, 3), in inference."""
        if self._probabilities is None:  # one graph for batches of any size
            images_like = tf.TensorSpec((None, *self.model.input.shape[1:]), tf.uint8)
            self._probabilities = as_graph(self._score).get_concrete_function(images_like)
        probabilities: np.ndarray = self._probabilities(tf.convert_to_tensor(images)).numpy()
        return probabilities

    def _score(self, images: Any) -> Any:
        logits = self._logits(images, training=False)
        return tf.nn.sigmoid(logits) if self.task == "multi-label" else tf.nn.softmax(logits)

    def _logits(self, images: Any, training: bool) -> Any:
        outputs = self.model(scale_pixels(images, self.scaling), training=training)
        return tf.cast(outputs["logits"], tf.float32)
