"""Heads trained on cached features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nlcli.training.head_feed import Prepared, Start, detected_weights, memory_budget, verified_rows
from nlcli.training.run_config import CONFIG, RunConfig

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import Phase
    from nlcli.methods.base.method import Method
    from nlcli.training.config import TrainHead
    from nlcli.training.loop.contract import Outcome
    from nlcli.training.loop.sampling import Order
    from nlcli.training.result import CleanLabels


class FeatureFeed:
    """Cached features."""

    def __init__(self, config: TrainHead, table: LabelTable, work: Path) -> None:
        from nlcli.data.features.store import FeatureStore

        assert config.features is not None
        self._config, self._table, self._work = config, table, work
        self._store = store = FeatureStore(config.features)
        store.require_images_of(table, config.dataset)
        self.start = Start(
            kind="features",
            where=str(config.features),
            num_features=store.shape[1],
            fingerprint=store.backbone_fingerprint,
            last_layer=store.last_layer,
        )

    def prepare(self, method: Method, phases: Sequence[Phase], clean_fraction: float) -> Prepared:
        """Rows with features, in memory where they fit."""
        from nlcli.training.loop.feature_source import FeatureSource, RowFeatures, row_bytes, training_rows
        from nlcli.training.loop.pools import stored_rows

        config, table, store = self._config, self._table, self._store
        rows = training_rows(table, store, phases, clean_fraction, config.seed)
        validation = stored_rows(table, store, verified_rows(table))
        budget = memory_budget(config.memory)
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
            model=method,
            phases=phases,
            source=source,
            rows=rows,
            validation=data,
            left_out="images_without_features",
            how={"order": order},
            summary={"streamed": not source.resident},
            settings={},
        )

    def _order(self, size: int, budget: int) -> Order:
        """The order of rows. It decides the result, so a resumed run keeps what it began with."""
        if self._config.order != "auto":
            return self._config.order
        if (self._work / CONFIG).exists():
            begun = RunConfig.read(self._work / CONFIG).order
            if begun is not None:
                return begun
        return "shuffled" if size <= budget else "block-shuffled"

    def publish(self, method: Method, outcome: Outcome, clean: CleanLabels | None) -> dict[str, str]:
        """Nothing: the features stay as they are."""
        return {}
