"""What figures are called in tables and drawings, which of them leads, and which are better when lower."""

from __future__ import annotations

from collections.abc import Collection

LABEL_NOISE = "label-noise"
"""What ``metrics.json`` calls the task of a detection's evaluation, beside those of data sets."""
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
}
"""In the order in which they are shown: the first one that there is leads."""
LOWER_IS_BETTER = frozenset({"average_error", "micro_error", "held_out_error", "planted_error"})
DOWN = "↓"


def shown_figures(names: Collection[str]) -> list[str]:
    """Those of ``names`` that tables show, in their order."""
    return [name for name in HEADINGS if name in names]


def leading(names: Collection[str]) -> str:
    """The figure that rows are ranked by: top-1 of single-label data, AP_all of multi-label data, the average error."""
    return next(name for name in ("top_1", "average_error", "AP_all") if name in names)


def heading(name: str) -> str:
    """The figure's name for people; an arrow marks those that are better when lower."""
    told = HEADINGS.get(name, name)
    return f"{told} {DOWN}" if name in LOWER_IS_BETTER else told
