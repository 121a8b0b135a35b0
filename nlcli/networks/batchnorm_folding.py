"""A copy of a network for inference only: BatchNorm folded into convolutions, low precision.

In inference BatchNorm is an affine map of each channel, ``y = (x - mean) * s + beta`` with
``s = gamma / sqrt(variance + epsilon)``. Behind a layer that is linear in its kernel the scale
moves into the kernel and the rest into the bias, so that

    kernel' = kernel * s,    bias' = (bias - mean) * s + beta,

exact up to rounding (Jacob et al. 2018, section 3.2, equation 14). The convolutions call
TensorFlow's own ``bias_add``, the form its graph optimizer fuses with the convolution and the
activation behind it; Keras's reshape-and-add is not fused.

The scaling of pixels, ``(x - offset) * factor`` with the channels possibly reversed, moves into the
first convolution likewise, all but the offset (its zero padding stands for ``offset``): reversing
the channels of a batch of images takes longer than a tenth of ResNet50 on a fast CPU.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

_POOLED = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)


class FusedConv2D(layers.Layer):  # type: ignore[misc, unused-ignore]  # Keras has no types
    """Convolution (plain, grouped, depthwise or separable) with bias, of constant weights.

    Args:
        like: The Conv2D, DepthwiseConv2D or SeparableConv2D that it stands for.
        weights: ``{"kernel"}``, ``{"depthwise"}``, or both (separable: depthwise, then kernel).
        bias: (channels,).
    """

    def __init__(self, like: layers.Layer, weights: dict[str, np.ndarray], bias: np.ndarray, dtype: str) -> None:
        super().__init__(name=like.name, dtype=dtype, trainable=False)
        self._strides = (1, *like.strides, 1)
        self._padding = like.padding.upper()
        self._dilations = like.dilation_rate
        self._activation = like.activation
        self._arrays: dict[str, keras.Variable] = {}
        for name, value in (weights | {"bias": bias}).items():
            variable = self.add_weight(name=name, shape=value.shape, trainable=False, initializer="zeros")
            variable.assign(value)
            self._arrays[name] = variable
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Images (b, h, w, c) to (b, h', w', channels)."""
        arrays = {name: keras.ops.convert_to_tensor(variable) for name, variable in self._arrays.items()}
        place = {"strides": self._strides, "padding": self._padding, "dilations": self._dilations}
        x = inputs
        if "depthwise" in arrays:
            x = tf.nn.depthwise_conv2d(x, arrays["depthwise"], **place)
            place = {"strides": 1, "padding": "VALID"}  # of the pointwise part of a separable one
        if "kernel" in arrays:
            x = tf.nn.conv2d(x, arrays["kernel"], **place)
        return self._activation(tf.nn.bias_add(x, arrays["bias"]))


class _Folded(layers.Layer):  # type: ignore[misc, unused-ignore]  # Keras has no types
    """Stands for a BatchNorm whose work is done by the layer before it; never called."""


def inference_copy(
    model: keras.Model, precision: str = "float32", *, factor: float = 1.0, reverse: bool = False
) -> keras.Model:
    """Copy of a functional ``model`` with folded BatchNorm, computing in ``precision``.

    Args:
        model: Scaled images (b, S, S, 3) float32 to any structure of outputs.
        precision: ``float32``, ``bfloat16`` or ``float16``. Below float32 the weights of
            convolutions are stored in it too; global pooling and what follows stay in float32, so
            that a mean over positions does not lose digits.
        factor: Number the copy multiplies its input with, on its own account.
        reverse: Whether the copy takes the channels in reverse order. This and ``factor`` need
            ``absorbs_scaling(model)``.

    Returns:
        A model with weights of its own; outputs may be in ``precision``.
    """
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs[0])
    folded = _foldable(model)
    norm_of = {id(before): norm for norm, before in folded}
    skipped = {id(norm) for norm, _ in folded}
    in_float32 = head_layers(model)
    rescaled = {id(layer) for layer in _first_convolutions(model)} if reverse or factor != 1.0 else set()
    original: list[tuple[layers.Layer, layers.Layer]] = []

    def copy(layer: layers.Layer) -> layers.Layer:
        if id(layer) in skipped:
            return _Folded()
        if not isinstance(layer, layers.Layer):  # an operation without weights, such as ops.add
            return layer
        if isinstance(layer, keras.Model):
            return inference_copy(layer, precision)
        low = precision != "float32" and id(layer) not in in_float32
        if _is_convolution(layer):
            weights, bias = _convolution_arrays(layer)
            if id(layer) in norm_of:
                weights, bias = _fold(weights, bias, norm_of[id(layer)])
            if id(layer) in rescaled:
                kernel = weights["kernel"] * np.float32(factor)
                weights = {"kernel": kernel[:, :, ::-1] if reverse else kernel}
            return FusedConv2D(layer, weights, bias, precision if low else "float32")
        config = layer.get_config()
        # Large kernels are stored low, sparing their conversion at every call; the few numbers of a
        # BatchNorm that could not be folded are worth their digits.
        stored_low = precision if isinstance(layer, layers.Dense) else f"mixed_{precision}"
        config["dtype"] = stored_low if low else "float32"
        if id(layer) in norm_of:  # Dense
            config["use_bias"] = True
        made = layer.__class__.from_config(config)
        original.append((layer, made))
        return made

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if isinstance(layer, _Folded) else layer(*args, **kwargs)

    copied = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer, made in original:
        if id(layer) in norm_of:
            bias = layer.bias.numpy() if layer.use_bias else np.zeros(layer.units, np.float32)
            weights, bias = _fold({"kernel": layer.kernel.numpy()}, bias, norm_of[id(layer)])
            made.set_weights([weights["kernel"], bias])
        else:
            made.set_weights(layer.get_weights())
    return copied


