"""Options of track."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option


class Track(StageConfig):
    """Tell MLflow or TensorBoard of finished stages."""

    directories: Annotated[
        tuple[Path, ...],
        Option("Directories made by nlcli, or folders of them.", panel="Data", role="input", place="argument"),
    ]
    to: Annotated[Literal["mlflow", "tensorboard"], Option("What is told.", panel="Output")]
    at: Annotated[
        str | None,
        Option(
            "Where it keeps that: a folder, for MLflow also the address of a server or a database (default: "
            "MLFLOW_TRACKING_URI, or 'mlruns' or 'tensorboard' here).",
            panel="Output",
        ),
    ] = None
    experiment: Annotated[str, Option("Name of the experiment in MLflow.", panel="Output")] = "nlcli"
