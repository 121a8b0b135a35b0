"""Where a backbone's weights come from, and how it is saved and loaded."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import layers

from nlcli.console import say
from nlcli.errors import NlcliError, printable, sentence, shortened, unknown_name
from nlcli.networks.architectures import BACKBONES, Architecture, randomise_kernels
from nlcli.networks.backbone import Backbone
from nlcli.networks.backbone_record import RECORD, Activation, BackboneRecord, is_saved
from nlcli.networks.foreign.source import is_foreign
from nlcli.networks.imagenet import imagenet_classes
from nlcli.networks.images import Preprocessing, Scaling
from nlcli.networks.keras_archive import settle_archive
from nlcli.networks.linear_layer import LAST_LAYER, LinearLayer
from nlcli.stages.files import atomic_path
from nlcli.stages.hdf5_trial import known_readable, require_readable
from nlcli.stages.text_lines import names_listed

_MODEL = "model.keras"


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
            randomise_kernels(model, seed)
        else:
            arrays = (
                _imagenet(architecture) if weights == "imagenet" else weights_from_file(architecture, Path(weights))
            )
            body, last = arrays
            model.set_weights(body)
            backbone = backbone.trained_on(weights=weights if weights == "imagenet" else Path(weights).name)
            if last is not None and top and classes is None:
                if last[0].shape[1] != 1000:
                    raise NlcliError(
                        f"weights file {weights} ends in {last[0].shape[1]} classes, not ImageNet's 1000; "
                        "their names are not known: save the network as a backbone directory instead"
                    )
                return backbone.with_last_layer(LinearLayer(*last, imagenet_classes()), activation="softmax")
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
    scaling: Scaling | None = None,
    image_size: int | None = None,
) -> Backbone:
    """A backbone by whatever names it: registered network, saved backbone, or ``.keras`` file.

    Args:
        source: Name in ``BACKBONES``, directory of a saved backbone, or a Keras file.
        weights: For a registered network: see ``build_backbone``.
        top: A classifier is wanted: keep the last layer, fail where there is none.
        classes_file: Class names of a ``.keras`` file, one a line.
        scaling: Pixel scaling that a ``.keras`` file expects of its input; None: found out.
        image_size: Side of the input, where it is to differ from what the network was made for.

    Raises:
        NlcliError: it is none of them, or cannot take images of another size.
    """
    path = Path(source)
    if str(source) in BACKBONES and not is_saved(path):
        return build_backbone(str(source), weights, top=top, image_size=image_size)
    if is_foreign(str(source)):
        raise NlcliError(
            f"{source} gives features only; extract them by extract-features, and train a head on them by train-head"
        )
    if path.is_dir():
        backbone = resized(load_backbone(path), image_size, path)
    elif path.suffix == ".keras":
        if image_size is not None:
            raise NlcliError(f"{path} takes images of the size that it was saved with; leave out --image-size")
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


def _from_saved(architecture: Architecture, path: Path, image_size: int | None) -> Backbone:
    saved = load_backbone(path)
    if saved.name != architecture.name:
        raise NlcliError(f"weights {path} are of a {saved.name}, not of a {architecture.name}; name that network")
    return resized(saved, image_size, path)


def resized(saved: Backbone, image_size: int | None, path: Path) -> Backbone:
    """A saved network for images of another size, where its architecture takes them; its weights are the same.

    Raises:
        NlcliError: it is of no registered network, or its weights fit one size only.
    """
    if image_size in (None, saved.preprocessing.size):
        return saved
    if saved.name not in BACKBONES:
        raise NlcliError(
            f"{path} takes images of side {saved.preprocessing.size} only, as it is of no registered network; leave "
            "out --image-size"
        )
    architecture = BACKBONES[saved.name]
    preprocessing = saved.preprocessing.model_copy(update={"size": image_size})
    inputs, features = architecture.layers(preprocessing.size)
    model = keras.Model(inputs, {"features": features}, name=architecture.name)
    with sentence(
        f"weights {path} do not fit a {architecture.name} of image size {image_size}; leave out --image-size"
    ):
        model.set_weights(saved.without_classes().model.get_weights())
    resized = replace(saved, model=model, preprocessing=preprocessing, classes=None)
    last = saved.last_layer
    return resized if last is None else resized.with_last_layer(last, activation=saved.activation)


Weights = tuple[list[np.ndarray], tuple[np.ndarray, np.ndarray] | None]


def _imagenet(architecture: Architecture) -> Weights:
    if architecture.application is None:
        raise NlcliError(f"there are no ImageNet weights of {architecture.name}; pass --weights none or a weights file")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Keras shows a bar, among what a command prints
            donor = architecture.application(weights="imagenet")
    except Exception as error:  # keras raises a plain Exception when a download fails
        raise NlcliError(
            f"the ImageNet weights of {architecture.name} could not be downloaded ({shortened(error)}); "
            "get the file on a machine with network and pass --weights PATH"
        ) from error
    return _split(donor.get_weights(), with_top=True)


def _split(arrays: list[np.ndarray], with_top: bool) -> Weights:
    return (arrays[:-2], (arrays[-2], arrays[-1])) if with_top else (arrays, None)


def weights_from_file(architecture: Architecture, path: Path) -> Weights:
    """Weights from a Keras weights file of ``architecture``, of the format of Keras 3 or of before."""
    if not path.is_file():
        raise NlcliError(f"there is no weights file {path}; pass 'imagenet', 'none', or the path of one")
    require_readable(path)
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
            weights=None, classes=classes, input_shape=(size, size, 3), classifier_activation=None
        )
    else:
        network = architecture.network(size, classes)
    with tempfile.TemporaryDirectory() as folder:  # Keras tells the format by the name's end
        named = Path(folder) / ("weights.h5" if legacy else "copy.weights.h5")
        named.symlink_to(path.resolve())
        with sentence(f"weights file {path} is not of a {architecture.name}"):
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
        raise NlcliError(f"weights file {path} cannot be read as HDF5 ({shortened(error)}); get it again") from error
    return legacy, shapes


# --- on disk ---------------------------------------------------------------------------------


def save_backbone(directory: Path, backbone: Backbone) -> str:
    """Write ``backbone.json``, ``model.keras`` and, with classes, ``last_layer.npz``.

    Returns:
        The fingerprint. A ``.keras`` file may count its layers from those that the process made before, so that
        a stage that publishes one passes ``content={"model.keras": fingerprint}`` to ``Stage.finish``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with atomic_path(directory / _MODEL) as temporary, tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / _MODEL  # Keras insists on the suffix
        named.symlink_to(temporary.resolve())
        backbone.model.save(named)
        settle_archive(temporary)
    known_readable(directory / _MODEL)
    last = backbone.last_layer
    if last is not None:
        last.save(directory / LAST_LAYER)
    fingerprint = backbone.fingerprint
    record = BackboneRecord(
        network=backbone.name,
        num_features=backbone.num_features,
        preprocessing=backbone.preprocessing,
        classes=backbone.classes,
        activation=backbone.activation,
        history=backbone.history,
        fingerprint=fingerprint,
    )
    record.write(directory / RECORD)
    return fingerprint


