"""Options of the stages that train."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nlcli.stages.config import Decode, StageConfig
from nlcli.stages.options import Option, Output, Workers


class PretrainBackbone(StageConfig):
    """Fine-tune a whole network on noisy or verified labels; the defaults are those of Hu 2018."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    output: Output
    backbone: Annotated[str, Option("Registered network.", panel="Method")] = "resnet50"
    weights: Annotated[
        str,
        Option("'imagenet', 'none' (from scratch), a weights file, or a saved backbone.", panel="Method", role="input"),
    ] = "imagenet"
    labels: Annotated[
        Literal["noisy", "verified"], Option("Labels to train on; verified is Backbone (GT) or FT-W.", panel="Data")
    ] = "noisy"
    clean_fraction: Annotated[
        float, Option("Part of the clean set used when labels are verified.", panel="Data", gt=0, le=1)
    ] = 1.0
    steps: Annotated[int, Option("Training steps.", panel="Training", ge=1)] = 20_000
    scale: Annotated[float, Option("Factor on the steps, for rehearsals.", panel="Training", gt=0)] = 1.0
    batch_size: Annotated[int, Option("Images in a step, of all devices together.", panel="Training", ge=1)] = 64
    optimizer: Annotated[Literal["adam", "rmsprop", "sgd"], Option("Optimizer.", panel="Training")] = "rmsprop"
    learning_rate: Annotated[float, Option("Initial learning rate.", panel="Training", gt=0)] = 1e-4
    decay: Annotated[
        float,
        Option(
            "Factor on the rate every decay_epochs (of a part of the verified labels 1, none, where it is not given).",
            panel="Training",
            gt=0,
            le=1,
        ),
    ] = 0.9
    decay_epochs: Annotated[float, Option("Epochs between two decays.", panel="Training", gt=0)] = 2.0
    flip: Annotated[Literal["none", "horizontal", "both"], Option("Random flips.", panel="Images")] = "both"
    crop: Annotated[
        float,
        Option(
            "Least side of a random crop, enlarged to the input, as a part of the image's (1: no crops).",
            panel="Images",
            gt=0.1,
            le=1,
        ),
    ] = 1.0
    trainable: Annotated[
        Literal["all", "last"],
        Option("Train the whole network, or only the last layer with the rest as in inference.", panel="Method"),
    ] = "all"
    image_size: Annotated[
        int | None, Option("Side of the input (default: the network's own).", panel="Images", ge=32, le=2048)
    ] = None
    decode: Annotated[Decode, Option("JPEG decoding: full size, or reduced scale.", panel="Images")] = "exact"
    mixed_precision: Annotated[
        Literal["none", "bfloat16", "float16", "auto"],
        Option("Precision of the convolutions below float32; auto takes what the machine is fast at.", panel="Machine"),
    ] = "none"
    xla: Annotated[
        bool,
        Option(
            "Compile the step with XLA (one device only; on a GPU no two runs then have the same bits).",
            panel="Machine",
        ),
    ] = False
    eval_every: Annotated[int, Option("Steps between validations.", panel="Training", ge=1)] = 500
    patience: Annotated[
        int, Option("Validations without improvement before stopping (0: never).", panel="Training", ge=0)
    ] = 0
    seed: Annotated[int, Option("Seed of everything random.", panel="Training", ge=0)] = 0
    devices: Annotated[
        int, Option("GPUs that share each batch (0: all of this machine).", panel="Machine", role="runtime", ge=0)
    ] = 0
    memory: Annotated[
        float | None,
        Option(
            "GiB that decoded images may take; more are decoded as they are needed (default: half of what is free).",
            panel="Machine",
            role="runtime",
            gt=0,
        ),
    ] = None
    workers: Workers = 0

    @model_validator(mode="before")
    @classmethod
    def _a_part_does_not_decay(cls, values: Any) -> Any:
        """Fine-tuning on a part of the clean set (FT-W) has no decay: its epochs are the part's, and soon over."""
        if isinstance(values, dict) and values.get("labels") == "verified" and "decay" not in values:
            with contextlib.suppress(TypeError, ValueError):  # what is no number is told by its own field
                if float(values.get("clean_fraction", 1)) < 1:
                    return values | {"decay": 1.0}
        return values


