"""An answer in numbers."""

from __future__ import annotations

import numpy as np

from benchmarks.accuracy.cases import Answer, Case, Truth
from nlcli.detection.tags.judgement import least_errors
from nlcli.metrics.ranking import ranking_metrics


def measured(case: Case, truth: Truth, answer: Answer) -> dict[str, float]:
    """Metrics by name; ``top_1`` or ``AP_all`` and ``mAP`` of test, the others of the noisy labels nobody looked at."""
    metrics: dict[str, float] = {}
    if answer.test is not None:
        if case.several:
            ranking = ranking_metrics(truth.test, answer.test)
            metrics |= {"AP_all": ranking.ap_all, "mAP": ranking.mean_ap}
        else:
            metrics["top_1"] = float(np.mean(answer.test.argmax(axis=1) == truth.test))
    if answer.right is not None:
        metrics |= (_of_entries if case.several else _of_labels)(case, truth, answer)
    return metrics


def _of_labels(case: Case, truth: Truth, answer: Answer) -> dict[str, float]:
    assert answer.right is not None
    right = truth.labels == case.noisy
    rows = case.unverified
    threshold = answer.threshold
    if threshold is None:
        known = case.verified
        threshold = (
            chosen_threshold(answer.right[known], case.noisy[known] == case.known, case.noisy[known])
            if len(known)
            else float(np.quantile(answer.right, 0.2))
        )
    called = answer.right[rows] >= threshold
    return {
        "AUC": area(right[rows], answer.right[rows]),
        "average_error": average_error(right[rows], called, case.noisy[rows]),
    }


def _of_entries(case: Case, truth: Truth, answer: Answer) -> dict[str, float]:
    assert answer.right is not None
    rows = case.unverified
    given, there, score = case.noisy[rows] > 0, truth.labels[rows] > 0, answer.right[rows]
    called = called_present(case, answer)[rows]
    return {
        "AUC_given": area(there[given], score[given]),
        "AUC_missing": area(there[~given], score[~given]),
        "label_error": float(np.mean(called != there)),
        **_rates("wrong", (given & ~there)[given], (given & ~called)[given]),
        **_rates("missing", (~given & there)[~given], (~given & called)[~given]),
    }


def _rates(kind: str, wrong: np.ndarray, called: np.ndarray) -> dict[str, float]:
    """Precision and recall of what is called wrong; both are 0 where nothing is."""
    hits = int((wrong & called).sum())
    return {
        f"precision_{kind}": hits / max(1, int(called.sum())),
        f"recall_{kind}": hits / max(1, int(wrong.sum())),
    }


def called_present(case: Case, answer: Answer) -> np.ndarray:
    """(n, C) bool: the verdicts, or those that err least on verified images."""
    assert answer.right is not None
    if answer.present is not None:
        return answer.present
    called = np.empty(answer.right.shape, bool)
    for tagged in (True, False):
        which = (case.noisy > 0) == tagged
        known = which[case.verified]
        threshold = 0.5
        if known.any():
            threshold = least_errors(answer.right[case.verified][known], case.known[known] > 0)
        called[which] = answer.right[which] >= threshold
    return called


def area(ones: np.ndarray, scores: np.ndarray) -> float:
    """Of the ROC curve."""
    from scipy.stats import rankdata

    count = int(ones.sum())
    others = len(ones) - count
    if not count or not others:
        return float("nan")
    return float((rankdata(scores)[ones].sum() - count * (count + 1) / 2) / (count * others))


def average_error(right: np.ndarray, called: np.ndarray, classes: np.ndarray) -> float:
    """Mean over noisy classes of the share of labels that were taken for what they are not (Lee 2018)."""
    return float(np.mean([np.mean((right != called)[classes == c]) for c in np.unique(classes)]))


def chosen_threshold(scores: np.ndarray, right: np.ndarray, classes: np.ndarray) -> float:
    """The threshold of least average error on verified images; of several the middle one."""
    values = np.unique(scores)
    middles = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    errors = np.array([average_error(right, scores >= one, classes) for one in middles])
    best = np.flatnonzero(errors <= errors.min() + 1e-12)
    return float(middles[best[len(best) // 2]])