def load_backbone(path: Path | str) -> Backbone:
    """The backbone saved in a directory (a stage's own, or any that ``save_backbone`` wrote).

    Raises:
        NlcliError: none there, damaged, or its weights are not those that were saved.
    """
    directory = Path(path)
    record = BackboneRecord.of(directory)
    model = _load_model(directory / _MODEL)
    outputs = model.output if isinstance(model.output, dict) else {}
    if "features" not in outputs or ("logits" in outputs) != (record.classes is not None):
        raise NlcliError(f"{directory / _MODEL} is not the network that {RECORD} describes; make the backbone again")
    backbone = Backbone(record.network, model, record.preprocessing, record.classes, record.activation, record.history)
    if backbone.fingerprint != record.fingerprint:
        raise NlcliError(f"{directory} was altered: its weights are not those that {RECORD} tells of; make it again")
    return backbone


def load_keras_file(path: Path | str, classes_file: Path | None, *, scaling: Scaling | None = None) -> Backbone:
    """A classifier from a ``.keras`` file: one square image in, one Dense layer of classes at the end.

    Args:
        path: The file; loaded in Keras's safe mode, so that it cannot carry code.
        classes_file: Names of its classes, one a line.
        scaling: Pixel scaling that it expects; None finds out whether a layer at its input scales pixels.

    Raises:
        NlcliError: it cannot be used, or how its pixels are scaled or what its outputs are cannot be known.
    """
    path = Path(path)
    if classes_file is None:
        raise NlcliError(
            f"classifier {path} needs its class names: pass --classifier-classes, a file with one name a line, to a "
            "command that has that option; for features alone save it as ONNX and pass onnx:FILE"
        )
    names = _class_names(classes_file)
    model = _load_model(path)
    inputs, outputs = len(model.inputs), len(model.outputs)
    if inputs != 1 or outputs != 1:
        raise NlcliError(f"{path} has more than one input or output ({inputs} and {outputs}); save it with one of each")
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or shape[1] is None or shape[1] != shape[2]:
        raise NlcliError(
            f"{path} takes inputs of shape {shape}; square RGB images of a fixed size, channels last, are needed: save "
            "it with such an input"
        )
    scores = tuple(model.outputs[0].shape)
    if len(scores) != 2:
        raise NlcliError(
            f"{path} gives an array of shape {scores[1:]} an image; a score for each class is needed: save it with "
            "those as its output"
        )
    dense, features, activation = _last_dense(model)
    if dense is None:
        raise NlcliError(
            f"{path} does not end in a Dense layer, with or without an activation behind it; save it so that it does"
        )
    if dense.units != len(names):
        raise NlcliError(f"{path} has {dense.units} classes, {classes_file} names {len(names)}")
    if activation is None:
        raise NlcliError(
            f"{path} ends in another activation than softmax, log_softmax, sigmoid or none, or in two of them; save it "
            "with one of these"
        )
    if _is_linear(model):
        say(
            f"note: {path} ends without an activation: its outputs are taken for logits of a softmax, of which one "
            "class is true; if several may be, put a sigmoid at its end"
        )
    scaling = _scaling_of(path, model, scaling)
    body = keras.Model(model.inputs[0], {"features": features}, name=path.stem)
    bias = dense.bias.numpy() if dense.use_bias else np.zeros(dense.units, np.float32)
    last = LinearLayer(dense.kernel.numpy(), bias, names)
    backbone = Backbone(path.stem, body, Preprocessing(size=shape[1], scaling=scaling))
    return backbone.with_last_layer(last, activation=activation).trained_on(file=path.name)


