"""``result.json``: what came of a training, in the directory of a run or of a pretrained backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from nlcli.data.detection_files import CleanSet
from nlcli.stages.files import read_json
from nlcli.stages.records import Record

RESULT = "result.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SelectedBy(_Part):
    """What chose the weights of a model, or the threshold of a detection.

    Attributes:
        split: ``train`` where classifiers that had not seen them were compared on training images. None where nothing
            could be measured, and the last weights were kept, or where it is not a metric that chose.
        metric, value: Which one was best there, and how good.
        images: How many chose a threshold.
        by: What else chose it, in words.
        why: Why nothing chose the weights.
    """

    split: Literal["validation", "train", "train+validation"] | None
    metric: str | None = None
    value: float | None = None
    images: int | None = None
    by: str | None = None
    why: str | None = None

    @property
    def told(self) -> str:
        """For people: ``validation AP_all``."""
        if self.split is None:
            return self.by or "nothing (last step)"
        return f"{self.split} {self.metric}"

    @classmethod
    def of(cls, metric: str | None, value: float | None, *, steps: int) -> SelectedBy:
        """By ``metric`` on validation, of so many ``steps``; by nothing where that is None."""
        if metric is None:
            kept = "the last step was kept" if steps else "no step was taken"
            return cls(split=None, why=f"no verified label on validation; {kept}")
        return cls(split="validation", metric=metric, value=value)


class SolvedPoint(_Part):
    """One classifier that was compared; its metrics are the line of ``metrics.jsonl`` at its phase and step.

    Attributes:
        cost: What it was chosen by; None where nothing told.
    """

    phase: str
    l2: float
    iterations: int
    cost: float | None


class SolvedBy(_Part):
    """How a head was solved.

    Attributes:
        l2: Of the chosen one, per training image on kernels, as ``weight_decay`` is.
        iterations: Of its solution from the point of the path that it was chosen by.
        converged: Whether they ended by the tolerance.
        chosen_on: ``validation``; ``train``, verified training images left out in turn; or ``noisy``, noisy labels left
            out in turn, where nothing is verified.
        path: All that were compared.
        details: What else the method tells.
    """

    l2: float
    iterations: int
    converged: bool
    chosen_on: Literal["validation", "train", "noisy"]
    path: tuple[SolvedPoint, ...]
    details: dict[str, Any] = {}


class CleanLabels(CleanSet):
    """The verified images that were fitted on.

    Attributes:
        pairs: By split, images whose pair of true and noisy class a method counted.
        trained: Of the images, those whose labels were in the loss.
        chose: Verified validation images that chose the step; they were not fitted on, but for ``pairs``.
    """

    pairs: dict[str, int] | None = None
    trained: int | None = None
    chose: int | None = None

    @classmethod
    def of(cls, given: CleanSet) -> CleanLabels:
        """Those that a detection used."""
        return cls(**given.model_dump())


class WeightedBy(_Part):
    """The detection that weighted noisy labels.

    Attributes:
        method: Name of the detector.
        threshold: Above which it calls a label right.
        held_out: Classes whose verification was withheld from it.
        clean: The verified images that it used.
    """

    method: str
    threshold: float
    held_out: tuple[str, ...]
    clean: CleanLabels

    @property
    def told(self) -> str:
        """For people."""
        apart = f", {len(self.held_out)} classes held out" if self.held_out else ""
        return f"weights by {self.method}{apart}"


class Result(Record):
    """What the results of both kinds of training say.

    Attributes:
        selected_by: What chose the weights.
        step: Of the chosen weights, in their phase.
        steps: Taken in all phases.
        stopped_by: ``steps``, or ``patience``.
        validation: Metrics of the chosen weights by name, ``images``, the number of images that they rest on, and
            ``images_of_known_class``, that of those whose class is known.
        clean: None where no verified label was used.
        unreadable_images: By split, images that could not be read and were left out.
        settings: Of the method, or of the stage.
        precision: Of the convolutions, in training from images.
        remarks: Sentences on what should not be taken as it is.
    """

    selected_by: SelectedBy
    step: int
    steps: int
    stopped_by: str
    validation: dict[str, int | float]
    clean: CleanLabels | None
    unreadable_images: dict[str, int] | None = None
    settings: dict[str, Any]
    precision: str | None = None
    remarks: tuple[str, ...] = ()

    @classmethod
    def upgraded(cls, value: dict[str, Any]) -> dict[str, Any]:
        """0.1.0 wrote the same without a version."""
        return {"version": 1} | value

    def to_json(self) -> dict[str, Any]:
        """Without what this kind of training does not have."""
        return self.model_dump(mode="json", exclude_unset=True) | {"version": self.FORMAT}


class HeadResult(Result):
    """What came of training a head.

    Attributes:
        score: Name of the score that was validated.
        phase: Of the chosen weights.
        training_images: Images of V (``clean``) and with a noisy label (``noisy``) that were trained on.
        images_without_features: By split, images that were left out.
        classes_without_positives: By kind of labels, classes that no training image is positive for.
        detection: What weighted the noisy labels.
        initial_layer: What brought the trained layer that it started from: ``init``, ``features`` or ``backbone``.
        solved: Of a head that was solved.
        order: Of rows, on features.
        trunk, two_trunks, flip, crop: Of training from images.
    """

    made_by: ClassVar[str] = "train-head"

    method: str
    score: str
    phase: str
    training_images: dict[str, int]
    images_without_features: dict[str, int] | None = None
    classes_without_positives: dict[str, list[str]]
    detection: WeightedBy | None = None
    initial_layer: str | None
    solved: SolvedBy | None = None
    order: str | None = None
    trunk: str | None = None
    two_trunks: bool = False
    flip: str | None = None
    crop: float | None = None


class BackboneResult(Result):
    """What came of training a whole network.

    Attributes:
        labels: ``noisy`` or ``verified``.
        last_layer: ``kept``, where the weights brought it along, or ``new``.
    """

    made_by: ClassVar[str] = "pretrain-backbone"

    network: str
    labels: str
    training_images: int
    classes_without_positives: list[str]
    last_layer: str


def read_result(folder: Path) -> HeadResult | BackboneResult | None:
    """What came of the training in ``folder``; None where that is not told, as in a network from elsewhere.

    Raises:
        NlcliError: the file is malformed.
    """
    where = folder / RESULT
    if not where.is_file():
        return None
    value = read_json(where)
    is_network = isinstance(value, dict) and "network" in value
    return BackboneResult.parse(value, where) if is_network else HeadResult.parse(value, where)
