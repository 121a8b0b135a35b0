"""Options of the stage that suggests what to check next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from nlcli.stages.config import Split, StageConfig
from nlcli.stages.options import Option, Output
from nlcli.suggestion.for_tools import Tool

Goal = Literal["clean", "train"]


class Suggest(StageConfig):
    """Choose the images that a person should check next, by a detection of label noise and at random."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    source: Annotated[
        Path, Option("Detection of label noise in the data set.", panel="Labels", role="input", flag="--from")
    ]
    features: Annotated[
        Path | None,
        Option(
            "Features of the data set: also measure what checking has brought a classifier so far (default: none).",
            panel="Data",
            role="input",
        ),
    ] = None
    output: Output
    goal: Annotated[
        Goal,
        Option(
            "Mend most labels: those that are likeliest wrong (clean); or teach a classifier: uncertain ones of all "
            "classes (train).",
            panel="Labels",
        ),
    ] = "clean"
    count: Annotated[int, Option("Images to check.", panel="Labels", ge=1)] = 500
    random: Annotated[
        float | None,
        Option(
            "Share of them that is drawn at random; only these tell error rates (default: 0.2 for clean, 0.5 for train).",
            panel="Labels",
            ge=0,
            le=1,
        ),
    ] = None
    splits: Annotated[tuple[Split, ...], Option("Splits whose images are asked about.", panel="Data")] = ("train",)
    seed: Annotated[int, Option("Seed of the random ones.", panel="Labels", ge=0)] = 0
    export: Annotated[tuple[Tool, ...], Option("Also write the questions for other programs.", panel="Output")] = ()
