"""Heads trained on cached features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.runtime import one_blas_thread
from nlcli.training.head_feed import Prepared, Start, detected_weights, image_weights, memory_budget, verified_rows
from nlcli.training.run_config import CONFIG, RunConfig

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import Batch, Phase
    from nlcli.methods.base.method import Method
    from nlcli.methods.base.solution import Labelled
    from nlcli.networks.linear_layer import LinearLayer
    from nlcli.training.config import TrainHead
    from nlcli.training.loop.contract import Outcome
    from nlcli.training.loop.feature_source import RowFeatures
    from nlcli.training.loop.pools import TrainingRows
    from nlcli.training.loop.sampling import Order
    from nlcli.training.result import CleanLabels


class MethodOnFeatures:
    """A method as the loop trains it: what comes in are features as they are stored, what it sees is on its scale."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.groups, self.weights = method.groups, method.weights

    def begin(self, phase: str, inputs: Callable[[], Iterator[np.ndarray]]) -> None:
        """The method's beginning, with features on its scale."""
        scale = self.method.scale.of_arrays()
        self.method.begin(phase, lambda: (scale.apply(part) for part in inputs()))

    def losses(self, phase: str, inputs: Any, batch: Batch) -> dict[str, Any]:
        """The method's losses."""
        return self.method.losses(phase, self.method.scale(inputs), batch)

    @property
    def arrays(self) -> bool:
        """Whether the method's layers are NumPy's, and so its steps."""
        return self.method.arrays

    def gradients(
        self, phase: str, inputs: np.ndarray, batch: Batch, step: int
    ) -> tuple[Mapping[str, float], Sequence[np.ndarray]]:
        """The method's losses, and their gradients by kernel and bias of each linear layer that the phase trains."""
        features, layers = self.method.scale(inputs), self.method.layers
        losses, slopes = self.method.slopes(phase, {name: layer(features) for name, layer in layers.items()}, batch)
        by_layer = ((features.T @ slope, slope.sum(axis=0)) for slope in slopes.values())
        return losses, [gradient for pair in by_layer for gradient in pair]


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

    def prepare(
        self, method: Method, phases: Sequence[Phase], clean_fraction: float, init: LinearLayer | None
    ) -> Prepared:
        """Rows with features, in memory where they fit."""
        from nlcli.training.loop.checkpoints import CHECKPOINT
        from nlcli.training.loop.feature_source import FeatureSource, RowFeatures, row_bytes, training_rows
        from nlcli.training.loop.pools import stored_rows

        config, table, store = self._config, self._table, self._store
        rows = training_rows(table, store, phases, clean_fraction, config.seed)
        validation = stored_rows(table, store, verified_rows(table))
        budget = memory_budget(config.memory)
        data = RowFeatures(store, table, validation, budget // 4 if method.solves else budget // 2)
        weights = detected_weights(config, method, table, rows)
        prepared = Prepared(
            model=MethodOnFeatures(method),
            phases=phases,
            source=None,
            rows=rows,
            validation=data,
            left_out="images_without_features",
            how={},
            summary={},
            settings={},
        )
        if method.solves:
            return replace(prepared, labelled=partial(self._labelled, method, rows, data, init, weights, budget))
        order = self._order(len(rows.used) * row_bytes(store), budget)
        method.scale.fit(part for _, part in RowFeatures(store, table, rows.used, 0).parts())
        # A run that is taken up has what it began at among its weights.
        if method.starts_solved and not (self._work / CHECKPOINT).exists():
            with one_blas_thread():  # a head has the same bits on any number of threads
                method.start(self._labelled(method, rows, data, init, weights, budget))
        left = budget - data.kept_bytes
        source = FeatureSource(
            table, store, rows, method.config.batch_size, config.seed, order, left, weights, arrays=method.arrays
        )
        return replace(prepared, source=source, how={"order": order}, summary={"streamed": not source.resident})

    def _labelled(
        self,
        method: Method,
        rows: TrainingRows,
        validation: RowFeatures,
        init: LinearLayer | None,
        weights: np.ndarray | None,
        budget: int,
    ) -> Labelled:
        from nlcli.data.labels import NONE, choose_clean
        from nlcli.training.solved_head import labelled

        config, table = self._config, self._table
        some = (table.verification[table.rows("train")] > NONE).any()
        clean = choose_clean(table, config.clean_fraction, config.seed) if some else np.empty(0, np.int64)
        return labelled(
            method,
            table,
            self._store,
            rows,
            validation,
            clean=clean,
            weights=weights,
            counts=image_weights(config, table, rows),
            start=init,
            budget=budget,
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
