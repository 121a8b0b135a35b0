"""``metrics.json`` of an evaluation: what is written is what everything reads.

An evaluation is of a classifier (a run or a backbone) or of a detection of label noise; the two have
a part in common. A metric is an ``Estimate`` under its name in ``nlcli.metrics.names``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from nlcli.data.detection_files import HeldOut, Threshold
from nlcli.data.tag_detection_files import TagThreshold
from nlcli.errors import NlcliError
from nlcli.evaluation.measured import Measured
from nlcli.metrics.arrays import Array
from nlcli.metrics.intervals import LEVEL, Support, metric_interval
from nlcli.metrics.names import LABEL_NOISE, TAG_NOISE, shown_metrics
from nlcli.stages.files import number, read_json
from nlcli.stages.records import Record
from nlcli.stages.stage import StageRecord
from nlcli.training.result import CleanLabels, SelectedBy, WeightedBy

METRICS = "metrics.json"
FORMAT = 1
"""Of all files of an evaluation."""

Ends = tuple[float | None, float | None]


class Part(BaseModel):
    """A part of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Estimate(Part):
    """A metric with its interval over images.

    Attributes:
        value: None where it is not defined.
        interval: None without a bootstrap, or where the metric rests on too little.
        rests_on, counted: How many of what it rests on, such as 300 ``images`` or 41 ``positives``.
        no_interval: Why there is none although there was a bootstrap.
    """

    value: float | None
    interval: Ends | None = None
    rests_on: int
    counted: str
    no_interval: str | None = None

    @classmethod
    def of(cls, value: float, replicates: Array | None, support: Support) -> Estimate:
        """From a value and its bootstrap replicates ``(B,)``, None without a bootstrap."""
        ends = None if replicates is None or not len(replicates) else metric_interval(value, replicates, support)
        drawn = replicates is not None and len(replicates) > 0
        return cls(
            value=number(value),
            interval=ends,
            rests_on=support.count,
            counted=support.counted,
            no_interval=support.too_few if drawn else None,
        )


def estimates(measured: Measured, only: Iterable[str] | None = None) -> dict[str, Estimate]:
    """By name; ``only`` some of them."""
    names = measured.values if only is None else [name for name in measured.values if name in set(only)]
    return {
        name: Estimate.of(measured.values[name], measured.replicates.get(name), measured.supports[name])
        for name in names
    }


def flat(metrics: Mapping[str, Estimate]) -> dict[str, Any]:
    """For a stage's summary: ``NAME``, and ``NAME_interval`` where there is one."""
    told: dict[str, Any] = {}
    for name, estimate in metrics.items():
        told[name] = estimate.value
        if estimate.interval is not None:
            told[f"{name}_interval"] = list(estimate.interval)
    return told


# --- what was evaluated ----------------------------------------------------------------------


class TestedModel(Part):
    """The run, backbone or detection that was evaluated.

    Attributes:
        directory: Name of its directory.
        settings: Its configuration without paths and without what does not change a result.
    """

    __test__: ClassVar[bool] = False  # for pytest, which would take it for a test

    directory: str
    kind: Literal["run", "backbone", "detection"]
    settings: dict[str, Any]

    @property
    def seed(self) -> int | None:
        """Its seed; None where it has none."""
        return self.settings.get("seed")

    @property
    def clean_fraction(self) -> float | None:
        """Part of the clean set that it was given; None of a model without one."""
        return self.settings.get("clean_fraction")

    @property
    def scale(self) -> float:
        """Part of its method's steps that it was trained for."""
        scale: float | None = self.settings.get("scale")
        return 1.0 if scale is None else scale

    @property
    def options(self) -> dict[str, Any]:
        """Its method's options that were given."""
        return self.settings.get("options") or {}

    @property
    def preset(self) -> str | None:
        """Its method's preset."""
        return self.settings.get("preset")

    @property
    def labels(self) -> str | None:
        """The labels that a backbone was trained on."""
        return self.settings.get("labels")


class Selection(Part):
    """What chose the weights and which clean labels were used, as the model's own result tells."""

    selected_by: SelectedBy | None = None
    step: int | None = None
    phase: str | None = None
    clean: CleanLabels | None = None
    training_images: int | dict[str, int] | None = None
    detection: WeightedBy | None = None


class Bootstrap(Part):
    """How the intervals were made."""

    resamples: int
    seed: int
    level: float = LEVEL


class Named(Part):
    """How many there are, and the names of some or all of them."""

    count: int
    names: tuple[str, ...] = ()


# --- the file --------------------------------------------------------------------------------


