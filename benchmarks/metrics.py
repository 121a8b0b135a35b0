"""AP, mAP and AP_all beside a loop over scikit-learn; the bootstrap beside resampling by hand.

A contender's figure is the median over turns, a ratio the median of the turns' ratios. The floor is
the sorting of the scores alone, once by class and once all together: no exact AP can do without
it. Memory is what NumPy allocates (tracemalloc), the scores themselves included where it says so.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np


def run(quick: bool) -> list[dict]:
    """Rows of the table, as ``benchmarks.__main__`` prints them."""
    turns = 1 if quick else 3
    rows = dense(4_000, 200, turns) if quick else dense(20_000, 1_000, turns)
    rows += sparse(10_000, 6_012, turns) if quick else sparse(125_000, 6_012, turns)
    return rows + bootstrap(2_000, 56, 100, turns) if quick else rows + bootstrap(16_763, 56, 1_000, turns)


def dense(images: int, classes: int, turns: int) -> list[dict]:
    """Fully verified labels, classes of uneven frequency, 6 % positives."""
    from sklearn.metrics import average_precision_score

    from nlcli.metrics.ranking import ranking_metrics

    rng = np.random.default_rng(0)
    labels = (rng.random((images, classes), np.float32) < 10 ** rng.uniform(-3, -0.5, classes)).astype(np.uint8)
    labels[0] = 1  # scikit-learn has no AP without a positive
    scores = (rng.random((images, classes), np.float32) + 0.3 * labels).astype(np.float32)

    def ours() -> tuple[np.ndarray, float]:
        measured = ranking_metrics(labels, scores)
        return measured.per_class, measured.ap_all

    def loop() -> tuple[np.ndarray, float]:
        per_class = [average_precision_score(labels[:, c], scores[:, c]) for c in range(classes)]
        return np.array(per_class), average_precision_score(labels.ravel(), scores.ravel())

    def floor() -> None:
        np.sort(scores.T.copy(), axis=1)
        np.sort(scores, axis=None)

    name = f"dense {images:,} x {classes:,}"
    rows = _contest(name, ours, loop, floor, turns, "at least 5")
    peak = _peak(ours)
    whole = peak + scores.nbytes
    told = f"{name}: memory with the scores"
    rows.append(_row(told, whole / 2**20, "MiB", whole / scores.nbytes, "the scores", "at most 2"))
    return rows


def sparse(images: int, classes: int, turns: int) -> list[dict]:
    """Ten verified entries an image, classes of uneven frequency, as in Open Images."""
    from sklearn.metrics import average_precision_score

    from nlcli.metrics.ranking import sparse_ranking_metrics

    rng = np.random.default_rng(1)
    count = 10 * images
    share = 1 / np.arange(1, classes + 1) ** 0.7
    column = rng.choice(classes, count, p=share / share.sum())
    label = (rng.random(count) < 0.5).astype(np.uint8)
    score = (rng.random(count, np.float32) + 0.3 * label).astype(np.float32)

    def ours() -> tuple[np.ndarray, float]:
        measured = sparse_ranking_metrics(column, label, score, classes)
        return measured.per_class, measured.ap_all

    def loop() -> tuple[np.ndarray, float]:
        # Grouped by class first: comparing all entries with each class would be slower still.
        order = np.argsort(column, kind="stable")
        ends = np.searchsorted(column[order], np.arange(classes + 1))
        truth, value = label[order], score[order]
        per_class = np.full(classes, np.nan)
        for c in range(classes):
            part = slice(ends[c], ends[c + 1])
            if truth[part].any():
                per_class[c] = average_precision_score(truth[part], value[part])
        return per_class, average_precision_score(label, score)

    def floor() -> None:
        np.sort((column.astype(np.uint64) << np.uint64(32)) | score.view(np.uint32))
        np.sort(score)

    name = f"sparse {images:,} x {classes:,}, 10 entries an image"
    rows = _contest(name, ours, loop, floor, turns, "at least 20")
    peak = _peak(ours)
    whole = images * classes * 4
    told = f"{whole / 2**20:,.0f} MiB of dense scores"
    rows.append(_row(f"{name}: memory", peak / count, "bytes an entry", peak / whole, told, None))
    return rows


def bootstrap(images: int, classes: int, resamples: int, turns: int) -> list[dict]:
    """Intervals of mAP, AP_all and AP, against drawing rows and calling scikit-learn (a few times)."""
    from sklearn.metrics import average_precision_score

    from nlcli.metrics.bootstrap import bootstrap as resample
    from nlcli.metrics.bootstrap import resample_weights
    from nlcli.runtime import cpu_count

    rng = np.random.default_rng(2)
    labels = (rng.random((images, classes)) < 2.2 * rng.dirichlet(np.ones(classes))).astype(np.uint8)
    labels[:20] = 1
    scores = (rng.random((images, classes), np.float32) + 0.3 * labels).astype(np.float32)
    by_hand = 2

    def ours() -> Any:
        return resample(labels, scores, resamples=resamples, threads=cpu_count())

    def loop() -> Any:
        for b in range(by_hand):
            drawn = np.repeat(np.arange(images), resample_weights(images, b, 1, 0)[0])
            y, s = labels[drawn], scores[drawn]
            for c in range(classes):
                average_precision_score(y[:, c], s[:, c])
            average_precision_score(y.ravel(), s.ravel())

    spent = _turns({"ours": ours, "loop": loop}, turns)
    ratios = [resamples / by_hand * b / a for a, b in zip(spent["ours"], spent["loop"], strict=True)]
    name = f"bootstrap {images:,} x {classes}, {resamples:,} resamples"
    told = f"scikit-learn on drawn rows ({by_hand} resamples, scaled)"
    return [_row(name, statistics.median(spent["ours"]), "s", statistics.median(ratios), told, None, _peak(ours))]


def _contest(
    name: str, ours: Callable[[], Any], loop: Callable[[], Any], floor: Callable[[], Any], turns: int, target: str
) -> list[dict]:
    (per_class, together), (expected, expected_together) = ours(), loop()
    error = max(float(np.nanmax(np.abs(per_class - expected))), abs(together - expected_together))
    spent = _turns({"ours": ours, "loop": loop, "floor": floor}, turns)
    beside = [b / a for a, b in zip(spent["ours"], spent["loop"], strict=True)]
    of_floor = [b / a for a, b in zip(spent["ours"], spent["floor"], strict=True)]
    value = statistics.median(spent["ours"])
    return [
        _row(name, value, "s", statistics.median(beside), "a loop over scikit-learn", target),
        _row(name, value, "s", statistics.median(of_floor), "its floor: sorting the scores", None),
        _row(f"{name}: largest difference", error, "", None, "scikit-learn", "at most 1e-12"),
    ]


def _turns(contenders: dict[str, Callable[[], Any]], turns: int) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, contender in contenders.items():
            started = time.perf_counter()
            contender()
            spent[name].append(time.perf_counter() - started)
    return spent


def _peak(function: Callable[[], Any]) -> int:
    """Bytes that ``function`` has allocated at its peak, beyond what was there before."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _row(
    name: str, value: float, unit: str, ratio: float | None, to: str, target: str | None, peak: int | None = None
) -> dict:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "ratio": ratio,
        "ratio_to": to,
        "target": target,
        "peak_memory": peak,
    }
