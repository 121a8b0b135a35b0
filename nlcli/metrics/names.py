"""What metrics are called in files, tables and plots, their order, which one leads, which are better when lower."""

from __future__ import annotations

from collections.abc import Collection, Iterable

LABEL_NOISE = "label-noise"
"""What ``metrics.json`` calls the task of a detection's evaluation, beside those of data sets."""
TAG_NOISE = "tag-noise"
"""The same of a detection on several labels an image."""
DETECTIONS = (LABEL_NOISE, TAG_NOISE)
ACCURACIES = {"top_1": 1, "top_5": 5}
"""How many of the first classes count, by the metric's name."""
ERRORS = ("average_error", "held_out_error", "micro_error", "label_error")
"""Error rates of verdicts on labels; those of calling every label right are told beside them."""
HEADINGS = {
    "top_1": "top-1",
    "top_5": "top-5",
    "mAP": "mAP",
    "AP_all": "AP_all",
    "average_error": "average error",
    "micro_error": "micro error",
    "held_out_error": "held-out error",
    "planted_error": "planted error",
    "AUC": "AUC",
    "AP_wrong": "AP of wrong",
    "calibration_error": "calibration error",
    "label_error": "label error",
    "AUC_wrong": "AUC of wrong",
    "precision_wrong": "precision of wrong",
    "recall_wrong": "recall of wrong",
    "calibration_wrong": "calibration error of given",
    "AUC_missing": "AUC of missing",
    "AP_missing": "AP of missing",
    "precision_missing": "precision of missing",
    "recall_missing": "recall of missing",
    "calibration_missing": "calibration error of missing",
}
"""In the order in which they are shown."""
CALIBRATIONS = ("calibration_error", "calibration_wrong", "calibration_missing")
"""How far the probabilities of a detection are from what is so: of labels; of given tags; of the other classes."""
TABLED = tuple(
    name
    for name in HEADINGS
    if not name.endswith(("_wrong", "_missing")) and name not in ("label_error", "calibration_error")
)
"""What a paper's table may hold: no paper prints the AP of finding wrong labels, or how tags are found."""
LEARNING = ("mAP", "AP_all", "top_1")
"""What learning curves show, panel by panel."""
LOWER_IS_BETTER = frozenset({*ERRORS, "planted_error", *CALIBRATIONS})
DOWN = "↓"


def accuracies_of(classes: int) -> dict[str, int]:
    """Those of ``ACCURACIES`` that so many classes have: of five, the true one is always among the first five."""
    return {name: k for name, k in ACCURACIES.items() if k == 1 or classes > k}


def shown_metrics(names: Collection[str]) -> list[str]:
    """Those of ``names`` that tables show, in their order."""
    return [name for name in HEADINGS if name in names]


def leading(names: Collection[str]) -> str:
    """The metric that rows are ranked by: top-1 of single-label data, AP_all of multi-label data, an error rate."""
    return next(name for name in ("top_1", "average_error", "AP_all", "label_error") if name in names)


def heading(name: str) -> str:
    """The metric's name for people; an arrow marks those that are better when lower."""
    told = HEADINGS.get(name, name)
    return f"{told} {DOWN}" if name in LOWER_IS_BETTER else told


def plot_title(name: str) -> str:
    """The metric's name over a plot."""
    return heading(name) + (" (lower is better)" if name in LOWER_IS_BETTER else "")


def common_metrics(rows: Iterable[Collection[str]]) -> list[str]:
    """The metrics that every row has, in the order in which they are shown."""
    every = list(rows)
    return [name for name in HEADINGS if every and all(name in row for row in every)]
