"""Frozen configuration of every stage: the one place where an option has a name and a default.

The command line is generated from these models (a field's description is its help text), the
pipeline files are validated against them, and ``recipe()`` is what a stage directory remembers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from nlcli.stages.config import Precision, Split, StageConfig


class Evaluate(StageConfig):
    """Score a run or a backbone on a split, or measure a detection of label noise."""

    model: Path = Field(description="Run, backbone or detection directory.")
    output: Path | None = Field(None, description="Directory to write (default: MODEL-SPLIT).")
    split: Split | None = Field(
        None, description="Split to score (default: test; a detection was measured on test, or else on validation)."
    )
    features: Path | None = Field(
        None,
        description="Features (default: those of the run; a backbone, or a run from images, reads images without any).",
    )
    dataset: Path | None = Field(None, description="Data set (default: that of the run, or of the features).")
    score: str | None = Field(None, description="Which of the method's scores (default: the method's own choice).")
    bootstrap: int = Field(1000, ge=0, description="Bootstrap resamples over images (0: no intervals).")
    examples: int = Field(12, ge=0, le=100, description="Examples with their top predictions.")
    precision: Precision = Field("float32", description="Arithmetic of a backbone that reads images.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap and of the choice of examples.")
    batch_size: int = Field(32, ge=1, description="Images in a forward pass, for a backbone that reads images.")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"model", "features", "dataset"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "batch_size", "workers"})


class Predict(StageConfig):
    """Score a folder of images with a trained head and its backbone."""

    images: Path = Field(description="Image file or folder.")
    run: Path = Field(description="Run or backbone directory.")
    backbone: Path | None = Field(
        None, description="Backbone directory (default: the run's own, or the one its features came from)."
    )
    format: Literal["table", "csv", "jsonl"] = Field("table", description="Output format.")
    output: Path | None = Field(None, description="File to write (default: standard output).")
    top: int = Field(5, ge=1, description="Classes shown for each image.")
    threshold: float | None = Field(
        None, ge=0, le=1, description="Show classes from this probability on instead of the top ones."
    )
    batch_size: int = Field(32, ge=1, description="Images in a forward pass.")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")


class Compare(StageConfig):
    """Set evaluations side by side."""

    evaluations: tuple[Path, ...] = Field(description="Evaluation directories.")
    output: Path = Field(description="Directory to write.")
    bootstrap: int | None = Field(
        None, ge=0, description="Bootstrap resamples, 0 for none (default: as in the first evaluation)."
    )
    seed: int | None = Field(None, ge=0, description="Seed of the bootstrap (default: as in the first evaluation).")

    inputs: ClassVar[frozenset[str]] = frozenset({"evaluations"})


class Analyse(StageConfig):
    """Break a comparison down by category, class frequency and annotation quality."""

    evaluations: tuple[Path, ...] = Field(description="Evaluation directories; the first one's model is the baseline.")
    output: Path = Field(description="Directory to write.")
    dataset: Path | None = Field(None, description="Data set (default: that of the first evaluation).")
    groups: int = Field(
        10,
        ge=2,
        le=100,
        description="Groups of classes by frequency and by quality; fewer where a group would hold one class.",
    )
    examples: int = Field(6, ge=0, le=50, description="Images with the top predictions of all models.")
    bootstrap: int | None = Field(
        None, ge=0, description="Bootstrap resamples, 0 for none (default: as in the first evaluation)."
    )
    seed: int | None = Field(
        None,
        ge=0,
        description="Seed of the bootstrap and of the choice of examples (default: as in the first evaluation).",
    )

    inputs: ClassVar[frozenset[str]] = frozenset({"evaluations", "dataset"})


class Table(StageConfig):
    """Set evaluations beside a paper's published table."""

    rows: dict[str, tuple[Path, ...]] = Field(
        description="Evaluations of a row, as NAME=DIRECTORY; several for a row are its seeds and its columns."
    )
    output: Path = Field(description="Directory to write.")
    published: str | None = Field(
        None, description="Published table, such as hu2018-table2 (default: none, only what was measured)."
    )
    by: Literal["clean_fraction", "dataset", "split", "held_out", "none"] | None = Field(
        None, description="What the columns go by (default: as the published table's, or the part of the clean set)."
    )
    deviations: tuple[str, ...] = Field((), description="What was done otherwise than in the paper, a sentence each.")

    inputs: ClassVar[frozenset[str]] = frozenset({"rows"})

    def recipe(self) -> dict[str, Any]:
        """Without ``by`` where it is the table's own."""
        found = super().recipe()
        return {name: value for name, value in found.items() if name != "by" or value is not None}

    @field_validator("rows", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, rows: Any) -> Any:
        if not isinstance(rows, dict):
            return rows
        return {name: [paths] if isinstance(paths, str | Path) else paths for name, paths in rows.items()}
