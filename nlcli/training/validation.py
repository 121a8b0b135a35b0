"""How well a method or a whole network does on the verified validation images, while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nlcli.errors import NlcliError
from nlcli.estimation.criterion import (
    BEYOND_START,
    RANKING_COST,
    SCALED_LOG_LOSS,
    cost,
    cost_name,
    image_scores,
)
from nlcli.estimation.in_order import in_order
from nlcli.estimation.selection import Difference
from nlcli.methods.base.keras_ops import ops
from nlcli.networks.graph import as_graph
from nlcli.runtime import one_blas_thread

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import Phase
    from nlcli.methods.base.method import Method
    from nlcli.training.loop.pools import StoredRows

_LEAST = 1e-7
"""That a score is from 0 and 1 where its log-odds are taken."""
SCORE_ROWS = 4096
"""Rows that are scored at a time, at most."""
ARRAY_ROWS = 512
"""Rows that a thread scores at a time where layers are NumPy's."""

Part = tuple[int, np.ndarray]
"""(first position, values) of some rows."""
Parts = Iterator[Part]
"""One after the other."""


class Validation:
    """Metrics of the current weights on the verified entries of some images.

    AP_all and mAP, and on single-label data top_1, with more than five classes top_5, of the images
    whose class is known. (Of an image that is known only not to be of its noisy class no prediction
    but that one is wrong for sure: it counts in AP_all and mAP.)

    Args:
        rows: (n,) of the table.
        scores: gives (first position, scores (b, C) float32) of all rows by the current weights.
        losses: of a phase on these rows, for phases that are chosen by one of them.
        start: scores of all rows by what training began at, where that is known at any time.

    Attributes:
        possible: whether an entry is positive, without which nothing can be ranked.
        of_known_class: how many images count for top_1; None on multi-label data.
    """

    def __init__(
        self,
        table: LabelTable,
        rows: np.ndarray,
        scores: Callable[[], Parts],
        losses: Callable[[Phase], dict[str, float]] | None = None,
        start: Callable[[], Parts] | None = None,
    ) -> None:
        self._task, self._start = table.task, start
        self._began: tuple[float, np.ndarray] | None = None  # cost and scores of what training began at
        self._rows, self._num_classes, self._scores, self._losses = rows, table.num_classes, scores, losses
        self._position, self._class, self._label = table.verified_entries(rows)
        self._dense = len(self._label) == len(rows) * table.num_classes
        self.possible = bool(self._label.any())
        self._truth = np.full(len(rows), -1)  # the one class of an image, where it is known
        self._top: tuple[int, ...] = ()
        self.of_known_class: int | None = None
        if table.task == "single-label":
            self._truth[self._position[self._label]] = self._class[self._label]
            self._top = (1, 5) if table.num_classes > 5 else (1,)
            self.of_known_class = int((self._truth >= 0).sum())

    def __len__(self) -> int:
        return len(self._rows)

    def __call__(self, phase: Phase) -> dict[str, float]:
        where = f" in phase '{phase.name}'; lower the learning rate"
        if phase.monitor in (RANKING_COST, SCALED_LOG_LOSS, BEYOND_START):
            parts = list(self._scores())  # all of them, which costs need at once
            return self._metrics(parts, where) | self._costs(parts, phase.monitor)
        metrics = self.metrics(where)
        if self._losses is not None and phase.monitor not in (*metrics, "auto"):
            metrics |= self._losses(phase)
        return metrics

    def _costs(self, parts: Iterable[Part], monitor: str) -> dict[str, float]:
        """By ``nlcli.estimation.criterion``: the cost itself and, where it is asked for, what of it is no chance."""
        logits = _log_odds(parts)
        costs = {cost_name(self._task): cost(self._task, logits, *self._known)}
        if monitor != BEYOND_START:
            return costs
        assert self._start is not None
        if self._began is None:
            begun = _log_odds(self._start())
            self._began = cost(self._task, begun, *self._known), image_scores(self._task, begun, *self._known)
        (value,), (first, scores) = costs.values(), self._began
        if value < first:
            gain = Difference.of(image_scores(self._task, logits, *self._known), scores)
            value = value if gain.mean > gain.error else first
        return costs | {BEYOND_START: value}

    @cached_property
    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, C) what is verified of the images, and where."""
        shape = (len(self._rows), self._num_classes)
        verified, known = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        known[self._position, self._class] = 1.0
        verified[self._position, self._class] = self._label
        return verified, known

    def metrics(self, where: str = "; look at the features") -> dict[str, float]:
        """Those of every phase.

        Args:
            where: End of the sentence that refuses scores which are not finite.
        """
        return self._metrics(self._scores(), where)

    def _metrics(self, parts: Iterable[Part], where: str) -> dict[str, float]:
        from nlcli.metrics.decisions import top_k_correct
        from nlcli.metrics.ranking import ranking_metrics, sparse_ranking_metrics

        scores = np.empty(len(self._label), np.float32)
        correct = dict.fromkeys(self._top, 0)
        for first, part in parts:
            entries = slice(*np.searchsorted(self._position, (first, first + len(part))))
            scores[entries] = part[self._position[entries] - first, self._class[entries]]
            truth = self._truth[first : first + len(part)]
            known = (truth >= 0) & np.isfinite(part).all(axis=1)
            for k in self._top:
                correct[k] += int(top_k_correct(truth[known], part[known], k).sum())
        if not np.isfinite(scores).all():
            raise NlcliError(f"scores are not finite{where}")
        if self._dense:
            shape = (len(self._rows), self._num_classes)
            ranking = ranking_metrics(self._label.reshape(shape), scores.reshape(shape))
        else:
            ranking = sparse_ranking_metrics(self._class, self._label, scores, self._num_classes)
        metrics = {f"top_{k}": count / self.of_known_class for k, count in correct.items() if self.of_known_class}
        return metrics | {"AP_all": float(ranking.ap_all), "mAP": float(ranking.mean_ap)}

    def first_classes(self) -> np.ndarray:
        """(n,) int64 the class that scores highest by the current weights, of every image."""
        parts = [part.argmax(axis=1) for _, part in self._scores()]
        first: np.ndarray = np.concatenate([*parts, np.empty(0, np.int64)])
        return first


# --- of a method on features -----------------------------------------------------------------


class FeatureParts(Protocol):
    """Features of some rows of a data set, cached or computed from their images."""

    rows: StoredRows

    def parts(self) -> Parts:
        """(first position, features) of some rows at a time."""


def validation_of(method: Method, table: LabelTable, data: FeatureParts) -> Validation:
    """Of ``method`` on the features ``data``, by the score of its own choice."""
    scorer = Scorer(method)

    def scores() -> Parts:
        name = method.offered()[0]
        for first, features in data.parts():
            yield first, scorer(features, name)

    def start() -> Parts:
        for first, features in data.parts():
            yield first, np.asarray(method.score_at_start(method.scale(np.asarray(features, np.float32))))

    begun = start if method.starts_solved else None
    return Validation(table, data.rows.dataset, scores, lambda phase: _losses(method, table, data, phase), begun)


def _log_odds(parts: Iterable[Part]) -> np.ndarray:
    """(n, C) of scores."""
    scores = np.concatenate([part for _, part in parts]).astype(np.float64)
    bounded = np.clip(scores, _LEAST, 1.0 - _LEAST)
    return np.asarray(np.log(bounded) - np.log1p(-bounded))


def _losses(method: Method, table: LabelTable, data: FeatureParts, phase: Phase) -> dict[str, float]:
    """The phase's losses on these rows as if they were V, averaged over rows."""
    from nlcli.methods.base.contract import Batch

    def given(part: np.ndarray) -> Any:
        part = np.asarray(part, np.float32)
        return part if method.arrays else ops.convert_to_tensor(part)

    totals: dict[str, float] = {}
    for first, features in data.parts():
        rows = data.rows.dataset[first : first + len(features)]
        v, m = table.verified_targets(rows)
        y = table.noisy_targets(rows if phase.noisy_labels == "all" else rows[:0])
        batch = Batch(len(rows), *map(given, (y, v, m)), weights=given(np.zeros(0)))
        for name, value in method.losses(phase.name, method.scale(given(features)), batch).items():
            totals[name] = totals.get(name, 0.0) + float(value) * len(rows) / len(data.rows)
    return totals