class TrainHead(StageConfig):
    """Train a head with a few clean labels and many noisy ones: on cached features, or from images."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    output: Output
    features: Annotated[Path | None, Option("Features directory of that data set.", panel="Data", role="input")] = None
    from_images: Annotated[
        str | None,
        Option(
            "Instead of features: a saved backbone or registered network to put the head on.",
            panel="Data",
            role="input",
        ),
    ] = None
    method: Annotated[str, Option("Method; 'nlcli methods' lists them.", panel="Method")] = "auto"
    options: Annotated[
        dict[str, Any], Option("Options of the method (see its card), such as alpha=0.2.", panel="Method", flag="--set")
    ] = Field(default_factory=dict)
    preset: Annotated[str | None, Option("A paper's settings, such as coco or open-images.", panel="Method")] = None
    init: Annotated[
        Path | None,
        Option(
            "Run of a linear head to start from instead of the backbone's last layer.", panel="Method", role="input"
        ),
    ] = None
    detection: Annotated[
        Path | None,
        Option(
            "Detection whose scores weight the noisy labels, for methods such as cleannet.", panel="Data", role="input"
        ),
    ] = None
    image_weights: Annotated[
        Path | None,
        Option(
            "Table of key and weight: what an image counts in the loss, for methods that are solved (default: 1 each).",
            panel="Data",
            role="input",
            since="0.2.0",
        ),
    ] = None
    clean_fraction: Annotated[
        float,
        Option(
            "Part of the verified training images used as clean set; smaller parts lie within larger ones.",
            panel="Data",
            gt=0,
            le=1,
        ),
    ] = 1.0
    seed: Annotated[
        int, Option("Seed of the clean set, the initial weights and the batches.", panel="Training", ge=0)
    ] = 0
    steps: Annotated[int | None, Option("Training steps (default: the method's).", panel="Training", ge=1)] = None
    scale: Annotated[
        float, Option("Factor on the steps of every phase, for rehearsals of long presets.", panel="Training", gt=0)
    ] = 1.0
    batch_size: Annotated[int | None, Option("Rows in a step (default: the method's).", panel="Training", ge=2)] = None
    learning_rate: Annotated[float | None, Option("Learning rate (default: the method's).", panel="Training", gt=0)] = (
        None
    )
    eval_every: Annotated[
        int | None, Option("Steps between validations (default: a fortieth of the steps).", panel="Training", ge=1)
    ] = None
    patience: Annotated[
        int, Option("Validations without improvement before stopping (0: never).", panel="Training", ge=0)
    ] = 0
    order: Annotated[
        Literal["auto", "shuffled", "block-shuffled"],
        Option("Order of rows: auto shuffles freely when features fit in memory, blocks when not.", panel="Training"),
    ] = "auto"
    memory: Annotated[
        float | None,
        Option(
            "GiB that features or images may take; more are read as needed (default: half of what is free).",
            panel="Machine",
            role="runtime",
            gt=0,
        ),
    ] = None
    weights: Annotated[
        str,
        Option(
            "For a registered network: 'imagenet', 'none', a weights file, or a saved backbone.",
            panel="Images",
            role="input",
            only_with="from_images",
        ),
    ] = "imagenet"
    trunk: Annotated[
        Literal["frozen", "trained"],
        Option(
            "The network runs as in inference, or is trained along with the head.",
            panel="Images",
            only_with="from_images",
        ),
    ] = "frozen"
    trunk_rate: Annotated[
        float | None,
        Option(
            "Learning rate of a trained network (default: 1e-4, or that of a method that trains all of it).",
            panel="Images",
            only_with="from_images",
            gt=0,
        ),
    ] = None
    flip: Annotated[
        Literal["none", "horizontal", "both"],
        Option("Random flips.", panel="Images", only_with="from_images"),
    ] = "both"
    crop: Annotated[
        float,
        Option(
            "Least side of a random crop, enlarged, as a part of the image's (1: no crops).",
            panel="Images",
            only_with="from_images",
            gt=0.1,
            le=1,
        ),
    ] = 1.0
    image_size: Annotated[
        int | None,
        Option(
            "Side of the input (default: the network's own).",
            panel="Images",
            only_with="from_images",
            ge=32,
            le=2048,
        ),
    ] = None
    decode: Annotated[
        Decode | None,
        Option(
            "JPEG decoding (default: as the backbone was trained).",
            panel="Images",
            only_with="from_images",
        ),
    ] = None
    mixed_precision: Annotated[
        Literal["none", "bfloat16", "float16", "auto"],
        Option("Precision of the convolutions below float32.", panel="Images", only_with="from_images"),
    ] = "none"
    workers: Annotated[
        int,
        Option(
            "Decoding threads (0: one a core).",
            panel="Machine",
            role="runtime",
            only_with="from_images",
            ge=0,
        ),
    ] = 0
