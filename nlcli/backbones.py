"""Networks that turn images into features, and the last layer that turns features into classes.

A ``Backbone`` is a Keras model together with everything needed to feed it (input size, resizing,
pixel scaling) and to read it (class names, activation of the last layer). The same object is the
annotating classifier, the network that is fine-tuned, and the source of cached features.

Sources: ResNet50 (He et al. 2016), Inception V3 (Szegedy et al. 2016), MobileNetV2 (Sandler et al.
2018), AlexNet (Krizhevsky et al. 2012; the network of Xiao et al. 2015), all but the last from
``keras.applications``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
from pydantic import ValidationError

from nlcli.config import unknown_name
from nlcli.errors import NlcliError
from nlcli.images import Preprocessing, Scaling
from nlcli.runtime import cpu_flags, quiet_tensorflow
from nlcli.stage import atomic_path, fingerprint_json, read_json, write_json

quiet_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402

from nlcli.folding import absorbs_scaling, inference_copy  # noqa: E402

Output = Literal["features", "logits", "probabilities"]
Activation = Literal["sigmoid", "softmax"]

SCHEMA = 1
_RECORD, _MODEL, _LAST_LAYER = "backbone.json", "model.keras", "last_layer.npz"


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
class LocalResponseNorm(layers.Layer):
    """``x / (2 + 1e-4 * sum of squares of the 5 nearest channels) ** 0.75`` (Krizhevsky 2012, section 3.3)."""

    def call(self, inputs: Any) -> Any:
        """Images (b, h, w, c) to the same shape."""
        channels = inputs.shape[-1]
        squares = keras.ops.pad(keras.ops.square(inputs), [(0, 0), (0, 0), (0, 0), (2, 2)])
        nearby = sum(squares[..., shift:shift + channels] for shift in range(5))
        return inputs / keras.ops.power(2.0 + 1e-4 * nearby, 0.75)


def _alexnet(size: int) -> tuple[Any, Any]:
    """Krizhevsky 2012 in one column, without the split of channels over two GPUs; features are fc7."""
    x = inputs = layers.Input((size, size, 3))
    x = layers.Conv2D(96, 11, 4, activation="relu", name="conv1")(x)
    x = LocalResponseNorm(name="norm1")(layers.MaxPooling2D(3, 2, name="pool1")(x))
    x = layers.Conv2D(256, 5, padding="same", activation="relu", name="conv2")(x)
    x = LocalResponseNorm(name="norm2")(layers.MaxPooling2D(3, 2, name="pool2")(x))
    x = layers.Conv2D(384, 3, padding="same", activation="relu", name="conv3")(x)
    x = layers.Conv2D(384, 3, padding="same", activation="relu", name="conv4")(x)
    x = layers.Conv2D(256, 3, padding="same", activation="relu", name="conv5")(x)
    x = layers.Flatten(name="flatten")(layers.MaxPooling2D(3, 2, name="pool5")(x))
    for name in ("fc6", "fc7"):
        x = layers.Dense(4096, activation="relu", name=name)(x)
        x = layers.Dropout(0.5, name=f"{name}_dropout")(x)
    return inputs, x


def _registry() -> dict[str, Architecture]:
    caffe = Preprocessing(size=224, scaling="caffe")
    apps = keras.applications
    return {
        made.name: made
        for made in (
            Architecture("resnet50", "ResNet50 (He 2016), 224, ImageNet weights", caffe, 2048,
                         _application(apps.ResNet50), apps.ResNet50),
            Architecture("inception_v3", "Inception V3 (Szegedy 2016), 299, ImageNet weights",
                         Preprocessing(size=299, scaling="tf"), 2048,
                         _application(apps.InceptionV3), apps.InceptionV3),
            Architecture("mobilenet_v2", "MobileNetV2 (Sandler 2018), 224, ImageNet weights",
                         Preprocessing(size=224, scaling="tf"), 1280,
                         _application(apps.MobileNetV2), apps.MobileNetV2),
            Architecture("alexnet", "AlexNet (Krizhevsky 2012), 227, no ImageNet weights",
                         caffe.model_copy(update={"size": 227}), 4096, _alexnet),
            Architecture("small_cnn", "six convolutions, 64, trains from scratch on a CPU",
                         Preprocessing(size=64, scaling="unit"), 256, _small_cnn),
        )
    }


BACKBONES: dict[str, Architecture] = _registry()


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


class LastLayer(NamedTuple):
    """A linear classifier on features: ``logits = features @ kernel + bias``."""

    kernel: np.ndarray  # (D, C) float32
    bias: np.ndarray  # (C,) float32
    classes: tuple[str, ...]


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
    def num_features(self) -> int:
        """Length D of the features."""
        return int(self.model.output["features"].shape[-1])

    @property
    def last_layer(self) -> LastLayer | None:
        """Copy of the classifier on the features; None without classes."""
        if self.classes is None:
            return None
        kernel, bias = self.model.get_layer("logits").get_weights()
        return LastLayer(kernel, bias, self.classes)

    @property
    def kernel(self) -> np.ndarray | None:
        """Kernel (D, C) of the last layer."""
        return None if self.classes is None else self.model.get_layer("logits").get_weights()[0]

    @property
    def bias(self) -> np.ndarray | None:
        """Bias (C,) of the last layer."""
        return None if self.classes is None else self.model.get_layer("logits").get_weights()[1]

    @property
    def fingerprint(self) -> str:
        """Hash of the weights as they are now, of their preprocessing and of the classes.

        How JPEGs are decoded is left out: it is chosen anew for every use, and recorded there.
        """
        hashed = hashlib.sha256()
        for weight in self.model.weights:
            value = np.ascontiguousarray(weight.numpy())
            hashed.update(f"{value.dtype}{value.shape}".encode())
            hashed.update(value.data)
        described = {
            "weights": hashed.hexdigest(), "network": self.name, "activation": self.activation,
            "preprocessing": self.preprocessing.model_dump(exclude={"decode"}), "classes": self.classes,
        }
        return fingerprint_json(described)

    def with_classes(
        self, classes: Sequence[str], *, activation: Activation = "sigmoid", seed: int = 0,
        last_layer: LastLayer | None = None,
    ) -> Backbone:
        """The same network (sharing its weights) with a new last layer, untrained unless one is given."""
        names = tuple(classes)
        if not names:
            raise NlcliError(f"a classifier on {self.name} needs at least one class")
        features = self.model.output["features"]
        dense = layers.Dense(len(names), name="logits", kernel_initializer=keras.initializers.GlorotUniform(seed))
        model = keras.Model(self.model.input, {"features": features, "logits": dense(features)}, name=self.name)
        if last_layer is not None:
            dense.set_weights([last_layer.kernel, last_layer.bias])
        return replace(self, model=model, classes=names, activation=activation)

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
    """

    def __init__(self, backbone: Backbone, precision: str, output: Output, compile_xla: bool | None = None) -> None:
        self.precision = precision
        self.output = output
        for weight in backbone.model.weights:
            if not np.isfinite(weight.numpy()).all():  # a fused relu would turn NaN into zero, unseen
                raise NlcliError(f"weights '{weight.path}' of backbone {backbone.name} contain NaN or infinity")
        size = backbone.preprocessing.size
        scaling, activation = backbone.preprocessing.scaling, backbone.activation
        key = "features" if output == "features" else "logits"
        network = keras.Model(backbone.model.input, backbone.model.output[key])
        offset, factor, reverse = {
            "caffe": (_IMAGENET_MEAN, 1.0, True), "tf": (np.float32(127.5), 1 / 127.5, False),
            "unit": (None, 1 / 255, False), "raw": (None, 1.0, False),
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
        compiled = tf.function(run, input_signature=signature, jit_compile=self._xla or None)
        self._run = compiled.get_concrete_function()

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
    found = gpus()
    if found:
        capability = tf.config.experimental.get_device_details(found[0]).get("compute_capability", (0, 0))
        return "bfloat16" if capability >= (8, 0) else "float16" if capability >= (7, 0) else "float32"
    return "bfloat16" if cpu_flags() & {"amx_bf16", "avx512_bf16"} else "float32"


# --- making one ------------------------------------------------------------------------------


def build_backbone(
    name: str,
    weights: str | Path = "imagenet",
    *,
    classes: Sequence[str] | None = None,
    top: bool = False,
    activation: Activation = "sigmoid",
    image_size: int | None = None,
    seed: int = 0,
) -> Backbone:
    """A registered network with weights.

    Args:
        name: Key of ``BACKBONES``.
        weights: ``imagenet`` (downloaded by keras.applications), ``none`` (random, from ``seed``),
            a ``.h5`` or ``.weights.h5`` file of this very network with or without its last layer, or
            the directory of a saved backbone of this network.
        classes: Give it a new, untrained last layer for these classes.
        top: Keep the last layer that comes with the weights (1000 ImageNet classes).
        activation: Of the new last layer.
        image_size: Side of the input, where it is to differ from the network's own.
        seed: Of random weights and of the new last layer.

    Raises:
        NlcliError: unknown network; weights missing, of another network, or impossible to download.
    """
    if name not in BACKBONES:
        raise NlcliError(unknown_name(name, BACKBONES, "network"))
    architecture = BACKBONES[name]
    weights = str(weights)
    preprocessing = architecture.preprocessing
    if image_size is not None:
        preprocessing = preprocessing.model_copy(update={"size": image_size})
    if weights not in ("imagenet", "none") and Path(weights).is_dir():
        backbone = _from_saved(architecture, Path(weights), image_size)
    else:
        inputs, features = architecture.layers(preprocessing.size)
        model = keras.Model(inputs, {"features": features}, name=name)
        backbone = Backbone(name, model, preprocessing)
        if weights == "none":
            _randomise(model, seed)
        else:
            found = _imagenet(architecture) if weights == "imagenet" else _from_file(architecture, Path(weights))
            body, last = found
            model.set_weights(body)
            backbone = backbone.trained_on(weights=weights if weights == "imagenet" else Path(weights).name)
            if last is not None and top and classes is None:
                if last[0].shape[1] != 1000:
                    raise NlcliError(
                        f"weights file {weights} ends in {last[0].shape[1]} classes, not ImageNet's 1000; "
                        "their names are not known: save the network as a backbone directory instead"
                    )
                kept = LastLayer(last[0], last[1], imagenet_classes())
                return backbone.with_classes(kept.classes, activation="softmax", last_layer=kept)
    if classes is not None:
        return backbone.with_classes(classes, activation=activation, seed=seed)
    if not top:
        return backbone.without_classes()
    if backbone.classes is None:
        raise NlcliError(f"weights '{weights}' of {name} have no last layer to classify with; give weights that do")
    return backbone


def open_backbone(
    source: str | Path,
    weights: str | Path = "imagenet",
    *,
    top: bool = False,
    classes_file: Path | None = None,
    scaling: Scaling = "tf",
) -> Backbone:
    """A backbone by whatever names it: registered network, saved backbone, or ``.keras`` file.

    Args:
        source: Name in ``BACKBONES``, directory of a saved backbone, or a Keras file.
        weights: For a registered network: see ``build_backbone``.
        top: A classifier is wanted: keep the last layer, fail where there is none.
        classes_file: Class names of a ``.keras`` file, one a line.
        scaling: Pixel scaling that a ``.keras`` file expects of its input.
    """
    path = Path(source)
    if str(source) in BACKBONES and not (path / _RECORD).is_file():
        return build_backbone(str(source), weights, top=top)
    if path.is_dir():
        backbone = load_backbone(path)
    elif path.suffix == ".keras":
        backbone = load_keras_file(path, classes_file, scaling=scaling)
    elif path.exists():
        raise NlcliError(f"{path} is neither a saved backbone's directory nor a .keras file")
    else:
        raise NlcliError(
            f"{unknown_name(str(source), BACKBONES, 'network')}; "
            "nor is there a saved backbone or a .keras file of that name"
        )
    if top and backbone.classes is None:
        raise NlcliError(f"{path} has no classes; as a classifier give one that does")
    return backbone


def imagenet_classes() -> tuple[str, ...]:
    """The 1000 ImageNet names in the order of ``keras.applications`` (two of them occur twice)."""
    text = resources.files("nlcli").joinpath("resources/imagenet_classes.csv").read_text(encoding="utf-8")
    return tuple(row["name"] for row in csv.DictReader(text.splitlines()))


def _from_saved(architecture: Architecture, path: Path, image_size: int | None) -> Backbone:
    saved = load_backbone(path)
    if saved.name != architecture.name:
        raise NlcliError(f"weights {path} are of a {saved.name}, not of a {architecture.name}; name that network")
    if image_size in (None, saved.preprocessing.size):
        return saved
    preprocessing = saved.preprocessing.model_copy(update={"size": image_size})
    inputs, features = architecture.layers(preprocessing.size)
    model = keras.Model(inputs, {"features": features}, name=architecture.name)
    with _sentence(f"weights {path} do not fit a {architecture.name} of image size {image_size}"):
        model.set_weights(saved.without_classes().model.get_weights())
    resized = replace(saved, model=model, preprocessing=preprocessing, classes=None)
    last = saved.last_layer
    return resized if last is None else resized.with_classes(
        last.classes, activation=saved.activation, last_layer=last)


def _randomise(model: Any, seed: int) -> None:
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


Weights = tuple[list[np.ndarray], tuple[np.ndarray, np.ndarray] | None]


def _imagenet(architecture: Architecture) -> Weights:
    if architecture.application is None:
        raise NlcliError(
            f"there are no ImageNet weights of {architecture.name}; pass --weights none or a weights file"
        )
    try:
        donor = architecture.application(weights="imagenet")
    except Exception as error:  # keras raises a plain Exception when a download fails
        raise NlcliError(
            f"the ImageNet weights of {architecture.name} could not be downloaded ({_short(error)}); "
            "get the file on a machine with network and pass --weights PATH"
        ) from error
    return _split(donor.get_weights(), with_top=True)


def _split(arrays: list[np.ndarray], with_top: bool) -> Weights:
    return (arrays[:-2], (arrays[-2], arrays[-1])) if with_top else (arrays, None)


def _from_file(architecture: Architecture, path: Path) -> Weights:
    """Weights from a Keras weights file of ``architecture``, of the format of Keras 3 or of before."""
    if not path.is_file():
        raise NlcliError(f"there is no weights file {path}; pass 'imagenet', 'none', or the path of one")
    legacy, shapes = _stored_shapes(path)
    size = architecture.preprocessing.size
    body = sorted(tuple(w.shape) for w in architecture.network(size, None).weights)
    rest = list(shapes)
    try:
        for shape in body:
            rest.remove(shape)
    except ValueError:
        rest = [()]
    classes = None
    if sorted(len(shape) for shape in rest) == [1, 2]:
        kernel, bias = sorted(rest, key=len, reverse=True)
        if kernel == (architecture.num_features, bias[0]):
            classes, rest = bias[0], []
    if rest:
        raise NlcliError(
            f"weights file {path} is not of a {architecture.name}: it holds {len(shapes)} arrays, the network has "
            f"{len(body)} (and 2 for its last layer) of other shapes; name the network it was made for"
        )
    # keras.applications' models with their last layer are laid out as their weights files are.
    if architecture.application is not None and classes is not None:
        network = architecture.application(
            weights=None, classes=classes, input_shape=(size, size, 3), classifier_activation=None)
    else:
        network = architecture.network(size, classes)
    with tempfile.TemporaryDirectory() as folder:  # Keras tells the format by the name's end
        named = Path(folder) / ("weights.h5" if legacy else "copy.weights.h5")
        named.symlink_to(path.resolve())
        with _sentence(f"weights file {path} is not of a {architecture.name}"):
            network.load_weights(named)
    return _split(network.get_weights(), with_top=classes is not None)


def _stored_shapes(path: Path) -> tuple[bool, list[tuple[int, ...]]]:
    """Whether a weights file is of the format before Keras 3, and the shapes of its float arrays."""
    shapes: list[tuple[int, ...]] = []

    def walk(group: h5py.Group) -> None:
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise NlcliError(f"weights file {path} holds a link ({group.name}/{key}); links are refused")
            item = group[key]
            if isinstance(item, h5py.Group):
                if not key.startswith("optimizer"):
                    walk(item)
            elif item.external or item.is_virtual:
                raise NlcliError(f"weights file {path} keeps {item.name} in another file; that is refused")
            elif item.dtype.kind == "f":
                shapes.append(tuple(item.shape))

    try:
        with h5py.File(path, "r") as file:
            legacy = "layer_names" in file.attrs or "model_weights" in file
            walk(file.get("model_weights", file))
    except OSError as error:
        raise NlcliError(f"weights file {path} cannot be read as HDF5 ({_short(error)}); get it again") from error
    return legacy, shapes


# --- on disk ---------------------------------------------------------------------------------


def save_backbone(directory: Path, backbone: Backbone) -> str:
    """Write ``backbone.json``, ``model.keras`` and, with classes, ``last_layer.npz``.

    Returns:
        The fingerprint. A ``.keras`` file carries its time of writing, so that a stage that
        publishes one passes ``content={"model.keras": fingerprint}`` to ``Stage.finish``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(".saving-*.keras"):
        leftover.unlink()
    temporary = directory / f".saving-{os.getpid()}.keras"  # Keras insists on the suffix
    try:
        backbone.model.save(temporary)
        os.replace(temporary, directory / _MODEL)
    finally:
        temporary.unlink(missing_ok=True)
    last = backbone.last_layer
    if last is not None:
        with atomic_path(directory / _LAST_LAYER) as path, open(path, "wb") as file:
            np.savez(file, kernel=last.kernel, bias=last.bias, classes=np.array(last.classes))
    fingerprint = backbone.fingerprint
    write_json(directory / _RECORD, {
        "schema": SCHEMA, "network": backbone.name, "num_features": backbone.num_features,
        "preprocessing": backbone.preprocessing.model_dump(), "classes": backbone.classes,
        "activation": backbone.activation, "history": list(backbone.history), "fingerprint": fingerprint,
    })
    return fingerprint


def load_backbone(path: Path | str) -> Backbone:
    """The backbone saved in a directory (a stage's own, or any that ``save_backbone`` wrote).

    Raises:
        NlcliError: none there, damaged, or its weights are not those that were saved.
    """
    directory = Path(path)
    if not (directory / _RECORD).is_file():
        missing = "there is no directory" if not directory.is_dir() else f"it has no {_RECORD}"
        raise NlcliError(f"{directory} is not a saved backbone: {missing}")
    described = read_json(directory / _RECORD)
    try:
        if described["schema"] > SCHEMA:
            raise NlcliError(f"{directory} was written by a newer nlcli; update nlcli")
        classes = described["classes"]
        preprocessing = Preprocessing(**described["preprocessing"])
        name, activation = str(described["network"]), described["activation"]
        history, fingerprint = tuple(described["history"]), described["fingerprint"]
        if activation not in ("sigmoid", "softmax"):
            raise ValueError(f"activation {activation!r}")
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise NlcliError(f"{directory / _RECORD} does not describe a backbone ({_short(error)})") from error
    model = _load_model(directory / _MODEL)
    outputs = model.output if isinstance(model.output, dict) else {}
    if "features" not in outputs or ("logits" in outputs) != (classes is not None):
        raise NlcliError(f"{directory / _MODEL} is not the network that {_RECORD} describes; make the backbone again")
    backbone = Backbone(
        name, model, preprocessing, None if classes is None else tuple(classes), activation, history)
    if backbone.fingerprint != fingerprint:
        raise NlcliError(f"{directory} was altered: its weights are not those that {_RECORD} tells of; make it again")
    return backbone


def read_backbone_record(path: Path | str) -> dict[str, Any]:
    """What ``backbone.json`` says, without loading the network."""
    record = read_json(Path(path) / _RECORD)
    if not isinstance(record, dict):
        raise NlcliError(f"{Path(path) / _RECORD} does not describe a backbone")
    return record


def load_keras_file(path: Path | str, classes_file: Path | None, *, scaling: Scaling = "tf") -> Backbone:
    """A classifier from a ``.keras`` file: one square image in, one Dense layer of classes at the end.

    Args:
        path: The file; loaded in Keras's safe mode, so that it cannot carry code.
        classes_file: Names of its classes, one a line.
        scaling: Pixel scaling that it expects.
    """
    path = Path(path)
    if classes_file is None:
        raise NlcliError(f"classifier {path} needs its class names; pass a file with one name a line")
    try:
        text = Path(classes_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NlcliError(f"cannot read the class names {classes_file}: {_short(error)}") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    model = _load_model(path)
    inputs, outputs = len(model.inputs), len(model.outputs)
    if inputs != 1 or outputs != 1:
        raise NlcliError(f"{path} has {inputs} inputs and {outputs} outputs; one of each is needed")
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or shape[1] is None or shape[1] != shape[2]:
        raise NlcliError(f"{path} takes inputs of shape {shape}; square RGB images of a fixed size are needed")
    dense, features, activation = _last_dense(model)
    if dense is None:
        raise NlcliError(f"{path} does not end in a Dense layer; only such classifiers can be used")
    if dense.units != len(names):
        raise NlcliError(f"{path} has {dense.units} classes, {classes_file} names {len(names)}")
    body = keras.Model(model.inputs[0], {"features": features}, name=path.stem)
    bias = dense.bias.numpy() if dense.use_bias else np.zeros(dense.units, np.float32)
    last = LastLayer(dense.kernel.numpy(), bias, names)
    backbone = Backbone(path.stem, body, Preprocessing(size=shape[1], scaling=scaling))
    return backbone.with_classes(names, activation=activation, last_layer=last).trained_on(file=path.name)


def _last_dense(model: Any) -> tuple[Any, Any, Activation]:
    """The Dense layer at the end (or None), its input, and the activation that it has or that follows it."""
    found, node = _producer(model.outputs[0])
    activation = getattr(found, "activation", None)
    if isinstance(found, layers.Softmax):
        activation = keras.activations.softmax
    if isinstance(found, layers.Activation | layers.Softmax):
        found, node = _producer(node.input_tensors[0])
    kind: Activation = "sigmoid" if activation is keras.activations.sigmoid else "softmax"
    return (found, node.input_tensors[0], kind) if isinstance(found, layers.Dense) else (None, None, kind)


def _producer(tensor: Any) -> tuple[Any, Any]:
    history = tensor._keras_history
    return history.operation, history.operation._inbound_nodes[history.node_index]


def _load_model(path: Path) -> Any:
    if not path.is_file():
        raise NlcliError(f"there is no file {path}")
    with _sentence(f"cannot load {path}: it is damaged, not of Keras 3, or contains code, which is refused"):
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if isinstance(model, keras.Sequential):
            model = keras.Model(model.inputs, model.outputs)
    if not hasattr(model, "operations"):
        raise NlcliError(f"{path} is not a functional or sequential Keras model; only those can be used")
    return model


@contextmanager
def _sentence(what: str) -> Iterator[None]:
    """Keras raises nearly anything on a file that does not suit it."""
    try:
        yield
    except NlcliError:
        raise
    except Exception as error:
        raise NlcliError(f"{what} ({_short(error)})") from error


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "..."


def describe(backbone: Backbone) -> str:
    """One line for people."""
    classes = "no classes" if backbone.classes is None else f"{len(backbone.classes)} classes"
    pre = json.loads(backbone.preprocessing.model_dump_json())
    return (
        f"{backbone.name}, {backbone.num_features} features, {classes}, {pre['size']} pixels "
        f"{pre['resize']}, scaling {pre['scaling']}, {pre['decode']} decoding"
    )