class Scorer:
    """Scores of a method of features as they come, in parts of bounded size; compiled where its layers are Keras's."""

    def __init__(self, method: Method) -> None:
        self._score = _on_arrays(method) if method.arrays else _compiled(method)

    def __call__(self, features: np.ndarray, name: str) -> np.ndarray:
        """(n, C) float32 scores of (n, D) features."""
        return self._score(features, name)


def _on_arrays(method: Method) -> Callable[[np.ndarray, str], np.ndarray]:
    """Parts are shared by threads; what they come to depends on none."""

    @one_blas_thread()
    def score(features: np.ndarray, name: str) -> np.ndarray:
        out = np.empty((len(features), method.problem.num_classes), np.float32)

        def fill(first: int) -> None:
            part = features[first : first + ARRAY_ROWS].astype(np.float32, copy=False)
            out[first : first + len(part)] = method.score(method.scale(part), name)

        for _ in in_order(fill, range(0, len(features), ARRAY_ROWS)):
            pass
        return out

    return score


def _compiled(method: Method) -> Callable[[np.ndarray, str], np.ndarray]:
    import tensorflow as tf

    compiled = {
        name: as_graph(
            lambda features, name=name: method.score(method.scale(tf.cast(features, tf.float32)), name),
            reduce_retracing=True,
        )
        for name in method.scores
    }

    def score(features: np.ndarray, name: str) -> np.ndarray:
        out = np.empty((len(features), method.problem.num_classes), np.float32)
        for first in range(0, len(features), SCORE_ROWS):
            part = tf.convert_to_tensor(features[first : first + SCORE_ROWS])
            out[first : first + len(part)] = compiled[name](part).numpy()
        return out

    return score
