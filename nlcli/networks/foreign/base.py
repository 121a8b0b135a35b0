"""What a network of another library is to the stages that use one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nlcli.errors import NlcliError
from nlcli.networks.preparation import Preparation, StatedPreprocessing

Pooling = Literal["token", "average"]
ForeignScaling = Literal["raw", "unit", "tf", "caffe", "imagenet"]


@dataclass(frozen=True)
class ForeignOptions:
    """What a user may say of a network of another library; each option means something for some libraries only.

    Attributes:
        image_size: Side of the input; None: as the network has it.
        preprocessing: A ``preprocessor_config.json`` of an ONNX network; None: the one beside it, if it is there.
        scaling, resize: Of an ONNX network without such a file.
        network_output: Which output of an ONNX network has the features.
        pooling: Features of one image out of several vectors: the first of them, or their mean.
    """

    image_size: int | None = None
    preprocessing: Path | None = None
    scaling: ForeignScaling | None = None
    resize: Literal["stretch", "crop"] | None = None
    network_output: str | None = None
    pooling: Pooling | None = None


class ForeignNetwork(ABC):
    """A network that another library runs, in float32; it gives features and has no classes.

    Attributes:
        name: As it is asked for.
        num_features: D.
        preprocessing: What is recorded of its preprocessing.
        preparation: The same, to be run.
        fingerprint: Hash of the weights, of the preprocessing, and of what is taken for features.
    """

    name: str
    num_features: int
    preprocessing: StatedPreprocessing
    preparation: Preparation
    fingerprint: str
    last_layer: None = None

    @abstractmethod
    def compute(self, inputs: np.ndarray) -> np.ndarray:
        """Prepared images (b, ...) to features (b, D)."""

    def inference(self, precision: str = "float32", output: str = "features") -> Any:
        """``compute``; the arithmetic is float32.

        Raises:
            NlcliError: another precision, or anything but features, is wanted.
        """
        if output != "features":
            raise NlcliError(f"{self.name} has no classes; only its features can be computed")
        if precision != "float32":
            raise NlcliError(f"{self.name} is computed in float32; leave out --precision")
        return self.compute

    def with_decode(self, decode: str | None) -> ForeignNetwork:
        """The same; images are decoded whole, as the library would have them.

        Raises:
            NlcliError: another way is wanted.
        """
        if decode == "fast":
            raise NlcliError(f"{self.name} takes images as they are; leave out --decode fast")
        return self


def pooled(name: str, values: np.ndarray, pooling: Pooling | None, channels_first: bool) -> np.ndarray:
    """Features (b, D) of what a network gives: vectors as they are, one token or the mean of a sequence or a map.

    Raises:
        NlcliError: it gives neither, or nothing, or how a sequence becomes one vector is not said.
    """
    if not values.size:
        raise NlcliError(f"{name} gives nothing, arrays of shape {values.shape}; name another network or output")
    if values.ndim == 2:
        return values
    if values.ndim == 4 and pooling in (None, "average"):
        return np.asarray(values.mean(axis=(2, 3) if channels_first else (1, 2)))
    if values.ndim == 3 and pooling is not None:
        return np.asarray(values[:, 0] if pooling == "token" else values.mean(axis=1))
    if values.ndim == 3:
        raise NlcliError(
            f"{name} gives {values.shape[1]} vectors an image; say which is meant: --pooling token (the first) or "
            "--pooling average"
        )
    raise NlcliError(
        f"{name} gives arrays of shape {values.shape}; features are vectors, sequences of them, or maps"
        "; name another network or output"
    )
