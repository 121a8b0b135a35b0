"""How well a method or a whole network does on the verified validation images, while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nlcli.errors import NlcliError

if TYPE_CHECKING:
    from nlcli.data.labels import LabelTable
    from nlcli.methods.base.contract import Phase
    from nlcli.methods.base.method import Method
    from nlcli.training.loop.pools import StoredRows

SCORE_ROWS = 4096
"""Rows that are scored at a time, at most."""

Parts = Iterator[tuple[int, np.ndarray]]
"""(first position, values) of some rows after the other."""


class Validation:
    """Metrics of the current weights on the verified entries of some images.

    AP_all and mAP, and on single-label data top_1, with more than five classes top_5, of the images
    whose class is known. (Of an image that is known only not to be of its noisy class no prediction
    but that one is wrong for sure: it counts in AP_all and mAP.)

    Args:
        rows: (n,) of the table.
        scores: gives (first position, scores (b, C) float32) of all rows by the current weights.
        losses: of a phase on these rows, for phases that are chosen by one of them.

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
    ) -> None:
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
        metrics = self.metrics(f" in phase '{phase.name}'; lower the learning rate")
        if self._losses is not None and phase.monitor not in (*metrics, "auto"):
            metrics |= self._losses(phase)
        return metrics

    def metrics(self, where: str = "; look at the features") -> dict[str, float]:
        """Those of every phase.

        Args:
            where: End of the sentence that refuses scores which are not finite.
        """
        from nlcli.metrics.decisions import top_k_correct
        from nlcli.metrics.ranking import ranking_metrics, sparse_ranking_metrics

        scores = np.empty(len(self._label), np.float32)
        correct = dict.fromkeys(self._top, 0)
        for first, part in self._scores():
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

    return Validation(table, data.rows.dataset, scores, lambda phase: _losses(method, table, data, phase))


def _losses(method: Method, table: LabelTable, data: FeatureParts, phase: Phase) -> dict[str, float]:
    """The phase's losses on these rows as if they were V, averaged over rows."""
    import tensorflow as tf

    from nlcli.methods.base.contract import Batch

    totals: dict[str, float] = {}
    for first, features in data.parts():
        rows = data.rows.dataset[first : first + len(features)]
        v, m = table.verified_targets(rows)
        y = table.noisy_targets(rows if phase.noisy_labels == "all" else rows[:0])
        batch = Batch(len(rows), *(tf.cast(labels, tf.float32) for labels in (y, v, m)), weights=tf.zeros(0))
        for name, value in method.losses(phase.name, method.scale(tf.cast(features, tf.float32)), batch).items():
            totals[name] = totals.get(name, 0.0) + float(value) * len(rows) / len(data.rows)
    return totals


class Scorer:
    """Scores of a method of features as they come, compiled, in parts of bounded size."""

    def __init__(self, method: Method) -> None:
        import tensorflow as tf

        self._num_classes = method.problem.num_classes
        self._compiled = {
            name: tf.function(
                lambda features, name=name: method.score(method.scale(tf.cast(features, tf.float32)), name),
                reduce_retracing=True,
            )
            for name in method.scores
        }

    def __call__(self, features: np.ndarray, name: str) -> np.ndarray:
        """(n, C) float32 scores of (n, D) features."""
        import tensorflow as tf

        out = np.empty((len(features), self._num_classes), np.float32)
        for first in range(0, len(features), SCORE_ROWS):
            part = tf.convert_to_tensor(features[first : first + SCORE_ROWS])
            out[first : first + len(part)] = self._compiled[name](part).numpy()
        return out
