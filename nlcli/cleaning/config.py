"""Options of the stages that rewrite labels and give them back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from nlcli.data.exports import Format
from nlcli.stages.config import Split, StageConfig
from nlcli.stages.options import Option, Output

Policy = Literal["suggest", "fix", "drop"]


class CleanDataset(StageConfig):
    """Rewrite the noisy labels of a data set as a detection of label noise, or a run that cleans labels, has it."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    source: Annotated[
        Path,
        Option(
            "Detection of label noise in the data set, or a run whose method cleans labels (veit, noise-types, "
            "teacher-student).",
            panel="Labels",
            role="input",
            flag="--from",
        ),
    ]
    output: Output
    features: Annotated[
        Path | None,
        Option("Of a run: features of the data set (default: those it was trained on).", panel="Data", role="input"),
    ] = None
    policy: Annotated[
        Policy,
        Option(
            "List proposals and leave the labels; correct labels and tags; or only take wrong ones away.",
            panel="Labels",
        ),
    ] = "fix"
    precision: Annotated[
        float,
        Option(
            "Share of the changes that shall be right; 0 asks for nothing and needs no verified image.",
            panel="Labels",
            ge=0,
            lt=1,
        ),
    ] = 0.9
    max_changes: Annotated[
        float, Option("Most labels of a class that may change, as a share of them.", panel="Labels", ge=0, le=1)
    ] = 0.2
    when_refused: Annotated[
        Literal["stop", "suggest"],
        Option(
            "Where the changes may not be made: stop and say why, or make those of persons alone and list the others.",
            panel="Labels",
        ),
    ] = "stop"
    splits: Annotated[tuple[Split, ...], Option("Splits whose labels are rewritten.", panel="Data")] = ("train",)
    keep: Annotated[
        tuple[str, ...], Option("Classes whose labels stay as they are.", panel="Labels", flag="--keep-class")
    ] = ()
    export: Annotated[
        tuple[Format, ...], Option("Also write the cleaned data set for other programs.", panel="Output")
    ] = ()
    examples: Annotated[int, Option("Images with their labels before and after.", panel="Output", ge=0, le=100)] = 12
    copy_images: Annotated[
        bool, Option("Copy the pictures of --export imagefolder instead of linking them.", panel="Output")
    ] = False
    dry_run: Annotated[
        bool, Option("Print the changes by class and write nothing.", panel="Output", role="runtime")
    ] = False


class RestoreDataset(StageConfig):
    """Give a cleaned data set the labels back that it had before."""

    dataset: Annotated[Path, Option("Data set made by nlcli clean-labels.", panel="Data", role="input")]
    output: Output
