"""Options of detect-noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output


class DetectNoise(StageConfig):
    """Tell wrong noisy labels from right ones; with several labels an image, wrong tags and missing ones."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    features: Annotated[Path, Option("Features directory of that data set.", panel="Data", role="input")]
    output: Output
    method: Annotated[
        str,
        Option(
            "Detector: auto (which verified labels choose), posterior, margin, neighbours, naive, mlp, knn, svm, label-propagation, label-spreading, classification-filter, drae, one-class-svm, average, cleannet or confident-learning.",
            panel="Method",
        ),
    ] = "auto"
    options: Annotated[
        dict[str, Any],
        Option("Options of the detector (see its card), such as neighbours=5.", panel="Method", flag="--set"),
    ] = Field(default_factory=dict)
    hold_out: Annotated[
        int | None,
        Option(
            "Classes, drawn by the seed, whose verification is withheld; those of a smaller number are among them.",
            panel="Labels",
            ge=1,
        ),
    ] = None
    hold_out_classes: Annotated[
        Path | None,
        Option(
            "Instead: a file of the classes whose verification is withheld, one a line.", panel="Labels", role="input"
        ),
    ] = None
    use_held_out: Annotated[
        bool,
        Option(
            "Use the verification of the held-out classes all the same, and only report on them apart.", panel="Labels"
        ),
    ] = False
    classifier: Annotated[
        Path | None,
        Option(
            "Run whose predictions classification-filter takes (default: the features' own last layer, or classifiers solved on the noisy labels).",
            panel="Method",
            role="input",
        ),
    ] = None
    clean_fraction: Annotated[
        float, Option("Part of the verified training images whose verification is used.", panel="Data", gt=0, le=1)
    ] = 1.0
    from_run: Annotated[
        Path | None,
        Option(
            "With several labels an image: trained head whose scores are taken, instead of a detector.",
            panel="Method",
            role="input",
            flag="--from",
            since="0.2.0",
        ),
    ] = None
    score: Annotated[
        str | None,
        Option(
            "Which of that run's scores (default: cleaned labels, or the method's own choice).",
            panel="Method",
            since="0.2.0",
            only_with="from_run",
        ),
    ] = None
    threshold: Annotated[
        float | None,
        Option(
            "Score from which a label is right (default: chosen on verified labels); with several labels an image the "
            "probability from which a given tag is.",
            panel="Method",
        ),
    ] = None
    missing_threshold: Annotated[
        float | None,
        Option(
            "With several labels an image: probability from which a tag is missing (default: chosen).",
            panel="Method",
            since="0.2.0",
            ge=0,
            le=1,
        ),
    ] = None
    others: Annotated[
        int,
        Option(
            "With several labels an image: most classes without a tag that are listed for an image.",
            panel="Output",
            since="0.2.0",
            ge=0,
        ),
    ] = 10
    floor: Annotated[
        float,
        Option(
            "With several labels an image: least probability of a class without a tag that is listed.",
            panel="Output",
            since="0.2.0",
            ge=0,
            le=1,
        ),
    ] = 0.05
    scale: Annotated[
        float, Option("Factor on the steps of detectors that train a network, for rehearsals.", panel="Method", gt=0)
    ] = 1.0
    class_images: Annotated[
        int, Option("Most images of a class to fit on at a time; more are drawn by the seed.", panel="Machine", ge=100)
    ] = 20_000
    suspects: Annotated[
        int, Option("Training images in the picture of the worst labels.", panel="Output", ge=0, le=500)
    ] = 48
    seed: Annotated[int, Option("Seed of everything random.", panel="Method", ge=0)] = 0
