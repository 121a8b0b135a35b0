"""Options of tune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output


class Tune(StageConfig):
    """Search for a method's options by validation, and tell what the best ones reach on test."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    features: Annotated[Path, Option("Features directory of that data set.", panel="Data", role="input")]
    output: Output
    method: Annotated[str, Option("Method; 'nlcli methods' lists them.", panel="Method")] = "residual"
    options: Annotated[
        dict[str, Any],
        Option("Options of the method that stay as they are, such as hidden=64.", panel="Method", flag="--set"),
    ] = Field(default_factory=dict)
    search: Annotated[
        tuple[str, ...],
        Option("Option that is searched (default: each that the method says is worth it).", panel="Method"),
    ] = ()
    trials: Annotated[int, Option("Most heads that are trained, beside that of the defaults.", ge=1, le=10_000)] = 30
    init: Annotated[Path | None, Option("Run of a linear head to start from.", panel="Method", role="input")] = None
    detection: Annotated[
        Path | None, Option("Detection whose scores weight the noisy labels.", panel="Data", role="input")
    ] = None
    clean_fraction: Annotated[
        float, Option("Part of the verified training images used as clean set.", panel="Data", gt=0, le=1)
    ] = 1.0
    steps: Annotated[int | None, Option("Training steps (default: the method's).", panel="Training", ge=1)] = None
    seed: Annotated[
        int, Option("Seed of the search, the clean set, the initial weights, the batches.", panel="Training", ge=0)
    ] = 0
    bootstrap: Annotated[
        int, Option("Bootstrap resamples over images, for the interval of the gain.", panel="Measures", ge=100)
    ] = 1000
    memory: Annotated[
        float | None,
        Option("GiB that features may take (default: half of what is free).", panel="Machine", role="runtime", gt=0),
    ] = None
