"""Options of ``export-model``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from nlcli.networks.model_formats import Format
from nlcli.stages.config import StageConfig
from nlcli.stages.options import InferenceBatch, Option, Output, Workers


class ExportModel(StageConfig):
    """Write a trained head and its network as one model that other programs run."""

    run: Annotated[Path, Option("Run or backbone directory.", panel="Data", role="input", place="argument")]
    output: Output
    format: Annotated[
        Format, Option("Of the model; onnx, litert and openvino are extras to install.", panel="Output")
    ] = "keras"
    score: Annotated[
        str | None, Option("Which of the method's scores (default: the method's own choice).", panel="Method")
    ] = None
    backbone: Annotated[
        Path | None,
        Option(
            "Backbone directory (default: the run's own, or the one its features came from).",
            panel="Data",
            role="input",
        ),
    ] = None
    evaluation: Annotated[
        Path | None,
        Option("Evaluation of the run, whose metrics the card tells, too (default: none).", panel="Data", role="input"),
    ] = None
    tolerance: Annotated[
        float | None,
        Option(
            "Most that a score may differ from that of predict (default: 1e-4, more below float32).",
            panel="Measures",
            gt=0,
            le=1,
        ),
    ] = None
    batch_size: InferenceBatch = 32
    workers: Workers = 0