def _class_names(path: Path) -> tuple[str, ...]:
    """Names, one a line; it is said where some stand twice, as two of ImageNet's do."""
    names = names_listed(Path(path), "the class names")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        say(f"note: {path} has {len(twice):,} names more than once, such as '{printable(twice[0])}': each is a class")
    return names


def _is_linear(model: Any) -> bool:
    """Whether the last layer has no activation and none follows it."""
    last = _producer(model.outputs[0])[0]
    return getattr(last, "activation", None) in (None, keras.activations.linear) and not isinstance(
        last, layers.Softmax
    )


def _scaling_of(path: Path, model: Any, given: Scaling | None) -> Scaling:
    layer = _scaling_layer(model)
    if given is not None:
        if layer is not None and given != "raw":
            say(f"warning: {path} scales its pixels (layer '{layer}') after --classifier-scaling {given} has done so")
        return given
    if layer is None:
        raise NlcliError(
            f"{path} does not tell how its pixels are scaled, no layer at its input does so; pass --classifier-scaling "
            "as it was trained: raw (0 to 255), unit ([0, 1]), tf ([-1, 1]) or caffe (BGR minus mean)"
        )
    say(f"{path} scales its pixels itself (layer '{layer}'), so it gets them from 0 to 255")
    return "raw"


