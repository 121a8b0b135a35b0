"""A backbone of KerasHub with its own image converter, from a preset: a name, or a directory of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nlcli.errors import NlcliError, printable, shortened
from nlcli.networks.foreign.base import ForeignNetwork, ForeignOptions, pooled
from nlcli.networks.graph import as_graph
from nlcli.networks.preparation import StatedPreprocessing
from nlcli.networks.weight_hash import hash_weights
from nlcli.runtime import quiet_tensorflow
from nlcli.stages.files import fingerprint_json, read_json
from nlcli.stages.hdf5_trial import require_readable

_LARGEST = 2048
_OURS = ("", "keras_hub", "keras")  # under which packages classes are registered


class HubNetwork(ForeignNetwork):
    """Features are the token of a sequence, or the mean of a map."""

    def __init__(self, preset: str, options: ForeignOptions) -> None:
        quiet_tensorflow()
        try:
            import keras_hub
        except ImportError as error:
            raise NlcliError(
                "networks of KerasHub need the package keras-hub; install it with: pip install 'nlcli[hub]'"
            ) from error
        import tensorflow as tf

        self.name = f"hub:{preset}"
        if Path(preset).exists():
            _require_harmless(Path(preset))
        converter = self._made(lambda: keras_hub.layers.ImageConverter.from_preset(preset), "image converter")
        size = (options.image_size, options.image_size) if options.image_size else converter.image_size
        model = self._made(lambda: _backbone(keras_hub, preset, options.image_size), "backbone")
        if size is None:
            sides = model.image_shape[:2]
            if not all(sides):
                raise NlcliError(f"{self.name} does not state the size of its images; pass --image-size")
            size = tuple(sides)
        if max(size) > _LARGEST:
            raise NlcliError(f"{self.name} takes images of {size[0]} x {size[1]}, more than {_LARGEST} a side")
        converter.image_size = size
        self.preparation = _Converted(converter, size)
        self.preprocessing = _described(keras_hub.__version__, converter, size)
        if len(model.inputs) != 1 or not hasattr(model.output, "shape"):
            raise NlcliError(f"{self.name} is not a network from images to features; name one for images alone")
        self._run = as_graph(
            lambda images: model(images, training=False),
            input_signature=[tf.TensorSpec((None, *size, 3), tf.float32)],
        ).get_concrete_function()
        self._model = model  # the function above holds its variables only weakly
        sequence = len(model.output.shape) == 3
        self._pooling = options.pooling or ("token" if sequence else None)
        self.num_features = self.compute(np.zeros((1, *size, 3), np.float32)).shape[1]
        self.fingerprint = fingerprint_json(
            {
                "weights": hash_weights(weight.numpy() for weight in model.weights),
                "network": type(model).__name__,
                "pooling": self._pooling,
                "preprocessing": self.preprocessing.model_dump(mode="json", exclude={"library", "stated"}),
            }
        )

    def compute(self, inputs: np.ndarray) -> np.ndarray:
        """Run the backbone as in inference."""
        values = self._run(inputs).numpy()
        return pooled(self.name, values.astype(np.float32, copy=False), self._pooling, channels_first=False)

    def _made(self, make: Any, what: str) -> Any:
        try:
            return make()
        except NlcliError:
            raise
        except Exception as error:  # a preset that is not there, or not reached, raises nearly anything
            raise NlcliError(
                f"the {what} of {self.name} cannot be loaded ({shortened(error)}); without a network, download the "
                "preset's directory elsewhere and pass hub:PATH"
            ) from error


def _backbone(keras_hub: Any, preset: str, side: int | None) -> Any:
    cls = keras_hub.models.Backbone
    if side is None:
        return cls.from_preset(preset, dtype="float32")
    made = cls.from_preset(preset, load_weights=False, dtype="float32")
    shape = getattr(made, "image_shape", (None, None, 3))
    if tuple(shape[:2]) in ((None, None), (side, side)):
        return cls.from_preset(preset, dtype="float32")
    return cls.from_preset(preset, image_shape=(side, side, 3), dtype="float32")


class _Converted:
    """``Preparation`` by a converter, one image at a time: images have different sizes."""

    dtype = np.dtype(np.float32)

    def __init__(self, converter: Any, size: tuple[int, int]) -> None:
        self._converter = converter
        self.shape, self.side = (*size, 3), max(size)

    def __call__(self, image: Image.Image) -> np.ndarray:
        import keras
        import tensorflow as tf

        with tf.device("CPU:0"):
            return np.asarray(keras.ops.convert_to_numpy(self._converter(np.asarray(image))))


def _described(version: str, converter: Any, size: tuple[int, int]) -> StatedPreprocessing:
    config = converter.get_config()
    crop = "middle of the image's shape" if config["crop_to_aspect_ratio"] else "squeezed"
    return StatedPreprocessing(
        library=f"keras-hub {version}",
        height=size[0],
        width=size[1],
        crop="bordered" if config["pad_to_aspect_ratio"] else crop,
        interpolation=str(config["interpolation"]),
        antialias=bool(config["antialias"]),
        scale=_channels(config["scale"], 1.0),
        offset=_channels(config["offset"], 0.0),
        channels="RGB",
        stated={name: config[name] for name in sorted(config) if name not in ("dtype", "name", "trainable")},
    )


def _channels(value: Any, default: float) -> tuple[float, ...]:
    values = np.asarray(default if value is None else value, np.float64).reshape(-1)
    return tuple(float(v) for v in np.broadcast_to(values, 3))


def _require_harmless(path: Path) -> None:
    """A preset names the class that it is of: only classes of KerasHub are made, of weights that come to an end."""
    for name in ("config.json", "image_converter.json"):
        if not (path / name).is_file():
            raise NlcliError(f"{path} is not the directory of a preset with images: it has no {name}")
        for entry in _objects(read_json(path / name)):
            module, registered = str(entry.get("module", "")), str(entry.get("registered_name") or "")
            if module.split(".")[0] not in ("keras", "keras_hub") or registered.partition(">")[0] not in _OURS:
                raise NlcliError(
                    f"{path / name} names '{printable(module)}.{printable(registered)}', which is not of KerasHub; "
                    "only its own classes are loaded"
                )
    for weights in sorted(path.glob("*.h5")):
        require_readable(weights)


def _objects(value: Any) -> list[dict[str, Any]]:
    """Every serialised object in a configuration."""
    found: list[dict[str, Any]] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                found.append(part)
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found
