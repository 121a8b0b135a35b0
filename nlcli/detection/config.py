"""Options of detect-noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from nlcli.stages.config import StageConfig


class DetectNoise(StageConfig):
    """Tell the wrong noisy labels of a single-label data set from the right ones."""

    dataset: Path = Field(description="Data set directory.")
    features: Path = Field(description="Features directory of that data set.")
    output: Path = Field(description="Directory to write.")
    method: str = Field(
        "cleannet",
        description="Detector: naive, mlp, knn, svm, label-propagation, label-spreading, classification-filter, drae, average, cleannet or confident-learning.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the detector (see its card), such as neighbours=5."
    )
    hold_out: int | None = Field(
        None,
        ge=1,
        description="Classes, drawn by the seed, whose verification is withheld; those of a smaller number are among them.",
    )
    hold_out_classes: Path | None = Field(
        None, description="Instead: a file of the classes whose verification is withheld, one a line."
    )
    use_held_out: bool = Field(
        False, description="Use the verification of the held-out classes all the same, and only report on them apart."
    )
    classifier: Path | None = Field(
        None,
        description="Run whose predictions classification-filter takes (default: the features' own last layer, or a classifier trained on the noisy labels).",
    )
    clean_fraction: float = Field(
        1.0, gt=0, le=1, description="Part of the verified training images whose verification is used."
    )
    threshold: float | None = Field(
        None, description="Score from which a label is right (default: chosen on validation)."
    )
    scale: float = Field(
        1.0, gt=0, description="Factor on the steps of detectors that train a network, for rehearsals."
    )
    class_images: int = Field(
        20_000, ge=100, description="Most images of a class to fit on at a time; more are drawn by the seed."
    )
    suspects: int = Field(48, ge=0, le=500, description="Training images in the picture of the worst labels.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "features", "hold_out_classes", "classifier"})