_SHAPE_ONLY = (
    *(layers.InputLayer, layers.ZeroPadding2D, layers.Resizing, layers.CenterCrop, layers.Cropping2D),
    *(layers.RandomFlip, layers.RandomRotation, layers.RandomZoom, layers.RandomTranslation, layers.RandomCrop),
    layers.Permute,
)
_ARITHMETIC = frozenset({"TrueDivide", "Divide", "Multiply", "Subtract", "Add", "GetItem"})


def _scaling_layer(model: Any) -> str | None:
    """Name of the layer that scales or shifts pixels before any other looks at them; None where none does."""
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs)
    reached = {id(model.inputs[0])}
    for operation in model.operations:  # from the input on
        nodes = [n for n in operation._inbound_nodes if any(id(tensor) in reached for tensor in n.input_tensors)]
        if not nodes:
            continue
        if isinstance(operation, layers.Rescaling | layers.Normalization) or type(operation).__name__ in _ARITHMETIC:
            return str(operation.name)
        if isinstance(operation, keras.Model):
            return _scaling_layer(operation)
        if not isinstance(operation, _SHAPE_ONLY):
            return None
        reached |= {id(tensor) for node in nodes for tensor in node.output_tensors}
    return None


def _last_dense(model: Any) -> tuple[Any, Any, Activation | None]:
    """The Dense layer at the end (or None), its input, and the activation that it has or that follows it.

    Without any, its outputs are the logits of a softmax, as they are before the logarithm of one is taken. None stands
    for another activation than these, for one that is no function of an image's scores, and for two of them.
    """
    known: dict[Any, Activation] = {
        keras.activations.sigmoid: "sigmoid",
        keras.activations.softmax: "softmax",
        keras.activations.log_softmax: "softmax",
        keras.activations.linear: "softmax",
        None: "softmax",
    }
    operation, node = _producer(model.outputs[0])
    kind = known.get(getattr(operation, "activation", None))
    if isinstance(operation, layers.Activation | layers.Softmax):
        if isinstance(operation, layers.Softmax):
            kind = "softmax" if operation.axis in (-1, 1) else None
        operation, node = _producer(node.input_tensors[0])
        if getattr(operation, "activation", None) not in (None, keras.activations.linear):
            kind = None
    return (operation, node.input_tensors[0], kind) if isinstance(operation, layers.Dense) else (None, None, kind)


def _producer(tensor: Any) -> tuple[Any, Any]:
    history = tensor._keras_history
    return history.operation, history.operation._inbound_nodes[history.node_index]


def _load_model(path: Path) -> Any:
    if not path.is_file():
        raise NlcliError(f"there is no file {path}")
    require_readable(path, archive=True)
    with sentence(f"cannot load {path}: it is damaged, not of Keras 3, or contains code, which is refused"):
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if isinstance(model, keras.Sequential):
            model = keras.Model(model.inputs, model.outputs)
    if not hasattr(model, "operations"):
        raise NlcliError(f"{path} is not a functional or sequential Keras model; only those can be used")
    return model


def describe(backbone: Backbone) -> str:
    """One line for people."""
    classes = "no classes" if backbone.classes is None else f"{len(backbone.classes)} classes"
    pre = json.loads(backbone.preprocessing.model_dump_json())
    return (
        f"{backbone.name}, {backbone.num_features} features, {classes}, {pre['size']} pixels "
        f"{pre['resize']}, scaling {pre['scaling']}, {pre['decode']} decoding"
    )
