"""Options of import-weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output


class ImportWeights(StageConfig):
    """Make a backbone of weights that another program trained."""

    weights: Annotated[
        Path,
        Option(
            "CaffeNet's .caffemodel or .npz, a TensorFlow 1 checkpoint, a .pth, .pt or .safetensors of torchvision, "
            "or a Keras .h5.",
            panel="Data",
            role="input",
        ),
    ]
    output: Output
    network: Annotated[
        str, Option("The network they are of: alexnet, resnet50 or inception_v3 (.h5: any).", panel="Images")
    ]
    classes: Annotated[
        Path | None,
        Option(
            "Names of the last layer's classes, one a line (default: ImageNet's, where there are 1000).",
            panel="Data",
            role="input",
        ),
    ] = None
    activation: Annotated[
        Literal["sigmoid", "softmax"] | None,
        Option("Of the last layer (needed with --classes; ImageNet's is softmax).", panel="Images"),
    ] = None
    resize: Annotated[
        Literal["stretch", "crop"],
        Option("Squeeze the whole image into the network's square, or cut out its middle.", panel="Images"),
    ] = "stretch"
