"""Options of the stage that takes answers in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option, Output

Scope = Literal["asked", "all", "listed"]
Conflicts = Literal["refuse", "newest", "majority"]


class ImportVerification(StageConfig):
    """Take in what people answered, from Label Studio, CVAT or tables; the result is a data set that knows it."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    answers: Annotated[
        tuple[Path, ...],
        Option("Answers: Label Studio's JSON, CVAT's XML, a table as suggest writes it.", panel="Data", role="input"),
    ]
    output: Output
    suggestion: Annotated[
        Path | None,
        Option("Queue that was answered: what was asked, and how each image was chosen.", panel="Data", role="input"),
    ] = None
    scope: Annotated[
        Scope,
        Option(
            "What a class means that is not ticked: absent if it was asked about; absent in any case (all); nothing "
            "(listed).",
            panel="Labels",
        ),
    ] = "asked"
    conflicts: Annotated[
        Conflicts,
        Option(
            "Where answers contradict each other or what is known: stop, or take the newest or the most frequent one.",
            panel="Labels",
        ),
    ] = "refuse"
    measured_splits: Annotated[
        Literal["random", "all"],
        Option(
            "Which answers count in validation and test: those on images that were drawn at random, or all.",
            panel="Labels",
        ),
    ] = "random"
