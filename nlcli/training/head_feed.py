"""What feeds a head while it is trained: what features and images have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

import numpy as np

from nlcli.errors import NlcliError
from nlcli.runtime import memory_available

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import Phase
    from nlcli.methods.base.method import Method
    from nlcli.methods.base.solution import Labelled
    from nlcli.networks.linear_layer import LinearLayer
    from nlcli.training.config import TrainHead
    from nlcli.training.loop.contract import Outcome, Source, Trainable
    from nlcli.training.loop.pools import TrainingRows
    from nlcli.training.loop.sampling import Order
    from nlcli.training.result import CleanLabels
    from nlcli.training.validation import FeatureParts


@dataclass(frozen=True, kw_only=True)
class Start:
    """The backbone that features come from.

    Attributes:
        kind: What brings its last layer.
        where: For people.
        num_features: D.
        fingerprint: ``Backbone.fingerprint``.
        last_layer: Its own, or None.
        two_trunks: It is two networks side by side, of D/2 features each.
    """

    kind: Literal["features", "backbone"]
    where: str
    num_features: int
    fingerprint: str
    last_layer: LinearLayer | None
    two_trunks: bool = False


class How(TypedDict, total=False):
    """What describes a training beside the method's settings, as ``config.json`` and ``result.json`` have it."""

    order: Order
    trunk: str
    two_trunks: bool
    precision: str
    flip: str
    crop: float


class LoopSettings(TypedDict, total=False):
    """Settings of the loop beyond what every head has; see ``nlcli.training.loop.contract.Settings``."""

    checkpoint_seconds: float
    loss_scale: float | None
    augment: Callable[[Any, Any], Any] | None
    tensor_float_32: bool


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """All that the training loop needs.

    Attributes:
        model: The method, with a trunk where there is one.
        phases: Those of the method, with rates for all that is trained.
        source: Blocks of steps; None where the method is solved.
        labelled: What it is given then.
        rows: Which images are trained on.
        validation: Features of the validation images.
        left_out: What the result calls images that could not be used.
        how: What describes the training.
        summary: More for the stage's summary.
        settings: Of the loop.
    """

    model: Trainable
    phases: Sequence[Phase]
    source: Source | None
    labelled: Callable[[], Labelled] | None = None
    rows: TrainingRows
    validation: FeatureParts
    left_out: Literal["images_without_features", "unreadable_images"]
    how: How
    summary: dict[str, bool | int]
    settings: LoopSettings


class Feed(Protocol):
    """Where a head's inputs come from."""

    start: Start

    def prepare(
        self, method: Method, phases: Sequence[Phase], clean_fraction: float, init: LinearLayer | None
    ) -> Prepared:
        """Choose rows, open or decode what they need; ``init`` is the layer that the method starts from."""

    def publish(self, method: Method, outcome: Outcome, clean: CleanLabels | None) -> dict[str, str]:
        """Save what was trained besides the head; hashes of files by name where they are known."""


def memory_budget(gibibytes: float | None) -> int:
    """Bytes that features or pixels may take; half of what is free where it is not said."""
    return int(gibibytes * 2**30) if gibibytes is not None else memory_available() // 2


def verified_rows(table: LabelTable) -> np.ndarray:
    """Rows of the validation images with a verified label."""
    rows = table.rows("validation")
    verified: np.ndarray = rows[table.verification[rows] > 0]
    return verified


def image_weights(config: TrainHead, table: LabelTable, rows: TrainingRows) -> np.ndarray | None:
    """What ``config.image_weights`` says that each of ``rows.used`` counts, float64; None without a table."""
    if config.image_weights is None:
        return None
    from nlcli.training.image_weights import read_image_weights

    return read_image_weights(config.image_weights, table.keys[rows.used.dataset])


def detected_weights(config: TrainHead, method: Method, table: LabelTable, rows: TrainingRows) -> np.ndarray | None:
    """What a detection says that each of ``rows.used`` weighs in T, float32; None without a detection."""
    if config.detection is None:
        return None
    from nlcli.data.detection_files import read_weights

    weights = np.ones(len(rows.used), np.float32)
    keys = table.keys[rows.used.dataset[rows.labelled]]
    weights[rows.labelled] = read_weights(config.detection, keys, method.config.weights)
    if not weights[rows.labelled].any():
        raise NlcliError(f"{config.detection} calls every training label wrong; choose another threshold or detector")
    return weights
