"""Networks that turn images into features, and the last layer that turns features into classes.

A ``Backbone`` is a Keras model together with everything needed to feed it (input size, resizing,
pixel scaling) and to read it (class names, activation of the last layer). The same object is the
annotating classifier, the network that is fine-tuned, and the source of cached features.

Sources: ResNet50 (He et al. 2016), Inception V3 (Szegedy et al. 2016), MobileNetV2 (Sandler et al.
2018), all three from ``keras.applications``, and AlexNet (Krizhevsky et al. 2012; the network of Xiao et al. 2015).
Weights of other programs come in by ``import_weights``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from nlcli.errors import NlcliError
from nlcli.networks.backbone_record import Activation
from nlcli.networks.batchnorm_folding import absorbs_scaling, inference_copy
from nlcli.networks.graph import as_graph
from nlcli.networks.images import Preprocessing, Scaling
from nlcli.networks.linear_layer import LinearLayer
from nlcli.networks.weight_hash import hash_weights
from nlcli.runtime import cpu_flags
from nlcli.stages.files import fingerprint_json

Output = Literal["features", "logits", "probabilities"]


_IMAGENET_MEAN = np.array([123.68, 116.779, 103.939], np.float32)  # red, green, blue


def scale_pixels(images: Any, scaling: Scaling) -> Any:
    """Pixels 0 to 255 (b, S, S, 3), RGB, to the float32 input of a network; see ``Preprocessing``."""
    x = keras.ops.cast(images, "float32")
    if scaling == "caffe":
        return x[..., ::-1] - _IMAGENET_MEAN[::-1]
    if scaling == "tf":
        return x * np.float32(1 / 127.5) - 1.0
    if scaling == "unit":
        return x * np.float32(1 / 255)
    return x


# --- a backbone ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Backbone:
    """A network with its preprocessing and its classes.

    Attributes:
        name: The registered network it is, or a file's name for one of somebody else.
        model: Scaled float32 images (b, S, S, 3) to ``{"features": (b, D)}``, and ``"logits"``
            (b, C) where it has classes.
        preprocessing: How files become its input; the scaling is ``scale_pixels``'s business.
        classes: Names of the logits, or None.
        activation: What turns logits into probabilities: sigmoid (multi-label) or softmax.
        history: What it was trained on, oldest first, JSON values.
    """

    name: str
    model: Any
    preprocessing: Preprocessing
    classes: tuple[str, ...] | None = None
    activation: Activation = "sigmoid"
    history: tuple[dict[str, Any], ...] = field(default=())

    @property
    def preparation(self) -> Preprocessing:
        """What ``iterate_images`` needs to feed it."""
        return self.preprocessing

    @property
    def num_features(self) -> int:
        """Length D of the features."""
        return int(self.model.output["features"].shape[-1])

    @property
    def last_layer(self) -> LinearLayer | None:
        """Copy of the classifier on the features; None without classes."""
        if self.classes is None:
            return None
        return LinearLayer.of(self.model.get_layer("logits"), self.classes)

    @property
    def fingerprint(self) -> str:
        """Hash of the weights as they are now, of their preprocessing and of the classes.

        How JPEGs are decoded is left out: it is chosen anew for every use, and recorded there.
        """
        described = {
            "weights": hash_weights(weight.numpy() for weight in self.model.weights),
            "network": self.name,
            "activation": self.activation,
            "preprocessing": self.preprocessing.model_dump(exclude={"decode"}),
            "classes": self.classes,
        }
        return fingerprint_json(described)

    def with_classes(
        self,
        classes: Sequence[str],
        *,
        activation: Activation = "sigmoid",
        seed: int = 0,
    ) -> Backbone:
        """The same network (sharing its weights) with a new, untrained last layer."""
        names = tuple(classes)
        if not names:
            raise NlcliError(f"a classifier on {self.name} needs at least one class")
        features = self.model.output["features"]
        dense = layers.Dense(len(names), name="logits", kernel_initializer=keras.initializers.GlorotUniform(seed))
        model = keras.Model(self.model.input, {"features": features, "logits": dense(features)}, name=self.name)
        return replace(self, model=model, classes=names, activation=activation)

    def with_last_layer(self, layer: LinearLayer, *, activation: Activation = "sigmoid") -> Backbone:
        """The same network (sharing its weights) with a copy of ``layer``, which has the names of its classes."""
        backbone = self.with_classes(layer.classes or (), activation=activation)
        backbone.model.get_layer("logits").set_weights([layer.kernel, layer.bias])
        return backbone

    def without_classes(self) -> Backbone:
        """The same network (sharing its weights) without a last layer."""
        model = keras.Model(self.model.input, {"features": self.model.output["features"]}, name=self.name)
        return replace(self, model=model, classes=None)

    def with_decode(self, decode: Literal["exact", "fast"] | None) -> Backbone:
        """The same network fed by the other way of decoding JPEGs (None: as it is)."""
        if decode is None:
            return self
        return replace(self, preprocessing=self.preprocessing.model_copy(update={"decode": decode}))

    def trained_on(self, **what: Any) -> Backbone:
        """The same network with one more entry in its history."""
        return replace(self, history=(*self.history, what))

    def inference(self, precision: str = "float32", output: Output = "features") -> Inference:
        """Compiled function from uint8 images to ``output``; see ``Inference``."""
        if output != "features" and self.classes is None:
            raise NlcliError(f"backbone {self.name} has no classes; only its features can be computed")
        return Inference(self, resolve_precision(precision), output)


class Inference:
    """Images (b, S, S, 3) uint8 to float32 (b, D) or (b, C): the fast way through a backbone.

    BatchNorm is folded, pixels are scaled inside the graph, the batch dimension is free. The
    weights are copied: later training of the backbone does not change this function.

    On a GPU the graph is compiled by XLA, for one batch size only: smaller batches than the
    largest so far are filled up with black images whose results are dropped.

    Attributes:
        precision: float32, bfloat16 or float16, as resolved.
        function: The compiled ``tf.function``, for programs that convert it.
    """

    def __init__(self, backbone: Backbone, precision: str, output: Output, compile_xla: bool | None = None) -> None:
        self.precision = precision
        self.output = output
        for weight in backbone.model.weights:
            if not np.isfinite(weight.numpy()).all():  # a fused relu would turn NaN into zero, unseen
                raise NlcliError(
                    f"weights '{weight.path}' of backbone {backbone.name} contain NaN or infinity; get others"
                )
        size = backbone.preprocessing.size
        scaling, activation = backbone.preprocessing.scaling, backbone.activation
        key = "features" if output == "features" else "logits"
        network = keras.Model(backbone.model.input, backbone.model.output[key])
        offset, factor, reverse = {
            "caffe": (_IMAGENET_MEAN, 1.0, True),
            "tf": (np.float32(127.5), 1 / 127.5, False),
            "unit": (None, 1 / 255, False),
            "raw": (None, 1.0, False),
        }[scaling]
        # A kernel divided by 255 would fall among float16's subnormal numbers.
        absorbed = absorbs_scaling(network) and (precision != "float16" or factor == 1.0)
        if absorbed:
            network = inference_copy(network, precision, factor=factor, reverse=reverse)
        else:
            network = inference_copy(network, precision)
        self._network = network  # the concrete function below holds its variables only weakly
        self._xla = bool(gpus()) if compile_xla is None else compile_xla
        self._largest = 0

        def run(images: Any) -> Any:
            if absorbed:
                pixels = tf.cast(images, tf.float32)
                pixels = pixels if offset is None else pixels - offset
            else:
                pixels = scale_pixels(images, scaling)
            result = tf.cast(network(pixels, training=False), tf.float32)
            if output == "probabilities":
                return tf.nn.sigmoid(result) if activation == "sigmoid" else tf.nn.softmax(result)
            return result

        signature = [tf.TensorSpec((None, size, size, 3), tf.uint8)]
        self.function = as_graph(run, input_signature=signature, jit_compile=self._xla or None)
        self._run = self.function.get_concrete_function()

    def __call__(self, images: Any) -> Any:
        """Result as a ``tf.Tensor``; on a GPU it may still be under way when this returns."""
        if self._xla:
            count = len(images)
            self._largest = max(self._largest, count)
            if count < self._largest:
                filling = [(0, self._largest - count), (0, 0), (0, 0), (0, 0)]
                images = np.pad(np.asarray(images), filling)
                return self._run(tf.convert_to_tensor(images))[:count]
        return self._run(tf.convert_to_tensor(images))


def gpus() -> list[Any]:
    """The GPUs TensorFlow can use."""
    return list(tf.config.list_physical_devices("GPU"))


def resolve_precision(precision: str) -> str:
    """What ``auto`` means here: the fastest type this machine has instructions for, else float32."""
    if precision != "auto":
        return precision
    devices = gpus()
    if devices:
        capability = tf.config.experimental.get_device_details(devices[0]).get("compute_capability", (0, 0))
        return "bfloat16" if capability >= (8, 0) else "float16" if capability >= (7, 0) else "float32"
    return "bfloat16" if cpu_flags() & {"amx_bf16", "avx512_bf16"} else "float32"