def folded_layers(model: keras.Model) -> int:
    """How many BatchNorm layers of ``model`` the copy does without."""
    return len(_foldable(model))


def absorbs_scaling(model: keras.Model) -> bool:
    """Whether the input goes to plain convolutions only (possibly padded), whose kernels can take its scaling."""
    return bool(_first_convolutions(model))


def _first_convolutions(model: keras.Model) -> list[layers.Layer]:
    parents_of = _parents(model)
    carriers = {id(layer) for layer in model.operations if isinstance(layer, layers.InputLayer)}
    first = []
    for layer in model.operations:
        if not any(id(parent) in carriers for parent in parents_of[id(layer)]):
            continue
        if isinstance(layer, layers.ZeroPadding2D):
            carriers.add(id(layer))
        elif type(layer) is layers.Conv2D and _is_convolution(layer):
            first.append(layer)
        else:
            return []
    return first


def _foldable(model: keras.Model) -> list[tuple[layers.BatchNormalization, layers.Layer]]:
    """Pairs (BatchNorm, layer before it) where the layer feeds nothing but that BatchNorm."""
    parents_of = _parents(model)
    uses = Counter(id(parent) for parents in parents_of.values() for parent in parents)
    uses.update(id(output._keras_history.operation) for output in keras.tree.flatten(model.output))
    pairs = []
    for layer in model.operations:
        if not isinstance(layer, layers.BatchNormalization):
            continue
        parents = parents_of[id(layer)]
        if len(parents) != 1 or uses[id(parents[0])] != 1:  # shared, or read elsewhere too
            continue
        before = parents[0]
        linear = getattr(before, "activation", None) is keras.activations.linear
        channels_last = layer.axis in (-1, len(layer.input.shape) - 1)
        if linear and channels_last and (_is_convolution(before) or isinstance(before, layers.Dense)):
            pairs.append((layer, before))
    return pairs


def _parents(model: keras.Model) -> dict[int, list[layers.Layer]]:
    """By ``id`` of a layer: the layers whose outputs it reads inside this model, one entry a use."""
    read_by: dict[int, list[layers.Layer]] = {id(layer): [] for layer in model.operations}
    for nodes in model._nodes_by_depth.values():  # a layer's own list may hold nodes of other models
        for node in nodes:
            read_by[id(node.operation)] += [tensor._keras_history.operation for tensor in node.input_tensors]
    return read_by


def head_layers(model: keras.Model) -> set[int]:
    """Global pooling layers, everything behind them, and the layers that give the outputs."""
    parents_of = _parents(model)
    head = {id(output._keras_history.operation) for output in keras.tree.flatten(model.output)}
    for layer in model.operations:  # in the order of computation
        if isinstance(layer, _POOLED) or any(id(parent) in head for parent in parents_of[id(layer)]):
            head.add(id(layer))
    return head


def _is_convolution(layer: Any) -> bool:
    """A convolution that FusedConv2D can stand for."""
    kinds = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
    if type(layer) not in kinds or layer.data_format != "channels_last":
        return False
    if isinstance(layer, layers.Conv2D) and not isinstance(layer, layers.DepthwiseConv2D):
        return bool(layer.groups == 1)  # TensorFlow's CPU kernels know no groups
    return len(set(layer.strides)) == 1


def _convolution_arrays(layer: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    if isinstance(layer, layers.SeparableConv2D):
        weights = {"depthwise": layer.depthwise_kernel.numpy(), "kernel": layer.pointwise_kernel.numpy()}
        channels = layer.filters
    elif isinstance(layer, layers.DepthwiseConv2D):
        weights = {"depthwise": layer.kernel.numpy()}
        channels = weights["depthwise"].shape[2] * weights["depthwise"].shape[3]
    else:
        weights = {"kernel": layer.kernel.numpy()}
        channels = layer.filters
    return weights, layer.bias.numpy() if layer.use_bias else np.zeros(channels, np.float32)


def _fold(
    weights: dict[str, np.ndarray], bias: np.ndarray, norm: layers.BatchNormalization
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights and bias of the layer with ``norm`` behind it; computed in float64, rounded once."""
    scale = 1 / np.sqrt(norm.moving_variance.numpy().astype(np.float64) + norm.epsilon)
    if norm.scale:
        scale *= norm.gamma.numpy()
    shift = norm.beta.numpy().astype(np.float64) if norm.center else 0.0
    moved = (bias.astype(np.float64) - norm.moving_mean.numpy()) * scale + shift
    name = "kernel" if "kernel" in weights else "depthwise"
    kernel = weights[name]
    # A depthwise kernel is (h, w, in, multiplier), its output channel is in * multiplier + m.
    factor = scale.reshape(kernel.shape[2:]) if name == "depthwise" else scale
    return weights | {name: (kernel * factor).astype(np.float32)}, moved.astype(np.float32)
