"""``analysis.json``: where models differ, by category, class frequency and annotation quality."""

from __future__ import annotations

from typing import ClassVar, Literal

from nlcli.evaluation.comparison.model_rows import OverSeeds
from nlcli.evaluation.metrics_file import Part
from nlcli.metrics.intervals import LEVEL
from nlcli.stages.records import Record

ALL = "(all)"
"""What stands for all classes together where categories are named."""
By = Literal["category", "frequency", "quality"]


class ClassGroup(Part):
    """Some classes, and every model's mAP over them.

    Attributes:
        name: A category, or the group's number.
        classes, with_positives: How many classes, and how many of them have an AP.
        low, high: What the classes were sorted by, lowest and highest; None of a category.
        models: Of every model; differences are to the first one's.
    """

    name: str
    classes: int
    with_positives: int
    low: float | None
    high: float | None
    models: tuple[OverSeeds, ...]

    @property
    def count_told(self) -> str:
        """Of classes that have an AP, for people."""
        return f"{self.with_positives} {'class' if self.with_positives == 1 else 'classes'}"

    def range_told(self, by: By) -> str:
        """What the classes of the group have: ``12 to 90`` annotations, ``40 to 60 %`` right."""
        low, high = self.low or 0.0, self.high or 0.0
        if by == "quality":
            first, last = f"{100 * low:.0f}", f"{100 * high:.0f}"
            return f"{first} %" if first == last else f"{first} to {last} %"
        return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


class CutRecord(Part):
    """The classes in groups.

    Attributes:
        about: What the groups go by.
        left_out: Classes in no group, and why.
    """

    about: str
    left_out: str
    groups: tuple[ClassGroup, ...]


class AnalysedModel(Part):
    """A model, all its seeds together."""

    label: str
    seeds: tuple[int, ...]
    clean_fraction: float | None
    clean_images: int | None


class Analysis(Record):
    """All of an analysis but its curves.

    Attributes:
        baseline: Label of the first model, which gains are over.
        verified_images: By split, those that tell of the quality of annotations.
        category: None where the data set has no categories.
        AP_all: By category (and ``ALL``) of every model: AP over its entries together, mean over seeds.
        without_learning_curve: Evaluations whose model has none.
    """

    FORMAT: ClassVar[int] = 1
    made_by: ClassVar[str] = "analyse EVALUATION ... --output DIRECTORY"

    split: str
    images: int
    images_left_out: int
    resamples: int
    level: float = LEVEL
    seed: int
    baseline: str
    models: tuple[AnalysedModel, ...]
    verified_images: dict[str, int]
    category: CutRecord | None
    frequency: CutRecord
    quality: CutRecord
    AP_all: dict[str, tuple[float | None, ...]]
    without_learning_curve: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """Of the models."""
        return [model.label for model in self.models]

    def sorted_cut(self, by: Literal["frequency", "quality"]) -> CutRecord:
        """The cut by frequency or by quality."""
        return self.frequency if by == "frequency" else self.quality
