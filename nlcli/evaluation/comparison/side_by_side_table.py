"""Tables for people: on a terminal, in a pipe, and in Markdown."""

from __future__ import annotations

from typing import Any

from nlcli.console import print_table
from nlcli.metrics.names import DOWN, HEADINGS, LABEL_NOISE, LOWER_IS_BETTER, heading, shown_metrics


def figure_names(found: dict[str, Any]) -> list[str]:
    """The figures of a comparison that every row has, in the order in which they are shown."""
    rows = found["rows"]
    return shown_metrics([name for name in rows[0] if all(name in row for row in rows)])


def comparison_table(found: dict[str, Any]) -> tuple[list[str], list[list[str]], list[str]]:
    """Header, rows and notes of a comparison (what ``Comparison.as_json`` returns)."""
    rows = found["rows"]
    names = figure_names(found)
    several = len(rows) > 1
    seeds = any(len(row["seeds"]) > 1 for row in rows)
    clean = any(row["clean_fraction"] is not None for row in rows)
    header = ["model", *(["clean"] if clean else []), *(["seeds"] if seeds else [])]
    for name in names:
        header += [heading(name), *(["difference"] if several else [])]
    cells = []
    for row in rows:
        line = [row["label"], *([_clean(row)] if clean else []), *([str(len(row["seeds"]))] if seeds else [])]
        for name in names:
            line += [_value(row[name]), *([_difference(row[name])] if several else [])]
        cells.append(line)
    return header, cells, _notes(found, seeds, several)


def _clean(row: dict[str, Any]) -> str:
    if row["clean_fraction"] is None or row["clean_images"] is None:
        return "none"
    return f"{100 * row['clean_fraction']:g} % ({row['clean_images']:,})"


def _value(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    spread = "" if figure["spread"] is None else f" ± {figure['spread']:.3f}"
    return f"{figure['value']:.3f}{spread}{_ends(figure['interval'], '.3f')}"


def _difference(figure: dict[str, Any]) -> str:
    if figure["difference"] is None:
        return ""
    return f"{figure['difference']:+.3f}{_ends(figure['difference_interval'], '+.3f')}"


def _ends(pair: list[float | None] | None, style: str) -> str:
    if pair is None or None in pair:
        return ""
    return f" [{pair[0]:{style}}, {pair[1]:{style}}]"


def _notes(found: dict[str, Any], seeds: bool, several: bool) -> list[str]:
    notes = [f"{found['images']:,} images of split '{found['split']}'"]
    if found["images_left_out"]:
        notes[0] += f"; {found['images_left_out']:,} not scored by every model are left out"
    if found["resamples"]:
        notes.append(
            f"[low, high]: {100 * found['level']:g} % bootstrap interval over images, {found['resamples']:,} resamples"
        )
    if seeds:
        notes.append("±: standard deviation over seeds; intervals are of the mean over seeds")
    if several:
        paired = ", its interval paired by image" if found["resamples"] else ""
        notes.append(f"difference: to '{found['reference']}'{paired}")
    if found["images_of_unknown_class"]:
        count = found["images_of_unknown_class"]
        notes.append(f"the true class of {count:,} images is not known; they have no part in top-1 and top-5")
    if LOWER_IS_BETTER.intersection(figure_names(found)):
        notes.append(f"{DOWN}: lower is better")
    if found["naive"]:
        known = {HEADINGS[name]: value for name, value in found["naive"].items() if value is not None}
        errors = ", ".join(f"{name} {value:.3f}" for name, value in known.items())
        notes.append(f"calling every label right: {errors}")
    planted = [f"{row['label']} {row['planted']:.3f}" for row in found["rows"] if row["planted"] is not None]
    if planted:
        notes.append(f"average error on unverified training images, whose noise was planted: {', '.join(planted)}")
    without, judged = found["classes_without_positives"], found["task"] == LABEL_NOISE
    if without:
        have = "class has" if without == 1 else "classes have"
        notes.append(
            f"{without} {have} no verified noisy label here and no part in the average error"
            if judged
            else f"{without} {have} no positive here and no part in mAP"
        )
    what = "thresholds chosen by" if judged else "checkpoints selected by"
    chosen = dict.fromkeys(row["selected_by"] for row in found["rows"])
    if len(chosen) == 1:
        notes.append(f"{what}: {next(iter(chosen))}")
    else:
        told = "; ".join(f"{row['label']}: {row['selected_by']}" for row in found["rows"])
        notes.append(f"{what}: {told}")
    return notes


def print_comparison(found: dict[str, Any]) -> None:
    """Print a comparison to standard output."""
    header, rows, notes = comparison_table(found)
    print_table(header, rows, notes)