class Metrics(Record):
    """What evaluations of classifiers and of detections have in common.

    Attributes:
        name: Of the method, or ``backbone NAME``.
        score: Which of the method's scores.
        images: How many were scored and have a verified label.
        dataset: Its name; None where it tells none.
        backbone: Of the network whose features were used; None where it is not known.
        metrics: By name.
        remarks: Sentences on what should not be taken as it is.
    """

    FORMAT: ClassVar[int] = FORMAT
    made_by: ClassVar[str] = "eval MODEL --split S"

    task: str
    name: str
    score: str
    split: str
    images: int
    classes: int
    dataset: str | None = None
    backbone: str | None = None
    model: TestedModel
    selection: Selection
    bootstrap: Bootstrap
    metrics: dict[str, Estimate]
    remarks: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Of its metrics, in the order in which they are shown."""
        return shown_metrics(self.metrics)

    @property
    def clean_images(self) -> int | None:
        """Clean images that the model used; None where it used none."""
        return None if self.selection.clean is None else self.selection.clean.images or None


class AtThreshold(Part):
    """``nlcli.metrics.decisions.ThresholdMetrics``, None where one is not defined."""

    threshold: float
    micro_precision: float | None
    micro_recall: float | None
    micro_f1: float | None
    macro_precision: float | None
    macro_recall: float | None
    macro_f1: float | None


class NoisyLabels(Part):
    """Noisy labels of the images whose true class is known, and how many of them are right."""

    images: int
    accuracy: float | None


class ConfusingNoise(Part):
    """How well a method knows which labels are wrong (see ``nlcli.evaluation.noise_ranking``).

    Attributes:
        wrong: How many of the images.
        base_rate: Their share: the precision of any order.
        precision_at: By rank.
        average_precision: None where no label is wrong.
    """

    images: int
    wrong: int
    base_rate: float
    precision_at: dict[int, float]
    average_precision: Estimate


class ClassifierMetrics(Metrics):
    """Of a run or a backbone.

    Attributes:
        score_chosen: The score was asked for, not the method's own choice.
        images_left_out: Images without features, or that could not be read; some of their keys.
        verified_entries, positives: Entries (image, class) that a person verified, and found present.
        mAP_by_group: By high-level category.
        at_threshold: Of multi-label data.
        images_of_unknown_class: Of single-label data; they have no part in top-1 and top-5.
        macro_accuracy: Mean over classes of the share of a class's images that are called right.
        noisy_labels: Of single-label data, where there are some.
        confusing_noise: Of a method that models label noise.
    """

    task: Literal["multi-label", "single-label"]
    score_chosen: bool = False
    images_left_out: Named = Named(count=0)
    verified_entries: int
    positives: int
    classes_without_positives: Named
    mAP_by_group: dict[str, float | None] = Field(default_factory=dict)
    at_threshold: AtThreshold | None = None
    images_of_unknown_class: int | None = None
    macro_accuracy: float | None = None
    noisy_labels: NoisyLabels | None = None
    confusing_noise: ConfusingNoise | None = None


class MeasuredHeldOut(HeldOut):
    """Classes that are reported apart, and how many of the images are of them."""

    images: int

    @classmethod
    def of(cls, held_out: HeldOut, images: int) -> MeasuredHeldOut:
        """With the number of images."""
        return cls(
            classes=held_out.classes,
            drawn=held_out.drawn,
            verification_used=held_out.verification_used,
            images=images,
        )


class Planted(Part):
    """The same on training images of planted truth whose verification the detector did not see."""

    images: int
    wrong: int
    metrics: dict[str, Estimate]
    naive: dict[str, Estimate]


class NoiseMetrics(Metrics):
    """What evaluations of detections have in common.

    Attributes:
        wrong: Noisy labels that are wrong, of the images.
        classes_without_images: They have no part in an average over classes.
        cross_fitted: Each image was judged by a threshold chosen without its fold.
        naive: Error rates of calling every label right.
    """

    wrong: int
    classes_without_images: Named
    cross_fitted: bool = False
    naive: dict[str, Estimate]

    @property
    def planted_error(self) -> Estimate | None:
        """Error on the images of planted truth."""
        return self.metrics.get("planted_error")


class TagNoiseMetrics(NoiseMetrics):
    """Of a detection on several labels an image.

    Attributes:
        entries, given: Verified entries, and those of them whose tag is given.
        missing: Entries whose tag is missing.
        planted: Label error on training images of planted truth whose verification the detector did not see.
    """

    task: Literal["tag-noise"]
    entries: int
    given: int
    missing: int
    thresholds: dict[Literal["given", "missing"], TagThreshold]
    planted: Estimate | None = None


class DetectionMetrics(NoiseMetrics):
    """Of a detection of label noise."""

    task: Literal["label-noise"]
    threshold: Threshold
    held_out: MeasuredHeldOut
    planted: Planted | None = None


def read_metrics(record: StageRecord) -> ClassifierMetrics | DetectionMetrics | TagNoiseMetrics:
    """``metrics.json`` of the evaluation ``record``.

    Raises:
        NlcliError: missing, malformed, or of another format, such as that of version 0.1.0.
    """
    path = record.path / METRICS
    content = read_json(path)
    if isinstance(content, dict) and content.get("version", 0) != FORMAT:
        raise NlcliError(
            f"{path} has format {content.get('version', 0)!r:.20}, and this version of nlcli reads format {FORMAT}; "
            f"make it again with '{_command(record, content)}'"
        )
    if isinstance(content, dict) and content.get("task") == LABEL_NOISE:
        return DetectionMetrics.parse(content, path)
    if isinstance(content, dict) and content.get("task") == TAG_NOISE:
        return TagNoiseMetrics.parse(content, path)
    return ClassifierMetrics.parse(content, path)


def _command(record: StageRecord, content: Mapping[str, Any]) -> str:
    """The command that makes an evaluation again in its place."""
    model, split = record.input_path("model") or Path("MODEL"), content.get("split", "S")
    elsewhere = record.path.resolve() != model.with_name(f"{model.name}-{split}").resolve()
    return f"nlcli eval {model} --split {split}" + (f" --output {record.path}" if elsewhere else "")
