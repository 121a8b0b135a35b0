"""ResNet50 and Inception V3 as torchvision builds them, which is not as ``keras.applications`` does.

- ResNet50 halves the image in the 3x3 convolution of a block, not in the 1x1 before it ("v1.5"), has no biases in
  convolutions and an epsilon of 1e-5. Its pixels are divided by 255, less a mean, by a deviation.
- Inception V3 averages over 3x3 with the padding counted, where TensorFlow leaves it out at the border. Its BatchNorm
  has a scale, which the converter puts into the convolution. Its pixels are in [-1, 1]: torchvision itself turns its
  own scaling into that (``transform_input``).

Weights of the one in a network of the other give features that are plausible and wrong.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RESNET50_BLOCKS = (3, 4, 6, 3)


def resnet50(size: int) -> tuple[Any, Any]:
    """Input of RGB pixels 0 to 255, (b, S, S, 3), and pooled features (b, 2048)."""

    def normalised(name: str, x: Any, filters: int, side: int, strides: int = 1) -> Any:
        if side > 1:
            x = layers.ZeroPadding2D(side // 2, name=f"{name}_pad")(x)
        x = layers.Conv2D(filters, side, strides, use_bias=False, name=f"{name}_conv")(x)
        return layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_bn")(x)

    def relu(name: str, x: Any) -> Any:
        return layers.Activation("relu", name=f"{name}_relu")(x)

    inputs = layers.Input((size, size, 3))
    x = layers.Rescaling(
        [1 / (255 * d) for d in DEVIATION], [-m / d for m, d in zip(MEAN, DEVIATION, strict=True)], name="scaled"
    )(inputs)
    x = relu("stem", normalised("stem", x, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(layers.ZeroPadding2D(1, name="stem_pool_pad")(x))  # all are >= 0
    for stage, blocks in enumerate(RESNET50_BLOCKS, start=1):
        filters = 64 * 2 ** (stage - 1)
        for block in range(blocks):
            name = f"layer{stage}_{block}"
            strides = 2 if block == 0 and stage > 1 else 1
            y = relu(f"{name}_1", normalised(f"{name}_1", x, filters, 1))
            y = relu(f"{name}_2", normalised(f"{name}_2", y, filters, 3, strides))
            y = normalised(f"{name}_3", y, 4 * filters, 1)
            if block == 0:
                x = normalised(f"{name}_downsample", x, 4 * filters, 1, strides)
            x = relu(name, layers.Add(name=f"{name}_add")([x, y]))
    return inputs, layers.GlobalAveragePooling2D(name="pool")(x)


@keras.saving.register_keras_serializable("nlcli")
class PaddedAverage(layers.Layer):  # type: ignore[misc, unused-ignore]  # Keras has no types
    """Mean over 3x3 with the zeros of the padding counted, as ``torch.nn.functional.avg_pool2d`` has it."""

    def call(self, inputs: Any) -> Any:
        """Images (b, h, w, c) to the same shape."""
        padded = keras.ops.pad(inputs, [(0, 0), (1, 1), (1, 1), (0, 0)])
        return keras.ops.average_pool(padded, 3, strides=1, padding="valid")


def inception_v3(size: int) -> tuple[Any, Any]:
    """Input of pixels in [-1, 1], (b, S, S, 3), and pooled features (b, 2048)."""

    def replaced(layer: Any) -> Any:
        if isinstance(layer, layers.AveragePooling2D):
            return PaddedAverage(name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    built = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg", input_shape=(size, size, 3))
    model = keras.models.clone_model(built, clone_function=replaced)
    return model.input, model.output
