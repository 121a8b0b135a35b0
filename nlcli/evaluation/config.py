"""Frozen configuration of every stage: the one place where an option has a name and a default.

The command line is generated from these models (a field's description is its help text), the
pipeline files are validated against them, and ``recipe()`` is what a stage directory remembers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import field_validator

from nlcli.stages.config import EngineCpu, Precision, Split, StageConfig
from nlcli.stages.options import Address, Devices, EngineName, InferenceBatch, Option, Output, Workers


class Evaluate(StageConfig):
    """Score a run or a backbone on a split, or measure a detection of label noise."""

    model: Annotated[Path, Option("Run, backbone or detection directory.", panel="Data", role="input", place="each")]
    output: Annotated[
        Path | None, Option("Directory to write (default: MODEL-SPLIT).", panel="Output", role="runtime", short="-o")
    ] = None
    split: Annotated[
        Split | None,
        Option(
            "Split to score (default: test; a detection was measured on test, or else on validation).", panel="Data"
        ),
    ] = None
    features: Annotated[
        Path | None,
        Option(
            "Features (default: those of the run; a backbone, or a run from images, reads images without any).",
            panel="Data",
            role="input",
        ),
    ] = None
    dataset: Annotated[
        Path | None, Option("Data set (default: that of the run, or of the features).", panel="Data", role="input")
    ] = None
    score: Annotated[
        str | None, Option("Which of the method's scores (default: the method's own choice).", panel="Measures")
    ] = None
    bootstrap: Annotated[int, Option("Bootstrap resamples over images (0: no intervals).", panel="Measures", ge=0)] = (
        1000
    )
    examples: Annotated[int, Option("Examples with their top predictions.", panel="Output", ge=0, le=100)] = 12
    precision: Annotated[Precision, Option("Arithmetic of a backbone that reads images.", panel="Machine")] = "float32"
    engine_cpu: EngineCpu = "tensorflow"
    seed: Annotated[int, Option("Seed of the bootstrap and of the choice of examples.", panel="Measures", ge=0)] = 0
    batch_size: Annotated[
        int,
        Option("Images in a forward pass, for a backbone that reads images.", panel="Machine", role="runtime", ge=1),
    ] = 32
    workers: Workers = 0


class Predict(StageConfig):
    """Score a folder of images with a trained head and its backbone."""

    images: Annotated[Path, Option("Image file or folder.", panel="Data", place="argument")]
    run: Annotated[Path, Option("Directory of a run, a backbone or an exported model.", panel="Method")]
    backbone: Annotated[
        Path | None,
        Option("Backbone directory (default: the run's own, or the one its features came from).", panel="Method"),
    ] = None
    format: Annotated[Literal["table", "csv", "jsonl"], Option("Output format.", panel="Output")] = "table"
    output: Annotated[
        Path | None, Option("File to write (default: standard output).", panel="Output", role="runtime", short="-o")
    ] = None
    top: Annotated[int, Option("Classes shown for each image.", panel="Output", ge=1)] = 5
    threshold: Annotated[
        float | None,
        Option("Show classes from this probability on instead of the top ones.", panel="Output", ge=0, le=1),
    ] = None
    decide: Annotated[
        bool,
        Option(
            "Show the classes that an image is decided to have, by thresholds chosen on validation; of one label an image "
            "the best one.",
            panel="Output",
        ),
    ] = False
    wide: Annotated[
        bool,
        Option(
            "One row an image with a score for each class, or with 1 and 0 by --decide or --threshold.", panel="Output"
        ),
    ] = False
    engine_cpu: EngineCpu = "tensorflow"
    batch_size: InferenceBatch = 32
    workers: Workers = 0
    engine: EngineName = "local"
    address: Address = None
    devices: Devices = 0


class Compare(StageConfig):
    """Set evaluations side by side."""

    evaluations: Annotated[
        tuple[Path, ...], Option("Evaluation directories.", panel="Data", role="input", place="argument")
    ]
    output: Output
    bootstrap: Annotated[
        int | None,
        Option("Bootstrap resamples, 0 for none (default: as in the first evaluation).", panel="Measures", ge=0),
    ] = None
    seed: Annotated[
        int | None, Option("Seed of the bootstrap (default: as in the first evaluation).", panel="Measures", ge=0)
    ] = None
    examples: Annotated[
        int,
        Option(
            "Of detections: images with the scores of all, half of them with a wrong label.",
            panel="Output",
            ge=0,
            le=50,
            since="0.2.0",
        ),
    ] = 0


class Analyse(StageConfig):
    """Break a comparison down by category, class frequency and annotation quality."""

    evaluations: Annotated[
        tuple[Path, ...],
        Option(
            "Evaluation directories; the first one's model is the baseline.",
            panel="Data",
            role="input",
            place="argument",
        ),
    ]
    output: Output
    dataset: Annotated[
        Path | None, Option("Data set (default: that of the first evaluation).", panel="Data", role="input")
    ] = None
    groups: Annotated[
        int,
        Option(
            "Groups of classes by frequency and by quality; fewer where a group would hold one class.",
            panel="Measures",
            ge=2,
            le=100,
        ),
    ] = 10
    examples: Annotated[int, Option("Images with the top predictions of all models.", panel="Output", ge=0, le=50)] = 6
    bootstrap: Annotated[
        int | None,
        Option("Bootstrap resamples, 0 for none (default: as in the first evaluation).", panel="Measures", ge=0),
    ] = None
    seed: Annotated[
        int | None,
        Option(
            "Seed of the bootstrap and of the choice of examples (default: as in the first evaluation).",
            panel="Measures",
            ge=0,
        ),
    ] = None


class Table(StageConfig):
    """Set evaluations beside a paper's published table."""

    rows: Annotated[
        dict[str, tuple[Path, ...]],
        Option(
            "Evaluations of a row, as NAME=DIRECTORY; several for a row are its seeds and its columns.",
            panel="Data",
            role="input",
            flag="--row",
        ),
    ]
    output: Output
    published: Annotated[
        str | None,
        Option("Published table, such as hu2018-table2 (default: none, only what was measured).", panel="Measures"),
    ] = None
    by: Annotated[
        Literal["clean_fraction", "dataset", "split", "held_out", "none"] | None,
        Option(
            "What the columns go by (default: as the published table's, or the part of the clean set).",
            panel="Measures",
            since="0.2.0",
        ),
    ] = None
    deviations: Annotated[
        tuple[str, ...], Option("What was done otherwise than in the paper, a sentence each.", panel="Measures")
    ] = ()

    @field_validator("rows", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, rows: Any) -> Any:
        if not isinstance(rows, dict):
            return rows
        return {name: [paths] if isinstance(paths, str | Path) else paths for name, paths in rows.items()}
