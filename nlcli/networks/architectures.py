"""The registered networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from nlcli.networks import torchvision_networks
from nlcli.networks.images import Preprocessing

# --- the networks ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Architecture:
    """A registered network.

    Attributes:
        name: The name it is asked for by.
        title: One line for people.
        preprocessing: What its weights were trained with.
        num_features: Length of the pooled features.
        layers: Side of the input to (input tensor, pooled features tensor).
        application: Its builder in ``keras.applications``; None where no ImageNet weights exist.
    """

    name: str
    title: str
    preprocessing: Preprocessing
    num_features: int
    layers: Callable[[int], tuple[Any, Any]]
    application: Callable[..., Any] | None = None

    def network(self, size: int, classes: int | None) -> Any:
        """Untrained ``keras.Model``: scaled images (b, S, S, 3) to logits (b, classes) or features (b, D)."""
        inputs, features = self.layers(size)
        if classes is None:
            return keras.Model(inputs, features, name=self.name)
        return keras.Model(inputs, layers.Dense(classes, name="predictions")(features), name=self.name)


def _application(builder: Callable[..., Any]) -> Callable[[int], tuple[Any, Any]]:
    def make(size: int) -> tuple[Any, Any]:
        model = builder(include_top=False, weights=None, pooling="avg", input_shape=(size, size, 3))
        return model.input, model.output

    return make


def _small_cnn(size: int) -> tuple[Any, Any]:
    """Six 3x3 convolutions with BatchNorm, three of them with stride 2 (Simonyan 2015, Ioffe 2015).

    45 million multiplications an image of 64 x 64: 600 steps of 64 take about a minute on two cores.
    """
    x = inputs = layers.Input((size, size, 3))
    for stage, (filters, strides) in enumerate([(24, 2), (32, 1), (64, 2), (64, 1), (128, 2), (256, 1)]):
        x = layers.Conv2D(filters, 3, strides, "same", use_bias=False, name=f"conv{stage + 1}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{stage + 1}")(x)
        x = layers.Activation("relu", name=f"relu{stage + 1}")(x)
    return inputs, layers.GlobalAveragePooling2D(name="pool")(x)


@keras.saving.register_keras_serializable("nlcli")
class LocalResponseNorm(layers.Layer):  # type: ignore[misc, unused-ignore]  # Keras has no types
    """``x / (k + alpha * sum of squares of the 5 nearest channels) ** 0.75`` (Krizhevsky 2012, section 3.3).

    Args:
        k, alpha: Krizhevsky's, which networks saved by 0.1.0 were trained with. Caffe divides its alpha, 1e-4, by the
            5 channels, and its k is 1.
    """

    def __init__(self, k: float = 2.0, alpha: float = 1e-4, **options: Any) -> None:
        super().__init__(**options)
        self.k, self.alpha = k, alpha

    def call(self, inputs: Any) -> Any:
        """Images (b, h, w, c) to the same shape."""
        channels = inputs.shape[-1]
        squares = keras.ops.pad(keras.ops.square(inputs), [(0, 0), (0, 0), (0, 0), (2, 2)])
        nearby = sum(squares[..., shift : shift + channels] for shift in range(5))
        return inputs / keras.ops.power(self.k + self.alpha * nearby, 0.75)

    def get_config(self) -> dict[str, Any]:
        """For saving."""
        config: dict[str, Any] = super().get_config()
        return config | {"k": self.k, "alpha": self.alpha}


# Layer: (filters, side, strides, initial bias); the kernels come from a normal distribution.
_CAFFENET = {
    "conv1": (96, 11, 4, 0.0),
    "conv2": (256, 5, 1, 1.0),
    "conv3": (384, 3, 1, 0.0),
    "conv4": (384, 3, 1, 1.0),
    "conv5": (256, 3, 1, 1.0),
}


def _alexnet(size: int) -> tuple[Any, Any]:
    """Krizhevsky 2012 as the BVLC reference CaffeNet has it, the network of Xiao 2015; features are fc7.

    Pooling before normalisation, Caffe's response normalisation and initial values; in one column, without the split
    of the channels of conv2, conv4 and conv5 into two groups.
    """

    def initial(deviation: float, bias: float) -> dict[str, Any]:
        return {
            "kernel_initializer": keras.initializers.RandomNormal(stddev=deviation),
            "bias_initializer": keras.initializers.Constant(bias),
            "activation": "relu",
        }

    x = inputs = layers.Input((size, size, 3))
    for number, (name, (filters, side, strides, bias)) in enumerate(_CAFFENET.items(), start=1):
        padding = "valid" if number == 1 else "same"
        x = layers.Conv2D(filters, side, strides, padding, name=name, **initial(0.01, bias))(x)
        if number in (1, 2, 5):
            x = layers.MaxPooling2D(3, 2, name=f"pool{number}")(x)
        if number in (1, 2):
            x = LocalResponseNorm(1.0, 1e-4 / 5, name=f"norm{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        x = layers.Dense(4096, name=name, **initial(0.005, 1.0))(x)
        x = layers.Dropout(0.5, name=f"{name}_dropout")(x)
    return inputs, x


def _registry() -> dict[str, Architecture]:
    caffe = Preprocessing(size=224, scaling="caffe")
    apps = keras.applications
    return {
        made.name: made
        for made in (
            Architecture(
                "resnet50",
                "ResNet50 (He 2016), 224, ImageNet weights",
                caffe,
                2048,
                _application(apps.ResNet50),
                apps.ResNet50,
            ),
            Architecture(
                "inception_v3",
                "Inception V3 (Szegedy 2016), 299, ImageNet weights",
                Preprocessing(size=299, scaling="tf"),
                2048,
                _application(apps.InceptionV3),
                apps.InceptionV3,
            ),
            Architecture(
                "mobilenet_v2",
                "MobileNetV2 (Sandler 2018), 224, ImageNet weights",
                Preprocessing(size=224, scaling="tf"),
                1280,
                _application(apps.MobileNetV2),
                apps.MobileNetV2,
            ),
            Architecture(
                "resnet50_torchvision",
                "ResNet50 as torchvision builds it, 224, weights by import-weights",
                Preprocessing(size=224, scaling="raw"),
                2048,
                torchvision_networks.resnet50,
            ),
            Architecture(
                "inception_v3_torchvision",
                "Inception V3 as torchvision builds it, 299, weights by import-weights",
                Preprocessing(size=299, scaling="tf"),
                2048,
                torchvision_networks.inception_v3,
            ),
            Architecture(
                "alexnet",
                "AlexNet (Krizhevsky 2012) as CaffeNet has it, 227, weights by import-weights",
                caffe.model_copy(update={"size": 227, "margin": 29}),
                4096,
                _alexnet,
            ),
            Architecture(
                "small_cnn",
                "six convolutions, 64, trains from scratch on a CPU",
                Preprocessing(size=64, scaling="unit"),
                256,
                _small_cnn,
            ),
        )
    }


BACKBONES: dict[str, Architecture] = _registry()


def randomise_kernels(model: Any, seed: int) -> None:
    """Draw every kernel anew from its own initializer with a seed of its own.

    keras.applications take no seed; setting the global one would disturb other random streams.
    """
    streams = np.random.SeedSequence([seed, 0x6B65726E])
    for layer in model.layers:
        for part in ("kernel", "depthwise", "pointwise"):
            initializer = getattr(layer, f"{part}_initializer", None)
            variable = getattr(layer, part if part == "kernel" else f"{part}_kernel", None)
            if initializer is None or variable is None:
                continue
            drawn = int(streams.spawn(1)[0].generate_state(1)[0]) & 0x7FFFFFFF
            config = initializer.get_config() | {"seed": drawn}
            variable.assign(type(initializer).from_config(config)(variable.shape, dtype="float32"))
