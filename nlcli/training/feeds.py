"""What feeds a head while it is trained: cached features here, images in ``nlcli.image_heads``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nlcli.errors import NlcliError
from nlcli.runtime import memory_available
from nlcli.stages.files import read_json

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import Phase
    from nlcli.methods.base.method import Method
    from nlcli.networks.linear_layer import LinearLayer
    from nlcli.training.config import TrainHead
    from nlcli.training.loop.interfaces import Outcome, Source, Trainable
    from nlcli.training.loop.pools import TrainingRows
    from nlcli.training.loop.sampling import Order
    from nlcli.training.validation import FeatureParts


@dataclass(frozen=True)
class Start:
    """The backbone that features come from.

    Attributes:
        kind: ``features`` or ``backbone``: what brings its last layer.
        where: For people.
        num_features: D.
        fingerprint: ``Backbone.fingerprint``.
        last_layer: Its own, or None.
    """

    kind: str
    where: str
    num_features: int
    fingerprint: str
    last_layer: LinearLayer | None


@dataclass(frozen=True)
class Prepared:
    """All that the training loop needs.

    Attributes:
        settings: Of ``training.Settings``, beyond what every head has.
        record: What describes the training beside the method's settings.
        left_out: Key in the result under which images that could not be used are counted.
        summary: More for the stage's summary.
    """

    model: Trainable
    phases: Sequence[Phase]
    source: Source
    rows: TrainingRows
    validation: FeatureParts
    left_out: str
    record: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


class Feed(Protocol):
    """Where a head's inputs come from."""

    start: Start

    def prepare(self, method: Method, phases: Sequence[Phase], clean_fraction: float) -> Prepared:
        """Choose rows, open or decode what they need."""

    def publish(self, method: Method, outcome: Outcome, clean: dict[str, Any] | None) -> dict[str, str]:
        """Save what was trained besides the head; hashes of files by name where they are known."""


def memory_budget(config: TrainHead) -> int:
    """Bytes that features or pixels may take."""
    return int(config.memory * 2**30) if config.memory is not None else memory_available() // 2


def verified_rows(table: LabelTable) -> np.ndarray:
    """Rows of the validation images with a verified label."""
    rows = table.rows("validation")
    return rows[table.verification[rows] > 0]


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


class FeatureFeed:
    """Cached features."""

    def __init__(self, config: TrainHead, table: LabelTable, work: Path) -> None:
        from nlcli.data.features.store import FeatureStore

        assert config.features is not None
        self._config, self._table, self._work = config, table, work
        self._store = store = FeatureStore(config.features)
        store.require_images_of(table, config.dataset)
        self.start = Start(
            "features", str(config.features), store.shape[1], store.backbone_fingerprint, store.last_layer
        )

    def prepare(self, method: Method, phases: Sequence[Phase], clean_fraction: float) -> Prepared:
        """Rows with features, in memory where they fit."""
        from nlcli.training.loop.feature_source import FeatureSource, RowFeatures, row_bytes, training_rows
        from nlcli.training.loop.pools import stored_rows

        config, table, store = self._config, self._table, self._store
        rows = training_rows(table, store, phases, clean_fraction, config.seed)
        validation = stored_rows(table, store, verified_rows(table))
        budget = memory_budget(config)
        order = self._order(len(rows.used) * row_bytes(store), budget)
        data = RowFeatures(store, table, validation, budget // 2)
        source = FeatureSource(
            table,
            store,
            rows,
            method.config.batch_size,
            config.seed,
            order,
            budget - data.kept_bytes,
            detected_weights(config, method, table, rows),
        )
        return Prepared(
            method,
            phases,
            source,
            rows,
            data,
            "images_without_features",
            record={"order": order},
            summary={"streamed": not source.resident},
        )

    def _order(self, size: int, budget: int) -> Order:
        """The order of rows. It decides the result, so a resumed run keeps what it began with."""
        if self._config.order != "auto":
            return self._config.order
        if (self._work / "config.json").exists():
            return read_json(self._work / "config.json")["order"]
        return "shuffled" if size <= budget else "block-shuffled"

    def publish(self, method: Method, outcome: Outcome, clean: dict[str, Any] | None) -> dict[str, str]:
        """Nothing: the features stay as they are."""
        return {}
