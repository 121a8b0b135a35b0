"""Tables of an analysis: mAP by category, gain by class frequency and by annotation quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Table = tuple[str, list[str], list[list[str]], list[str]]
"""Title, header, rows, notes."""


def analysis_tables(found: dict[str, Any]) -> list[Table]:
    """Every table of an analysis (what ``analysis.json`` holds), figures in percent."""
    tables = []
    labels = [model["label"] for model in found["models"]]
    if "category" in found:
        groups = found["category"]["groups"]
        header = ["model", *(f"{group['name']} ({group['with_positives']})" for group in groups)]
        rows = [[label, *(_value(group["models"][i]) for group in groups)] for i, label in enumerate(labels)]
        notes = ["percent; in brackets the number of classes that have positives", *_notes(found, "category")]
        tables.append(("mAP by category (Veit 2017, table 3)", header, rows, notes))
    if len(labels) < 2:
        return tables
    for by, title in (("frequency", "class frequency"), ("quality", "annotation quality")):
        groups = found[by]["groups"]
        if not groups:
            continue
        header = ["classes", title, f"mAP of {labels[0]}", *labels[1:]]
        rows = [
            [str(group["classes"]), group_range(by, group), _value(group["models"][0])]
            + [_gain(group["models"][i]) for i in range(1, len(labels))]
            for group in groups
        ]
        told = f"gain in mAP over '{labels[0]}' in percentage points{_ends_told(found)}; {title}: {found[by]['about']}"
        tables.append((f"Gain by {title} (Veit 2017, figure 5)", header, rows, [told, *_notes(found, by)]))
    return tables


def group_range(by: str, group: dict[str, Any]) -> str:
    """What the classes of a group have: ``12 to 90`` annotations, ``40 to 60 %`` right."""
    low, high = group["low"], group["high"]
    if by == "quality":
        first, last = f"{100 * low:.0f}", f"{100 * high:.0f}"
        return f"{first} %" if first == last else f"{first} to {last} %"
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def _value(figure: dict[str, Any]) -> str:
    if figure["mAP"] is None:
        return "-"
    spread = "" if figure["spread"] is None else f" ± {100 * figure['spread']:.2f}"
    return f"{100 * figure['mAP']:.2f}{spread}"


def _gain(figure: dict[str, Any]) -> str:
    if figure["gain"] is None:
        return "-"
    return f"{100 * figure['gain']:+.2f}{_pair(figure['gain_interval'])}"


def _pair(ends: Sequence[float | None] | None) -> str:
    if ends is None or ends[0] is None or ends[1] is None:
        return ""
    return f" [{100 * ends[0]:+.2f}, {100 * ends[1]:+.2f}]"


def _ends_told(found: dict[str, Any]) -> str:
    if not found["resamples"]:
        return ""
    return f" with its {100 * found['level']:g} % bootstrap interval, paired by image"


def _notes(found: dict[str, Any], by: str) -> list[str]:
    notes = [f"{found['images']:,} images of split '{found['split']}'"]
    if any(len(model["seeds"]) > 1 for model in found["models"]):
        notes.append("means over seeds; ±: standard deviation over seeds")
    if found[by]["left_out"]:
        notes.append(f"left out: {found[by]['left_out']}")
    return notes
