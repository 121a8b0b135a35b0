"""The import-weights stage: a backbone of weights that another program trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.console import say
from nlcli.errors import NlcliError, shortened, unknown_name
from nlcli.networks.config import ImportWeights
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.stage import open_stage
from nlcli.stages.text_lines import names_listed

if TYPE_CHECKING:
    from nlcli.networks.backbone import Backbone
    from nlcli.networks.import_weights.layouts import Last

_SUFFIXES = {".caffemodel": "caffe", ".npz": "caffe", ".pth": "torch", ".pt": "torch", ".safetensors": "torch"}
_SUFFIXES |= {".h5": "keras", ".keras": "keras"}
_NETWORKS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("caffe", "alexnet"): ("alexnet", "caffenet"),
    ("slim", "inception_v3"): ("inception_v3", "slim_inception_v3"),
    ("torch", "resnet50"): ("resnet50_torchvision", "torch_resnet50"),
    ("torch", "inception_v3"): ("inception_v3_torchvision", "torch_inception_v3"),
}
"""By kind of file and network the registered network that it becomes, and the function of ``layouts`` that fills it."""
_SPOKEN = {"caffe": "Caffe's files", "slim": "TensorFlow checkpoints", "torch": "PyTorch's files"}


def import_weights(config: ImportWeights, *, force: bool = False) -> Path:
    """Make a backbone directory of somebody else's weights; the directory.

    Read are: the BVLC reference CaffeNet (``.caffemodel``, or ``.npz`` in Caffe's layout) as ``alexnet``; TensorFlow
    Slim's Inception V3, such as the one released with Open Images V1 (a TensorFlow 1 checkpoint), as ``inception_v3``;
    torchvision's ResNet50 and Inception V3 (``.pth``, ``.pt``, ``.safetensors``) as networks of their own, because
    they are built otherwise; Keras weights files of any registered network. No file is asked to run anything.

    Raises:
        NlcliError: a file of another kind or network, damaged, or of more than tensors; a last layer of classes
            whose names or activation are not known.
    """
    path = config.weights
    kind = _kind(path)
    inputs: dict[str, Any] = {"weights": path} if path.is_file() else {}
    if kind == "slim":
        inputs = {f"weights/{part.suffix or part.name}": part for part in sorted(path.parent.glob(f"{path.name}*"))}
    with open_stage("backbone", config, inputs | {"classes": config.classes}, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        quiet_tensorflow()
        from nlcli.networks.weights import save_backbone

        backbone, last = _read(kind, path, config.network)
        backbone = _with_classes(backbone, last, config)
        pre = backbone.preprocessing.model_copy(update={"resize": config.resize})
        backbone = replace(backbone, preprocessing=pre).trained_on(weights=path.name)
        fingerprint = save_backbone(stage.work, backbone)
        classes = 0 if backbone.classes is None else len(backbone.classes)
        say(f"{backbone.name}: {backbone.num_features:,} features, {classes:,} classes")
        stage.finish(
            {"network": backbone.name, "weights": path.name, "features": backbone.num_features, "classes": classes},
            content={"model.keras": fingerprint},
        )
    return stage.output


def _kind(path: Path) -> str:
    if path.is_file() and path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix]
    if path.with_name(path.name + ".index").is_file() or (path.is_file() and ".ckpt" in path.name):
        return "slim"
    if not path.exists():
        raise NlcliError(
            f"there is no file {path}, nor a checkpoint {path.name}.index; give the weights file, or of a checkpoint "
            "the name without .index"
        )
    raise NlcliError(
        f"{path} is of no kind that is read here: {', '.join(sorted(_SUFFIXES))}, or a TensorFlow checkpoint (its name "
        "without .index)"
    )


def _read(kind: str, path: Path, network: str) -> tuple[Backbone, Last]:
    quiet_tensorflow()
    from nlcli.networks.architectures import BACKBONES
    from nlcli.networks.import_weights import layouts
    from nlcli.networks.weights import build_backbone, weights_from_file

    if kind == "keras":
        if network not in BACKBONES:
            raise NlcliError(unknown_name(network, BACKBONES, "network"))
        body, last = weights_from_file(BACKBONES[network], path)
        backbone = build_backbone(network, "none")
        backbone.model.set_weights(body)
        return backbone, last
    known = [name for of, name in _NETWORKS if of == kind]
    if network not in known:
        raise NlcliError(f"{_SPOKEN[kind]} are read as {' or '.join(known)}; {unknown_name(network, known, 'network')}")
    name, layout = _NETWORKS[kind, network]
    backbone = build_backbone(name, "none")
    fill: Callable[[Any, Any, str], Last] = getattr(layouts, layout)
    return backbone, fill(backbone.model, _arrays(kind, path), str(path))


def _arrays(kind: str, path: Path) -> Mapping[str, Any]:
    if kind == "caffe":
        from nlcli.networks.import_weights.caffe_files import read_caffe

        return read_caffe(path)
    if kind == "torch":
        from nlcli.networks.import_weights.torch_files import read_tensors

        return read_tensors(path)
    return _checkpoint(path)


def _checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Variables of Inception V3 in a TensorFlow 1 checkpoint; those of its training and its second head are left."""
    quiet_tensorflow()
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(path))
        names = [name for name in reader.get_variable_to_shape_map() if name.startswith("InceptionV3/")]
        wanted = [name for name in names if "/AuxLogits/" not in name and not name.endswith(("/RMSProp", "/RMSProp_1"))]
        return {name: np.asarray(reader.get_tensor(name)) for name in wanted}
    except Exception as error:  # the reader raises errors of several kinds, and its own
        raise NlcliError(
            f"{path} cannot be read as a TensorFlow checkpoint ({shortened(error)}); give its name without .index"
        ) from error


def _with_classes(backbone: Backbone, last: Last, config: ImportWeights) -> Backbone:
    quiet_tensorflow()
    from nlcli.networks.imagenet import imagenet_classes
    from nlcli.networks.linear_layer import LinearLayer

    if last is None:
        if config.classes is not None:
            raise NlcliError(f"{config.weights} has no last layer; leave out --classes")
        return backbone
    kernel, bias = (np.ascontiguousarray(part, np.float32) for part in last)
    if config.classes is None:
        if len(bias) != 1000:
            raise NlcliError(
                f"{config.weights} ends in {len(bias):,} classes, not ImageNet's 1000; name them with --classes FILE, "
                "one a line, and say --activation sigmoid or softmax"
            )
        names = imagenet_classes()
    else:
        names = names_listed(config.classes, "the class names")
        if len(names) != len(bias):
            raise NlcliError(f"{config.weights} ends in {len(bias):,} classes, {config.classes} names {len(names):,}")
        if config.activation is None:
            raise NlcliError(
                "--classes needs --activation: sigmoid where an image has several classes, softmax where it has one"
            )
    return backbone.with_last_layer(LinearLayer(kernel, bias, names), activation=config.activation or "softmax")
