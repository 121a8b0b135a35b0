"""Options of the stages that train."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from nlcli.stages.config import StageConfig


class PretrainBackbone(StageConfig):
    """Fine-tune a whole network on noisy or verified labels; the defaults are those of Hu 2018."""

    dataset: Path = Field(description="Data set directory.")
    output: Path = Field(description="Directory to write.")
    backbone: str = Field("resnet50", description="Registered network.")
    weights: str = Field(
        "imagenet", description="'imagenet', 'none' (from scratch), a weights file, or a saved backbone."
    )
    labels: Literal["noisy", "verified"] = Field(
        "noisy", description="Labels to train on; verified is Backbone (GT) or FT-W."
    )
    clean_fraction: float = Field(1.0, gt=0, le=1, description="Part of the clean set used when labels are verified.")
    steps: int = Field(20_000, ge=1, description="Training steps.")
    scale: float = Field(1.0, gt=0, description="Factor on the steps, for rehearsals.")
    batch_size: int = Field(64, ge=1, description="Images in a step, of all devices together.")
    optimizer: Literal["adam", "rmsprop", "sgd"] = Field("rmsprop", description="Optimizer.")
    learning_rate: float = Field(1e-4, gt=0, description="Initial learning rate.")
    decay: float = Field(0.9, gt=0, le=1, description="Factor on the rate every decay_epochs.")
    decay_epochs: float = Field(2.0, gt=0, description="Epochs between two decays.")
    flip: Literal["none", "horizontal", "both"] = Field("both", description="Random flips.")
    crop: float = Field(
        1.0,
        gt=0.1,
        le=1,
        description="Least side of a random crop, enlarged to the input, as a part of the image's (1: no crops).",
    )
    trainable: Literal["all", "last"] = Field(
        "all", description="Train the whole network, or only the last layer with the rest as in inference."
    )
    image_size: int | None = Field(None, ge=32, description="Side of the input (default: the network's own).")
    decode: Literal["exact", "fast"] = Field("exact", description="JPEG decoding: full size, or reduced scale.")
    mixed_precision: Literal["none", "bfloat16", "float16", "auto"] = Field(
        "none", description="Precision of the convolutions below float32; auto takes what the machine is fast at."
    )
    xla: bool = Field(False, description="Compile the step with XLA (one device only).")
    eval_every: int = Field(500, ge=1, description="Steps between validations.")
    patience: int = Field(0, ge=0, description="Validations without improvement before stopping (0: never).")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    devices: int = Field(0, ge=0, description="GPUs that share each batch (0: all of this machine).")
    memory: float | None = Field(
        None,
        gt=0,
        description="GiB that decoded images may take; more are decoded as they are needed (default: half of what is free).",
    )
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "weights"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "devices", "memory", "workers"})


class TrainHead(StageConfig):
    """Train a head with a few clean labels and many noisy ones: on cached features, or from images."""

    dataset: Path = Field(description="Data set directory.")
    output: Path = Field(description="Directory to write.")
    features: Path | None = Field(None, description="Features directory of that data set.")
    from_images: str | None = Field(
        None, description="Instead of features: a saved backbone or registered network to put the head on."
    )
    method: str = Field("residual", description="Method; 'nlcli methods' lists them.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the method (see its card), such as alpha=0.2."
    )
    preset: str | None = Field(None, description="A paper's settings, such as coco or open-images.")
    init: Path | None = Field(
        None, description="Run of a linear head to start from instead of the backbone's last layer."
    )
    detection: Path | None = Field(
        None, description="Detection whose scores weight the noisy labels, for methods such as cleannet."
    )
    clean_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Part of the verified training images used as clean set; smaller parts lie within larger ones.",
    )
    seed: int = Field(0, ge=0, description="Seed of the clean set, the initial weights and the batches.")
    steps: int | None = Field(None, ge=1, description="Training steps (default: the method's).")
    scale: float = Field(1.0, gt=0, description="Factor on the steps of every phase, for rehearsals of long presets.")
    batch_size: int | None = Field(None, ge=2, description="Rows in a step (default: the method's).")
    learning_rate: float | None = Field(None, gt=0, description="Learning rate (default: the method's).")
    eval_every: int | None = Field(
        None, ge=1, description="Steps between validations (default: a fortieth of the steps)."
    )
    patience: int = Field(0, ge=0, description="Validations without improvement before stopping (0: never).")
    order: Literal["auto", "shuffled", "block-shuffled"] = Field(
        "auto", description="Order of rows: auto shuffles freely when features fit in memory, blocks when not."
    )
    memory: float | None = Field(
        None,
        gt=0,
        description="GiB that features or images may take; more are read as needed (default: half of what is free).",
    )
    weights: str = Field(
        "imagenet",
        description="From images, for a registered network: 'imagenet', 'none', a weights file, or a saved backbone.",
    )
    trunk: Literal["frozen", "trained"] = Field(
        "frozen", description="From images: the network runs as in inference, or is trained along with the head."
    )
    trunk_rate: float | None = Field(
        None,
        gt=0,
        description="Learning rate of a trained network (default: 1e-4, or that of a method that trains all of it).",
    )
    flip: Literal["none", "horizontal", "both"] = Field("both", description="From images: random flips.")
    crop: float = Field(
        1.0,
        gt=0.1,
        le=1,
        description="From images: least side of a random crop, enlarged, as a part of the image's (1: no crops).",
    )
    image_size: int | None = Field(
        None, ge=32, description="From images: side of the input (default: the network's own)."
    )
    decode: Literal["exact", "fast"] | None = Field(
        None, description="From images: JPEG decoding (default: as the backbone was trained)."
    )
    mixed_precision: Literal["none", "bfloat16", "float16", "auto"] = Field(
        "none", description="From images: precision of the convolutions below float32."
    )
    workers: int = Field(0, ge=0, description="From images: decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "features", "from_images", "weights", "init", "detection"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "memory", "workers"})
    image_options: ClassVar[frozenset[str]] = frozenset(
        {"weights", "trunk", "trunk_rate", "flip", "crop", "image_size", "decode", "mixed_precision", "workers"}
    )

    def recipe(self) -> dict[str, Any]:
        """Without the settings that mean nothing on features."""
        found = super().recipe()
        return (
            found if self.from_images is not None else {k: v for k, v in found.items() if k not in self.image_options}
        )
