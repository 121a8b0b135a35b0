"""A model of timm with the data configuration that timm states for it, run by PyTorch.

Weights come from a file of tensors, or from where timm downloads them. Nothing is unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nlcli.errors import NlcliError, sentence, shortened, unknown_name
from nlcli.networks.foreign.base import ForeignNetwork, ForeignOptions
from nlcli.networks.preparation import StatedPreprocessing
from nlcli.networks.weight_hash import hash_weights
from nlcli.runtime import cpu_count
from nlcli.stages.files import fingerprint_json

_CONFIG = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")


class TimmNetwork(ForeignNetwork):
    """Features are what the model gives without its classifier."""

    def __init__(self, model: str, weights: Path | None, options: ForeignOptions) -> None:
        try:
            import timm
            import torch
        except ImportError as error:
            raise NlcliError(
                "networks of timm need the packages timm, torch and torchvision; install them with: pip install "
                "'nlcli[timm]'"
            ) from error
        self.name = f"timm:{model}"
        if not timm.is_model(model):
            raise NlcliError(unknown_name(model, timm.list_models(), "model of timm"))
        network = _create(timm, self.name, model, weights, options.image_size)
        config = timm.data.resolve_model_data_config(network)
        if options.image_size is not None:
            config["input_size"] = (3, options.image_size, options.image_size)
        self.preparation = _Transformed(timm.data.create_transform(**config, is_training=False), config)
        self.preprocessing = _described(timm.__version__, config)
        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.set_num_threads(cpu_count())
        torch.backends.cudnn.allow_tf32 = False
        self._network = network.eval().to(self._device)
        with sentence(f"{self.name} cannot be run on images of this size"):
            self.num_features = self.compute(np.zeros((1, *self.preparation.shape), np.float32)).shape[1]
        state = network.state_dict()
        self.fingerprint = fingerprint_json(
            {
                "weights": hash_weights(state[name].cpu().numpy() for name in sorted(state)),
                "network": model.partition(".")[0],
                "preprocessing": self.preprocessing.model_dump(mode="json", exclude={"library", "stated"}),
            }
        )

    def compute(self, inputs: np.ndarray) -> np.ndarray:
        """Run the model as in inference."""
        with self._torch.inference_mode():
            features = self._network(self._torch.from_numpy(inputs).to(self._device))
        values = np.asarray(features.float().cpu().numpy())
        if values.ndim != 2:
            raise NlcliError(f"{self.name} gives arrays of shape {values.shape} without its classifier, not vectors")
        return values


def _create(timm: Any, name: str, model: str, weights: Path | None, side: int | None) -> Any:
    """The model with its weights and without its classifier."""
    given: dict[str, Any] = {"pretrained": True}
    if side is not None:
        given["img_size"] = side
    try:
        if weights is not None:
            given |= _of_file(timm, model, weights)
        try:
            made = timm.create_model(model, **given)
        except TypeError as error:
            if side is None or "img_size" not in str(error):
                raise
            del given["img_size"]  # a network of convolutions takes any size, and does not ask
            made = timm.create_model(model, **given)
        made.reset_classifier(0)
        return made
    except NlcliError:
        raise
    except Exception as error:  # timm raises nearly anything
        if weights is not None:
            raise NlcliError(
                f"weights file {weights} is not of {name} ({shortened(error)}); name the model that it was made for, "
                "and save tensors alone"
            ) from error
        raise NlcliError(
            f"the weights of {name} could not be downloaded ({shortened(error)}); get model.safetensors on a machine "
            f"with network and pass {name}@FILE"
        ) from error


def _of_file(timm: Any, model: str, weights: Path) -> dict[str, Any]:
    """What makes timm load a file strictly, whatever number of classes it ends in, or none.

    Asked for a model without a classifier, it would leave at random whatever the file does not have.
    """
    if weights.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise NlcliError(f"{weights} is no file of tensors; pass a .safetensors file, or a state_dict as .pth")
    if not weights.is_file():
        raise NlcliError(f"there is no weights file {weights}; pass timm:NAME@FILE with the path of one")
    state = timm.models.load_state_dict(str(weights), weights_only=True)
    stated = timm.get_pretrained_cfg(model).classifier
    last = (stated,) if isinstance(stated, str) else tuple(stated or ())
    classes = next((len(state[f"{layer}.weight"]) for layer in last if f"{layer}.weight" in state), 0)
    overlay = {"state_dict": state, "num_classes": classes, "label_offset": 0, "custom_load": False}
    return {"pretrained_cfg_overlay": overlay, "num_classes": classes}


class _Transformed:
    """``Preparation`` by timm's own transform."""

    dtype = np.dtype(np.float32)

    def __init__(self, transform: Any, config: dict[str, Any]) -> None:
        self._transform = transform
        self.shape = tuple(config["input_size"])
        self.side = int(max(self.shape[1:]) / min(1.0, config["crop_pct"]))

    def __call__(self, image: Image.Image) -> np.ndarray:
        return np.asarray(self._transform(image).numpy())


def _described(version: str, config: dict[str, Any]) -> StatedPreprocessing:
    mean, deviation = config["mean"], config["std"]
    _, height, width = config["input_size"]
    return StatedPreprocessing(
        library=f"timm {version}",
        height=height,
        width=width,
        crop=f"{config['crop_mode']}, {config['crop_pct']:g} of the resized image",
        interpolation=str(config["interpolation"]),
        antialias=True,
        scale=tuple(1 / 255 / d for d in deviation),
        offset=tuple(-m / d for m, d in zip(mean, deviation, strict=True)),
        channels="RGB",
        stated={name: config[name] for name in _CONFIG},
    )
